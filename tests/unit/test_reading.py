"""What derived queries read of a scan, and the views that hold no more than that."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from flor.runtime.store import Store
from flor.runtime.store.batches import Batch
from flor.runtime.store.positions import context_at
from flor.runtime.store.relation import Views
from florc.queries import Reading, analyse, readings

COLUMNS = ("run", "lr", "epoch", "step", "acc", "loss", "size")


def test_columns_and_what_decides_together() -> None:
    found = readings(
        'SELECT s1."run", s1."n" AS n0 FROM "flor:scan:0" AS s1 WHERE ((s1."acc" < 1) IS TRUE) AND '
        '(s1."run" IN (SELECT s2."run" FROM "flor:scan:3" AS s2 WHERE s2."h" OR s2."epoch" = 1)) '
        'AND (s1."epoch" > 8 AND (s1."step" = 2 OR s1."loss" < 1))'
    )
    assert found is not None
    assert found[0].columns == {"run", "n", "acc", "epoch", "step", "loss"}
    assert found[0].conditions == {
        frozenset({"acc"}), frozenset({"run"}), frozenset({"epoch"}), frozenset({"step", "loss"}),
    }  # fmt: skip
    assert found[3] == Reading(
        frozenset({"run", "h", "epoch"}), frozenset({frozenset({"h", "epoch"})})
    )


def test_what_relates_two_scans_decides_on_neither_alone() -> None:
    found = readings(
        'SELECT 1 FROM "flor:scan:0" AS s1, "flor:scan:1" AS s2 WHERE s1."epoch" = s2."epoch"'
    )
    assert found is not None and not found[0].conditions and not found[1].conditions


@pytest.mark.parametrize("sql", ['SELECT a FROM "flor:scan:0" AS s1', "SELECT 1 FROM WHERE"])
def test_what_cannot_be_told(sql: str) -> None:
    assert readings(sql) is None


def test_views_of_what_is_read_have_the_same_rows(tmp_path: Path) -> None:
    """Whichever loop they are looked for from."""
    with Store.open(tmp_path, create=True) as store:
        for number in range(3):
            run = store.begin_run({"script": "t.py", "args": {"lr": number}})
            entries = [("log", "size", number, None, "s", 0.0)] * (number != 1)
            for epoch in range(3):
                outer = context_at((("epoch", epoch),))
                entries.append(("iteration", outer, 0.0))
                if epoch != number:
                    entries.append(("log", "acc", epoch / 2, outer, "s", 0.0))
                if number == 2:  # an innermost value hides the one around it
                    entries.append(("log", "loss", -1, outer, "s", 0.0))
                for step in range(epoch):
                    ctx = context_at((("epoch", epoch), ("step", step)))
                    entries.append(("iteration", ctx, 0.0))
                    entries.append(("log", "loss", step, ctx, "s", 0.0))
            Batch(store.connection, run, 0).write(entries)
            store.end_run(run, "finished", 0)
        for count in (1, 3, len(COLUMNS)):
            for columns in combinations(COLUMNS, count):
                same_rows(store, columns)


def same_rows(store: Store, columns: tuple[str, ...]) -> None:
    with Views(store.connection) as views:
        (scan,) = analyse(f"SELECT {', '.join(columns)} FROM logs", views.catalogue).scans
        whole = views.create(scan, node=True)
        for size in (1, 2):
            for some in combinations(scan.columns, min(size, len(scan.columns))):
                reading = Reading(frozenset(some), frozenset({frozenset(some[:1])}))
                less = views.create(scan, node=True, reading=reading)
                listing = ", ".join(f'"{c}"' for c in (*some, "run", "flor:node", "flor:shape"))
                rows = [
                    sorted(store.connection.execute(f'SELECT {listing} FROM "{view}"'), key=repr)
                    for view in (whole, less)
                ]
                assert rows[0] == rows[1] and rows[0], (columns, some)
