"""florc over the training scripts of public repositories: what it compiles, and how surely.

    python benchmarks/corpus.py --fetch DIR          # clone the pinned commits from github.com
    python benchmarks/corpus.py --checkouts DIR      # compile; tables to benchmarks/RESULTS.md

DIR holds the repositories as DIR/owner/name; corpus.toml lists them. Every script is compiled from
nothing, in a worker process with a time limit. For each one: was it refused, and why; does a
training loop's checkpoint set hold a member that is only `assumed`, because of which unknown call;
does libcst give back every file byte for byte; does the emitted code compile; how long did it take.

`--unknown` ranks the calls that florc knew nothing of, `--json FILE` writes all details (a line a
script), `--only TEXT` takes only scripts with TEXT in their path. No script is ever run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import results_file
from training_scripts import find_scripts

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
STUCK = 10
"""A worker that has taken so many times the limit, in wall time, is killed."""
REFUSED = {"FLR003", "FLR011"}
"""Warnings that mean: there will be no checkpoint. They count as refusals here."""


@dataclass(frozen=True)
class Repository:
    """An entry of corpus.toml."""

    name: str
    commit: str
    why: str
    scripts: tuple[str, ...] = ("**/*.py",)
    project: str = "."


@dataclass(frozen=True)
class Task:
    """One script to compile."""

    repository: str
    script: str
    root: str


@dataclass
class Result:
    """What came of one script."""

    repository: str
    script: str
    refusals: list[str] = field(default_factory=list)  # "FLR003 file:line: message"
    warnings: list[str] = field(default_factory=list)
    loops: int = 0
    members: int = 0
    assumed: list[dict[str, str]] = field(default_factory=list)
    unknown: list[dict[str, str]] = field(default_factory=list)
    round_trip: bool = True
    compiles: bool = True
    lines: int = 0
    modules: int = 0
    seconds: float = 0.0
    timeout: bool = False

    @property
    def compiled(self) -> bool:
        """Whether there is a record variant that takes checkpoints."""
        return not self.refusals and not self.timeout


def repositories() -> list[Repository]:
    """The list, in its order."""
    data = tomllib.loads((HERE / "corpus.toml").read_text(encoding="utf-8"))
    entries = data["repository"]
    return [Repository(**{**e, "scripts": tuple(e.get("scripts", ("**/*.py",)))}) for e in entries]


def fetch(folder: Path, listed: list[Repository]) -> None:
    """Clone the pinned commit of each repository, without history."""
    for repository in listed:
        target = folder / repository.name
        if target.exists():
            continue
        print(repository.name, file=sys.stderr)
        target.mkdir(parents=True)
        url = f"https://github.com/{repository.name}.git"
        for command in (
            ["init", "-q"],
            ["fetch", "-q", "--depth", "1", url, repository.commit],
            ["checkout", "-q", "FETCH_HEAD"],
        ):
            subprocess.run(["git", *command], cwd=target, check=True)


# -- one script ---------------------------------------------------------------------------------


class OutOfTime(BaseException):
    """The time limit (of processor time) of one script is reached."""


def _out_of_time(number: int, frame: object) -> None:
    raise OutOfTime


def examine(task: Task, limit: float) -> Result:
    """Compile one script and check what came out."""
    from florc.compilation import CompileError
    from florc.driver import compile_project
    from florc.emit.build import assemble
    from florc.emit.rewrite import EmitError

    result = Result(task.repository, task.script)
    root = Path(task.root)
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        compilation = compile_project(root / task.script, root=root)
        build = assemble(compilation)
    except OutOfTime:
        result.timeout, result.seconds = True, limit
        return result
    except CompileError as error:
        result.refusals = [d.render() for d in error.diagnostics]
        return result
    except EmitError as error:
        result.refusals = [f"FLR011 {error.rel}: {error}"]
        return result
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        result.refusals = [f"crash {type(error).__name__}: {str(error)[:80]} ({where})"]
        return result
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    result.seconds = time.process_time() - begun
    plan = build.plan
    result.modules = len(compilation.modules)
    result.lines = sum(len(m.text.splitlines()) for m in compilation.modules)
    for diagnostic in plan.diagnostics:
        refused = diagnostic.severity == "error" or diagnostic.code in REFUSED
        (result.refusals if refused else result.warnings).append(diagnostic.render())
    for loop in plan.loops:
        result.loops += loop.training
        result.members += len(loop.state)
        for member in loop.state if loop.training else ():
            if member.certainty == "assumed":
                at = f"{loop.file}:{loop.line} `{loop.name}`"
                details = {"loop": at, "path": member.path, "reason": member.reason}
                result.assumed.append(details)
    if result.assumed:
        result.unknown = _unknown_calls(compilation)
    result.round_trip = _round_trips(build, compilation)
    result.compiles = _compiles(build, root)
    return result


def _unknown_calls(compilation: Any) -> list[dict[str, str]]:
    """Unknown calls of the program: place, callee by its qualified name."""
    text = compilation.dumps.get("unknown") or ""
    rows = (line.split("\t") for line in text.splitlines())
    return [{"place": place, "callee": callee, "shown": shown} for place, callee, shown in rows]


def _round_trips(build: Any, compilation: Any) -> bool:
    """Whether the emitted texts hold every character of the user's, in order.

    Only insertions are made: the user's lines keep their formatting and their comments.
    """
    originals = {m.rel: m.text for m in compilation.modules}
    for variant in ("record", "replay"):
        for rel, text in build.texts(variant).items():
            left = iter(text)
            if not all(character in left for character in originals[rel]):
                return False
    return True


def _compiles(build: Any, root: Path) -> bool:
    """Whether the emitted record and replay code is valid, as it is and with the user's lines."""
    from florc.emit.load import code_for

    maps = {m.path: m.source_map for m in build.plan.modules}
    for variant in ("record", "replay"):
        for rel, text in build.texts(variant).items():
            try:
                compile(text, rel, "exec", dont_inherit=True)
                code_for(text, maps[rel], str(root / rel))
            except (SyntaxError, ValueError):
                return False
    return True


