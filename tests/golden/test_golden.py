"""The golden cases: what the compiler writes, and that it is right when it is run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import golden_case
import harness
import pytest
from golden_case import Execution

from flor.runtime.replay import workers

CASES = [
    pytest.param(name, marks=[pytest.mark.xfail(reason=why)] if why else [])
    for name in golden_case.case_names()
    for why in [golden_case.broken(name)]
]


@pytest.mark.parametrize("case", CASES)
def test_compiled(case: str, bless: bool) -> None:
    """The emitted variants, the plan and the report are the stored ones."""
    if bless and not golden_case.broken(case):
        golden_case.bless(case)
    stored, made = golden_case.stored_files(case), golden_case.expected_files(case)
    assert sorted(made) == sorted(stored)
    for name in sorted(made):
        assert made[name] == stored[name], f"{case}/{name} (pytest --bless rewrites it)"


@pytest.mark.parametrize("case", CASES)
def test_instrumenting_twice_changes_nothing(case: str) -> None:
    """The record variant compiles to itself."""
    folder = golden_case.CASES / case
    record = golden_case.expected_files(case)["record.py"]
    compilation, build = golden_case.compiled(folder, record)
    assert not [edit for edit in compilation.edits if edit.rel == "input.py"]
    assert "input.py" not in build.record


@pytest.fixture(scope="module")
def executions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The checks of all cases that this session asks for, under way two at a time."""
    items = [i for i in request.session.items if getattr(i, "originalname", "") == "test_executed"]
    names = [item.callspec.params["case"] for item in items]  # type: ignore[attr-defined]
    pool = ThreadPoolExecutor(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "START", golden_case.EAGER + workers.START)
        yield {
            name: pool.submit(check, Execution(name, tmp_path_factory.mktemp(name)))
            for name in names
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES)
def test_executed(case: str, executions: dict[str, Future[None]]) -> None:
    """Plain and recorded alike; a replay by jumps and one from the start give the truth."""
    executions[case].result()


def check(run: Execution) -> None:
    """Run a case plain, recorded and replayed."""
    run.run()
    assert run.plain.code == run.exit, run.plain
    assert run.recorded.code == run.exit, run.recorded
    assert run.recorded.out == run.plain.out, run.recorded
    assert harness.only_ours(run.recorded.err) == run.plain.err.splitlines(), run.recorded
    assert run.truth, "the script logs something"
    assert not harness.promotions(run.folder), "a false alarm of the check"

    run.add_statements()
    skipped: set[str] = set()
    answered = 0
    ordered: dict[str, str] = {}  # name -> a query with an order: without one, rows have none
    for sql in run.values("query"):
        replayed = run.replay(sql, from_start=False)
        assert not replayed.problems, replayed
        assert not replayed.warnings, replayed
        assert not replayed.notes, replayed
        assert bool(replayed.jumps) == run.may_jump, replayed
        skipped |= replayed.skipped
        answered += replayed.answered
        (name,) = [column for column in replayed.columns if column in run.truth]
        place = replayed.columns.index(name)
        assert any(row[place] is not None for row in replayed.rows), replayed
        # The rest is filled in from the start; each value that the jumps gave has to fit in.
        if " ORDER BY " in sql:
            ordered[name] = whole(sql)
        everything = run.replay(whole(sql), from_start=True)
        assert not everything.problems, everything
        assert not everything.jumps, everything
        assert not everything.skipped and not everything.answered, everything
        assert all(answer["compared"] for answer in everything.answers), everything
        assert_truth(run, name, everything.columns, everything.rows)
    for name in run.truth:
        columns, rows = run.query(ordered.get(name, f"SELECT {name} FROM logs"))
        assert_truth(run, name, columns, rows)
    wanted = run.values("skips")
    assert not wanted or skipped == set(" ".join(wanted).split()), skipped
    for number in run.values("answered"):
        assert answered == int(number), answered


def whole(sql: str) -> str:
    """The query without its condition."""
    head, _, rest = sql.partition(" WHERE ")
    order = rest.partition(" ORDER BY ")[2]
    return head + (f" ORDER BY {order}" if order else "")


def assert_truth(
    run: Execution, name: str, columns: list[str], rows: list[tuple[object, ...]]
) -> None:
    """The column holds the values that the stub wrote, bit for bit, in their order."""
    place = columns.index(name)
    values = [row[place] for row in rows if row[place] is not None]
    wanted = [entry.value for entry in run.truth[name]]
    found = [
        f"{name} #{number}: {got!r}, not {exact}"
        for number, (exact, got) in enumerate(zip(wanted, values))
        if not harness.same(exact, got)
    ]
    assert not found and len(wanted) == len(values), (found[:5], len(wanted), len(values), rows[:9])
