"""Which members of the checkpoint sets of generated programs could be dropped: a report.

    python tests/property/probe.py [COUNT] [FIRST_SEED]

Each member of a loop is left out once; if all jumps into that loop still give the true values, it
wasn't needed in that run.  (It may be needed in another: where a condition was false, say.)
"""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import jumping
import programs

from florc.driver import compile_project
from florc.emit.build import Build, assemble
from florc.plan import Member


def kind_of(member: Member) -> str:
    """The reason without names and lines."""
    words = re.sub(r"line \d+", "line", member.reason)
    words = re.sub(r"\bin [\w.]+ line", "elsewhere", words)
    words = re.sub(r"[\w.\[\]'% ()-]*\.(\w+\(\))", r"x.\1", words, count=1)
    words = re.sub(r"^\S+(\[.*\])? (is|may)\b", r"x \2", words)
    return f"{member.how}, {member.certainty}: {words}"


def without(build: Build, loop: str, path: str) -> Build:
    """The build with one member less."""
    loops = tuple(
        dataclasses.replace(lp, state=tuple(m for m in lp.state if m.path != path))
        if lp.name == loop
        else lp
        for lp in build.plan.loops
    )
    return dataclasses.replace(build, plan=dataclasses.replace(build.plan, loops=loops))


def probe(text: str, found: Counter[str], droppable: Counter[str]) -> None:
    """Count the members of one program, and those that could be dropped."""
    expected = jumping.truth(text)
    folder = Path(tempfile.mkdtemp(prefix="flor-probe-"))
    try:
        script = folder / "program.py"
        script.write_text(text, encoding="utf-8")
        build = assemble(compile_project(script, root=folder))
        whole = jumping.judged(build, expected, text, folder / "whole", 1)
        if whole.wrong or not whole.jumps:
            return
        for loop in build.plan.loops:
            for number, member in enumerate(loop.state if loop.training and loop.jump else ()):
                less = without(build, loop.name, member.path)
                place = folder / f"{loop.name}-{number}"
                outcome = jumping.judged(less, expected, text, place, 1)
                found[kind_of(member)] += 1
                if not outcome.wrong and outcome.jumps == whole.jumps:
                    droppable[kind_of(member)] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Probe programs and print the shares by reason, most droppable first."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 500_000
    warnings.simplefilter("ignore")
    found: Counter[str] = Counter()
    droppable: Counter[str] = Counter()
    for seed in range(first, first + count):
        text = programs.program(random.Random(seed), 1 + seed % 12)
        try:
            probe(text, found, droppable)
        except Exception as error:  # a program that doesn't run by itself
            print(f"{seed}: {type(error).__name__}", file=sys.stderr)
    total, spare = sum(found.values()), sum(droppable.values())
    print(f"{spare} of {total} members could be dropped in {count} programs")
    for reason, number in droppable.most_common():
        print(f"{number:6} of {found[reason]:<6} {reason}")


if __name__ == "__main__":
    main()