# -- workers ------------------------------------------------------------------------------------


def _worker(connection: Connection, limit: float) -> None:
    signal.signal(signal.SIGPROF, _out_of_time)
    warnings.simplefilter("ignore")
    from florc.driver import compile_project  # noqa: F401 - imported before the clock runs
    from florc.effects.model import load_effects
    from florc.emit.rewrite import emit  # noqa: F401

    load_effects(())
    connection.send("ready")
    while True:
        task = connection.recv()
        if task is None:
            return
        connection.send(examine(task, limit))


class _Process:
    """A worker; replaced when it is stuck."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.context = multiprocessing.get_context("spawn")
        self.start()

    def start(self) -> None:
        self.connection, theirs = self.context.Pipe()
        self.process = self.context.Process(target=_worker, args=(theirs, self.limit), daemon=True)
        self.process.start()
        self.connection.recv()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def run_all(tasks: list[Task], workers: int, limit: float) -> Iterator[Result]:
    """Examine all tasks by some worker processes; one that is stuck is killed.

    The limit is of processor time, so that a busy machine makes no difference.
    """
    pool = [_Process(limit) for _ in range(max(1, min(workers, len(tasks))))]
    waiting = list(reversed(tasks))
    busy: dict[int, tuple[Task, float]] = {}
    try:
        while waiting or busy:
            for number, worker in enumerate(pool):
                if number not in busy and waiting:
                    task = waiting.pop()
                    worker.connection.send(task)
                    busy[number] = (task, time.monotonic())
                elif number in busy:
                    task, begun = busy[number]
                    late = time.monotonic() - begun > STUCK * limit
                    dead = not worker.process.is_alive()
                    if worker.connection.poll() and not dead:
                        yield worker.connection.recv()
                        del busy[number]
                    elif late or dead:
                        worker.stop()
                        what = [] if late else ["crash: the process died"]
                        yield Result(
                            task.repository, task.script, what, timeout=late, seconds=limit
                        )
                        worker.start()
                        del busy[number]
            wait([w.connection for w in pool], timeout=0.05)
    finally:
        for worker in pool:
            worker.stop()


# -- report -------------------------------------------------------------------------------------


def share(part: int, whole: int) -> str:
    """A share as a percentage with its counts."""
    return f"{100 * part / whole:.1f} % ({part} of {whole})" if whole else "-"


def summary(results: list[Result], skipped: Counter[str], limit: float) -> list[str]:
    """The figures, one line each."""
    good = [r for r in results if r.compiled]
    sure = [r for r in good if not r.assumed]
    timed = [r for r in results if r.lines]
    per = sorted((1000 * r.seconds / r.lines, f"{r.repository}/{r.script}") for r in timed)
    codes = Counter(refusal.split()[0].rstrip(":") for r in results for refusal in r.refusals)
    refused = ", ".join(f"{code} {count}" for code, count in codes.most_common()) or "none"
    tells = Counter(next((w for w in line.split() if w.startswith("FLR")), "?")
                    for r in results for line in set(r.warnings))  # fmt: skip
    told = ", ".join(f"{code} {count}" for code, count in tells.most_common()) or "none"
    lines = [
        f"{len(results)} training scripts of {len({r.repository for r in results})} repositories "
        f"({skipped['repositories']} listed; apart: {skipped['unparsed']} files that this Python "
        f"can't parse, {skipped['notebooks']} notebooks)",
        f"compiled without refusal: {share(len(good), len(results))}; refusals: {refused}; "
        f"out of time ({limit:g} s): {sum(r.timeout for r in results)}",
        f"no assumed member in any training loop: {share(len(sure), len(results))}",
        f"formatting kept: {share(sum(r.round_trip for r in good), len(good))}",
        f"emitted code compiles: {share(sum(r.compiles for r in good), len(good))}",
        f"warnings: {told}",
    ]
    if timed:
        total = sum(r.lines for r in timed)
        pace = 1000 * sum(r.seconds for r in timed) / total
        middle = statistics.median(p for p, _ in per)
        longest = max(timed, key=lambda r: r.seconds)
        lines += [
            f"processor seconds per 1,000 lines: {pace:.2f} over all {total:,} lines analysed, "
            f"median {middle:.2f}, worst {per[-1][0]:.2f} ({per[-1][1]})",
            f"longest: {longest.seconds:.1f} s for {longest.lines:,} lines "
            f"({longest.repository}/{longest.script})",
        ]
    return lines


def table(results: list[Result]) -> list[str]:
    """A row for each repository."""
    lines = [
        "| repository | scripts | compiled | nothing assumed | members | lines | s per 1,000 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r.repository for r in results):
        own = [r for r in results if r.repository == name]
        count = sum(r.lines for r in own)
        pace = f"{1000 * sum(r.seconds for r in own if r.lines) / count:.2f}" if count else "-"
        sure = sum(r.compiled and not r.assumed for r in own)
        lines.append(
            f"| {name} | {len(own)} | {sum(r.compiled for r in own)} | {sure} "
            f"| {sum(r.members for r in own)} | {count:,} | {pace} |"
        )
    return lines


def unknown_ranking(results: list[Result]) -> list[str]:
    """Unknown callees by the number of scripts that hold an assumed member and call them."""
    scripts: dict[str, set[str]] = {}
    for result in results:
        for call in result.unknown:
            scripts.setdefault(call["callee"], set()).add(f"{result.repository}/{result.script}")
    order = sorted(scripts.items(), key=lambda item: (-len(item[1]), item[0]))
    return [f"{len(where):4} {callee}  e.g. {min(where)}" for callee, where in order]


def collect(
    folder: Path, listed: Iterable[Repository], only: str
) -> tuple[list[Task], Counter[str]]:
    """The scripts to compile, and counts of what is left out."""
    tasks, skipped = [], Counter[str]()
    for repository in listed:
        checkout = folder / repository.name
        if not checkout.is_dir():
            print(f"not there: {checkout}", file=sys.stderr)
            continue
        found = find_scripts(checkout, repository.scripts)
        skipped["repositories"] += 1
        skipped["unparsed"] += len(found.unparsed)
        skipped["notebooks"] += found.notebooks
        root = (checkout / repository.project).resolve()
        for path in found.scripts:
            task = Task(repository.name, path.resolve().relative_to(root).as_posix(), str(root))
            if only in f"{task.repository}/{task.script}":
                tasks.append(task)
    return tasks, skipped


def _by_repository(tasks: list[Task]) -> list[list[Task]]:
    """The tasks of each repository."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.repository, []).append(task)
    return list(groups.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fetch", type=Path, metavar="DIR", help="clone the repositories there")
    parser.add_argument("--checkouts", type=Path, metavar="DIR", help="compile what is there")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--limit", type=float, default=60.0, help="processor seconds for one script"
    )
    parser.add_argument("--only", default="", help="only scripts whose path holds this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth script")
    parser.add_argument("--most", type=int, metavar="N", help="only N scripts of a repository")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all details, a line a script")
    parser.add_argument("--unknown", action="store_true", help="rank the unknown callees")
    parser.add_argument("--no-write", action="store_true", help="only print")
    args = parser.parse_args()
    if args.fetch is None and args.checkouts is None:
        parser.error("give --fetch DIR or --checkouts DIR")
    listed = repositories()
    if args.fetch is not None:
        fetch(args.fetch, listed)
    tasks, skipped = collect(args.checkouts or args.fetch, listed, args.only)
    tasks = tasks[:: args.every]
    if args.most:
        tasks = [t for g in _by_repository(tasks) for t in g[: args.most]]
    results = []
    if args.json:
        args.json.write_text("", encoding="utf-8")
    for number, result in enumerate(run_all(tasks, args.workers, args.limit), 1):
        results.append(result)
        if args.json:
            with args.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
        state = "time" if result.timeout else "refused" if result.refusals else "ok"
        state += f" {len(result.assumed)} assumed" if result.assumed else ""
        name = f"{result.repository}/{result.script}"
        print(f"{number}/{len(tasks)} {name} {result.seconds:.2f}s {state}", file=sys.stderr)
    order = {(t.repository, t.script): n for n, t in enumerate(tasks)}
    results.sort(key=lambda r: order[r.repository, r.script])
    figures = [f"- {line}" for line in summary(results, skipped, args.limit)]
    text = "\n".join([results_file.machine(), "", *figures, "", *table(results)]) + "\n"
    print(text)
    if args.unknown:
        print("\n".join(unknown_ranking(results)))
    if not (args.no_write or args.only or args.most or args.every > 1):
        results_file.write("corpus.py", text, "The corpus: public training scripts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
