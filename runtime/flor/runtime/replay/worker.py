"""The process that re-executes one run: `python -m flor.runtime.replay.worker JOB`.

It stops, by `os._exit`, as soon as nothing more is wanted: no user code runs any more then, and
whatever it wrote is in the scratch folder that its parent removes.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import hashseed
from ..captured.attach import attach
from ..captured.calls import log_calls
from ..captured.keep import Keeper
from ..places import Moved, relative
from ..record import execute, hook, seeds, tracebacks, tree
from ..record.build import get_build
from ..record.command import exit_code, run_folder
from ..record.files import lay_out
from ..record.inputs import read_notes
from ..record.promotions import Report, extended_plan, lacking
from ..record.target import Target, from_module, from_script
from ..session import Session
from ..store import RunWriter, Store
from .clock import Stopwatch
from .heads import ReplayHeads, Stop
from .job import EXIT_ANSWERED, RESTART, Answer, Job
from .laid import LaidOut
from .regions import ReplayRegions
from .schedule import Position, Schedule
from .sink import ReplaySink, split
from .state_only import OFF, StateOnly

if TYPE_CHECKING:
    from florc.emit.build import Build

    from .overlay import Overlay

IGNORED_SUFFIXES = (".py", ".pyc", ".so")
"""Code is compared by the parent; a freshly written cache of it is no input."""


class Worker:
    """One job in this process."""

    overlay: Overlay
    laid: LaidOut
    emitted: hook.Emitted

    def __init__(self, job: Job) -> None:
        self.job = job
        self.hidden: list[str] = []  # files that came after the recorded run began
        self.root = Path(job.root)
        self.answer = Answer("failed")
        self.unlike = False  # the script ended in a way that the recorded run did not
        self.target = self._target()
        self.build = self._build()
        self.calls = log_calls(self.root)
        self.promotions = Report.read(run_folder(self.root, job.run)).promotions
        plan = extended_plan(self.build.plan, self.promotions)
        with Store.open(self.root) as store:
            recorded, captured = split(store.records_of(job.run, source="record"))
            self.args = dict(store.run(job.run).args)
            stops = self._stops(store)
            old = store.plan(job.run)
            path = store.path
            inputs = store.inputs(job.run)
            kept = store.snapshot(job.run)
        self.moved = Moved(kept.root if kept is not None else None, self.root)
        inputs = inputs or read_notes(run_folder(self.root, job.run) / "inputs", hashes=False)
        self.inputs = {
            self.moved.path(each.path): (each.size, each.mtime_ns, each.hash) for each in inputs
        }
        self.writer = RunWriter(path, job.run, source="replay")
        wanted = {position: frozenset(names) for position, names in job.wanted}
        wanted[()] = frozenset(job.outside)
        volatile = frozenset(log.id for log in plan.logs if log.volatile)
        known = frozenset(log.id for log in old.logs) if old is not None else None
        had = {loop.name for loop in old.loops} if old is not None else None
        new = frozenset(
            loop.name for loop in plan.loops if had is not None and loop.name not in had
        )
        today = frozenset(log.id for log in plan.logs if log.captured)
        captured = {place: values for place, values in captured.items() if place[0] in today}
        fresh = today - (known or frozenset())
        self.sink = ReplaySink(self.writer, recorded, wanted, volatile, known, new, captured, fresh)
        self.session = Session("replay", plan, self.sink, job.quiet)
        self.session.project = job.root
        self.session.recorded_arguments = self.args
        self.schedule = Schedule((p for p, _ in job.wanted), job.to_the_end)
        self.watch = Stopwatch()
        self.sink.on_first = self.watch.looping
        self.heads = ReplayHeads(
            self.session,
            self.sink,
            self.schedule,
            stops,
            jumps=job.jumps,
            banned=frozenset(job.banned),
            before=frozenset(job.before),
            horizon=job.horizon,
            finish=self.finish,
            restart=self.restart,
            on_jump=self.jumped,
            promoted=frozenset((p.loop, p.path) for p in self.promotions),
            watch=self.watch,
        )
        self.session.heads = self.heads
        self.regions: ReplayRegions | None = None
        # Where the analysis was wrong once, nothing that rests on it alone is left out.
        wrong = any(not p.guarded for p in self.promotions)
        if job.skip and job.jumps and not wrong and (plan.regions or plan.slices):
            with Store.open(self.root) as store:
                entries = store.regions(job.run)
            if plan.regions:
                failed = self._not_skipped
                self.regions = ReplayRegions(self.session, plan, self.sink, entries, failed)
                self.session.regions = self.regions
            if plan.slices and OFF not in job.banned:
                states = StateOnly(self.session, plan, self.sink, self._tree, entries)
                self.heads.states = states

    def _not_skipped(self, why: str) -> NoReturn:
        self.restart(why, None, no_jumps=True)

    def _tree(self, file: str, filename: str) -> ast.Module | None:
        return self.emitted.tree(file, filename)

    def skipping(self) -> bool:
        """Whether something that the run did was not done again."""
        return bool(self.heads.jumped or (self.regions is not None and self.regions.skipped))

    def _target(self) -> Target:
        job = self.job
        if job.past:
            file = Path(job.script)
            return Target(job.script, job.module, tuple(job.argv), file, self.root)
        if job.module:
            return from_module(job.module, job.argv)
        return from_script(job.script, job.argv)

    def _build(self) -> Build:
        target = self.target
        if self.job.past:  # compiled where the version was written
            folder = Path(self.job.folder)
            script = Path(os.path.relpath(target.file, os.path.abspath(self.root)))
            target = Target(str(folder / script), target.module, (), folder / script, folder)
        outcome = get_build(target)
        if outcome.build is None:
            raise RuntimeError(outcome.why)
        return outcome.build

    def _stops(self, store: Store) -> dict[tuple[Position, str], list[Stop]]:
        folder = run_folder(self.root, self.job.run) / "checkpoints"
        stops: dict[tuple[Position, str], list[Stop]] = {}
        for checkpoint in store.checkpoints(self.job.run):
            loop, index, passed = checkpoint.coordinates[-1]
            base = index - int(passed)
            place = (checkpoint.position[:-1], loop)
            missing = lacking(self.promotions, loop, checkpoint.position, checkpoint.file)
            stop = Stop(index, base, folder / checkpoint.file, tuple(missing))
            stops.setdefault(place, []).append(stop)
        return stops

    # -- running -------------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Run the script as far as is needed."""
        from . import overlay

        job = self.job
        allow = (self.root / ".flor",)
        past = None
        if job.past:
            past = overlay.PastSources(job.root, job.folder, job.hidden)
            emitted: hook.Emitted = hook.PastEmitted(self.root, self.build, self.session.note, past)
            overlay.install_past(emitted)
        else:
            emitted = hook.Emitted(self.root, self.build, "replay", self.session.note)
            hook.install(emitted)
        self.emitted = emitted
        laid = LaidOut(self.root, Path(job.scratch), Path(job.folder), job.laid)
        self.overlay = overlay.activate(
            Path(job.scratch),
            allow=allow,
            started=job.started,
            on_stale=self.on_stale,
            inputs=self.inputs,
            ended=job.ended,
            past=past,
        )
        self.laid = laid
        self._hide()
        if job.past and os.getcwd() != job.cwd:
            os.chdir(job.cwd)
        attach(self.calls, Keeper(self.session))
        self.session.activate()
        execute.prepare(self.target)
        with contextlib.suppress(OSError, ValueError, ImportError):  # noted by newer recordings
            seeds.restore(run_folder(self.root, job.run) / seeds.FILE)
        self.watch.script()
        try:
            execute.run(self.target, emitted)
        except SystemExit as stop:
            self.heads.ended = True
            code = exit_code(stop.code)
            if code and isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
            why = f"the script ended with exit code {code}" if code else ""
        except BaseException as error:
            self.heads.ended = True  # before the traceback lets go of the loops
            self.unlike = self.unlike or self._logging(error)
            tracebacks.show(error)
            why = f"the script raised {type(error).__name__}: {first_line(error)}"
        else:
            why = ""
        self.unlike = self.unlike or (bool(why) and job.status == "finished")
        self.heads.script_ended(as_recorded=not self.unlike)
        for state in reversed(self.session.stack[1:]):
            self.session.close(state)
        self.finish(why, script_ended=True)

    def _logging(self, error: BaseException) -> bool:
        """Whether the exception came out of a log statement that the recorded script hadn't."""
        known = self.sink.old or frozenset()
        plan = self.session.plan
        added = {(s.file, s.line) for s in plan.logs if s.id not in known} if plan else set()
        step = error.__traceback__
        while step is not None:
            file = relative(self.job.root, step.tb_frame.f_code.co_filename)
            lines = sorted(line for path, line in added if path == file)
            if lines and covered(step.tb_frame.f_code.co_filename, lines, step.tb_lineno):
                return True
            step = step.tb_next
        return False

    def _hide(self) -> None:
        """Take away what the recorded run didn't find when it began (in the overlay only)."""
        listed = run_folder(self.root, self.job.run) / "files.json"
        self.hidden = tree.newer(listed, self.root, self.job.cwd, self.moved)
        modules = [os.path.join(os.path.realpath(self.root), path) for path in self.job.hidden]
        for path in (*self.hidden, *modules):
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.remove(path)

    def jumped(self, manifest: dict[str, Any] | None) -> None:
        """Iterations were skipped: what they wrote is as the checkpoint's `manifest` says.

        What isn't known is shown again, so that reading it is noticed (`on_stale`).
        """
        unknown = self.hidden
        if manifest is not None:
            moved = self.moved.path
            manifest = {
                "saved": {moved(path): name for path, name in manifest["saved"].items()},
                "unsaved": [moved(path) for path in manifest["unsaved"]],
                "gone": [moved(path) for path in manifest["gone"]],
            }
            lost = manifest["unsaved"]
            unknown = [h for h in unknown if any(u == h or u.startswith(f"{h}/") for u in lost)]
        if unknown:
            self.overlay.reveal(unknown)
            self.hidden = [h for h in self.hidden if h not in unknown]
        self.laid.take_away(self.job.started, {} if manifest is None else manifest["saved"])
        if manifest is not None:
            try:
                lay_out(manifest, run_folder(self.root, self.job.run) / "files")
            except OSError as error:
                why = f"a file that the run had written can't be laid out: {error}"
                self.restart(why, None, no_jumps=True)

    def finish(self, why: str, script_ended: bool = False) -> NoReturn:
        """Write the answer and end the process at once."""
        answer = self.answer
        if script_ended and self.unlike and self.skipping():
            self.restart(f"{why} after a jump", None, no_jumps=True)
        try:
            self.session.deactivate()
            done = self.schedule.done()
            answer.state, answer.why = "done", why
            missed = len(self.schedule.wanted) - len(done)
            if script_ended and missed:
                first = sorted(self.schedule.wanted - set(done))[0]
                if self.unlike:
                    answer.state = "failed"
                else:
                    place = ", ".join(f"{loop} #{index}" for loop, index in first)
                    replayed = f"not reached ({why})" if why else "not reached"
                    self.sink.differs(first, place, "iteration", "reached", replayed)
            elif script_ended and self.unlike:
                answer.state = "failed"
            answer.done = done
            answer.outside_done = script_ended or not self.schedule.to_the_end
            self._leave(answer, EXIT_ANSWERED)
        except BaseException as error:
            answer.state, answer.why = "failed", f"{type(error).__name__}: {error}"
            self._leave(answer, EXIT_ANSWERED)

    def restart(self, why: str, ban: Path | None, no_jumps: bool = False) -> NoReturn:
        """Ask the parent for a new process, without the checkpoint `ban`, or without any."""
        self.answer.state, self.answer.why = "restart", why
        self.answer.ban = sorted({*self.heads.banned, *([ban.name] if ban else [])})
        self.answer.no_jumps = no_jumps or ban is None
        self._leave(self.answer, RESTART)

    def _leave(self, answer: Answer, code: int) -> NoReturn:
        self.times = self.watch.parts()
        try:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            if not self.writer.flush(60.0) or self.writer.error:
                answer.state = "failed"
                answer.why = f"values could not be stored: {self.writer.error or 'too slow'}"
            self.writer.close(60.0)
            answer.divergences = self.sink.divergences
            answer.divergence_count = self.sink.count
            answer.compared = self.sink.compared
            answer.stored = self.sink.stored
            answer.skipped = dict(self.regions.skipped) if self.regions is not None else {}
            answer.executed = self.sink.executed
            answer.answered = self.heads.states.count if self.heads.states is not None else 0
            answer.jumps = self.heads.jumped
            answer.notes = self.session.notes
            answer.times = self.times
            answer.write(Path(self.job.answer))
        finally:
            os._exit(code)

    def on_stale(self, path: str) -> None:
        """The script reads a file that was changed after the recorded run began.

        Perhaps the run itself wrote it, in iterations that were jumped over: then only a replay
        from the start is right.
        """
        if path.endswith(IGNORED_SUFFIXES) or under(path, sys.prefix, sys.base_prefix):
            return
        if under(path, "/proc", "/sys", "/dev", os.path.join(self.job.root, ".flor")):
            return
        if self.skipping():
            self.restart(f"{path} was written after the run began", None, no_jumps=True)
        if path not in self.answer.stale:
            self.answer.stale.append(path)


def under(path: str, *folders: str) -> bool:
    """Whether `path` lies in one of `folders`."""
    real = os.path.realpath(path)
    return any(real.startswith(os.path.realpath(folder) + os.sep) for folder in folders)


def covered(file: str, lines: list[int], line: int) -> bool:
    """Whether `line` belongs to a statement that begins at one of `lines`."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return line in lines
    return any(
        node.lineno in lines and node.lineno <= line <= (node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
    )


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    lines = str(error).splitlines()
    return lines[0] if lines else ""


def die_with(pipe: int) -> None:
    """End this process and its children when the other end of `pipe` is gone."""
    with contextlib.suppress(OSError):
        while os.read(pipe, 1):
            pass
    os.killpg(0, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Entry of the process."""
    hashseed.hide(os.environ)
    job = Job.read(Path(argv[0]))
    if job.parent >= 0:
        threading.Thread(target=die_with, args=(job.parent,), daemon=True).start()
    try:
        worker = Worker(job)
    except Exception as error:
        Answer("failed", f"{type(error).__name__}: {first_line(error)}").write(Path(job.answer))
        return 1
    return worker.run()  # it never does


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
