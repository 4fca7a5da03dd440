"""What a replay saves: one version and twelve, against running the scripts again.

    python benchmarks/replay_speed.py [--epochs N] [--keep DIR | --recorded DIR] [--no-write]

Twelve versions of the digits example are recorded: renamed variables and functions, another
optimizer, a split module, other settings.  Then a log statement is put into today's script and
asked of them, by one command.  A *re-run* is the version's own script, run plainly without the
statement: no edit, no import of flor, nothing stored.  *One version*: re-run and replay of the
same version, next to each other; the median of the ratios.  *Twelve*: the sum of all re-runs
against one replay of all.  Statements:

- *outer*: `weight_norm`, at the end of every epoch;
- *inner*: `grad_norm`, at every step of the last quarter of the epochs.

Times are of the clock and, where other programs share the machine, of the processor: that of the
command with all that it starts.

Each replay asks for a name that nothing has answered yet.  The table goes to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import results_file

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "examples" / "digits" / "train.py"
FLOR = [sys.executable, "-m", "flor.runtime"]
ALONE = (1, 6, 12)
"""The runs that are also replayed one by one."""
WORKERS = (1, 2)

Files = dict[str, str]
Edit = Callable[[Files], Files]


def replaced(*pairs: tuple[str, str]) -> Edit:
    """An edit of train.py."""

    def edit(files: Files) -> Files:
        text = files["train.py"]
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return {**files, "train.py": text}

    return edit


def split(files: Files) -> Files:
    """The data go into a module of their own."""
    text = files["train.py"]
    start, end = text.index("def load_data"), text.index("def train")
    imports = (
        "import torch\nfrom sklearn.datasets import load_digits\n"
        "from torch.utils.data import DataLoader, TensorDataset\n\n\n"
    )
    rest = text[:start] + text[end:]
    rest = rest.replace(
        "from sklearn.datasets import load_digits\n", "from data import load_data\n"
    )
    rest = rest.replace("from torch.utils.data import DataLoader, TensorDataset\n", "")
    return {**files, "train.py": rest, "data.py": imports + text[start:end].rstrip() + "\n"}


def swapped(files: Files) -> Files:
    """`evaluate` comes before `train`."""
    text = files["train.py"]
    first = text.index("def train")
    second, end = text.index("@torch.no_grad()"), text.index("def main")
    return {**files, "train.py": text[:first] + text[second:end] + text[first:second] + text[end:]}


EDITS: tuple[Edit, ...] = (
    lambda files: files,
    replaced(("    model = Net(", "    net = Net("),
             ("model.parameters(), lr", "net.parameters(), lr"),
             ("train(model, train_loader", "train(net, train_loader"),
             ("evaluate(model, val_loader)", "evaluate(net, val_loader)")),
    replaced(("train(", "train_epoch("), ("model.train_epoch(", "model.train(")),
    replaced(("default=0.02", "default=0.05")),
    replaced(("SGD(", "AdamW("), (", momentum=0.9", ""), ("0.05", "0.002")),
    split,
    replaced(("        loss.backward()\n", "        loss.backward()\n        "
              "nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n")),
    replaced(("        loss = F.cross", "        objective = F.cross"),
             ("        loss.backward", "        objective.backward"),
             ("+= loss.item", "+= objective.item")),
    replaced(("model(images), labels)\n        obj", "model(images), labels, label_smoothing=0.05)"
              "\n        obj")),
    replaced(("Dropout(0.3)", "Dropout(0.2)"), ("default=112", "default=104")),
    swapped,
    replaced(("CosineAnnealingLR(optimizer, T_max=args.epochs)", "StepLR(optimizer, step_size=5)"),
             ("import CosineAnnealingLR", "import StepLR")),
)  # fmt: skip


def versions() -> list[Files]:
    """The files of each version, the oldest first."""
    files = {"train.py": DIGITS.read_text(encoding="utf-8")}
    found = []
    for edit in EDITS:
        files = edit(files)
        found.append(files)
    return found


def asked(files: Files, name: str, inner: bool) -> Files:
    """Today's project with a log statement."""
    head = replaced(("import argparse\n", "import argparse\n\nimport flor"))
    gradients = "[p.grad.norm() for p in model.parameters()]"
    weights = "[p.norm() for p in net.parameters()]"
    if inner:
        line = f'        flor.log("{name}", torch.stack({gradients}).norm().item())\n'
        place = "        nn.utils.clip_grad_norm_(model"
    else:
        line = f'        flor.log("{name}", torch.stack({weights}).norm().item())\n'
        place = '        print(f"epoch'
    return replaced((place, line + place))(head(files))


def write_project(folder: Path, files: Files) -> None:
    """Make these the project's files."""
    for path in folder.glob("*.py"):
        path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "pyproject.toml").touch()


@dataclass(frozen=True)
class Times:
    """Seconds of a command, of the clock and of the processor."""

    wall: float
    cpu: float

    def __add__(self, other: Times) -> Times:
        return Times(self.wall + other.wall, self.cpu + other.cpu)


