"""A recorded version made ready for a replay: today's log statements put in, compiled, compared.

Where a run's version differs from today's project by log statements only, today's code is run, and
only the other files that have changed are laid out as they were.  Else the version's own files
are written to a folder, with the log statements propagated into them, and compiled there.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..captured.calls import log_calls
from ..errors import FlorError
from ..places import Moved
from ..record.build import get_build
from ..record.target import Target
from ..versions import git
from ..versions.capture import decoded, read_source
from ..versions.contents import Version, encoded, of_run
from ..versions.listing import list_files
from .compiler import Compiler
from .memory import Memory
from .packages import differences

if TYPE_CHECKING:
    from florc.emit.build import Build
    from florc.plan import LogStatement, Plan
    from florc.propagate.decisions import Decision
    from florc.propagate.propagation import Outcome

    from ..store import Store
    from ..store.rows import Run
    from ..versions.objects import Entry
    from ..versions.worktrees import Workplace

COMPILED = (".py", ".pyi", ".toml", ".cfg", ".ini")
"""Endings of files that compiling a project may read."""
ALIKE = 0.4
"""Share of lines that a renamed script must have kept."""


@dataclass(frozen=True)
class Today:
    """Today's script and the modules that it reaches; without a build there is none."""

    target: Target | None
    build: Build | None
    texts: Mapping[str, str]
    why: str = ""  # there is none

    @property
    def logs(self) -> tuple[LogStatement, ...]:
        """Its log statements."""
        return self.build.plan.logs if self.build is not None else ()


@dataclass(frozen=True)
class Ready:
    """A version that can be replayed."""

    target: Target  # at the project's own place
    build: Build
    folder: Path | None = None  # the version's files; None if none is needed
    past: bool = False  # its code is run, not today's
    laid: tuple[str, ...] = ()  # files in `folder` that aren't what today's project has there
    hidden: tuple[str, ...] = ()  # modules that the version had not
    outcomes: tuple[Outcome, ...] = ()
    diff: str = ""  # what was put in

    @property
    def placed(self) -> Placed:
        """What became of today's log statements."""
        return Placed(self.past, self.build.plan.logs, self.outcomes, self.diff)


@dataclass(frozen=True)
class Placed:
    """Today's log statements in a version; as long as nothing changes, this needn't be redone."""

    past: bool
    logs: tuple[LogStatement, ...]  # all that the version has then
    outcomes: tuple[Outcome, ...]
    diff: str


