"""Every script of scripts/: plain, record, add log statements, replay; compared with the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import harness
import pytest
from harness import Case

CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if harness.read_spec(name).get("slow") else [])
    for name in harness.case_names()
]


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    """One case; its plain and its truth run are made side by side."""
    case = Case(request.param, tmp_path_factory.mktemp(request.param))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda attribute: getattr(case, attribute), ("plain", "truth_run")))
    yield case


def test_the_truth_is_a_plain_run(case: Case) -> None:
    """The added statements change nothing that the script does, and each of them is reached."""
    assert case.plain.code == case.spec.get("exit", 0), case.plain
    assert case.plain.out, "a script prints its losses"
    assert case.truth_run.code == case.plain.code, case.truth_run
    assert case.masked(case.truth_run.out) == case.masked(case.plain.out)
    written, shifted = changed_by_run(case.plain, case), changed_by_run(case.truth_run, case)
    for name in case.spec.get("numbered", []):
        del written[name], shifted[name]
    assert shifted == written
    assert {log["name"] for log in case.spec["log"]} <= set(case.truth)
    assert set(case.spec.get("outputs", [])) <= set(case.plain.files), case.plain.files


def test_record_is_transparent(case: Case) -> None:
    """Same stdout, exit code and files; stderr gains our own lines; git sees nothing of ours."""
    assert case.recorded.code == case.plain.code, case.recorded
    assert case.masked(case.recorded.out) == case.masked(case.plain.out)
    wanted = case.masked(case.plain.err).splitlines()
    assert harness.only_ours(case.masked(case.recorded.err)) == wanted, case.recorded
    assert case.recorded.files == case.plain.files
    assert ".flor" not in harness.git(case.scratch / "recorded", "status", "--porcelain")
    (run,) = harness.runs(case.scratch / "recorded")
    assert (run["status"], run["exit_code"]) == ("finished", case.plain.code), run
    assert not harness.promotions(case.scratch / "recorded"), "a false alarm of the check"


def test_what_was_recorded(case: Case) -> None:
    """`query` over names that the script logs itself, before anything is replayed."""
    folder = case.edited
    for query in [query for query in case.queries if query.recorded]:
        result = harness.flor(folder, "query", "--format", "json", case.sql(query))
        assert result.code == 0, result
        assert not harness.differences(case.expected(query), logged(case, query, result)), result


def test_replay_answers_as_the_truth(case: Case) -> None:
    """Each query: exit 0, the truth's rows, a silent deferred check, nothing else touched."""
    folder = case.edited
    before = (harness.digest(folder), harness.stamps(folder), harness.git_state(folder))
    for query in [query for query in case.queries if not query.recorded]:
        sql = case.sql(query)
        result = harness.flor(folder, "replay", "--yes", "--format", "json", sql)
        assert result.code == 0, f"{sql}\n{result}"
        assert not harness.only_ours(result.err), result
        assert not any(word in result.err for word in ("differ", "diverge", "mismatch")), result
        wanted = case.expected(query)
        found = harness.differences(wanted, logged(case, query, result))
        assert not found, "\n".join([sql, *found[:10], f"({len(found)} in all)", str(result)])
        assert harness.digest(folder) == before[0]
        assert harness.stamps(folder) == before[1]
        assert harness.git_state(folder) == before[2]
    again = harness.flor(folder, "query", "--format", "json", sql)
    assert again.code == 0, again
    assert not harness.differences(wanted, logged(case, query, again)), again
    (run,) = harness.runs(folder)
    assert run["status"] == "finished", "a replay adds no run and changes none"


def logged(case: Case, query: harness.Query, result: harness.Result) -> list[dict[str, Any]]:
    """The answer's rows, without iterations that ran but did not log the finest name asked for."""
    rows: list[dict[str, Any]] = json.loads(result.out)
    if query.expect or not query.names:
        return rows
    return [row for row in rows if row[case.finest(query)] is not None]


def changed_by_run(result: harness.Result, case: Case) -> dict[str, str]:
    """The files that a run wrote: all but the script's own sources."""
    return {
        name: content
        for name, content in result.files.items()
        if not (harness.SCRIPTS / case.name / name).exists()
    }
