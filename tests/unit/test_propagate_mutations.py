"""A part of the benchmark's generated edits: every kind, both directions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "propagation"
sys.path.insert(0, str(BENCHMARK))
try:
    import aligners
    import judge
    import mutations
    from histories import Case
finally:
    sys.path.remove(str(BENCHMARK))

BASES = ("mutation flat", "mutation functions", "mutation trainer")
CASES = {case.place: case for case in mutations.cases(seed=11, rounds=1) if case.script in BASES}


def test_every_kind_of_edit_is_there() -> None:
    kinds = {case.kind for case in CASES.values()}
    assert kinds >= {*mutations.EDITS} and len(CASES) > 60
    again = [case for case in mutations.cases(seed=11, rounds=1) if case.script in BASES]
    assert again == list(CASES.values())  # the seed decides


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_edit(case: Case) -> None:
    from histories import judge as judged

    found = judged(case, aligners.florc)
    wanted = ("exact", "equivalent") if case.answerable else ("refused",)
    assert found.verdict in wanted, (found.verdict, found.note)
    assert not found.unbound


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ("a = f()\nflor.log('the_probe', a)\nb = g()\n", "exact"),
        ("a = f()\nb = g()\nflor.log('the_probe', a)\n", "equivalent"),
        ("flor.log('the_probe', a)\na = f()\nb = g()\n", "wrong"),
        ("a = f()\nb = g()\n", "absent"),
        ("a = f()\nb = h()\nflor.log('the_probe', a)\n", "broken"),
    ],
)  # fmt: skip
def test_the_judge(result: str, wanted: str) -> None:
    truth = "a = f()\nflor.log('the_probe', a)\nb = g()\n"
    assert judge.verdict(result, truth) == wanted


def test_the_judge_sees_unbound_names() -> None:
    assert judge.unbound("import flor\nflor.log('the_probe', a)\na = f()\n") == {"a"}
    assert judge.unbound("import flor\na = f()\nflor.log('the_probe', a)\n") == set()
    assert (
        judge.unbound("import flor\nfor i in x:\n    flor.log('the_probe', a)\n    a = i\n")
        == set()
    )
