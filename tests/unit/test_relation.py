"""`logs` and the other tables, one rule at a time."""

from __future__ import annotations

import math

import pytest

from flor.runtime.store import RunWriter, Store
from florc.queries import QueryError


class Recording:
    """A store that is filled in a few words."""

    def __init__(self, root):
        self.store = Store.open(root, create=True)

    def run(self, *entries, args=None, source="record", **info):
        """Entries: a position ((loop, index, value), …) with a dict of values, or alone."""
        run = self.store.begin_run({"script": "train.py", "args": args or {}, **info})
        writer = RunWriter(self.store.path, run, source)
        for position, values in entries:
            ctx = None
            for loop, index in position:
                ctx = (ctx, loop, index, index + 1 if loop == "epoch" else index)
            if ctx is not None:
                writer.iteration(ctx, 0.0)
            for name, value in values.items():
                writer.log(name, value, ctx, "stmt")
        assert writer.close(), writer.error
        self.store.end_run(run, "finished", 0)
        return run

    def sql(self, query):
        return self.store.sql(query)[1]


@pytest.fixture
def recording(tmp_path):
    made = Recording(tmp_path)
    yield made
    made.store.close()


def at(**coordinates):
    return tuple(coordinates.items())


TRAINING = [
    ((), {"seed": 7}),
    (at(epoch=0), {"acc": 0.5}),
    (at(epoch=0, step=0), {"loss": 3.0}),
    (at(epoch=0, step=1), {"loss": 2.0}),
    (at(epoch=0, i=0), {"dev": 9}),
    (at(epoch=1), {"acc": 0.75}),
    (at(epoch=1, step=0), {"loss": 1.0}),
    (at(epoch=1, step=1), {}),
]


def test_granularity_is_that_of_the_finest_column(recording):
    recording.run(*TRAINING, args={"lr": 0.1})
    assert recording.sql("SELECT run, lr FROM logs") == [(1, 0.1)]
    assert recording.sql("SELECT seed FROM logs") == [(7,)]
    assert recording.sql("SELECT epoch, acc FROM logs") == [(1, 0.5), (2, 0.75)]
    assert recording.sql("SELECT acc, seed FROM logs") == [(0.5, 7), (0.75, 7)]
    assert recording.sql("SELECT epoch, step, loss, acc FROM logs") == [
        (1, 0, 3.0, 0.5), (1, 1, 2.0, 0.5), (2, 0, 1.0, 0.75), (2, 1, None, 0.75),
    ]  # fmt: skip
    assert recording.sql("SELECT loss FROM logs WHERE acc > 0.6") == [(1.0,), (None,)]


def test_the_where_clause_names_columns_too(recording):
    recording.run(*TRAINING)
    assert recording.sql("SELECT epoch FROM logs WHERE loss >= 2") == [(1,), (1,)]


def test_sibling_loops_are_unioned(recording):
    recording.run(*TRAINING)
    assert recording.sql("SELECT epoch, step, i, loss, dev FROM logs ORDER BY 1, 2, 3") == [
        (1, None, 0, None, 9), (1, 0, None, 3.0, None), (1, 1, None, 2.0, None),
        (2, 0, None, 1.0, None), (2, 1, None, None, None),
    ]  # fmt: skip


def test_iteration_without_inner_iterations_is_a_row(recording):
    recording.run((at(epoch=0), {"acc": 1}), (at(epoch=0, step=0), {"loss": 2}), (at(epoch=1), {}))
    assert recording.sql("SELECT epoch, step, loss FROM logs ORDER BY epoch") == [
        (1, 0, 2), (2, None, None),
    ]  # fmt: skip


def test_each_run_has_its_own_granularity(recording):
    recording.run((at(epoch=0), {"loss": 1}))
    recording.run((at(epoch=0), {}), (at(epoch=0, step=0), {"loss": 2}))
    recording.run((at(fold=0), {}), (at(fold=0, epoch=0), {"loss": 3}))
    recording.run(args={"lr": 1})
    assert recording.sql("SELECT run, loss FROM logs ORDER BY run") == [(1, 1), (2, 2), (3, 3)]
    assert recording.sql("SELECT run, lr FROM logs ORDER BY run") == [
        (1, None), (2, None), (3, None), (4, 1),
    ]  # fmt: skip


def test_three_loops_deep(recording):
    recording.run(
        ((), {"top": 1}), (at(fold=0), {"f": 2}), (at(fold=0, epoch=0), {"e": 3}),
        (at(fold=0, epoch=0, step=0), {"s": 4}), (at(fold=0, epoch=0, step=1), {"s": 5}),
    )  # fmt: skip
    assert recording.sql("SELECT fold, epoch, step, top, f, e, s FROM logs") == [
        (0, 1, 0, 1, 2, 3, 4), (0, 1, 1, 1, 2, 3, 5),
    ]  # fmt: skip
    assert recording.sql("SELECT s, top FROM logs") == [(4, 1), (5, 1)]
    assert recording.sql("SELECT f, s FROM logs WHERE s > 4") == [(2, 5)]


