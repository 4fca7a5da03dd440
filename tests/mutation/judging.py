"""Whether a program is compiled, recorded and jumped into as it should be."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))

import jumping
from cases import CASES, Case

from florc.driver import compile_project
from florc.plan import Plan


def plan_of(text: str) -> Plan:
    """The plan of a program."""
    with tempfile.TemporaryDirectory(prefix="flor-mutants-") as folder:
        script = Path(folder) / "program.py"
        script.write_text(text, encoding="utf-8")
        return compile_project(script, root=Path(folder)).plan


def fault(case: Case) -> str:
    """What is wrong with the case, or ""."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _fault(case)
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:100]}"


def _fault(case: Case) -> str:
    if case.rng is not None or case.training is not None or case.members:
        loops = [loop for loop in plan_of(case.text).loops if loop.training]
        if case.training is not None and len(loops) != case.training:
            return f"{len(loops)} training loops, not {case.training}"
        if case.rng is not None and (not loops or loops[0].rng != case.rng):
            return f"streams {loops[0].rng if loops else ()}, not {case.rng}"
        missing = set(case.members) - {member.path for member in loops[0].state}
        if missing:
            return f"{sorted(missing)} missing"
    outcome = jumping.check(case.text)
    if outcome.wrong:
        return outcome.wrong
    if outcome.jumps < 4 and not outcome.refused:
        return f"{outcome.jumps} jumps to {outcome.heads} heads: {outcome.restarts[:1]}"
    return ""


def killer(hints: tuple[str, ...]) -> tuple[str, str]:
    """(case, fault) of the first case that fails, the hinted ones first; ("", "") if none does."""
    rest = [name for name in CASES if name not in hints]
    for name in (*hints, *rest):
        found = fault(CASES[name])
        if found:
            return name, found
    return "", ""
