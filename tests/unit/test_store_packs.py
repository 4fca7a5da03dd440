"""Packs: values by column, beside the rows; what they hold, and when they are void."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest

from flor.runtime.store import RunWriter, Store, answers, frames, packs
from flor.runtime.store.column import ABSENT, Column, concatenate, first, of_values
from flor.runtime.store.values import FLOAT, INT, NONE


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path, create=True) as opened:
        yield opened


def record(store, values, source="record", run=None):
    """Log `values` under "x", one an epoch; "y" (text) in every third."""
    run = store.begin_run({"script": "train.py"}) if run is None else run
    writer = RunWriter(store.path, run, source)
    for index, value in enumerate(values):
        ctx = (None, "epoch", index, index)
        if source == "record":
            writer.iteration(ctx, 0.0)
            if index % 3 == 0:
                writer.log("y", f"t{index % 2}", ctx, "s")
        writer.log("x", value, ctx, "s")
    assert writer.close(), writer.error
    if source == "record":
        store.end_run(run, "finished", 0)
    return run


def packed(store):
    query = "SELECT run, pack FROM packed WHERE pack IS NOT NULL ORDER BY run"
    return store.connection.execute(query).fetchall()


def by_column(store, query):
    """The answer, which must not come from SQLite."""
    found = answers.answer(store.connection, query, columns=True)
    assert found.columns is not None
    return found.table()[1]


def by_sqlite(store, query, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(answers, "_worthwhile", lambda *_: False)
        return store.sql(query)[1]


QUERY = "SELECT run, epoch, x, y FROM logs"


def test_a_query_packs_ended_runs_once(store):
    record(store, [1.5, 2.5])
    record(store, [3, 4])
    assert packed(store) == []
    rows = [(1, 0, 1.5, "t0"), (1, 1, 2.5, None), (2, 0, 3, "t0"), (2, 1, 4, None)]
    assert by_column(store, QUERY) == rows
    (one, two) = packed(store)
    assert one[1] == two[1]
    assert by_column(store, QUERY) == rows
    assert packed(store) == [one, two]


def test_a_run_that_goes_on_is_read_from_its_rows(store):
    run = store.begin_run({})
    writer = RunWriter(store.path, run)
    for index in range(3):
        writer.log("x", index, (None, "epoch", index, index))
        assert writer.flush(20)
        assert by_column(store, "SELECT x FROM logs") == [(i,) for i in range(index + 1)]
        assert packed(store) == []
    writer.close()


def test_what_a_replay_adds_voids_the_pack(store):
    run = record(store, [1.0, 2.0])
    assert store.pack(run)
    replay = RunWriter(store.path, run, "replay")
    replay.log("z", 7, (None, "epoch", 1, 1), "t")
    assert replay.close()
    assert packed(store) == []
    assert by_column(store, "SELECT x, z FROM logs") == [(1.0, None), (2.0, 7)]
    assert packed(store) != []


def test_iterations_that_a_replay_adds_void_the_pack(store):
    run = record(store, [1.0, 2.0])
    store.pack(run)
    store.mark_replayed(run, [("z", "t", (("epoch", 7),))])
    assert packed(store) == []
    assert by_column(store, "SELECT epoch FROM logs") == [(0,), (1,), (7,)]


def test_a_damaged_pack_is_not_read(store):
    run = record(store, [1.0, 2.0])
    store.pack(run)
    rows = store.sql(QUERY)[1]
    store.connection.execute("UPDATE pack_columns SET data = x'7b7d0a'")
    assert answers.answer(store.connection, QUERY, columns=True).columns is None
    assert store.sql(QUERY)[1] == rows


def test_only_the_packs_of_runs_that_are_asked_for_are_read(store, monkeypatch):
    for n in range(3):
        store.pack(record(store, [float(n)]))
    read, load = [], packs.load
    monkeypatch.setattr(
        packs, "load", lambda c, pack, *rest: (read.append(pack), load(c, pack, *rest))[1]
    )
    query = QUERY + " WHERE (\n(run = 2 AND script = 'train.py') AND x > 0\n)"
    assert by_column(store, query) == [(2, 0, 1.0, "t0")]
    assert set(read) == {2}


def test_a_pack_made_from_rows_that_have_changed_is_not_kept(store, monkeypatch):
    run = record(store, [1.0, 2.0])
    gather = packs.gather

    def slow(connection, number):
        pack = gather(connection, number)
        replay = RunWriter(store.path, run, "replay")  # meanwhile
        replay.log("z", 7, (None, "epoch", 1, 1), "t")
        assert replay.close()
        return pack

    monkeypatch.setattr(packs, "gather", slow)
    store.pack(run)
    assert packed(store) == []
    monkeypatch.undo()
    assert by_column(store, "SELECT x, z FROM logs WHERE x = 2") == [(2.0, 7)]
    assert packed(store) != []


def test_compact_merges_packs_and_keeps_the_answers(store):
    runs = [record(store, [float(n), n + 0.5]) for n in range(5)]
    for run in runs:
        store.pack(run)
    before = by_column(store, QUERY)
    assert len({pack for _, pack in packed(store)}) == 5
    record(store, [9])
    assert store.compact() == 1
    assert len({pack for _, pack in packed(store)}) == 1
    assert by_column(store, QUERY)[:10] == before
    # One run of the merged pack changes: the others are still read from it.
    replay = RunWriter(store.path, runs[2], "replay")
    replay.log("x", 5, (None, "epoch", 2, 2), "t")
    replay.close()
    assert len(packed(store)) == 5
    rows = by_column(store, QUERY)
    assert rows[:6] + rows[7:] == [*before, (6, 0, 9, "t0")]
    assert rows[6] == (3, 2, 5, None)
    store.compact()
    assert by_column(store, QUERY) == rows
    (count,) = store.connection.execute("SELECT count(*) FROM packs").fetchone()
    assert count == len({pack for _, pack in packed(store)})


def test_many_small_packs_are_merged_as_runs_end(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.packing._MANY", 4)
    for n in range(10):
        store.pack(record(store, [float(n), n + 0.5]))
        assert len({pack for _, pack in packed(store)}) < 4
        assert len(packed(store)) == n + 1
        (count,) = store.connection.execute("SELECT count(*) FROM packs").fetchone()
        assert count < 4
    assert [x for _, _, x, _ in by_column(store, QUERY)] == [n / 2 for n in range(0, 20)]


def test_large_packs_are_not_merged(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.packing._SMALL", 4)
    for n in range(4):
        store.pack(record(store, [float(n)] * (1 + 9 * (n % 2))))
    store.compact()
    assert len({pack for _, pack in packed(store)}) == 4
    store.pack(record(store, [9.0]))
    store.pack(record(store, [8.0]))
    store.compact()
    runs = {}
    for run, pack in packed(store):
        runs.setdefault(pack, []).append(run)
    assert sorted(runs.values()) == [[1], [2], [3], [4], [5, 6]]


def test_values_that_columns_cannot_hold_are_answered_by_sqlite(store, monkeypatch):
    values = [1.0, [1, 2], 10**30]
    run = record(store, values)
    store.pack(run)
    assert store.sql("SELECT x FROM logs")[1] == [(v,) for v in values]
    assert answers.answer(store.connection, QUERY, columns=True).columns is None
    assert by_column(store, "SELECT epoch, y FROM logs WHERE epoch > 0") == [(1, None), (2, None)]


def test_a_huge_run_that_is_not_packed_is_left_to_sqlite(store, monkeypatch):
    record(store, [1.0, 2.0])
    monkeypatch.setattr(frames, "MAX_GATHERED", 1)
    assert answers.answer(store.connection, QUERY, columns=True).columns is None
    store.compact()
    assert len(by_column(store, QUERY)) == 2


def test_a_locked_store_is_queried_all_the_same(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.packing._PATIENCE_MS", 1)
    record(store, [1.0, 2.0])
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert len(by_column(store, QUERY)) == 2
    other.execute("ROLLBACK")
    other.close()
    assert packed(store) == []


def test_only_so_much_is_packed_when_a_run_ends(store):
    run = record(store, [1.0] * 10)
    assert not store.pack(run, limit=20)
    assert store.pack(run, limit=30)


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        QUERY + " WHERE x > 2 OR y IS NULL",
        QUERY + " WHERE NOT (x BETWEEN 2 AND 3) AND run IN (1, 3)",
        QUERY + " WHERE x <> 'a' AND y <> 't1'",
        QUERY + " ORDER BY x DESC, epoch LIMIT 3 OFFSET 1",
        "SELECT epoch AS e, x AS e FROM logs ORDER BY e DESC, 2",
        'SELECT "log.x", EPOCH, l.* FROM logs l WHERE l.run = 1',
        "SELECT script, status, x FROM logs WHERE script = 'train.py' AND run < 2",
        "SELECT x FROM logs WHERE x = NULL",
    ],
)
def test_both_ways_answer_alike(store, monkeypatch, query):
    record(store, [1.0, 2.0, math.nan, 3.0, -0.0])
    record(store, [1, True, None, "a", 3.5])
    record(store, [])
    mixed = by_column(store, query)
    assert list(map(repr, mixed)) == list(map(repr, by_sqlite(store, query, monkeypatch)))
    names = answers.answer(store.connection, query, columns=True).names
    monkeypatch.setattr(answers, "_worthwhile", lambda *_: False)
    assert answers.answer(store.connection, query).names == names


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x + 1 FROM logs",
        "SELECT max(x) FROM logs",
        "SELECT DISTINCT x FROM logs",
        "SELECT x FROM logs GROUP BY run",
        "SELECT a.x FROM logs a JOIN logs b USING (run, epoch)",
        "SELECT x FROM logs WHERE x LIKE '1%'",
        "SELECT x FROM logs WHERE x IN (SELECT x FROM logs)",
        "SELECT x FROM logs WHERE run = '1'",
        "SELECT x FROM logs WHERE status = 1",
        "SELECT x FROM logs ORDER BY x + 1",
        "SELECT x FROM logs ORDER BY x COLLATE NOCASE",
        "SELECT x FROM logs ORDER BY x NULLS LAST",
        "SELECT x FROM logs LIMIT 1 + 1",
        "SELECT x FROM (SELECT x FROM logs)",
        "SELECT x FROM logs UNION ALL SELECT x FROM logs",
        "WITH t AS (SELECT x FROM logs) SELECT * FROM t",
        "SELECT x FROM logs WHERE x = 9007199254740993",
    ],
)
def test_everything_else_is_sqlites(store, query):
    record(store, [1.0, 2.0])
    assert answers.answer(store.connection, query, columns=True).columns is None


# -- columns and their bytes -------------------------------------------------------------------

EXAMPLES = [
    [1.5, 2.25, -0.0, math.inf],
    [0.1, 1e300, math.nan, None],
    [1, 2, 300, -(2**62)],
    [True, False, None],
    [True, 2, None, 3],
    ["a", "é", "", "a", None],
    [1, 1.0, True, "1", None, math.nan, -0.0, 0.0],
    [None, None],
    [],
]


def exact(values):
    return [(type(v).__name__, repr(v)) for v in values]


@pytest.mark.parametrize("values", EXAMPLES, ids=repr)
def test_columns_come_back_from_bytes(values):
    made = of_values(values)
    assert exact(made.to_list()) == exact(values)
    again = packs.from_blob(packs.to_blob(made))
    assert exact(again.to_list()) == exact(values)
    assert again.form == made.form or not values
    for chosen in ([], [0] * bool(values), list(range(len(values)))[::-1]):
        assert exact(again.take(np.array(chosen, dtype=int)).to_list()) == exact(
            [values[i] for i in chosen]
        )


@pytest.mark.parametrize("values", EXAMPLES[:-1], ids=repr)
def test_sparse_columns_come_back_from_bytes(values):
    kinds = np.full(100, ABSENT, dtype=np.uint8)
    made = of_values(values)
    data = np.zeros(100, dtype=made.data.dtype)
    if made.form == "o":
        data = np.full(100, None, dtype=object)
    kinds[::9][: len(values)] = made.kinds
    data[::9][: len(values)] = made.data
    sparse = Column(data, kinds)
    blob = packs.to_blob(sparse)
    assert len(blob) < len(packs.to_blob(of_values([0.1] * 100)))
    assert exact(packs.from_blob(blob).to_list()) == exact(sparse.to_list())


def test_single_precision_and_small_integers_take_less_space():
    single = of_values([float(np.float32(n / 7)) for n in range(1000)])
    double = of_values([n / 7 for n in range(1000)])
    whole = of_values(list(range(1000)))
    assert len(packs.to_blob(single)) < 4100
    assert 8000 < len(packs.to_blob(double)) < 8100
    assert len(packs.to_blob(whole)) < 2100


@pytest.mark.parametrize("a", EXAMPLES, ids=repr)
@pytest.mark.parametrize("b", EXAMPLES, ids=repr)
def test_columns_one_after_the_other(a, b):
    assert exact(concatenate([of_values(a), of_values(b)]).to_list()) == exact([*a, *b])


def test_the_first_column_that_has_something():
    some = Column(np.array([1.0, 0.0, 0.0]), np.array([FLOAT, ABSENT, NONE], dtype=np.uint8))
    whole = Column(np.array([4, 5, 6]), INT)
    assert exact(first([some, whole]).to_list()) == exact([1.0, 5, None])
    assert exact(first([whole, some]).to_list()) == exact([4, 5, 6])
    nothing = Column(np.zeros(3), ABSENT)
    assert exact(first([nothing, whole]).to_list()) == exact([4, 5, 6])
    text = of_values(["a", "b", "c"])
    partly = Column(np.zeros(3), np.array([ABSENT, NONE, ABSENT], dtype=np.uint8))
    assert exact(first([partly, text]).to_list()) == exact(["a", None, "c"])
