"""A replay in rounds: what is cheap and decides comes first, and spares the rest."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import harness
import pytest

RECORDED = """\
import random
import sys

random.seed(int(sys.argv[1]))
state = {"w": [random.gauss(0, 1) for _ in range(4)], "spread": 0.0}
for fold in range(3):
    state["spread"] += max(state["w"]) - min(state["w"])
for epoch in range(4):
    for step in range(5):
        state["w"] = [w + 0.1 * random.gauss(0, 1) for w in state["w"]]
    print(epoch, state["w"])
"""
TODAY = (
    RECORDED.replace("import random\n", "import random\nimport flor\n")
    .replace("for epoch", '    flor.log("spread", state["spread"])\nfor epoch')
    .replace("    print(epoch", '        flor.log("w", state["w"][0])\n    print(epoch')
)


def truth(seed: int) -> tuple[list[float], list[float]]:
    """What a run would have logged: spread by fold, w by step."""
    logged: dict[str, list[float]] = {"spread": [], "w": []}

    class Stub:
        @staticmethod
        def log(name: str, value: float) -> None:
            logged[name].append(value)

    text = TODAY.replace("import flor\n", "").replace("sys.argv[1]", str(seed))
    exec(text, {"flor": Stub, "print": lambda *_: None})
    return logged["spread"], logged["w"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four runs without log statements, in which an epoch took 100 s and a fold 1 s."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "train.py").write_text(RECORDED)
    for seed in range(4):
        result = harness.record(["train.py", str(seed)], tmp_path)
        assert result.code == 0, result
    (tmp_path / "train.py").write_text(TODAY)
    connection = sqlite3.connect(tmp_path / ".flor" / "flor.db")
    begun = "(SELECT (julianday(started) - 2440587.5) * 86400 FROM runs WHERE run = nodes.run)"
    connection.execute(
        f"UPDATE nodes SET time = {begun} + 1 + idx + CASE (SELECT loop FROM shapes "
        "WHERE shapes.shape = nodes.shape) WHEN 'fold' THEN 0 ELSE 10 + 100 * idx END"
    )
    connection.execute("DELETE FROM timings")  # when the script really began and ended
    connection.execute("UPDATE runs SET ended = datetime(started, '+1000 seconds')")
    connection.commit()
    connection.close()
    return tmp_path


def rows(folder: Path, command: str, sql: str, *options: str) -> list[dict[str, Any]]:
    result = harness.flor(folder, command, "--format", "json", *options, sql)
    assert result.code == 0, result
    return list(json.loads(result.out))


def test_a_cheap_loop_spares_the_inner_loop_of_another(folder: Path) -> None:
    wide = sorted((truth(seed)[0][2], seed) for seed in range(4))
    least = (wide[1][0] + wide[2][0]) / 2
    chosen = sorted(seed for spread, seed in wide if spread > least)
    sql = (
        "SELECT run, epoch, step, w FROM logs WHERE epoch >= 2 AND run IN "
        f"(SELECT run FROM logs WHERE fold = 2 AND spread > {least!r}) ORDER BY run, epoch, step"
    )
    result = harness.flor(folder, "replay", "--dry-run", sql)
    assert "spread first" in result.err, result
    result = harness.flor(folder, "replay", "--yes", "--format", "json", sql)
    assert result.code == 0, result
    assert "spread first" in result.err
    assert "w only where its values leave something to ask" in result.err
    assert "a guess" in result.err and "replayed in" in result.err
    wanted = [
        {"run": seed + 1, "epoch": e, "step": s, "w": truth(seed)[1][5 * e + s]}
        for seed in chosen for e in (2, 3) for s in range(5)
    ]  # fmt: skip
    assert json.loads(result.out) == wanted
    replayed = rows(folder, "query", "SELECT run, name, count(*) AS n FROM records GROUP BY 1, 2")
    by_name = {(row["run"], row["name"]): row["n"] for row in replayed}
    assert {run for run, name in by_name if name == "spread"} == {1, 2, 3, 4}
    assert {run for run, name in by_name if name == "w"} == {seed + 1 for seed in chosen}
    # Everything is known now.
    assert rows(folder, "replay", sql) == wanted


def test_enough_is_enough(folder: Path) -> None:
    """A row that settles the question spares the rows that might have."""
    sql = "SELECT DISTINCT run FROM logs WHERE w > -1000 ORDER BY run"
    assert rows(folder, "replay", sql, "--yes") == [{"run": run} for run in (1, 2, 3, 4)]
    replayed = rows(folder, "query", "SELECT run, count(*) AS n FROM records GROUP BY run")
    assert all(row["n"] < 20 for row in replayed), replayed
    assert len(replayed) == 4
