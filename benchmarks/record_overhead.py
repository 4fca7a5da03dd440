"""What recording costs: plain and recorded runs in pairs, and the price of a `flor.log`.

    python benchmarks/record_overhead.py [--pairs N] [--quick] [--no-write]

Each pair is one plain and one recorded run of the same script, next to each other, the order
alternating, so that a slow spell of the machine hits both.  Ratios are per pair, then their median.
Times: the whole process (starting Python, importing torch and the recorder, the end) and the
training loop alone, which the script measures itself.  The build is made beforehand and timed
once.  On a shared machine the processor times are the ones to trust.  The table goes to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import results_file

from flor.runtime.store import Store

HERE = Path(__file__).resolve().parent
RECORD = [sys.executable, "-m", "flor.runtime", "record"]


@dataclass(frozen=True)
class Workload:
    """A script and its arguments; `prepare` may edit the copy that is run."""

    name: str
    script: Path
    arguments: tuple[str, ...]
    prepare: Callable[[str], str] = lambda text: text


@dataclass(frozen=True)
class Times:
    """Seconds of one run: whole process and loop, wall and processor time."""

    wall: float
    cpu: float
    loop_wall: float
    loop_cpu: float


@dataclass
class Measured:
    """All pairs of a workload."""

    workload: Workload
    build: float
    plain: list[Times] = field(default_factory=list)
    recorded: list[Times] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    def ratio(self, what: str) -> tuple[float, float, float]:
        """(median, least, largest) of recorded / plain over the pairs."""
        ratios = [getattr(r, what) / getattr(p, what) for p, r in zip(self.plain, self.recorded)]
        return statistics.median(ratios), min(ratios), max(ratios)


def timed_loop(text: str) -> str:
    """The digits example with its training loop timed."""
    head = "    for epoch in range(1, args.epochs + 1):\n"
    end = '\n\nif __name__ == "__main__":'
    assert text.count(head) == 1 and text.count(end) == 1
    now = "time.perf_counter(), time.process_time()"
    text = text.replace("import argparse\n", "import argparse\nimport os\nimport time\n", 1)
    text = text.replace(head, f"    wall, cpu = {now}\n{head}")
    after = (
        f"    ended = {now}\n"
        '    with open(os.environ["BENCH_TIMES"], "w") as file:\n'
        '        file.write(f"{ended[0] - wall} {ended[1] - cpu}")\n'
    )
    return text.replace(end, f"\n{after}{end}".replace("\n\n    ended", "    ended"), 1)


def workloads(quick: bool) -> list[Workload]:
    digits = HERE.parent / "examples" / "digits" / "train.py"
    mlp = HERE / "scripts" / "mlp_10m.py"
    epochs = ("4", "2") if quick else ("10", "6")
    return [
        Workload("digits, small CNN", digits, ("--epochs", epochs[0]), timed_loop),
        Workload("perceptron, 10.8M parameters, Adam", mlp, ("--epochs", epochs[1])),
    ]


def run(command: list[str], folder: Path) -> tuple[float, float, list[float]]:
    """Run a command: wall and processor seconds, and the numbers that the script wrote."""
    times = folder / "times.txt"
    times.unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={**os.environ, "BENCH_TIMES": str(times)},
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, [float(number) for number in times.read_text().split()]


def prepared(script: Path, folder: Path, edit: Callable[[str], str]) -> float:
    """Copy a script into an empty project and compile it: the seconds that this took."""
    (folder / "pyproject.toml").touch()  # marks the project's root
    (folder / "train.py").write_text(edit(script.read_text()))
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "florc", "instrument", "-q", "train.py"], cwd=folder, check=True
    )
    return time.perf_counter() - begun


def forget_runs(folder: Path) -> None:
    shutil.rmtree(folder / ".flor" / "runs", ignore_errors=True)
    for file in (folder / ".flor").glob("flor.db*"):
        file.unlink()


def measure(workload: Workload, pairs: int, folder: Path) -> Measured:
    measured = Measured(workload, prepared(workload.script, folder, workload.prepare))
    script = ["train.py", *workload.arguments]
    for pair in range(pairs):
        for recorded in (False, True) if pair % 2 == 0 else (True, False):
            command = [*RECORD, *script] if recorded else [sys.executable, *script]
            wall, cpu, loop = run(command, folder)
            times = Times(wall, cpu, *loop)
            print(f"  {'recorded' if recorded else 'plain   '}  {times}", file=sys.stderr)
            (measured.recorded if recorded else measured.plain).append(times)
            if recorded:
                with Store.open(folder) as store:
                    checkpoints = store.checkpoints(store.run("last").run)
                measured.checkpoints.append(len(checkpoints))
                measured.stored.append(sum(c.stored for c in checkpoints))
                forget_runs(folder)
    return measured


def log_price(folder: Path) -> list[float]:
    """ns: see scripts/log_calls.py."""
    prepared(HERE / "scripts" / "log_calls.py", folder, lambda text: text)
    return run([*RECORD, "train.py"], folder)[2]


def table(results: list[Measured], price: list[float], pairs: int) -> str:
    import torch

    lines = [
        results_file.machine(f"torch {torch.__version__}", "one training thread", f"{pairs} pairs"),
        "",
        "| workload | time | plain, s | recorded, s | ratio: median (least to largest) |",
        "|---|---|---|---|---|",
    ]
    shown = {
        "loop_wall": "training loop, wall",
        "loop_cpu": "training loop, CPU of all threads",
        "wall": "whole process, wall",
        "cpu": "whole process, CPU",
    }
    for result in results:
        for what, label in shown.items():
            plain = statistics.median(getattr(times, what) for times in result.plain)
            recorded = statistics.median(getattr(times, what) for times in result.recorded)
            median, least, largest = result.ratio(what)
            lines.append(
                f"| {result.workload.name} | {label} | {plain:.2f} | {recorded:.2f} "
                f"| **{median:.3f}** ({least:.3f} to {largest:.3f}) |"
            )
    lines += [
        "",
        "| workload | arguments | checkpoints | bytes stored | compiling, once, s |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        lines.append(
            f"| {result.workload.name} | `{' '.join(result.workload.arguments)}` "
            f"| {statistics.median(result.checkpoints):g} "
            f"| {statistics.median(result.stored) / 1e6:.1f} MB | {result.build:.2f} |"
        )
    log, wall, empty, iteration = price
    lines += [
        "",
        f"`flor.log` of a float, while recording: **{log:.0f} ns** of the calling thread's "
        f"processor time (an empty function: {empty:.0f} ns), {wall:.0f} ns of wall time in a "
        f"loop that does nothing else, where the writer's thread competes for the interpreter. "
        f"The coordinates of a loop's iteration: {iteration:.0f} ns.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two pairs of short runs")
    parser.add_argument("--no-write", action="store_true", help="only print")
    args = parser.parse_args()
    pairs = 2 if args.quick else args.pairs
    results = []
    for workload in workloads(args.quick):
        print(workload.name, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="florc-bench-") as folder:
            results.append(measure(workload, pairs, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="florc-bench-") as folder:
        price = log_price(Path(folder))
    text = table(results, price, pairs)
    print(text)
    if not args.no_write:
        results_file.write("record_overhead.py", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