@dataclass
class Preparer:
    """Makes versions ready, each once; `names` are the logged names that are asked for."""

    store: Store
    place: Workplace
    names: Collection[str] | None
    _known: dict[tuple[object, ...], Ready | FlorError] = field(default_factory=dict)
    compiler: Compiler = field(default_factory=Compiler)
    _disks: dict[bool, Mapping[str, Entry]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The project's."""
        return self.place.root

    def key(self, run: Run) -> tuple[object, ...]:
        """The same for runs of the same version of the same script."""
        kept = self.store.snapshot(run.run)
        return (kept.commit if kept is not None else None, run.version, run.script, run.module)

    def placed(self, run: Run, today: Today) -> Placed:
        """What becomes of today's log statements in a run's version.  Raises FlorError.

        It is remembered from command to command.
        """
        if today.build is None:
            return self.ready(run, today).placed
        memory = Memory(self.root)
        captured = [log.id for log in today.logs if log.captured]
        inputs = [self.key(run), sorted(today.texts.items()), self._asked(), self._decisions()]
        inputs.append(captured)
        key = memory.key(inputs)
        known = memory.load(key)
        if not isinstance(known, Placed):
            known = self.ready(run, today).placed
            memory.save(key, known)
        return known

    def _decisions(self) -> tuple[Decision, ...]:
        """Where the user wants statements (`florc propagate --at`).  Raises FlorError."""
        from florc.propagate.decisions import NAME, load

        try:
            return load(self.root / ".flor" / NAME)
        except ValueError as error:
            raise FlorError(str(error)) from None

    def _asked(self) -> list[str] | None:
        return None if self.names is None else sorted(self.names)

    def ready(self, run: Run, today: Today) -> Ready:
        """The run's version with today's log statements.  Raises FlorError."""
        key = (self.key(run), today.build.plan.script if today.build is not None else None)
        if key not in self._known:
            try:
                self._known[key] = self._prepare(run, today)
            except FlorError as error:
                self._known[key] = error
            except (git.GitError, OSError) as error:
                self._known[key] = FlorError(f"its version can't be laid out: {error}", 1)
        found = self._known[key]
        if isinstance(found, FlorError):
            raise found
        return found

    def _prepare(self, run: Run, today: Today) -> Ready:
        from florc.propagate import decisions
        from florc.propagate.added import compare
        from florc.propagate.captured import as_log_statements
        from florc.propagate.propagation import propagate

        if run.version is None or run.script is None:
            raise FlorError("its code was not kept", 1)
        version = of_run(self.store, run)
        laid, hidden = self._differences(version)
        new = dict(today.texts)
        old = self._aligned(run, dict(version.texts), today)
        if any(log.captured for log in today.logs):
            new = as_log_statements(old, new, today.logs, log_calls(self.root))
        translated = new != today.texts  # then it isn't today's code that is run
        same = today.build is not None and compare(old, new, where=False).same
        if same and today.build is not None and today.target is not None:
            apart = {path for path in {*laid, *hidden} if path.endswith(".py")}
            if apart <= new.keys() and not translated:
                others = tuple(path for path in laid if path not in new)
                folder = self._folder(version, others, {}) if others else None
                return Ready(today.target, today.build, folder, False, others)
            texts: Mapping[str, str] = new
            outcomes: tuple[Outcome, ...] = ()
            if today.build.plan.script != run.script:
                texts = {**new, run.script: new[today.build.plan.script]}
        else:
            if today.build is None:
                raise FlorError(today.why or "there is no such script today", 1)
            decided = decisions.applicable(self._decisions(), version.texts)
            found = propagate(new, version.texts, self.names, decided)
            texts, outcomes = found.texts, found.outcomes
        folder = self._folder(version, laid, texts)
        build = self._compiled(run, folder)
        target = self._target(run)
        changed = [path for path in texts if texts[path] != version.texts.get(path)]
        ready = Ready(
            target, build, folder, True,
            tuple(sorted({*laid, *changed, *version.texts})), tuple(hidden), outcomes,
            "".join(_diff(path, version.texts.get(path, ""), texts[path]) for path in changed),
        )  # fmt: skip
        return ready

    def _aligned(self, run: Run, old: dict[str, str], today: Today) -> dict[str, str]:
        """The old texts under today's name of the script."""
        if today.build is not None and run.script is not None:
            script = today.build.plan.script
            if script != run.script and run.script in old and script not in old:
                old[script] = old.pop(run.script)
        return {name: text for name, text in old.items() if name.endswith(".py") or len(old) == 1}

    # -- files ---------------------------------------------------------------------------------

    def _differences(self, version: Version) -> tuple[list[str], list[str]]:
        """Files of a version that today's project has otherwise, or not; modules only today's."""
        if version.entries is None or version.repository is None:
            return [], []
        disk = self._disk(version.repository, version.entries)
        laid = [
            path
            for path, entry in version.entries.items()
            if path not in disk or (disk[path].mode, disk[path].oid) != (entry.mode, entry.oid)
        ]
        known = {*version.entries, *version.texts}
        if version.kept is not None:
            known |= version.kept.left_out.keys()
        hidden = [path for path in disk if path.endswith(".py") and path not in known]
        return laid, hidden

    def _disk(
        self, repository: git.Repository, wanted: Collection[str]
    ) -> Mapping[str, Entry]:  # fmt: skip
        """Today's files, by the names that a repository has for their contents."""
        found = dict(self._disks.get(repository.private, {}))
        if not found or not found.keys() >= {p for p in wanted if (self.root / p).is_file()}:
            listed = list_files(repository, {*wanted, *found}, keep=False)
            found = listed.entries
            self._disks[repository.private] = found
        return found

    def _folder(
        self, version: Version, laid: Collection[str], texts: Mapping[str, str]
    ) -> Path:  # fmt: skip
        """A folder with what is laid out; with `texts` also what compiling needs."""
        folder = self.place.tree()
        wanted = set(laid)
        if texts:
            wanted |= {path for path in version.paths() if path.endswith(COMPILED)}
        version.write(folder, wanted - texts.keys())
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(text))
        return folder

    # -- code ----------------------------------------------------------------------------------

    def _compiled(self, run: Run, folder: Path) -> Build:
        assert run.script is not None
        real = os.path.realpath(self.root)
        file = folder / run.script
        target = Target(str(file), run.module, (), file, folder)
        cwd = folder / os.path.relpath(self.moved(run).path(run.cwd or str(self.root)), real)
        inside = Path(os.path.normpath(cwd)).is_relative_to(folder) and cwd.is_dir()
        try:
            outcome = get_build(target, cwd if inside else folder, self.compiler.compile)
        except FlorError as error:
            raise FlorError(error.message.replace(f"{folder}{os.sep}", ""), 1) from None
        if outcome.build is None:
            raise FlorError(f"{run.script} can't be compiled: {outcome.why}", 1)
        return outcome.build

    def _target(self, run: Run) -> Target:
        assert run.script is not None
        file = Path(os.path.abspath(self.root / run.script))
        return Target(str(file), run.module, (), file, self.root)

    def moved(self, run: Run) -> Moved:
        """Leads from where the project was when the run was recorded to where it is."""
        kept = self.store.snapshot(run.run)
        return Moved(kept.root if kept is not None else None, self.root)

    def suits(self, run: Run, ready: Ready) -> str:
        """Why recorded positions and checkpoints aren't those of the compiled version, or ""."""
        recorded = self.store.plan(run.run)
        if recorded is None:
            return ""
        return mismatch(recorded, ready.build.plan)

    def notes(self, run: Run, ready: Ready) -> Iterator[str]:
        """What a reader of the answer should know of a run's circumstances."""
        texts = self.store.sources(run.version) if run.version is not None else {}
        line = differences(run, texts)
        if line:
            yield line
        if ready.past and self.store.snapshot(run.run) is None:
            yield "only the modules that its script reached were kept; other files are today's"


