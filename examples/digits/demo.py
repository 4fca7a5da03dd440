"""Record the digits example, ask it afterwards for what it never logged, and check the answer.

Everything happens in a temporary folder that is removed at the end.  Exit code 1 if a replayed
value differs from the ground truth, which a full re-run with a ten-line stand-in for `flor` makes,
or if the replay doesn't need FASTER times less processor time than that re-run (on a busy machine
the wall times of two commands can't be compared; both are printed).
"""

from __future__ import annotations

import difflib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

HERE = Path(__file__).resolve().parent
FLOR = [sys.executable, "-m", "flor.runtime"]
LATE, FEW = 30, (4, 12, 20)
FASTER = 5.0

ADDED = (  # (the line before it, the statement): one in the step loop, one in the epoch loop
    ("import argparse\n\n", "import flor\n"),
    (
        "        loss.backward()\n",
        '        flor.log("grad_norm", nn.utils.get_total_norm('
        "[p.grad for p in model.parameters()]).item())\n",
    ),
    (
        "        scheduler.step()\n",
        '        flor.log("weight_norm", model.fc.weight.norm().item())\n',
    ),
)

STUB = '''\
"""Stands in for flor: keeps every value in order, and nothing else."""
import atexit, os, pickle

values = []

def log(name, value):
    values.append((name, value))
    return value

atexit.register(lambda: pickle.dump(values, open(os.environ["STUB_VALUES"], "wb")))
'''


class Cost(NamedTuple):
    """Seconds that a command took, child processes included."""

    wall: float
    cpu: float


console = Console(highlight=False, soft_wrap=True)


def title(text: str, command: str = "") -> None:
    console.print(f"\n[bold]{text}[/bold]")
    if command:
        console.print(f"    $ {command}\n", style="cyan", markup=False)


def show(text: str, style: str | None = None) -> None:
    for line in text.splitlines():
        console.print(f"    {line}", style=style, markup=False)


def clocks() -> Cost:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(time.perf_counter(), used.ru_utime + used.ru_stime)


def run(command: list[str], folder: Path, *, live: bool = False, **env: str) -> tuple[str, Cost]:
    """Run a command in `folder`: its standard output and what it cost."""
    begun = clocks()
    errors = subprocess.STDOUT if live else subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=errors,
        text=True,
    ) as process:  # fmt: skip
        if live:
            assert process.stdout is not None
            for line in process.stdout:
                show(line)
        output, said = process.communicate()
    ended = clocks()
    cost = Cost(ended.wall - begun.wall, ended.cpu - begun.cpu)
    show(said or "", "dim")
    if process.returncode:
        show(output)
        sys.exit(f"demo: {' '.join(command)} ended with exit code {process.returncode}")
    return output, cost


