"""The golden cases: what the compiler writes, and that it is right when it is run."""

from __future__ import annotations

from pathlib import Path

import golden_case
import harness
import pytest
from golden_case import Execution

NAMES = golden_case.case_names()


@pytest.mark.parametrize("case", NAMES)
def test_compiled(case: str, bless: bool) -> None:
    """The emitted variants, the plan and the report are the stored ones."""
    if bless:
        golden_case.bless(case)
    stored, made = golden_case.stored_files(case), golden_case.expected_files(case)
    assert sorted(made) == sorted(stored)
    for name in sorted(made):
        assert made[name] == stored[name], f"{case}/{name} (pytest --bless rewrites it)"


@pytest.mark.parametrize("case", NAMES)
def test_instrumenting_twice_changes_nothing(case: str) -> None:
    """The record variant compiles to itself."""
    folder = golden_case.CASES / case
    compilation, build = golden_case.compiled(folder, golden_case.read(folder / "record.py"))
    assert not [edit for edit in compilation.edits if edit.rel == "input.py"]
    assert "input.py" not in build.record


@pytest.mark.parametrize("case", NAMES)
def test_executed(case: str, tmp_path: Path) -> None:
    """Plain and recorded alike; a replay by jumps and one from the start give the truth."""
    run = Execution(case, tmp_path)
    run.run()
    assert run.plain.code == run.exit, run.plain
    assert (run.recorded.code, run.recorded.out) == (run.exit, run.plain.out), run.recorded
    assert harness.only_ours(run.recorded.err) == run.plain.err.splitlines(), run.recorded
    assert not [line for line in run.recorded.err.splitlines() if "bug" in line], run.recorded
    assert run.truth_run.out == run.plain.out, run.truth_run
    assert run.truth, "the script logs something"

    run.write(run.folder, run.variant)
    for sql in run.values("query"):
        replayed = run.replay(sql, from_start=False)
        assert not replayed.problems, replayed
        assert bool(replayed.jumps) == run.may_jump, replayed
        assert all(answer["state"] == "done" for answer in replayed.answers)
        assert not replayed.notes, replayed
        (name,) = [column for column in replayed.columns if column in run.truth]
        assert any(row[replayed.columns.index(name)] is not None for row in replayed.rows)
        # The rest is filled in from the start; each value that the jumps gave has to fit in.
        everything = run.replay(whole(sql), from_start=True)
        assert not everything.problems, everything
        assert not everything.jumps and all(a["compared"] for a in everything.answers) == (
            run.may_jump
        ), everything
        assert_truth(run, name, everything.columns, everything.rows)
    for name in run.truth:
        replayed = run.replay(f"SELECT {name} FROM logs", from_start=True)
        assert_truth(run, name, replayed.columns, replayed.rows)


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
