"""Whether a program is compiled, recorded and jumped into as it should be.

A mutant counts as killed by a case only if something went wrong that a user would suffer from or be
told of: a replay gives other values, the plan says something else, or the recording finds what
the plan claims to be unchanged changed.  That a loop can't be jumped into any more is none of these.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))

import jumping
from cases import CASES, Case

from flor.runtime.record import check
from flor.runtime.record.audit import Audit
from florc.driver import compile_project
from florc.plan import Plan

check.ALLOWANCE = 60.0  # a busy machine must not decide what is looked at

KILLS = ("replay", "plan")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a case."""

    kind: str  # "replay" | "plan" | "jumps": too few were made | "compiler": it raised
    text: str


@dataclass(frozen=True)
class Checked:
    """What a recording that checks its plan made of a case."""

    promoted: tuple[str, ...] = ()
    right: bool = False  # what was replayed from later checkpoints


def plan_of(text: str) -> Plan:
    """The plan of a program."""
    with tempfile.TemporaryDirectory(prefix="flor-mutants-") as folder:
        script = Path(folder) / "program.py"
        script.write_text(text, encoding="utf-8")
        return compile_project(script, root=Path(folder)).plan


def fault(case: Case) -> Fault | None:
    """What is wrong with the case, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plan = plan_of(case.text)
        except Exception as error:
            return Fault("compiler", f"{type(error).__name__}: {str(error)[:100]}")
        try:
            with mock.patch.object(Audit, "due", lambda audit, run: False):  # what a region changes
                outcome = jumping.check(case.text)
        except Exception as error:  # raised by the program: it doesn't without us
            return Fault("replay", f"{type(error).__name__}: {str(error)[:100]}")
        if outcome.wrong:
            return Fault("replay", outcome.wrong)
        told = _misplanned(case, plan)
        if told:
            return Fault("plan", told)
        if outcome.jumps < 4 and not outcome.refused:
            text = f"{outcome.jumps} jumps to {outcome.heads} heads: {outcome.restarts[:1]}"
            return Fault("jumps", text)
        return None


def _misplanned(case: Case, plan: Plan) -> str:
    """What the plan should say otherwise, or ""."""
    loops = [loop for loop in plan.loops if loop.training]
    if case.training is not None and len(loops) != case.training:
        return f"{len(loops)} training loops, not {case.training}"
    if case.rng is not None and (not loops or loops[0].rng != case.rng):
        return f"streams {loops[0].rng if loops else ()}, not {case.rng}"
    members = {member.path for member in loops[0].state} if loops else set()
    missing = sorted(set(case.members) - members)
    return f"{missing} missing" if missing else ""


def checked(case: Case) -> Checked:
    """What the recording says if it checks its plan, and whether it helps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcome = jumping.check(case.text, checked=True)
        except Exception:
            return Checked()
        return Checked(outcome.promoted, not outcome.wrong)


def killer(hints: tuple[str, ...]) -> tuple[str, Fault | None]:
    """The first case that fails, the hinted ones first, and why; else one that nearly does."""
    weak: tuple[str, Fault | None] = ("", None)
    for name in _order(hints):
        found = fault(CASES[name])
        if found is not None and found.kind in KILLS:
            return name, found
        if found is not None and weak[1] is None:
            weak = (name, found)
    return weak


def _order(hints: tuple[str, ...]) -> Iterable[str]:
    return dict.fromkeys((*hints, *CASES))