def commit(folder: Path) -> None:
    """Make the folder a git repository of one commit; git's own configuration isn't needed."""
    if shutil.which("git") is None:
        return
    git = ["git", "-c", "user.name=demo", "-c", "user.email=demo@example.com"]
    git += ["-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "digits"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)


def add_statements(script: Path) -> str:
    """Insert the log statements; the change as a diff."""
    old = new = script.read_text()
    for before, statement in ADDED:
        assert new.count(before) == 1, before
        new = new.replace(before, before + statement)
    script.write_text(new)
    lines = [text.splitlines(keepends=True) for text in (old, new)]
    return "".join(difflib.unified_diff(*lines, "train.py", "train.py, today", n=1))


def ground_truth(folder: Path, script: Path) -> tuple[dict[str, list[float]], Cost]:
    """Train again, with the statements and without florc: name -> values in order; cost."""
    folder.mkdir()
    (folder / "flor.py").write_text(STUB)
    shutil.copy(script, folder)
    values = folder / "values.pickle"
    _, cost = run([sys.executable, "train.py"], folder, STUB_VALUES=str(values))
    truth: dict[str, list[float]] = {}
    for name, value in pickle.loads(values.read_bytes()):
        truth.setdefault(name, []).append(value)
    return truth, cost


def bits(value: Any) -> str:
    return float(value).hex()


def compare(rows: list[dict[str, Any]], truth: dict[str, list[float]]) -> tuple[int, int]:
    """(values compared, values that are missing or differ in any bit)."""
    epochs = len(truth["weight_norm"])
    steps = len(truth["grad_norm"]) // epochs
    pairs = []
    for row in rows:
        epoch = row["epoch"] - 1
        pairs.append((row["grad_norm"], truth["grad_norm"][epoch * steps + row["step"]]))
        if row["step"] == 0:
            pairs.append((row["weight_norm"], truth["weight_norm"][epoch]))
    missing = (1 + len(FEW)) * (steps + 1) - len(pairs)
    return len(pairs), missing + sum(bits(replayed) != bits(true) for replayed, true in pairs)


def record(project: Path) -> None:
    _, cost = run([*FLOR, "record", "train.py"], project, live=True)
    stored = sum(f.stat().st_size for f in (project / ".flor").rglob("*") if f.is_file())
    show(f"({cost.wall:.1f} s, {stored / 1e6:.1f} MB in .flor/)", "dim")


def report(count: int, wrong: int, replaying: Cost, again: Cost) -> int:
    """Print the figures; the exit code."""
    wall, cpu = again.wall / replaying.wall, again.cpu / replaying.cpu
    show("                           wall    processor")
    show(f"replay of epoch {LATE:<3}    {replaying.wall:6.1f} s     {replaying.cpu:6.1f} s")
    show(f"full re-run            {again.wall:6.1f} s     {again.cpu:6.1f} s")
    show(f"times faster           {wall:6.1f}       {cpu:6.1f}")
    verdict = f"{wrong} DIFFER" if wrong else "all equal bit for bit"
    show(f"values compared        {count:6}       {verdict}", "red" if wrong else "green")
    slow = cpu < FASTER
    if slow:
        show(f"the replay is less than {FASTER:g} times as fast as the re-run", "red")
    return 1 if wrong or slow else 0


def demo(folder: Path) -> int:
    project = folder / "digits"
    project.mkdir()
    script = project / "train.py"
    shutil.copy(HERE / "train.py", script)
    commit(project)

    title("1. Record an ordinary script", "python -m flor.runtime record train.py")
    record(project)

    title("2. Afterwards, add two log statements")
    for line in add_statements(script).splitlines():
        show(line, {"+": "green", "-": "red"}.get(line[0]))

    names = "grad_norm, weight_norm"
    late = f"SELECT epoch, step, {names} FROM logs WHERE epoch = {LATE}"
    title("3. Ask about one late epoch", f'python -m flor.runtime replay --yes "{late}"')
    answer, replaying = run([*FLOR, "replay", "--yes", late], project)
    lines = answer.splitlines()
    show("\n".join([*lines[:5], f"… {len(lines) - 2} rows"]))
    show(f"({replaying.wall:.1f} s)", "dim")

    few = "SELECT epoch, count(*) AS steps, avg(grad_norm), max(grad_norm), weight_norm "
    few += f"FROM logs WHERE epoch IN {FEW} GROUP BY epoch"
    title("4. Ask about a few epochs", f'python -m flor.runtime replay --yes "{few}"')
    answer, cost = run([*FLOR, "replay", "--yes", few], project)
    show(answer)
    show(f"({cost.wall:.1f} s)", "dim")

    title("5. Without florc: train again from the start with the same statements")
    truth, again = ground_truth(folder / "truth", script)
    show(f"({again.wall:.1f} s)", "dim")

    title("6. Compare")
    every = f"SELECT epoch, step, {names} FROM logs WHERE grad_norm IS NOT NULL"
    found, _ = run([*FLOR, "query", "--format", "json", every], project)
    count, wrong = compare(json.loads(found), truth)
    return report(count, wrong, replaying, again)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="florc-demo-") as folder:
        return demo(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