def test_innermost_value_wins_and_outer_ones_fill_in(recording):
    recording.run(
        (at(epoch=0), {"loss": 10}),
        (at(epoch=0, step=0), {"loss": 1}),
        (at(epoch=0, step=1), {}),
    )
    assert recording.sql("SELECT step, loss FROM logs") == [(0, 1), (1, 10)]
    recording.run(
        (at(epoch=0), {"loss": 10}),
        (at(epoch=0, step=0), {"loss": math.nan}),
        (at(epoch=0, step=1), {"loss": None}),
    )
    nan, none = recording.sql("SELECT loss FROM logs WHERE run = 2 ORDER BY step")
    assert math.isnan(nan[0])
    assert none == (None,)


def test_logged_twice_in_one_iteration_shows_the_last(recording):
    recording.run((at(epoch=0), {"x": 1}), (at(epoch=0), {"x": 2}))
    assert recording.sql("SELECT x FROM logs") == [(2,)]
    assert recording.sql("SELECT value, ordinal FROM records ORDER BY ordinal") == [(1, 0), (2, 1)]


def test_names_that_clash(recording):
    recording.run(
        (at(epoch=0), {"lr": 0.5, "run": 99, "epoch": 77}), args={"lr": 0.1, "status": "arg"}
    )
    assert recording.sql("SELECT lr, run, epoch, status FROM logs") == [(0.5, 1, 1, "finished")]
    assert recording.sql(
        'SELECT "arg.lr", "log.run", "log.epoch", "arg.status", "loop.epoch" FROM logs'
    ) == [(0.1, 99, 77, "arg", 1)]


def test_names_that_differ_by_case_or_need_quotes(recording):
    recording.run((at(epoch=0), {"Loss": 1, "loss": 2, "val/acc": 3, 'a"b': 4, "select": 5}))
    query = 'SELECT Loss, loss, "val/acc", "a""b", "select" FROM logs'
    columns, rows = recording.store.sql(query)
    assert rows == [(1, 2, 3, 4, 5)]
    assert columns == ["Loss", "loss", "val/acc", 'a"b', "select"]
    assert recording.sql("SELECT EPOCH, LOSS FROM LOGS l WHERE l.Loss < l.loss") == [(1, 1)]
    columns, rows = recording.store.sql("SELECT * FROM logs")
    assert dict(zip(columns, rows[0]))["Loss"] == 1
    assert dict(zip(columns, rows[0]))["loss"] == 2


def test_star_is_every_column(recording):
    recording.run(*TRAINING, args={"lr": 0.1, "fast": True})
    columns, rows = recording.store.sql("SELECT * FROM logs WHERE step = 1 AND epoch = 1")
    assert columns == [
        "run", "version", "script", "started", "branch", "status",
        "fast", "lr", "epoch", "step", "i", "seed", "acc", "loss", "dev",
    ]  # fmt: skip
    (row,) = rows
    assert row[6:] == (True, 0.1, 1, 1, None, 7, 0.5, 2.0, None)
    columns, rows = recording.store.sql("SELECT a.*, b.epoch FROM logs a JOIN logs b ON 1 LIMIT 1")
    assert len(columns) == 16
    assert rows[0][6] is True


def test_types_are_restored(recording):
    values = {"b": True, "nan": math.nan, "big": 10**30, "list": [1, {"a": None}], "f": -0.0}
    recording.run((at(epoch=0), values))
    (row,) = recording.sql("SELECT b, nan, big, list, f, epoch FROM logs")
    assert row[0] is True
    assert math.isnan(row[1])
    assert row[2:4] == (10**30, [1, {"a": None}])
    assert math.copysign(1, row[4]) == -1
    assert recording.sql("SELECT big > 1e29, nan > 0, nan IS NULL, b + 1 FROM logs") == [
        (1, None, 1, 2)
    ]
    assert recording.sql("SELECT list ->> '$[1]' FROM logs") == [('{"a": null}'.replace(" ", ""),)]
    assert recording.sql("SELECT value FROM records WHERE name = 'big'") == [(10**30,)]