def mismatch(recorded: Plan, now: Plan) -> str:
    """The first recorded loop that the plan of today's compiler hasn't got."""
    loops = {loop.id: loop for loop in now.loops}
    for loop in recorded.loops:
        found = loops.get(loop.id)
        if found is None or (found.name, found.kind) != (loop.name, loop.kind):
            return (
                f"today's florc finds other loops in its code than when it was recorded "
                f"({loop.file}:{loop.line}, `{loop.name}`)"
            )
    return ""


def _diff(path: str, old: str, new: str) -> str:
    """What was put into a file."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}", n=2
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def todays_texts(root: Path, plan: Plan) -> dict[str, str]:
    """The texts of the modules of today's project that a script reaches."""
    found = {module.path: read_source(root / module.path) for module in plan.modules}
    return {path: text for path, text in found.items() if text is not None}


def renamed_script(root: Path, script: str, version: Version, paths: Collection[str]) -> str | None:
    """Which of today's files (`paths`) an old script has become: the most alike.

    Not one that is more like the file of its own name in the old version.
    """
    old = version.texts.get(script)
    if old is None:
        return None
    best: tuple[float, str] | None = None
    for path in sorted(paths):
        text = read_source(root / path) if path.endswith(".py") else None
        if text is None:
            continue
        alike = _alike(old, text)
        if alike < ALIKE or (best is not None and alike <= best[0]):
            continue
        if path in version.paths():
            own = decoded(version.read([path])[path])
            if _alike(own, text) >= alike:
                continue
        best = (alike, path)
    return best[1] if best is not None else None


def _alike(one: str, other: str) -> float:
    """The share of lines that two texts have in common."""
    lines, others = _lines(one), _lines(other)
    return 2 * len(lines & others) / (len(lines) + len(others) or 1)


def _lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.strip()}
