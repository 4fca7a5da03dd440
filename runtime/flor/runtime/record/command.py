"""`record`: build, note the version, run the program, keep everything that it says."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hashseed
from ..captured.attach import attach
from ..captured.calls import log_calls
from ..captured.keep import Keeper
from ..errors import FlorError
from ..session import Nothing, Session
from ..store import costs
from . import arguments, build, execute, hook, seeds, signals, tracebacks, tree
from .inputs import InputNotes
from .target import Target
from .version import VersionKeeper

if TYPE_CHECKING:
    from ..store import RunWriter
    from .heads import RecordHeads


NO_TRAINING_LOOP = "FLR003"


@dataclass(frozen=True)
class Options:
    """Of the command line: overhead allowed, no lines on standard error, no checkpoints."""

    budget: float = 0.05
    quiet: bool = False
    checkpoints: bool = True
    hash_seed: str | None = None  # the one drawn for this process
    capture: bool = True  # what the script logs by itself


class Recording:
    """One recorded run, from begin_run to end_run."""

    def __init__(self, target: Target, outcome: build.Outcome, options: Options) -> None:
        self.target = target
        self.options = options
        self.build = outcome.build
        plan = outcome.build.plan if outcome.build is not None else None
        self.session = Session("record", plan, Nothing(), options.quiet)
        self.session.project = str(target.root)
        self.run: int | None = None
        self.writer: RunWriter | None = None
        self.heads: RecordHeads | None = None
        self.status, self.code = "finished", 0
        self.signal = 0  # by which the process shall die in the end
        self._ended = False
        self.uninstrumented = outcome.why
        self.version = VersionKeeper(target.root, self.session.note)
        self.inputs: InputNotes | None = None
        self.began = time.time()
        self.seeds: Any = None  # the state of `random` before the script runs

    def begin(self) -> None:
        """Open the store and the run.  On failure the program runs unrecorded."""
        from ..store import RunWriter, Store
        from ..versions.worktrees import clean

        try:
            with Store.open(self.target.root, create=True) as store:
                clean(self.target.root)
                self.run = store.begin_run(self._info(store))
                path = store.path
            self.writer = RunWriter(path, self.run, source="record")
            self.session.sink = self.writer
        except Exception as error:
            lines = str(error).splitlines() or [type(error).__name__]
            self.session.note(f"{self.target.script}: recording is off: {lines[0]}")
            self.run = self.build = self.session.plan = None
            return
        self._say_what_is_missing()
        with self._trying("keeping the version"):
            self.version.keep(self.run)
        with self._trying("listing the project's files"):
            folder = run_folder(self.target.root, self.run)
            tree.save(folder / "files.json", self.target.root, os.getcwd())
            self.inputs = InputNotes(folder / "inputs")
            self.inputs.start()
        plan = self.session.plan
        if not self.options.checkpoints or plan is None:
            return
        if not any(loop.training and loop.jump for loop in plan.loops):
            return
        try:
            from .files import FileState
            from .heads import RecordHeads

            folder = run_folder(self.target.root, self.run)
            rereads = any(loop.rereads for loop in plan.loops)
            self.heads = RecordHeads(
                self.session,
                folder / "checkpoints",
                str(self.run),
                self.options.budget,
                self.writer.checkpoint,
                FileState(folder / "files", self.target.root, os.getcwd()) if rereads else None,
            )
            self.heads.at_first = self.note_seeds
            self.session.heads = self.heads
            if any(not region.obstacle for region in plan.regions):
                from .regions import RecordRegions

                self.session.regions = RecordRegions(self.session, plan, self.writer.region)
        except Exception as error:
            self.session.trouble("checkpointing", error)

    def note_seeds(self) -> None:
        """Keep how the random streams were seeded; once, when libraries are imported."""
        if self.run is None or self.seeds is None:
            return
        with self._trying("noting how random streams are seeded"):
            seeds.save(run_folder(self.target.root, self.run) / seeds.FILE, self.seeds)
        self.seeds = None

    def _say_what_is_missing(self) -> None:
        if self.uninstrumented:
            self.session.note(f"{self.target.script} runs uninstrumented: {self.uninstrumented}")
        for diagnostic in self.session.plan.diagnostics if self.session.plan is not None else ():
            if diagnostic.code == NO_TRAINING_LOOP:
                self.session.note(diagnostic.render())

    def _info(self, store: Any) -> dict[str, Any]:
        target = self.target
        info: dict[str, Any] = {
            "script": os.path.relpath(os.path.realpath(target.file), os.path.realpath(target.root)),
            "argv": list(target.argv),
            "cwd": os.getcwd(),
            "pid": os.getpid(),
            "started": time.time(),
            "budget": self.options.budget,
        }
        if target.module:
            info["argv"] = ["-m", target.module, *target.argv]
        with self._trying("noting the version"):
            from ..versions.capture import snapshot

            files = build.module_files(target.root, self.build, target)
            with self.version.looking(files):
                version = snapshot(target.root, files)
            info["version"] = store.put_version(version.files, version.as_git_dict())
            git = version.git
            info["git"] = {"commit": git.commit, "branch": git.branch, "dirty_diff": git.diff}
        with self._trying("noting the environment"):
            from ..versions import environment

            info["env"] = environment.environment()
            if self.options.hash_seed is not None:
                info["env"] |= {hashseed.MARK: self.options.hash_seed}
            info["packages"] = environment.packages()
            machine = environment.machine()
            info["python"] = machine.get("python")
            info["host"] = machine.get("host")
        plan = self.session.plan
        if plan is not None:
            if not self.options.capture:  # a replay may log these values yet
                kept = tuple(log for log in plan.logs if not log.captured)
                plan = dataclasses.replace(plan, logs=kept)
            info["plan"] = plan.to_json()
        return info

    @contextlib.contextmanager
    def _trying(self, doing: str) -> Any:
        try:
            yield
        except Exception as error:
            self.session.trouble(doing, error)

    def end(self) -> None:
        """Write what is left and close the run.  Once, and only in the recording process."""
        if self._ended or os.getpid() != self.session.pid:
            return
        self._ended = True
        self._note_timings()
        session = self.session
        with self._trying("ending the recording"):
            self.note_seeds()
            arguments_seen = dict(session.arguments)
            inputs = self.inputs.stop() if self.inputs is not None else []
            if self.heads is not None:
                self.heads.close(60.0)
            session.deactivate()
            dropped = 0
            if self.writer is not None:
                self.writer.close(30.0)
                dropped = self.writer.dropped
                if self.writer.error:
                    session.note(f"not everything was recorded: {self.writer.error}")
            self.version.close(60.0)
            if self.run is not None:
                from ..store import Store

                with Store.open(self.target.root) as store:
                    if arguments_seen:
                        store.set_args(self.run, arguments_seen)
                    if inputs:
                        store.put_inputs(self.run, inputs)
                    store.end_run(
                        self.run, self.status, self.code,
                        dropped=dropped, note="\n".join(session.notes) or None,
                    )  # fmt: skip
                    if "numpy" in sys.modules:  # not worth importing it; a query will pack the run
                        store.pack(self.run, self._packed_at_once())

    def _note_timings(self) -> None:
        """For estimates of replays: when the script ended, what regions took on average."""
        if self.writer is None:
            return
        self.writer.timing(costs.END, time.time())
        tallies = getattr(self.session.regions, "tallies", {})
        for tally in tallies.values():
            if tally.kept and tally.runs:
                self.writer.timing(costs.REGION + tally.plan.id, tally.seconds / tally.runs)

    def _packed_at_once(self) -> int:
        """How many values are packed before the process ends: within 1 % of the run's time."""
        return 50_000 + int(5_000 * (time.time() - self.began))

    def terminated(self) -> None:
        """SIGTERM came."""
        self.status, self.code = "terminated", 128 + signal.SIGTERM
        self.end()

    def at_exit(self) -> None:
        """Last of all atexit callbacks: threads are joined, the script's own callbacks ran."""
        if os.getpid() != self.session.pid:
            return
        self.end()
        if self.signal:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            signals.die_of(self.signal)


