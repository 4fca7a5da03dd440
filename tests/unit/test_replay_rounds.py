"""What a replay begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flor.runtime.replay.demand import Demand, RunDemand, demand
from flor.runtime.replay.rounds import GROWTH, ROUNDS, choose
from flor.runtime.store import Store
from flor.runtime.store.batches import Batch
from flor.runtime.store.positions import context_at
from florc.plan import LogStatement
from florc.queries import Catalogue, analyse, conditions, selectivity


def statement(name: str) -> LogStatement:
    return LogStatement(f"s:{name}", name, "t.py", 1, "", ())


def needed(deciding: set[str], early: set[str] = frozenset()) -> Demand:
    """`g` once an epoch, `h` in each of its ten steps; epoch k is of rank k + 1."""
    wanted = {(("epoch", e),): (statement("g"),) for e in range(20)}
    wanted |= {(("epoch", e), ("step", s)): (statement("h"),) for e in range(20) for s in range(10)}
    first = {position: position[0][1] + 1 for position in wanted}
    run = RunDemand(1, ("g", "h"), tuple(sorted(wanted)), wanted, first)
    return Demand(("g", "h"), (run,), (), frozenset(deciding), frozenset(early))


def positions(runs) -> float:
    return float(sum(len(one.positions) for one in runs))


def epochs(runs) -> float:
    return float(len({p[0] for one in runs for p in one.positions}))


def test_the_cheap_name_that_decides_comes_first() -> None:
    found = choose(needed({"g", "h"}), positions, {"g": 0.3, "h": 0.1}, 0)
    assert [one.names for one in found.runs] == [("g",)]
    assert found.reason.startswith("g first, about 20.0 s of 220.0 s: h only where")
    assert all(len(p) == 1 for p in found.runs[0].positions)


@pytest.mark.parametrize(
    ("deciding", "cost", "shares", "number"),
    [
        ({"h"}, positions, {"h": 0.1}, 0),  # what decides is what is dear
        (set(), positions, {}, 0),  # nothing depends on values
        ({"g"}, positions, {"g": 0.9}, 0),  # little would be spared
        ({"g"}, epochs, {"g": 0.1}, 0),  # the same iterations give both
        ({"g"}, positions, {"g": 0.1}, ROUNDS),  # enough of it
    ],
)
def test_everything_at_once_where_order_saves_nothing(deciding, cost, shares, number) -> None:
    demand = needed(deciding)
    found = choose(demand, cost, shares, number)
    assert found.runs == demand.runs and not found.reason


def test_few_rows_and_then_more() -> None:
    demand = needed(set(), {"g", "h"})
    sizes = []
    for number in range(4):
        runs = choose(demand, positions, {}, number).runs
        sizes.append(len({p[0] for one in runs for p in one.positions}))
    assert sizes == [1, GROWTH, 20, 20]


@pytest.mark.parametrize(
    ("where", "share"),
    [
        ("g = 1", 0.1), ("g > 1", 0.33), ("g BETWEEN 1 AND 2", 0.33), ("NOT (g = 1)", 0.9),
        ("g IN (1, 2, 3)", 0.3), ("g > 1 AND g < epoch", 0.33**2), ("abs(g) LIKE 'a'", 0.5),
        ("epoch = 1", 1.0),
    ],
)  # fmt: skip
def test_selectivity(where: str, share: float) -> None:
    analysis = analyse(f"SELECT g FROM logs WHERE {where}", Catalogue(("epoch",), ("g",)))
    assert selectivity(analysis, "g") == pytest.approx(share)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("g = 1", ("(value = 1)",)),
        ("g > 1 AND g < epoch", ("(value > 1)",)),
        ("(g IN (1, 2) AND g > 0) AND epoch = 2", ("(value IN (1, 2))", "(value > 0)")),
        ("g > 1 OR epoch = 1", ()),
        ("NOT g = 1", ()),
        ("g = (SELECT max(epoch) FROM logs)", ()),
    ],
)
def test_conditions_that_can_be_counted(where: str, found: tuple[str, ...]) -> None:
    analysis = analyse(f"SELECT g FROM logs WHERE {where}", Catalogue(("epoch",), ("g",)))
    assert conditions(analysis, "g", "value") == found


def test_the_reason_says_where_the_share_comes_from() -> None:
    lacking = needed({"g"})
    assert "(30 %, a guess, 60.0 s)" in choose(lacking, positions, {"g": 0.3}, 0).reason
    counted = replace(lacking, sampled={"g": 12})
    assert "(30 %, by 12 values known, 60.0 s)" in choose(counted, positions, {"g": 0.3}, 0).reason


def test_what_is_left_may_start_every_process_all_the_same() -> None:
    def rest(runs, share, deciding):
        assert [one.names for one in runs] == [("h",)] and share == 0.1
        assert [one.names for one in deciding] == [("g",)]
        return 190.0

    lacking = needed({"g"})
    assert not choose(lacking, positions, {"g": 0.1}, 0, rest).reason
    assert choose(lacking, positions, {"g": 0.1}, 0, lambda *_: 9.0).reason


def test_selectivity_is_counted_over_known_values(tmp_path: Path) -> None:
    """A first run has `g`: 3 of its 40 values are above 0.9."""
    with Store.open(tmp_path, create=True) as store:
        for _ in range(2):
            run = store.begin_run({"script": "t.py"})
            entries = []
            for epoch in range(40):
                ctx = context_at((("epoch", epoch),))
                entries.append(("iteration", ctx, 0.0))
                if run == 1:
                    entries.append(("log", "g", 1.0 if epoch % 16 == 0 else 0.5, ctx, "s:g", 0.0))
            Batch(store.connection, run, 0).write(entries)
            store.end_run(run, "finished", 0)
        logged = [
            LogStatement(f"s:{name}", name, "t.py", 1, "", ("epoch",), paths=(("epoch",),))
            for name in ("g", "h")
        ]
        found = demand(store, "SELECT h FROM logs WHERE g > 0.9", logged)
    assert found.deciding == {"g"} and found.sampled == {"g": 40}
    assert found.shares["g"] == pytest.approx((3 + 2 * 0.33) / 42)
