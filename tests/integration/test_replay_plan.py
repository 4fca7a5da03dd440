"""`flor.replay(sql)`: a plan that can be looked at, and run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import record

import flor
from flor.runtime.errors import FlorError
from flor.runtime.replay.cost import machine
from flor.runtime.store import Store, StoreError
from flor.runtime.store.costs import get_observations
from florc.queries import QueryError

SCRIPT = """import flor
state = [0]
for epoch in range(6):
    state.append(state[-1] + epoch)
    flor.log("total", state[-1])
"""
SQL = "SELECT epoch, length FROM logs WHERE total > 3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "pyproject.toml").touch()
    assert record(["train.py"], folder).code == 0
    (folder / "train.py").write_text(SCRIPT + '    flor.log("length", len(state))\n')
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def test_a_plan_shows_what_it_would_do_and_does_nothing(folder: Path) -> None:
    plan = flor.replay(SQL)
    assert plan.names == ("length",) and plan.refusals == () and plan.warnings == ()
    # How many iterations depends on where the recording had time for a checkpoint.
    assert plan.cost.runs == 1 and 3 <= plan.cost.iterations <= 6 and plan.cost.seconds >= 0
    parts = plan.cost.start + plan.cost.prefix + plan.cost.restore + plan.cost.execute
    assert 0 < parts <= plan.cost.seconds and plan.cost.replays == 0 and not plan.took
    assert plan.costs(2).runs == 1 and plan.costs(2).iterations == plan.cost.iterations
    text = str(plan)
    assert text.startswith(f"replays length: 1 run, {plan.cost.iterations} iterations of outer")
    assert text.splitlines()[1].split() == ["run", "names", "from", "iterations", "seconds"]
    assert "iterations" in repr(plan) and SQL in repr(plan)
    html = plan._repr_html_()
    assert "total &gt; 3" in html and "<td" in html
    with pytest.raises(QueryError):
        flor.query(SQL)
    assert not flor.query("SELECT * FROM records WHERE source = 'replay'")


def test_running_it_answers_once_and_for_all(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    plan = flor.replay(SQL)
    frame = plan.df()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["length"].tolist() == [5, 6, 7] and str(frame["length"].dtype) == "int64"
    assert list(plan) == list(flor.query(SQL)) == [
        {"epoch": e, "length": e + 2} for e in (3, 4, 5)
    ]  # fmt: skip
    assert plan.answer is plan.answer and "<p>3 rows" in plan._repr_html_()
    assert plan.took > 0 and plan.expected > 0
    assert f"replayed in {plan.took:.1f} s; expected were {plan.expected:.1f} s" in str(plan)
    with Store.open(folder) as store:
        seen = get_observations(store.connection, machine())
    assert [each.component for each in seen] == ["start", "prefix", "restore", "execute", "total"]
    assert seen[-1].took == plan.took and seen[-1].expected == plan.expected
    assert all(each.run == 1 and each.workers == 1 and each.took >= 0 for each in seen)
    assert seen[3].expected == seen[3].base  # the first replay of all: nothing to correct it by
    again = flor.replay(SQL)
    assert str(again) == "nothing to re-execute" and again.cost.runs == 0
    assert again.run() == plan.answer


def test_a_plan_from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert flor.replay(SQL, root=str(folder)).cost.runs <= 1
    assert flor.replay(SQL, script=str(folder / "train.py")).cost.runs <= 1
    with pytest.raises(StoreError, match="nothing is recorded here yet"):
        flor.replay(SQL)


def test_mistakes_and_refusals(folder: Path) -> None:
    with pytest.raises(QueryError, match="did you mean length"):
        flor.replay("SELECT lenght FROM logs")
    with pytest.raises(QueryError):
        flor.replay("DELETE FROM logs")
    text = (folder / "train.py").read_text()
    (folder / "train.py").write_text(text + '    flor.log("bad", state.append(1))\n')
    try:
        with pytest.raises(FlorError, match="FLR008"):
            flor.replay("SELECT bad FROM logs")
        (folder / "train.py").write_text(text + '    flor.log("worse", 1 / (epoch - 9))\n')
        plan = flor.replay("SELECT epoch, worse FROM logs WHERE epoch = 0")
        assert plan.run()[0]["worse"] == 1 / -9
        (folder / "train.py").write_text(text + '    flor.log("worst", 1 / epoch)\n')
        plan = flor.replay("SELECT epoch, worst FROM logs WHERE epoch = 0")
        with pytest.raises(FlorError, match="ZeroDivisionError"):
            plan.run()
        assert len(plan.run(partial=True)) == 1 and "ZeroDivision" in plan.problems[0]
    finally:
        (folder / "train.py").write_text(text)
