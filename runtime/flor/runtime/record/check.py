"""The record run checks the analysis: what the plan claims to be unchanged is fingerprinted.

The plan lists for each training loop the roots that are live at its head and not saved.  At the
first heads all of them are looked at, later a few at a time, within a small share of the run's
time.  A root that has changed is *promoted*: it is saved from then on, the checkpoints before
are marked, and the user is told once.  Nothing here holds an object of the script's longer than
a look takes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..checkpoint import paths, rng
from ..checkpoint.fingerprint import NOTHING, PHASES, Covered, covering, fingerprint, hash_slices
from ..checkpoint.kinds import MODULE_HOOKS, describe
from ..session import key
from .promotions import STREAM, Promotion, Report, extended

if TYPE_CHECKING:
    from florc.plan import Claim, LoopPlan

    from ..checkpoint.fingerprint import Block, Print
    from ..loops import LoopIter, WhileLoop
    from ..session import LoopState, Session

CODE = "FLR014"
SHARE = 0.008
"""Of the run's time, what looking may take once the first heads are behind."""
ALLOWANCE = 0.1
"""Seconds of processor time that the first heads of a run may take beyond that."""
FIRST_HEADS = 3
FIRST_ENTRIES = 2
"""Entries of a loop of which the first heads are looked at in full."""
STREAMS = ("python", "numpy", "torch", "cuda")
_TABLES = ("_parameters", "_buffers", "_modules")


class _Root:
    """One root of a claim (or an attribute of one), and what it looked like."""

    __slots__ = (
        "claim", "cursor", "generation", "identity", "last", "path", "prints", "slices", "turn",
    )  # fmt: skip

    def __init__(self, path: str, claim: Claim) -> None:
        self.path = path
        self.claim = claim
        self.last = -1  # number of the look
        self.turn = 0
        self.forget()

    def forget(self) -> None:
        """What it looks like next is what it has to look like."""
        self.prints: dict[int, int] = {}  # phase -> structure
        self.slices: dict[tuple[int, int], int] = {}  # (block, slice) -> hash
        self.cursor = 0
        self.identity = 0
        self.generation = 0  # of the loop's `covered` that it was looked at with


class _Watch:
    """One loop's claims."""

    def __init__(self, plan: LoopPlan) -> None:
        self.plan = plan  # with what was promoted
        self.streams = tuple(s for s in STREAMS if s not in plan.rng)
        self.entry: LoopState | None = None
        self.entries = 0
        self.full = 0  # heads to be looked at in full
        self.roots: dict[str, _Root] = {}
        self.names: dict[str, frozenset[str]] = {}  # expanded object -> its attributes
        self.covered: Covered = NOTHING  # what the members hold; renewed when it is in doubt
        self.generation = 0
        self.rng: tuple[Any, ...] | None = None

    def begin(self, entry: LoopState) -> None:
        """The loop was entered: what happened since its last entry is none of its doing."""
        self.entry = entry
        self.entries += 1
        self.full = FIRST_HEADS if self.entries <= FIRST_ENTRIES else 0
        for root in self.roots.values():
            root.forget()
        self.names.clear()
        self.rng = None