def timed(command: Sequence[str], folder: Path) -> tuple[Times, str]:
    """How long a command took, and what it printed.  It has to succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Times(wall, cpu), done.stdout


@dataclass
class Measured:
    """Re-runs of versions, and replays by (statement, workers, run or None for all)."""

    epochs: int
    reruns: dict[int, Times] = field(default_factory=dict)
    beside: dict[tuple[str, int, int], Times] = field(default_factory=dict)
    replays: dict[tuple[str, int, int | None], Times] = field(default_factory=dict)


class Bench:
    """The recorded project, and a folder for the re-runs."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.project, self.plain = folder / "project", folder / "plain"
        for each in (self.project, self.plain):
            each.mkdir(exist_ok=True)
        self.script = ["train.py", "--epochs", str(epochs)]
        self.files = versions()
        self.measured = Measured(epochs)
        self._asked = 0

    def record(self) -> None:
        """Record every version."""
        for number, files in enumerate(self.files, 1):
            write_project(self.project, files)
            seconds, _ = timed([*FLOR, "record", *self.script], self.project)
            say(f"recorded {number}: {seconds}")

    def rerun(self, run: int) -> Times:
        """A plain run."""
        write_project(self.plain, self.files[run - 1])
        seconds, _ = timed([sys.executable, *self.script], self.plain)
        say(f"re-run of {run}: {seconds}")
        return seconds

    def replay(self, kind: str, workers: int, run: int | None) -> Times:
        """A replay; every value has to come out."""
        self._asked += 1
        name, inner = f"{kind}_{self._asked}", kind == "inner"
        write_project(self.project, asked(self.files[-1], name, inner))
        first = self.measured.epochs - self.measured.epochs // 4
        where = [f"run = {run}"] if run else []
        where += [f"epoch > {first}"] if inner else []
        step = "step, " if inner else ""
        sql = f"SELECT run, epoch, {step}{name} FROM logs"
        sql += f" WHERE {' AND '.join(where)}" if where else ""
        options = ["--yes", "--quiet", "--workers", str(workers), "--format", "json"]
        seconds, out = timed([*FLOR, "replay", *options, sql], self.project)
        rows = json.loads(out)
        runs = {run} if run else {number for number, _ in enumerate(self.files, 1)}
        assert {row["run"] for row in rows} == runs, sql
        assert all(row[name] is not None for row in rows), sql
        each = self.measured.epochs // 4 if inner else self.measured.epochs
        assert len({(row["run"], row["epoch"]) for row in rows}) == each * len(runs), sql
        say(f"replay {kind}, {workers} workers, {run or 'all'}: {seconds}, {len(rows)} rows")
        return seconds

    def measure(self) -> Measured:
        """Everything but the recording."""
        found = self.measured
        found.reruns = {number: self.rerun(number) for number, _ in enumerate(self.files, 1)}
        for kind in ("outer", "inner"):
            for workers in WORKERS:
                for run in ALONE:
                    found.beside[kind, workers, run] = self.rerun(run)
                    found.replays[kind, workers, run] = self.replay(kind, workers, run)
                found.replays[kind, workers, None] = self.replay(kind, workers, None)
        return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(found: Measured) -> str:
    """The text for RESULTS.md."""
    import torch

    lines = [
        results_file.machine(
            f"torch {torch.__version__}", "one training thread", f"{found.epochs} epochs"
        ),
        "",
        "| statement | workers | time | one version: re-run, s | replay, s | ratio, median "
        "(least to largest) | twelve: re-runs, s | replay, s | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    total = sum(found.reruns.values(), Times(0.0, 0.0))
    for kind, workers, run in found.replays:
        for which in ("wall", "cpu") if run is None else ():
            plain = [getattr(found.beside[kind, workers, one], which) for one in ALONE]
            alone = [getattr(found.replays[kind, workers, one], which) for one in ALONE]
            ratios = [a / b for a, b in zip(plain, alone, strict=True)]
            everything = getattr(found.replays[kind, workers, None], which)
            again = getattr(total, which)
            lines.append(
                f"| {kind} | {workers} | {which} | {statistics.median(plain):.1f} | "
                f"{statistics.median(alone):.1f} | **{statistics.median(ratios):.2f}** "
                f"({min(ratios):.2f} to {max(ratios):.2f}) | {again:.1f} | {everything:.1f} | "
                f"**{again / everything:.2f}** |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--no-write", action="store_true", help="only print")
    parser.add_argument("--keep", type=Path, help="leave the recorded project here")
    parser.add_argument("--recorded", type=Path, help="such a project, of as many epochs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="florc-bench-") as folder:
        if arguments.recorded:
            shutil.copytree(arguments.recorded, Path(folder) / "project")
        bench = Bench(Path(folder), arguments.epochs)
        if not arguments.recorded:
            bench.record()
        if arguments.keep:
            shutil.copytree(bench.project, arguments.keep)
        text = table(bench.measure())
    print(text)
    if not arguments.no_write:
        results_file.write("replay_speed.py", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