def run_folder(root: Path, run: int) -> Path:
    """Where a run keeps what is not in the database."""
    return root / ".flor" / "runs" / str(run)


def record(target: Target, options: Options) -> int:
    """Run `target` recorded; its exit code.  Raises SystemExit as the program does."""
    calls = log_calls(target.root) if options.capture else {}
    outcome = build.get_build(target)
    recording = Recording(target, outcome, options)
    recording.begin()
    session = recording.session
    atexit.register(recording.at_exit)  # first registered, last run
    emitted = None
    if recording.build is not None:
        emitted = hook.Emitted(target.root, recording.build, "record", session.note)
        hook.install(emitted)
    arguments.watch(session)
    if recording.run is not None:
        attach(calls, Keeper(session))
    signals.on_termination(session.pid, recording.terminated)
    session.activate()
    recording.seeds = seeds.python_state()
    if recording.writer is not None:
        recording.writer.timing(costs.SCRIPT, time.time())
    code, recording.signal = run_program(target, emitted, recording)
    return code


def run_program(
    target: Target, emitted: hook.Emitted | None, recording: Recording
) -> tuple[int, int]:
    """Run it to its end; (exit code, signal to die of).  SystemExit comes out as it is."""
    execute.prepare(target)
    try:
        execute.run(target, emitted)
    except SystemExit as stop:
        if os.getpid() == recording.session.pid:
            recording.code = exit_code(stop.code)
            recording.status = "finished" if recording.code == 0 else "failed"
        raise
    except KeyboardInterrupt as error:
        recording.status, recording.code = "interrupted", 130
        tracebacks.show(error)
        return 130, signal.SIGINT
    except FlorError:
        recording.status, recording.code = "failed", 1
        raise
    except BaseException as error:
        recording.status, recording.code = "failed", 1
        tracebacks.show(error)
        return 1, 0
    return 0, 0


def exit_code(code: object) -> int:
    """The exit status that `sys.exit(code)` gives a process."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1