class Check:
    """Looks at what must not change.  Never raises into the script."""

    def __init__(self, session: Session, folder: Path, taken: Callable[[], int]) -> None:
        self.session = session
        self.folder = folder
        self.taken = taken
        self.report = Report()
        self.begun = (time.perf_counter(), time.process_time())
        self.next = 0.0  # when there is time for another look
        self.spent = 0.0
        self.off = False
        plan = session.plan
        self.sinks: tuple[str, ...] = tuple(plan.extra.get("sinks", ())) if plan else ()
        self.watches: dict[str, _Watch] = {}
        self.told: set[str] = set()

    def plan(self, name: str, plan: LoopPlan) -> LoopPlan:
        """The loop's plan with what was promoted."""
        watch = self.watches.get(name)
        return plan if watch is None else watch.plan

    def head(
        self, loop: LoopIter | WhileLoop, frame: FrameType, now: float, last: bool = False
    ) -> None:
        """Look, if there is time.  `last`: behind the loop's last iteration."""
        state = loop.state
        if self.off or state.plan is None:
            return
        try:
            watch = self.watches.get(state.name)
            if watch is None:
                watch = self.watches[state.name] = _Watch(state.plan)
            if not watch.plan.jump:
                return  # there are no checkpoints that could lack something
            if watch.entry is not state:
                watch.begin(state)
            full = watch.full > 0 or last
            if full or now >= self.next:
                watch.full -= full
                self._look(watch, state, frame, now, full)
        except Exception as error:
            self.off = True
            self.session.trouble("checking the analysis", error)

    # -- a look --------------------------------------------------------------------------------

    def _look(
        self, watch: _Watch, state: LoopState, frame: FrameType, now: float, full: bool
    ) -> None:
        begun = time.thread_time()
        # On a busy machine the script gets only a part of the time that passes.
        elapsed = min(now - self.begun[0], time.process_time() - self.begun[1])
        tokens = SHARE * elapsed - self.spent
        if full:
            tokens = max(tokens, ALLOWANCE - self.spent)
        if tokens > 0:
            self.report.looks += 1
            local = paths.local_names(frame)
            try:
                _Look(self, watch, state, frame, local, begun + tokens, full).run()
            finally:
                paths.forget(frame, local)
        self.spent += time.thread_time() - begun
        left = SHARE * elapsed - self.spent
        self.next = now + max(0.0, -left / SHARE)

    # -- what is found -------------------------------------------------------------------------

    def promote(self, watch: _Watch, state: LoopState, root: _Root, how: str) -> None:
        """Save `root` from now on, mark what was saved before, tell the user."""
        claim, plan = root.claim, watch.plan
        line = claim.suspects[0].line if claim.suspects else claim.line or plan.line
        file = claim.suspects[0].file if claim.suspects else plan.file
        suspects = tuple(dataclasses.asdict(s) for s in claim.suspects)
        here = (*key(state.parent_ctx), (state.name, state.index))
        found = Promotion(plan.name, root.path, how, file, line, self.taken(), here, suspects)
        self.report.promotions.append(found)
        watch.plan = extended(plan, [found])
        watch.roots.pop(root.path, None)
        self._keep()
        if root.path not in self.told:
            self.told.add(root.path)
            self.session.note(_message(found, claim))
        for other in self.watches.values():
            if other is not watch:
                other.full = max(other.full, 1)

    def promote_guarded(self, state: LoopState, inner: str | None = None) -> None:
        """A name that is dead as long as `inner` loops run is needed: one didn't run.

        None: nobody can watch them any longer.
        """
        plan = state.plan
        if plan is None or not plan.jump:
            return
        watch = self.watches.setdefault(state.name, _Watch(plan))
        known = {member.path for member in watch.plan.state}
        here = (*key(state.parent_ctx), (state.name, state.index))
        found = [
            Promotion(
                plan.name, g.path, "rebound", plan.file, g.line, self.taken(), here, guarded=True
            )
            for g in plan.guarded
            if (inner is None or inner in g.loops) and g.path not in known
        ]
        if found:
            self.report.promotions += found
            watch.plan = extended(watch.plan, found)
            self._keep()

    def promote_stream(self, watch: _Watch, state: LoopState, stream: str) -> None:
        """Compare a random stream from now on; every checkpoint holds all of them anyway."""
        plan = watch.plan
        here = (*key(state.parent_ctx), (state.name, state.index))
        found = Promotion(plan.name, stream, STREAM, plan.file, plan.line, self.taken(), here)
        self.report.promotions.append(found)
        watch.plan = extended(plan, [found])
        watch.streams = tuple(s for s in watch.streams if s != stream)
        self._keep()
        if f"rng {stream}" not in self.told:
            self.told.add(f"rng {stream}")
            self.session.note(
                f"{plan.file}:{plan.line}: {CODE} the random stream of {stream} is drawn from in "
                f"loop `{plan.name}`, though no call is described to do so "
                f'(an entry says it by draws = ["{stream}"])'
            )

    def _keep(self) -> None:
        try:
            self.report.write(self.folder)
        except OSError as error:
            self.session.trouble("keeping what the check found", error)

    def close(self) -> None:
        """Keep how much was looked at."""
        if self.watches:
            self.report.seconds = self.spent
            self.report.roots = sum(len(watch.roots) for watch in self.watches.values())
            self._keep()


