"""The processes behind leave_one_out.py: a dense recording, and replays from many checkpoints.

    python benchmarks/ablation/replay_each.py record EVERY MEMBER|- SCRIPT ARGS…
    python benchmarks/ablation/replay_each.py replay TASKS

`record` is the product's recording, except that a checkpoint is taken at every EVERY-th head of
the outermost training loops, however long that takes, and that the plan may take MEMBER for
unchanged.  `replay` is the product's worker, except that it forks at a loop's first head: each
child jumps to one checkpoint, runs the script to its end, and writes down what it logged and what
the deferred check found.  Tasks may drop a member of the checkpoint set, or a random stream: then
the child restores as if it had never been saved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from flor.runtime import hashseed
from flor.runtime.checkpoint import paths
from flor.runtime.checkpoint.budget import Budget
from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.graph import children
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import load
from flor.runtime.record import heads as record_heads
from flor.runtime.replay import heads as replay_heads
from flor.runtime.replay.job import Answer, Job
from flor.runtime.replay.sink import ReplaySink
from flor.runtime.replay.worker import Worker
from flor.runtime.session import Ctx
from florc.plan import CAPTURED, Claim, LoopPlan

if TYPE_CHECKING:
    from flor.runtime.loops import LoopIter, WhileLoop

RNG = "rng:"
NONE = "-"


def _stub() -> ModuleType:
    """The stub as a module that isn't called `flor`."""
    file = Path(__file__).resolve().parent / "stub" / "flor.py"
    spec = importlib.util.spec_from_file_location("flor_stub", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


exact = _stub().exact


# ---------------------------------------------------------------- recording


class Wanted(Budget):
    """Always affordable, where it is wanted."""

    here = False

    def due(self, depth: int, now: float | None = None) -> bool:
        """Whether a checkpoint is wanted here."""
        return self.here


class DenseHeads(record_heads.RecordHeads):
    """Takes a checkpoint at every EVERY-th head of outermost training loops, and behind them."""

    every = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.budget = self.wanted = Wanted(self.epsilon)

    def head(self, loop: LoopIter | WhileLoop, frame: FrameType) -> bool:
        """A checkpoint, whatever it costs."""
        state = loop.state
        self.wanted.here = not state.depth and (state.index - state.base) % self.every == 0
        if self.wanted.here:
            self.writer.drain()
        return super().head(loop, frame)

    def exhausted(self, loop: LoopIter, frame: FrameType) -> None:
        """One more behind the loop."""
        self.wanted.here = not loop.state.depth
        super().exhausted(loop, frame)


def record(every: int, dropped: str, arguments: list[str]) -> int:
    """`flor record ARGUMENTS`, densely; the plan takes `dropped` (a path or "-") for unchanged."""
    from flor.runtime.cli import main
    from flor.runtime.record import build

    DenseHeads.every = every
    record_heads.RecordHeads = DenseHeads  # type: ignore[misc]
    if dropped != NONE:
        get_build = build.get_build

        def altered(target: Any) -> Any:
            outcome = get_build(target)
            assert outcome.build is not None
            loops = tuple(without(loop, dropped) for loop in outcome.build.plan.loops)
            plan = dataclasses.replace(outcome.build.plan, loops=loops)
            return build.Outcome(dataclasses.replace(outcome.build, plan=plan))

        build.get_build = altered
    return main(["record", *arguments])


def without(loop: LoopPlan, dropped: str) -> LoopPlan:
    """The loop's plan if the analysis had taken a member for unchanged."""
    kept = tuple(m for m in loop.state if m.path != dropped)
    if len(kept) == len(loop.state):
        return loop
    claims = tuple(sorted((*loop.claims, Claim(dropped, 0)), key=lambda claim: claim.path))
    return dataclasses.replace(loop, state=kept, claims=claims)


# ---------------------------------------------------------------- replaying


@dataclass(frozen=True)
class Task:
    """One replay: from which head (of which entry) of which loop, and what to leave out."""

    name: str
    loop: str
    base: int
    index: int
    file: str  # the checkpoint's
    drop: str  # a member's path, "rng:STREAM", or ""
    out: str


class Sink(ReplaySink):
    """Keeps the values of hindsight statements; compares all others."""

    values: list[tuple[str, Any]]

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Keep or compare."""
        if self.old is not None and stmt not in self.old:
            if CAPTURED not in stmt:  # the truth has only what was put into the script
                self.values.append((name, exact(value)))
        else:
            super().log(name, value, ctx, stmt)


class Unwritten:
    """In the place of the store's writer: values stay in this process."""

    error = None

    def flush(self, timeout: float) -> bool:
        """Nothing to flush."""
        return True

    def close(self, timeout: float) -> None:
        """Nothing to close."""

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Nothing is stored."""


class Heads(replay_heads.ReplayHeads):
    """The first process goes from the start; its children jump, each to its own checkpoint."""

    worker: Each
    task: Task | None = None
    arrived = False

    def _affordable(self, last: bool) -> bool:
        return True  # here every state is compared

    def _head(self, loop: LoopIter | WhileLoop, frame: FrameType) -> bool:
        state = loop.state
        if self.task is None and not state.depth:
            if state.index == state.base:
                self.worker.branch(state.name, state.base)
            if self.task is None:
                marks = self.worker.marks
                marks[f"{state.name} {state.index}"] = len(self.worker.sink.values)  # type: ignore[attr-defined]
        if self.task is not None and self.task.drop and state.name == self.task.loop:
            plan = state.plan
            if plan is not None:
                state.plan = without(plan, self.task.drop)
        return super()._head(loop, frame)

    def _best(self, outer: Any, state: Any, target: int | None) -> replay_heads.Stop | None:
        task = self.task
        if task is None or self.arrived or outer or state.name != task.loop:
            return None
        for stop in self.stops.get((outer, state.name), ()):
            if stop.file.name == task.file and task.file not in self.banned:
                self.arrived = True
                return stop
        return None


class Each(Worker):
    """A worker that goes through a list of tasks."""

    def __init__(self, job: Job, tasks: list[Task], limit: float, out: str, early: bool) -> None:
        super().__init__(job)
        self.early = early  # children start before the script does: threads don't survive a fork
        self.tasks, self.limit, self.out = tasks, limit, out
        self.marks: dict[str, int] = {}  # head -> values logged before it
        self.inherited = 0
        self.writer.close(60.0)
        self.writer = Unwritten()  # type: ignore[assignment]
        self.sink.__class__ = Sink
        self.sink.values = []  # type: ignore[attr-defined]
        self.heads.__class__ = Heads
        self.heads.worker = self  # type: ignore[attr-defined]
        self.heads.jumps = False
        self.copier = Copier(Path(job.scratch))

    def branch(self, loop: str, base: int) -> None:
        """Run the tasks of this entry of the loop, one child after the other."""
        if not self.early:
            self.fork([t for t in self.tasks if (t.loop, t.base) == (loop, base)])

    def fork(self, tasks: list[Task]) -> None:
        """A child for each task.  It returns from here too."""
        for task in tasks:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            self.copier.keep()
            child = os.fork()
            if not child:
                self._become(task)
                return
            self._wait(child)
            self.copier.bring_back()

    def _wait(self, child: int) -> None:
        end = time.monotonic() + self.limit
        while time.monotonic() < end:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def _become(self, task: Task) -> None:
        """In the child: make the session live again, and jump."""
        heads: Any = self.heads
        self.out = task.out
        self.job = dataclasses.replace(self.job, answer=task.out + ".answer")
        self.inherited = len(self.sink.values)  # type: ignore[attr-defined]
        self.session.pid = os.getpid()
        self.session.heads, self.session.sink = heads, self.sink
        if not self.early:
            self.session.activate()
        heads.task, heads.jumps = task, True
        output = os.open(task.out + ".stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        if task.drop:
            replay_heads.load = load_without(task.drop)  # type: ignore[attr-defined]
            replay_heads.restore = restore_without(task.drop)  # type: ignore[attr-defined]

    def _leave(self, answer: Answer, code: int) -> None:  # type: ignore[override]
        values = self.sink.values[self.inherited :]  # type: ignore[attr-defined]
        super_leave = super()._leave
        found = {"values": values, "marks": self.marks}
        Path(self.out + ".values").write_text(json.dumps(found), encoding="utf-8")
        super_leave(answer, code)


def load_without(dropped: str) -> Any:
    """`load` as if `dropped` had not been saved."""

    def load_some(file: Path) -> Any:
        snapshot = load(file)
        jumping = sys._getframe(1).f_code.co_name == "_jump"
        if not jumping:  # a comparison of states
            snapshot.roots.pop(dropped, None)
        elif dropped.startswith(RNG):
            snapshot.rng.pop(dropped.removeprefix(RNG), None)
        return snapshot

    return load_some


def restore_without(dropped: str) -> Any:
    """`restore`, but what belongs to `dropped` stays what it was before.

    Objects are shared: an optimizer holds the model's parameters, a scheduler the optimizer.  A
    model's tensors are the model's, whoever else holds them; what an optimizer merely holds is not
    its own: after its state has been put back, the members that don't hold it are restored again.
    """

    def restore_some(snapshot: Any, live: dict[str, Any], **details: Any) -> dict[str, Any]:
        if dropped not in live:
            return restore(snapshot, live, **details)
        mine = live[dropped]
        before = None
        if mine is not paths.MISSING:
            before = capture({dropped: mine})
            before.rng.clear()
        result = restore(snapshot, live, **details)
        if before is not None:
            restore(before, {dropped: mine})
            if not owns_tensors(mine):
                others = {
                    path: edge
                    for path, edge in snapshot.roots.items()
                    if path != dropped and not holds(snapshot, edge, snapshot.roots[dropped])
                }
                again = dataclasses.replace(snapshot, roots=others)
                known = {path: result.get(path, live[path]) for path in others}
                restore(again, known)
            before.release()
        result[dropped] = mine
        return result

    return restore_some


def owns_tensors(value: Any) -> bool:
    """Whether the tensors that `value` leads to are its own: a tensor, a module, lists of them."""
    import torch

    if isinstance(value, (list, tuple, set)):
        return any(map(owns_tensors, value))
    if isinstance(value, dict):
        return any(map(owns_tensors, value.values()))
    return isinstance(value, (torch.Tensor, torch.nn.Module)) or type(value).__name__ == "ndarray"


def holds(snapshot: Any, holder: Any, edge: Any) -> bool:
    """Whether in the snapshot's graph `holder` leads to the object of `edge`."""
    if type(edge) is not tuple or type(holder) is not tuple:
        return False
    seen, stack = {holder[0]}, [holder[0]]
    while stack:
        number = stack.pop()
        if number == edge[0]:
            return True
        for _, child in children(snapshot.nodes[number]):
            if type(child) is tuple and child[0] not in seen:
                seen.add(child[0])
                stack.append(child[0])
    return False


class Copier:
    """A process that was there before the overlay: it keeps and brings back a folder."""

    def __init__(self, folder: Path) -> None:
        orders, self._order = os.pipe()
        self._done, done = os.pipe()
        if os.fork():
            os.close(orders)
            os.close(done)
            return
        os.close(self._order)
        os.close(self._done)
        backup = folder.with_name(folder.name + "-backup")
        while order := os.read(orders, 1):
            source, target = (folder, backup) if order == b"k" else (backup, folder)
            shutil.rmtree(target, ignore_errors=True)
            if source.exists():
                shutil.copytree(source, target, symlinks=True)
            os.write(done, b".")
        shutil.rmtree(backup, ignore_errors=True)
        os._exit(0)

    def keep(self) -> None:
        """Copy the folder."""
        os.write(self._order, b"k")
        os.read(self._done, 1)

    def bring_back(self) -> None:
        """Make the folder what it was."""
        os.write(self._order, b"b")
        os.read(self._done, 1)


def replay(path: Path) -> int:
    """Work through a file of tasks."""
    hashseed.hide(os.environ)
    data = json.loads(path.read_text(encoding="utf-8"))
    job_file = path.with_suffix(".job")
    job_file.write_text(json.dumps(data["job"]), encoding="utf-8")
    with contextlib.suppress(ValueError):
        sys.path.remove(str(Path(__file__).resolve().parent))
    tasks = [Task(**task) for task in data["tasks"]]
    worker = Each(Job.read(job_file), tasks, data["limit"], data["out"], data["early"])
    if worker.early:
        for name in data["preload"]:  # once for all children
            importlib.import_module(name)
        worker.fork(tasks)
    return worker.run()


if __name__ == "__main__":
    if sys.argv[1] == "record":
        sys.exit(record(int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
    sys.exit(replay(Path(sys.argv[2])))
