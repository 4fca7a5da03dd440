"""How near the estimate of a replay comes to what it takes.

    python benchmarks/cost.py [--only NAME,…] [--no-write]

Each script of scripts/cost is recorded twice, with different seeds.  Then names that were never
logged are asked for, one question after the other: of all epochs, of some steps, of what comes
first, of the end, of both runs, by one process and by two.  What is said before a replay begins is
compared with the time until its last value is stored.  The first question of a script is *cold*:
nothing has ever been replayed in that store.  The others are *warm*: corrected by those before.
The table goes to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import results_file

HERE = Path(__file__).resolve().parent
FLOR = [sys.executable, "-m", "flor.runtime"]
ANNOUNCED = re.compile(r"of outermost loops, about ([\d.]+) s")


@dataclass(frozen=True)
class Question:
    """A name that is asked for: where its statement stands, and of which rows."""

    place: str  # a comment in the script: outer, inner, end
    value: str
    columns: str
    where: str
    workers: int = 1


QUESTIONS = {
    "convolutions": (
        Question("outer", "model[0].weight.norm().item()", "epoch", "run = 1"),
        Question("inner", "model[0].weight.grad.norm().item()", "epoch, step", "epoch = 9"),
        Question("inner", "loss.item()", "epoch, step", "run = 2 AND epoch = 4 AND step < 5"),
        Question("outer", "model[4].weight.norm().item()", "epoch", "epoch < 3"),
        Question("end", "model[7].bias.norm().item()", "", "run = 1"),
        Question("inner", "loss.item() + 1", "epoch, step", "epoch IN (2, 7)", 2),
        Question("outer", "model[1].running_mean.norm().item()", "epoch", "epoch > 4"),
        Question("inner", "model[4].weight.grad.norm().item()", "epoch, step", "run = 2"),
    ),
    "recurrent": (
        Question("outer", "model.decoder.bias.norm().item()", "epoch", "run = 2"),
        Question("inner", "model.decoder.bias.grad.norm().item()", "epoch, step", "epoch = 7"),
        Question("inner", "loss.item()", "epoch, step", "run = 1 AND epoch = 5 AND step = 3"),
        Question("outer", "model.encoder.weight.norm().item()", "epoch", "epoch IN (1, 3)"),
        Question("end", "total", "", "run = 2"),
        Question("inner", "loss.item() + 1", "epoch, step", "epoch > 6", 2),
        Question("outer", "total + 1", "epoch", "epoch < 4"),
        Question("inner", "loss.item() + 2", "epoch, step", "run = 1"),
    ),
    "arrays": (
        Question("outer", "float(np.abs(wrong).max())", "step", "run = 1 AND step < 100"),
        Question("outer", "float(np.abs(hidden).mean())", "step", "step > 250"),
        Question("end", 'float(np.abs(w["a"]).mean())', "", "run = 2"),
        Question("outer", "float(hidden.std())", "step", "run = 2"),
        Question("outer", "float(out.mean())", "step", "step IN (17, 140)", 2),
        Question("outer", "float(out.std())", "step", "step % 50 = 0"),
    ),
    "folds": (
        Question("outer", "sum(weights)", "fold", "run = 1"),
        Question("inner", "error", "fold, epoch", "fold = 2 AND epoch < 10"),
        Question("inner", "sum(weights) + 1", "fold, epoch", "fold = 3"),
        Question("end", "max(scores)", "", "run = 2"),
        Question("inner", "error + 1", "fold, epoch", "epoch = 29", 2),
        Question("outer", "loss", "fold", "fold < 2"),
    ),
}


@dataclass(frozen=True)
class Measured:
    """One question: seconds."""

    script: str
    question: str
    workers: int
    announced: float
    took: float
    cold: bool

    @property
    def error(self) -> float:
        """Of the estimate, as a share of what it took."""
        return self.announced / self.took - 1


def flor(folder: Path, *arguments: str) -> str:
    """What a command says on standard error.  It has to succeed."""
    done = subprocess.run([*FLOR, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stderr


def measure(name: str, folder: Path) -> list[Measured]:
    """Record a script twice, and ask."""
    text = (HERE / "scripts" / "cost" / f"{name}.py").read_text(encoding="utf-8")
    (folder / "pyproject.toml").touch()
    script = folder / f"{name}.py"
    script.write_text(text, encoding="utf-8")
    for seed in ("1", "2"):
        flor(folder, "record", script.name, seed)
    found = []
    for number, asked in enumerate(QUESTIONS[name], 1):
        new = f"asked_{number}"
        line = re.compile(rf"^( *)# {asked.place}$", re.MULTILINE)
        assert line.search(text), asked
        edited = line.sub(rf'\1flor.log("{new}", {asked.value})', text)
        script.write_text(edited.replace("import sys\n", "import sys\n\nimport flor\n", 1))
        columns = ", ".join(filter(None, ("run", asked.columns, new)))
        sql = f"SELECT {columns} FROM logs WHERE {asked.where}"
        options = ("--yes", "--workers", str(asked.workers), "--format", "json")
        said = flor(folder, "replay", *options, sql)
        announced = ANNOUNCED.search(said)
        if announced is None:
            raise SystemExit(f"nothing was replayed for {sql}:\n{said}")
        connection = sqlite3.connect(folder / ".flor" / "flor.db")
        (took,) = connection.execute(
            "SELECT took FROM replay_costs WHERE component = 'total' ORDER BY number DESC LIMIT 1"
        ).fetchone()
        connection.close()
        one = Measured(
            name, f"{asked.place}: {asked.where}", asked.workers, float(announced[1]), took,
            number == 1,
        )  # fmt: skip
        print(f"{one.script}, {one.question}: {one.announced:.1f} s, {one.took:.1f} s", flush=True)
        found.append(one)
    return found


def table(found: list[Measured]) -> str:
    """The text for RESULTS.md."""
    lines = [
        results_file.machine(),
        "",
        "| script | asked for | processes | estimate, s | took, s | error |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        cold = " (cold)" if one.cold else ""
        lines.append(
            f"| {one.script} | {one.question}{cold} | {one.workers} | {one.announced:.1f} | "
            f"{one.took:.1f} | {100 * one.error:+.0f} % |"
        )
    lines.append("")
    for label, some in (
        ("cold", [m for m in found if m.cold]),
        ("warm", [m for m in found if not m.cold]),
        ("all", found),
    ):
        errors = sorted(abs(one.error) for one in some)
        if errors:
            within = sum(error <= 0.2 for error in errors)
            lines.append(
                f"{label}: median error **{100 * statistics.median(errors):.0f} %**, "
                f"largest {100 * errors[-1]:.0f} %, {within} of {len(errors)} within 20 %."
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all scripts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--no-write", action="store_true", help="only print")
    arguments = parser.parse_args()
    found = []
    for name in QUESTIONS:
        if not arguments.only or name in arguments.only.split(","):
            with tempfile.TemporaryDirectory(prefix="florc-bench-") as folder:
                found += measure(name, Path(folder))
    text = table(found)
    print(text)
    if not arguments.no_write and not arguments.only:
        results_file.write("cost.py", text)


if __name__ == "__main__":
    main()
