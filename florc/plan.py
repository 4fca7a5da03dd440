"""The plan: what the compiler tells the run time, as frozen dataclasses and as JSON.

The plan is the only thing, besides the emitted text, that passes from `florc` to `flor`.  This
module imports nothing heavy, so that the run time can read a plan without libcst or networkx.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
"""Version of the JSON layout; a reader refuses a larger one."""


CAPTURED = ":capture:"
"""In the ids of statements that log to a tracker; those of `flor.log` have none."""


@dataclass(frozen=True)
class Member:
    """One root of a checkpoint set: an access path and why it is in.

    `path` is resolved at the loop's head by the run time.  Grammar:
      ``name``                  a local of the loop's frame (cells too), else a global of its module
      ``name.attr.attr``        attributes from there
      ``pkg.mod:name.attr``     a global of project module ``pkg.mod`` (``__main__`` for the script)
      ``fn.__closure__.cell``   the cell of function ``fn`` that is called ``cell``
    """

    path: str
    how: str  # "rebound" | "mutated" | "iterator"
    certainty: str  # "exact" | "assumed"
    reason: str  # one clause, e.g. "optimizer.step() mutates it"
    line: int  # the line (of the loop's file) that decides it; 0 if none
    # The member that leads to the same object: this one is saved only where it turns out not to
    # (before an `if` that didn't bind it, say), which costs a look at the time of the checkpoint.
    alias: str = ""
    volatile: bool = False  # it may hold clock times: saved, but not compared


@dataclass(frozen=True)
class Excluded:
    """A name that the loop mentions and that is *not* saved, and why not."""

    path: str
    reason: str
    line: int


@dataclass(frozen=True)
class Suspect:
    """A library call that could change a root that the analysis claims to be unchanged."""

    call: str  # qualified name, as an effect entry has it
    shown: str  # as the source writes it
    file: str
    line: int
    entry: str  # the TOML that would say so; several tables are separated by an empty line


@dataclass(frozen=True)
class Claim:
    """A root that is live at a loop's head, isn't saved, and so must not change in the body."""

    path: str  # as of Member
    line: int  # where the loop mentions it first; 0: it doesn't
    suspects: tuple[Suspect, ...] = ()  # the likeliest first


@dataclass(frozen=True)
class Guarded:
    """A name that is dead at the head as long as inner loops run at least once: not saved.

    The record run watches those loops; if one runs zero times, the name becomes a member.
    """

    path: str
    reason: str
    line: int
    loops: tuple[str, ...]


@dataclass(frozen=True)
class Recomputed:
    """A name that isn't saved, as evaluating `expression` behind a restore gives it again.

    Not at an entry's first head: there it is saved like a member.
    """

    path: str
    expression: str
    line: int


@dataclass(frozen=True)
class LoopPlan:
    """One instrumented loop.  `name` is its column in `logs`, unique in the project."""

    id: str  # stable id: "train.py:main:for:1a2b3c4d" (+ ":2" for the second alike)
    name: str  # column name, also the key in emitted code
    file: str  # relative to the project root, "/" separated
    line: int
    scope: str  # "" for module level, "main", "Trainer.fit", …
    kind: str  # "for" | "while"
    training: bool  # False: coordinates only, no checkpoint
    lexical_parent: (
        str | None
    )  # name of the nearest instrumented loop around it in the same function
    parents: tuple[str, ...]  # names of instrumented loops it may run inside, over calls too
    counter: str  # "item" (target is the counter) | "first" (enumerate's) | "index" | "variable"
    counter_name: str | None  # the variable to read at the head when counter == "variable"
    state: tuple[Member, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    dead_grads: bool = False  # gradients are dead at the head: need not be saved
    jump: bool = True  # False: a replay must not jump inside this loop; jump_reason says why
    jump_reason: str = ""
    rng: tuple[str, ...] = ()  # streams drawn in the body: "python" "numpy" "torch" "cuda"
    claims: tuple[Claim, ...] = ()  # what the record run checks
    guarded: tuple[Guarded, ...] = ()
    recomputed: tuple[Recomputed, ...] = ()  # in the order to evaluate
    sinks: tuple[str, ...] = ()  # what the body does to the outside world, with the first place
    rereads: bool = False  # files are read from the head on: what the run wrote is state
    shared: tuple[str, ...] = ()  # paths of what isn't saved and may hold what members hold

    @property
    def members(self) -> tuple[Member, ...]:
        """The checkpoint set: `state` without other names for the same objects."""
        return tuple(member for member in self.state if not member.alias)


@dataclass(frozen=True)
class LogStatement:
    """One `flor.log(...)` statement.  `name` is None when it isn't a literal.

    Or one literal name of a call that logs to a tracker (docs/capture.md): `captured`.
    """

    id: str
    name: str | None
    file: str
    line: int
    scope: str
    loops: tuple[str, ...]  # lexically enclosing instrumented loops, outermost first
    volatile: bool = False  # its value depends on the clock: never compared
    impure: str = ""  # why evaluating it may change training state ("" if it can't)
    before: tuple[str, ...] = ()  # training loops that start after it in its own function
    paths: tuple[tuple[str, ...], ...] = ()  # possible nests of instrumented loops over calls

    @property
    def captured(self) -> bool:
        """Whether it logs to a tracker: its values are captured."""
        return CAPTURED in self.id


@dataclass(frozen=True)
class RegionPlan:
    """A call in a training loop that a replay may skip, or, with an `obstacle`, only just not."""

    id: str  # stable id: "train.py:main:region:1a2b3c4d" (+ ":2" for the second alike)
    name: str  # the key in emitted code
    file: str
    line: int
    call: str  # what is called, as written
    loops: tuple[str, ...]  # the innermost training loops around it, over calls
    discarded: bool = False  # nobody sees its result
    plain: bool = False  # evaluating its arguments has no effects
    watch: tuple[str, ...] = ()  # paths (as of Member) to modules that it uses, in its frame
    logs: tuple[str, ...] = ()  # ids of the log statements that it may run
    rng: tuple[str, ...] = ()  # streams that it may draw from
    obstacle: str = ""  # why it is executed always
    obstacle_file: str = ""
    obstacle_line: int = 0


@dataclass(frozen=True)
class SlicePlan:
    """Log statements that the state at the loop's next head answers; with an `obstacle`, not so.

    At that head, in the loop's frame, a replay executes `statements` in the place of the iteration
    before it.
    """

    loop: str  # the training loop in whose body they are
    file: str
    logs: tuple[str, ...]  # ids of the log statements
    statements: tuple[tuple[int, int], ...] = ()  # (line, column in UTF-8) of each
    target: str = ""  # the loop's target, where they read it
    watched: tuple[str, ...] = ()  # regions whose executions must have been recorded
    obstacle: str = ""  # why the iteration is executed
    obstacle_file: str = ""  # "": `file`
    obstacle_line: int = 0


@dataclass(frozen=True)
class ModulePlan:
    """One module of the project that the script reaches."""

    path: str  # relative to the project root
    name: str  # import name; "__main__" for the script
    sha256: str  # of the user's text
    emitted: bool  # False: needs no change, no file written
    source_map: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()  # see emit/source_map.py


@dataclass(frozen=True)
class Diagnostic:
    """A refusal, warning or note, with its stable code."""

    code: str  # "FLR001"
    severity: str  # "error" | "warning" | "note"
    message: str
    file: str
    line: int
    hint: str = ""

    def render(self) -> str:
        """One line: file:line: code message (hint)."""
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.code} {self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Plan:
    """Everything the run time needs to know about one version of one script."""

    script: str
    modules: tuple[ModulePlan, ...]
    loops: tuple[LoopPlan, ...]
    logs: tuple[LogStatement, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    format: int = FORMAT
    florc: str = "0.1.0"
    extra: dict[str, Any] = field(default_factory=dict)
    regions: tuple[RegionPlan, ...] = ()
    slices: tuple[SlicePlan, ...] = ()

    def loop(self, name: str) -> LoopPlan | None:
        """The loop whose column is `name`, or None."""
        return next((loop for loop in self.loops if loop.name == name), None)

    def to_json(self) -> str:
        """Stable, indented JSON (ends with a newline)."""
        data = dataclasses.asdict(self)
        for loop in data["loops"]:
            for name in ("shared", "sinks"):
                if not loop[name]:
                    del loop[name]
        for section in ("regions", "slices"):
            for row in data[section]:
                for unset in [name for name, value in row.items() if not value]:
                    del row[unset]
            if not data[section]:
                del data[section]
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.  Raises ValueError when the format is newer or broken."""
        data = json.loads(text)
        if not isinstance(data, dict) or "format" not in data:
            raise ValueError("not a plan")
        if data["format"] > FORMAT:
            raise ValueError(f"plan format {data['format']} is newer than {FORMAT}")
        loops = tuple(
            LoopPlan(
                **{
                    **loop,
                    "parents": tuple(loop["parents"]),
                    "rng": tuple(loop["rng"]),
                    "shared": tuple(loop.get("shared", ())),
                    "sinks": tuple(loop.get("sinks", ())),
                    "recomputed": tuple(Recomputed(**r) for r in loop.get("recomputed", ())),
                    "guarded": tuple(
                        Guarded(**{**g, "loops": tuple(g["loops"])})
                        for g in loop.get("guarded", ())
                    ),
                    "state": tuple(Member(**m) for m in loop["state"]),
                    "excluded": tuple(Excluded(**m) for m in loop["excluded"]),
                    "claims": tuple(_claim(c) for c in loop.get("claims", ())),
                }
            )
            for loop in data["loops"]
        )
        logs = tuple(
            LogStatement(
                **{
                    **log,
                    "loops": tuple(log["loops"]),
                    "before": tuple(log["before"]),
                    "paths": tuple(tuple(p) for p in log["paths"]),
                }
            )
            for log in data["logs"]
        )
        modules = tuple(
            ModulePlan(
                **{
                    **mod,
                    "source_map": tuple(
                        (line, tuple((c, d) for c, d in cols)) for line, cols in mod["source_map"]
                    ),
                }
            )
            for mod in data["modules"]
        )
        return cls(
            script=data["script"],
            modules=modules,
            loops=loops,
            logs=logs,
            diagnostics=tuple(Diagnostic(**d) for d in data["diagnostics"]),
            format=data["format"],
            florc=data["florc"],
            extra=data["extra"],
            regions=tuple(_region(r) for r in data.get("regions", ())),
            slices=tuple(_slice(s) for s in data.get("slices", ())),
        )


def _region(data: dict[str, Any]) -> RegionPlan:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return RegionPlan(**values)


def _slice(data: dict[str, Any]) -> SlicePlan:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    places = tuple((line, column) for line, column in values.get("statements", ()))
    return SlicePlan(**{**values, "statements": places})


def _claim(data: dict[str, Any]) -> Claim:
    suspects = tuple(Suspect(**s) for s in data["suspects"])
    return Claim(data["path"], data["line"], suspects)


def load(path: Path) -> Plan:
    """Read a plan file.  Raises OSError, ValueError."""
    return Plan.from_json(path.read_text(encoding="utf-8"))