def test_queries_of_many_shapes(recording):
    recording.run(*TRAINING, args={"lr": 0.1})
    recording.run(*TRAINING, args={"lr": 0.2})
    assert recording.sql("SELECT lr, avg(loss) FROM logs GROUP BY lr HAVING count(*) > 1") == [
        (0.1, 2.0), (0.2, 2.0),
    ]  # fmt: skip
    assert recording.sql(
        "WITH best AS (SELECT run, max(acc) AS top FROM logs GROUP BY run) "
        "SELECT l.run, l.epoch FROM logs l JOIN best b ON l.run = b.run AND l.acc = b.top"
    ) == [(1, 2), (2, 2)]
    assert recording.sql(
        "SELECT run, acc FROM logs o WHERE acc = (SELECT max(acc) FROM logs i WHERE i.run = o.run)"
    ) == [(1, 0.75), (2, 0.75)]
    assert recording.sql(
        "SELECT epoch, acc - lag(acc) OVER (ORDER BY epoch) FROM logs WHERE run = 1"
    ) == [(1, None), (2, 0.25)]
    assert recording.sql("SELECT acc FROM logs WHERE run = 1 UNION SELECT dev FROM logs") == [
        (0.5,), (0.75,), (9,),
    ]  # fmt: skip
    assert recording.sql("SELECT count(*) FROM logs l JOIN runs r USING (run)") == [(2,)]
    assert recording.sql("SELECT run, x FROM (SELECT run, seed + 1 AS x FROM logs) ORDER BY 1") == [
        (1, 8), (2, 8),
    ]  # fmt: skip
    assert recording.sql("SELECT epoch AS e FROM logs WHERE e = 2 ORDER BY e") == [(2,), (2,)]
    assert recording.sql("SELECT 1 + 1") == [(2,)]
    assert recording.sql("WITH logs AS (SELECT 5 AS x) SELECT x FROM logs") == [(5,)]


def test_other_tables(recording):
    recording.run(*TRAINING)
    assert recording.sql("SELECT name, value, epoch, step FROM records WHERE path = ''") == [
        ("seed", 7, None, None)
    ]
    assert recording.sql("SELECT value, epoch, step FROM records WHERE name = 'loss'") == [
        (3.0, 1, 0), (2.0, 1, 1), (1.0, 2, 0),
    ]  # fmt: skip
    assert recording.sql("SELECT type, count(*) FROM records GROUP BY type ORDER BY type") == [
        ("float", 5), ("int", 2),
    ]  # fmt: skip
    assert recording.sql("SELECT path, idx, epoch FROM iterations WHERE loop = 'step'") == [
        ("epoch/step", 0, 1), ("epoch/step", 1, 1), ("epoch/step", 0, 2), ("epoch/step", 1, 2),
    ]  # fmt: skip
    assert recording.sql("SELECT loop, epoch, count FROM loops ORDER BY path, epoch") == [
        ("epoch", None, 2), ("i", 1, 1), ("step", 1, 2), ("step", 2, 2),
    ]  # fmt: skip
    assert recording.sql("SELECT run, status, exit_code FROM runs") == [(1, "finished", 0)]
    columns, _ = recording.store.sql("SELECT * FROM (SELECT * FROM records)")
    assert not [column for column in columns if column.startswith("flor:")]


def test_empty_store(recording):
    assert recording.sql("SELECT * FROM logs") == []
    assert recording.sql("SELECT count(*) FROM logs") == [(0,)]
    assert recording.sql("SELECT * FROM records") == []
    assert recording.sql("SELECT * FROM iterations") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT acy FROM logs", "unknown column 'acy': did you mean acc?"),
        ("SELECT l.acy FROM logs l", "unknown column 'acy': did you mean acc?"),
        ("SELECT x.acc FROM logs l", "unknown table 'x'"),
        ("SELECT acc FROM log", "unknown table 'log': did you mean logs?"),
        ('SELECT acc FROM logs WHERE status = "finished"', "text goes in single quotes"),
        ("SELECT acc FROM logs WHERE", "invalid SQL at line 1, column"),
        ("SELEC acc", "only SELECT queries are answered, not SELEC"),
        ("", "the query is empty"),
        ("SELECT 1; SELECT 2", "one query at a time"),
        ("DELETE FROM runs", "only SELECT queries are answered, not DELETE"),
        ("PRAGMA user_version = 3", "only SELECT"),
        ("ATTACH 'x.db' AS x", "only SELECT"),
        ("SELECT nope(acc) FROM logs", "no such function: nope"),
        ("SELECT t.z FROM (SELECT acc FROM logs) t", "unknown column 'z'"),
        ("SELECT 'open", "invalid SQL"),
    ],
)
def test_what_cannot_be_answered(recording, query, message):
    recording.run(*TRAINING)
    with pytest.raises(QueryError) as caught:
        recording.sql(query)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert recording.sql("SELECT count(*) FROM runs") == [(1,)]
