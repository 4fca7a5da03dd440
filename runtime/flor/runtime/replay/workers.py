"""Worker processes: started with the run's circumstances, restarted when they ask for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import hashseed
from ..errors import FlorError
from ..store.rows import seconds
from .job import RESTART, Answer, Job
from .schedule import Position
from .split import split
from .state_only import OFF
from .work import Work

if TYPE_CHECKING:
    from ..versions.worktrees import Workplace

KEPT_FROM_NOW = ("PATH", "HOME", "USER", "LOGNAME", "VIRTUAL_ENV", "TMPDIR", "PYTHONPATH", "PWD")
"""Variables of the current environment that win over the recorded ones."""
HIDDEN = "***"
TAIL_LINES = 12


@dataclass
class Outcome:
    """A job's last answer and where its output is."""

    work: Work
    answer: Answer
    log: Path
    notes: list[str]
    part: list[Position]  # what of the work it was
    at_once: int  # processes
    seconds: float = 0.0  # of the last process, from its start to its end


class Workers:
    """Runs jobs, a few at a time; `stop` ends them all."""

    def __init__(self, place: Workplace, count: int) -> None:
        self.place = place
        self.root = root = place.root
        self.count = count
        self.folder = _new_folder(root)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self.skip = True
        self.at_once = 1

    def run(self, work: Iterable[Work], jumps: bool, skip: bool = True) -> Iterator[Outcome]:
        """Replay each run; yields outcomes in the order of `work`."""
        jobs = [(one, part, number) for number, (one, part) in enumerate(split(work, self.count))]
        self.at_once = max(1, min(self.count, len(jobs)))
        self.skip = skip
        pool = ThreadPoolExecutor(max_workers=self.count)
        try:
            futures = [pool.submit(self._one, w, part, n, jumps) for w, part, n in jobs]
            for future in futures:
                yield future.result()
        finally:
            self.stop()
            pool.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """Kill what runs."""
        self._stopped = True
        for process in list(self._running):
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def _one(self, work: Work, part: list[Position], number: int, jumps: bool) -> Outcome:
        log = self.folder / f"worker-{number}.log"
        notes: list[str] = []
        banned: set[str] = set()
        while True:
            scratch = self.place.scratch()
            try:
                job = self._job(work, part, number, jumps, banned, scratch)
                begun = time.perf_counter()
                answer = self._start(job, work, number, log, scratch)
                took = time.perf_counter() - begun
            finally:
                self.place.free(scratch)
            notes += answer.notes
            if answer.state != "restart" or self._stopped:
                return Outcome(work, answer, log, notes, part, self.at_once, took)
            progress = set(answer.ban) - banned
            banned |= progress
            if answer.no_jumps or not progress:
                if not jumps:
                    answer.state = "failed"
                    return Outcome(work, answer, log, notes, part, self.at_once, took)
                jumps = False
                notes.append(f"replayed from the start: {answer.why}")
            else:
                first = sorted(progress)[0]
                what = (
                    "by executing the iterations" if first == OFF else f"without checkpoint {first}"
                )
                notes.append(f"replayed {what}: {answer.why}")

    def _job(
        self, work: Work, part: list[Position], number: int, jumps: bool,
        banned: set[str], scratch: Path,
    ) -> Job:  # fmt: skip
        wanted = work.demand.wanted
        outside = sorted({s.name for s in work.outside if s.name}) if () in part else []
        target = work.target
        return Job(
            root=str(self.root),
            run=work.run.run,
            script=target.script,
            module=target.module,
            argv=list(target.argv),
            cwd=work.moved.path(work.run.cwd or str(self.root)),
            wanted=[(p, sorted({s.name for s in wanted[p] if s.name})) for p in part if p],
            to_the_end=() in part,
            outside=outside,
            before=work.before() if () in part else [],
            started=seconds(work.run.started),
            status=work.run.status or "",
            horizon=work.horizon,
            jumps=jumps,
            skip=self.skip,
            banned=sorted(banned),
            scratch=str(scratch),
            answer=str(self.folder / f"answer-{number}.json"),
            ended=seconds(work.run.ended),
            folder=str(work.ready.folder or ""),
            past=work.ready.past,
            laid=list(work.ready.laid),
            hidden=list(work.ready.hidden),
        )

    def _start(self, job: Job, work: Work, number: int, log: Path, scratch: Path) -> Answer:
        path = self.folder / f"job-{number}.json"
        job.parent, alive = os.pipe()  # the worker reads; what it reads ends with this process
        try:
            job.write(path)
            return self._wait(job, path, work, log, scratch)
        finally:
            os.close(job.parent)
            os.close(alive)

    def _wait(self, job: Job, path: Path, work: Work, log: Path, scratch: Path) -> Answer:
        answer = Path(job.answer)
        answer.unlink(missing_ok=True)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        command = [sys.executable, *flags, "-c", START, str(path)]
        cwd = job.cwd if os.path.isdir(job.cwd) or not job.past else job.root
        with open(log, "ab") as output:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environment(work, scratch),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(job.parent,),
                )
            except OSError as error:
                return Answer("failed", f"no worker could be started in {cwd}: {error}")
            self._running.add(process)
            try:
                code = process.wait()
            finally:
                self._running.discard(process)
                with contextlib.suppress(OSError):  # what the script left behind
                    os.killpg(process.pid, signal.SIGKILL)
        if answer.exists():
            return Answer.read(answer)
        if code == RESTART:
            return Answer("restart", "no answer", no_jumps=True)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Answer("failed", f"the worker ended with {how}")


# `-c` puts the current folder on sys.path; the script's own folder comes later.
START = (
    "import sys; sys.path[:] = [p for p in sys.path if p != '']; "
    "from flor.runtime.replay.worker import main; sys.exit(main(sys.argv[1:]))"
)


def environment(work: Work, scratch: Path) -> dict[str, str]:
    """The recorded environment; hidden values, and what belongs to this machine, from today's."""
    from .overlay import tracker_env

    env = dict(work.run.env) or dict(os.environ)
    for name, value in list(env.items()):
        if value == HIDDEN:
            if name in os.environ:
                env[name] = os.environ[name]
            else:
                del env[name]
    for name in KEPT_FROM_NOW:
        env.pop(name, None)
        if name in os.environ:
            env[name] = os.environ[name]
    if hashseed.MARK in env:
        env[hashseed.VARIABLE] = env[hashseed.MARK]
    env.update(tracker_env(scratch))
    return env


def tail(log: Path) -> list[str]:
    """The last lines that a worker printed."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return lines[-TAIL_LINES:]


def _new_folder(root: Path) -> Path:
    base = root / ".flor" / "replays"
    try:
        base.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000_000):
            folder = base / str(number)
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise FlorError(f"can't write to {base}: {error.strerror}") from None
    raise FlorError(f"{base} is full")