class _Look:
    """One look at one loop's roots."""

    def __init__(
        self, check: Check, watch: _Watch, state: LoopState, frame: FrameType,
        local: Mapping[str, Any], deadline: float, full: bool,
    ) -> None:  # fmt: skip
        self.check = check
        self.watch = watch
        self.state = state
        self.frame = frame
        self.local = local
        self.deadline = deadline
        self.full = full
        self.number = check.report.looks

    def over(self) -> bool:
        return time.thread_time() > self.deadline

    def run(self) -> None:
        self._streams()
        watch = self.watch
        if self.full and watch.covered is NOTHING:
            watch.covered = self._covering()
        found = list(self._roots())
        seen = {root.path for root, _ in found}
        for root in watch.roots.values():  # an attribute that is gone
            if root.path not in seen and root.prints:
                found.append((root, paths.MISSING))
        # First what can be compared, then what wasn't looked at for the longest time.
        inner = bool(self.state.depth)
        found.sort(key=lambda pair: (inner and not pair[0].prints, pair[0].last))
        for root, value in found:
            if self.over():
                break
            if root.path in watch.roots:
                self._root(root, value)

    def _streams(self) -> None:
        watch = self.watch
        if not watch.streams:
            return
        now = rng.fingerprint()
        before, watch.rng = watch.rng, now
        if before is None:
            return
        for stream, then, since in zip(STREAMS, before, now, strict=True):
            # None: the library wasn't loaded yet.
            if stream in watch.streams and then is not None and since is not None:
                if then != since:
                    self.check.promote_stream(watch, self.state, stream)

    # -- the roots -----------------------------------------------------------------------------

    def _roots(self) -> Iterator[tuple[_Root, Any]]:
        """Each root with what is there now; objects of which parts are saved by attributes."""
        watch = self.watch
        saved = {member.path for member in watch.plan.state}
        prefixes = set(paths.bases(saved))
        objects: set[int] = set()
        for claim in watch.plan.claims:
            if claim.path in saved:
                continue
            value = paths.resolve(claim.path, self.frame, self.local)
            yield from self._expand(claim.path, value, claim, saved, prefixes, objects)

    def _expand(
        self, path: str, value: Any, claim: Claim,
        saved: set[str], prefixes: set[str], objects: set[int],
    ) -> Iterator[tuple[_Root, Any]]:  # fmt: skip
        if path in prefixes:
            attributes = _attributes(value)
            if attributes is not None:
                if id(value) in objects:
                    return  # another name of the same object
                objects.add(id(value))
                self._shape(path, frozenset(attributes), claim, saved)
                for name, inner in attributes.items():
                    below = f"{path}.{name}"
                    if below not in saved:
                        yield from self._expand(below, inner, claim, saved, prefixes, objects)
                return
        root = self.watch.roots.get(path)
        if root is None:
            root = self.watch.roots[path] = _Root(path, claim)
        yield root, value

    def _shape(self, path: str, names: frozenset[str], claim: Claim, saved: set[str]) -> None:
        """New attributes of an expanded object are changes; so are lost ones (seen by `run`)."""
        watch = self.watch
        before = watch.names.setdefault(path, names)
        watch.names[path] = names
        for name in sorted(names - before):
            below = f"{path}.{name}"
            if below not in saved and not any(p.startswith(f"{below}.") for p in saved):
                root = _Root(below, claim)
                self.check.promote(watch, self.state, root, "rebound")
                saved.add(below)

    # -- comparing -----------------------------------------------------------------------------

    def _root(self, root: _Root, value: Any) -> None:
        turn = self.watch.entries if self.state.depth else root.turn // 2  # what can be compared
        phase = 0 if self.full else turn % PHASES
        root.last = self.number
        if not self.full:
            root.turn += 1
        found = fingerprint(value, self.watch.covered, self.check.sinks, phase)
        if found.unseen:
            self.check.report.not_checked[root.path] = found.unseen
        elif found.cut:
            self.check.report.not_checked[root.path] = "too many objects: only some of them"
        before = root.prints.get(phase)
        if not root.prints:
            root.identity, root.generation = id(value), self.watch.generation
        if before is None:
            root.prints[phase] = found.structure
        elif before != found.structure:
            self._suspect(root, value, phase, found)
            return
        if found.blocks and not self._blocks(root, found.blocks):
            self._suspect(root, value, phase, found)

    def _blocks(self, root: _Root, blocks: list[Block]) -> bool:
        """Hash slices while there is time; False if one has changed."""
        places = [(n, piece) for n, block in enumerate(blocks) for piece in range(block.slices())]
        start = root.cursor % len(places)
        remote = [place for place in places if blocks[place[0]].device != "cpu"]
        if remote:  # one slice of each block at a time: fetching waits for the device
            turn = root.turn
            remote = [(n, turn % blocks[n].slices()) for n in dict.fromkeys(n for n, _ in remote)]
            hashes = hash_slices([(blocks[n], piece) for n, piece in remote])
            if not all(self._same(root, p, h) for p, h in zip(remote, hashes, strict=True)):
                return False
        for count in range(len(places)):
            place = places[(start + count) % len(places)]
            block = blocks[place[0]]
            if block.device == "cpu":
                (found,) = hash_slices([(block, place[1])])
                if not self._same(root, place, found):
                    return False
            if self.over():
                root.cursor = start + count + 1
                break
        return True

    def _same(self, root: _Root, place: tuple[int, int], found: int) -> bool:
        return root.slices.setdefault(place, found) == found

    def _suspect(self, root: _Root, value: Any, phase: int, found: Print) -> None:
        """A root has changed: was it by what a member holds?  Else it is promoted."""
        watch, check = self.watch, self.check
        if root.generation != watch.generation:
            self._again(root, value, phase, found)  # it was compared without other objects then
            return
        if root.path.count(":") and root.identity == id(paths.MISSING):
            root.forget()  # its module was imported meanwhile
            return
        covered = self._covering()
        again = fingerprint(value, covered, check.sinks, phase)
        if again.met != found.met:
            watch.covered = covered
            watch.generation += 1
            self._again(root, value, phase, again)
            return
        rebound = root.identity != id(value) or value is paths.MISSING
        check.promote(watch, self.state, root, "rebound" if rebound else "mutated")

    def _again(self, root: _Root, value: Any, phase: int, found: Print) -> None:
        """It shares objects with a member: the rest of it is looked at from now on."""
        root.forget()
        root.prints[phase] = found.structure
        root.identity, root.generation = id(value), self.watch.generation

    def _covering(self) -> Covered:
        """What the members hold now."""
        members = self.watch.plan.state
        roots = [paths.resolve(member.path, self.frame, self.local) for member in members]
        return covering(roots, self.check.sinks)


def _attributes(value: Any) -> dict[str, Any] | None:
    """The attributes of a plain object by name, a module's entries among them; None if none."""
    if issubclass(type(value), type):
        return {
            name: inner
            for name, inner in list(vars(value).items())
            if not name.startswith("__") and not hasattr(type(inner), "__get__")
        }
    info = describe(type(value))
    if info.kind != "object" or not (info.has_dict or info.slots):
        return None
    found: dict[str, Any] = {}
    for label, descriptor in info.slots:
        try:
            found[label.rpartition("|")[2]] = descriptor.__get__(value, type(value))
        except AttributeError:  # unset
            continue
    values = object.__getattribute__(value, "__dict__") if info.has_dict else {}
    module = all(isinstance(values.get(table), dict) for table in _TABLES)
    for name, inner in list(values.items()):
        if name in info.skip or (info.anchored and name in MODULE_HOOKS):
            continue
        if module and name in _TABLES:
            found.update(inner)
        else:
            found[name] = inner
    return found


def _message(found: Promotion, claim: Claim) -> str:
    """One line for the user."""
    text = (
        f"{found.file}:{found.line}: {CODE} `{found.path}` changes in loop `{found.loop}`, which "
        "the analysis took for impossible; it is saved from here on, and a replay won't start "
        "from earlier checkpoints of the loop"
    )
    if not claim.suspects:
        return f"{text}. No call that could have changed it is known"
    suspect = claim.suspects[0]
    entry = " ".join(suspect.entry.split())
    return f"{text}. Suspected: {suspect.shown}(); `florc effects --suggest` has the entry: {entry}"
