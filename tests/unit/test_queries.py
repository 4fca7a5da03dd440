"""What a query reads, and the filter that is derived from it."""

from __future__ import annotations

import pytest

from flor.runtime.replay.demand import demand
from flor.runtime.store import RunWriter, Store
from florc.plan import LogStatement, LoopPlan, Plan
from florc.queries import Catalogue, QueryError, Unknowns, analyse, derive, guards

CATALOGUE = Catalogue(
    loops=("epoch", "step"),
    names=("loss", "acc", "h", "g"),
    arguments=("lr",),
    tables={"runs": ("run", "script", "status")},
)


def filters(sql, hindsight=("h", "g")):
    unknowns = Unknowns(dict.fromkeys(hindsight, False), frozenset(hindsight))
    found = derive(analyse(sql, CATALOGUE), unknowns)
    return [(need.columns, need.condition) for need in found]


def columns(sql):
    return [scan.columns for scan in analyse(sql, CATALOGUE).scans]


def test_each_scan_has_its_own_columns():
    assert columns("SELECT epoch, Loss FROM logs WHERE lr > 1 ORDER BY acc") == [
        ["epoch", "loss", "lr", "acc"]
    ]
    assert columns("SELECT a.loss FROM logs a JOIN logs b ON a.epoch = b.epoch AND b.h > 0") == [
        ["loss", "epoch"], ["epoch", "h"],
    ]  # fmt: skip
    assert sorted(columns("SELECT loss FROM logs WHERE epoch = (SELECT max(step) FROM logs)")) == [
        ["loss", "epoch"], ["step"],
    ]  # fmt: skip
    inner, outer = columns(
        "SELECT acc FROM logs o WHERE EXISTS (SELECT 1 FROM logs i WHERE i.step = o.epoch)"
    )
    assert sorted([inner, outer]) == [["acc", "epoch"], ["step"]]
    assert columns("SELECT loss FROM logs JOIN runs USING (run)")[0] == ["run", "loss"]
    assert columns("SELECT count(*) FROM logs") == [[]]
    assert columns("SELECT * FROM logs")[0] == list(CATALOGUE.star)
    assert columns("SELECT epoch AS e FROM logs ORDER BY e") == [["epoch"]]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT loss FROM logs WHERE epoch > 8", []),
        ("SELECT h FROM logs", [(("h",), None)]),
        ("SELECT h FROM logs WHERE epoch > 8 AND h > 1", [(("h",), "(epoch > 8)")]),
        ("SELECT g FROM logs WHERE acc < 0.6 AND lr = 1 AND run = 2",
         [(("g",), "((acc < 0.6) AND (lr = 1) AND (run = 2))")]),
        ("SELECT h FROM logs WHERE epoch > 8 OR h > 1", [(("h",), None)]),
        ("SELECT epoch FROM logs WHERE epoch > 8 OR h > 1", [(("h",), "NOT (epoch > 8)")]),
        ("SELECT h FROM logs WHERE (epoch > 8 AND h > 1) OR step = 1",
         [(("h",), "((epoch > 8) OR (step = 1))")]),
        ("SELECT h FROM logs WHERE NOT (epoch > 8 AND h > 1)", [(("h",), None)]),
        ("SELECT step FROM logs WHERE NOT (epoch > 8 AND h > 1)",
         [(("h",), "NOT ((epoch > 8) IS FALSE)")]),
        ("SELECT h FROM logs WHERE epoch NOT IN (1, 2)",
         [(("h",), "((epoch IN (1, 2)) IS FALSE)")]),
        ("SELECT h FROM logs WHERE epoch > random()", [(("h",), None)]),
        ("SELECT h FROM logs WHERE epoch IN (SELECT 1)", [(("h",), "(epoch = 1)")]),
        ("SELECT h FROM logs GROUP BY epoch HAVING epoch > 3", [(("h",), "(epoch > 3)")]),
        ("SELECT sum(h) FROM logs GROUP BY epoch HAVING epoch > 3", [(("h",), "(epoch > 3)")]),
        ("SELECT sum(h) FROM logs HAVING sum(epoch) > 3", [(("h",), None)]),
        ("SELECT h FROM logs LIMIT 3", [(("h",), None)]),
        # an outer join keeps rows that fail its condition, and makes NULLs
        ("SELECT a.h FROM logs a LEFT JOIN runs r ON a.epoch > 8", [(("h",), None)]),
        ("SELECT a.h FROM logs a LEFT JOIN runs r ON 1 WHERE a.epoch > 8",
         [(("h",), "(epoch > 8)")]),
        ("SELECT a.h FROM runs r LEFT JOIN logs a ON a.epoch > 8", [(("h",), "(epoch > 8)")]),
        ("SELECT a.h FROM runs r LEFT JOIN logs a USING (run) WHERE a.epoch > 8",
         [(("h",), '((epoch > 8) AND (run IN (SELECT s1."run" FROM runs AS s1) IS TRUE))')]),
        ("SELECT r.run FROM runs r LEFT JOIN logs a ON a.h > r.run WHERE a.epoch IS NULL",
         [(("h",), None)]),
        ("SELECT r.run FROM runs r LEFT JOIN logs a ON a.h > r.run WHERE a.epoch = 1",
         [(("h",), "(epoch = 1)")]),
        ("SELECT a.h FROM logs a RIGHT JOIN runs r ON a.epoch > 8", [(("h",), "(epoch > 8)")]),
        ("SELECT a.h FROM logs a RIGHT JOIN runs r USING (run) WHERE epoch > 8", [(("h",), None)]),
        ("SELECT a.h FROM logs a FULL JOIN runs r ON a.epoch > 8", [(("h",), None)]),
        ("SELECT a.h FROM logs a FULL JOIN runs r ON 1 WHERE a.epoch > 8",
         [(("h",), "(epoch > 8)")]),
        ("SELECT a.h FROM logs a JOIN runs r ON a.epoch > 8 AND a.run = r.run",
         [(("h",), '((epoch > 8) AND (run IN (SELECT s2."run" FROM runs AS s2) IS TRUE))')]),
        ("SELECT a.h FROM logs a JOIN runs r ON a.epoch > 8 FULL JOIN runs s ON 1",
         [(("h",), "(epoch > 8)")]),
        # through CTEs, derived tables and compounds
        ("WITH t AS (SELECT h FROM logs WHERE epoch = 1) SELECT h FROM t",
         [(("h",), "(epoch = 1)")]),
        ("WITH t(a, b) AS (SELECT h, epoch FROM logs) SELECT a FROM t WHERE b = 1",
         [(("h",), "(epoch = 1)")]),
        ("SELECT h FROM logs WHERE epoch = 1 UNION SELECT g FROM logs WHERE epoch = 2",
         [(("h",), "(epoch = 1)"), (("g",), "(epoch = 2)")]),
        ("SELECT h FROM (SELECT h, epoch FROM logs) WHERE epoch = 1", [(("h",), "(epoch = 1)")]),
        ("SELECT epoch FROM (SELECT h, epoch FROM logs)", []),
        ("SELECT epoch FROM (SELECT DISTINCT h, epoch FROM logs)", [(("h",), None)]),
        ("SELECT * FROM (SELECT h, epoch FROM logs EXCEPT SELECT g, step FROM logs) "
         "WHERE epoch = 1", [(("h",), "(epoch = 1)"), (("g",), "(step = 1)")]),
        ("SELECT h FROM (SELECT h, epoch FROM logs ORDER BY acc LIMIT 3) WHERE epoch = 1",
         [(("h",), "NOT EXISTS (SELECT 1 FROM t2 AS b3 WHERE (coalesce(acc > b3.k0, 0) "
           "OR (b3.k0 IS NULL AND acc IS NOT NULL)))")]),
        ("SELECT acc FROM logs o WHERE acc = (SELECT g FROM logs i "
         "WHERE i.epoch = 1 AND i.step = o.step)",
         [(("g",), '((epoch = 1) AND (step IN (SELECT s1."step" FROM logs AS s1) IS TRUE))')]),
        # windows: by the keys that all are partitioned by
        ("SELECT * FROM (SELECT run, epoch, sum(h) OVER (PARTITION BY run) FROM logs) "
         "WHERE run = 1 AND epoch = 2", [(("h",), "(run = 1)")]),
        ("SELECT * FROM (SELECT run, epoch, sum(h) OVER (PARTITION BY run) a, "
         "sum(h) OVER (PARTITION BY epoch) b FROM logs) WHERE run = 1", [(("h",), None)]),
        # an alias isn't a column
        ("SELECT h AS k FROM logs WHERE k > 1 AND epoch = 1", [(("h",), "(epoch = 1)")]),
        # operators that SQLite and the parser rank differently are left alone
        ("SELECT h FROM logs WHERE epoch = step IN (1)", [(("h",), None)]),
        # a recursive query isn't looked into
        ("WITH RECURSIVE t(n) AS (SELECT epoch FROM logs WHERE h > 1 UNION SELECT n + 1 FROM t "
         "WHERE n < 5) SELECT n FROM t WHERE n = 1", [(("h",), None)]),
    ],
)  # fmt: skip
def test_filter(sql, expected):
    assert sorted(filters(sql), key=repr) == sorted(expected, key=repr)


def test_precautions_that_few_stores_would_tell():
    asked = "SELECT h FROM logs WHERE epoch > random()"
    assert filters(asked) == [(("h",), None)]
    with guards.without("random"):
        assert filters(asked) == [(("h",), "((epoch > random()) IS TRUE)")]
    asked = "SELECT h FROM logs WHERE loss > (SELECT avg(loss) FROM logs)"
    ((_, where),) = filters(asked)
    assert "1e-9" in where
    with guards.without("digits"):
        assert "1e-9" not in filters(asked)[0][1]
    # Rows of a loop that the run didn't note: no one knows how many there will be.
    counted = analyse("SELECT count(*) FROM (SELECT h, epoch FROM logs) WHERE epoch > 1", CATALOGUE)
    unknowns = Unknowns({"h": True}, frozenset({"h"}), rows=True)
    (need,) = derive(counted, unknowns)
    assert need.columns == ("h",) and "(epoch > 1)" in need.condition
    with guards.without("new-loops"):
        assert derive(counted, unknowns) == ()


def test_unknown_column_names_the_place_to_look():
    with pytest.raises(QueryError, match="did you mean epoch"):
        analyse("SELECT epohc FROM logs", CATALOGUE)


# -- demand: which iterations of which run -----------------------------------------------------


def loop(name):
    return LoopPlan(name, name, "t.py", 1, "", "for", True, None, (), "item", None)


def statement(name, *path, id=None):
    return LogStatement(id or f"s:{name}", name, "t.py", 1, "", path, paths=(path,))


def record(store, *, logs=(), epochs=3, steps=2, plan=True):
    loops = (loop("epoch"), loop("step"))
    text = Plan("t.py", (), loops, tuple(logs)).to_json() if plan else None
    run = store.begin_run({"script": "t.py", "plan": text})
    writer = RunWriter(store.path, run)
    for e in range(epochs):
        epoch = (None, "epoch", e, e)
        writer.iteration(epoch)
        for s in range(steps):
            ctx = (epoch, "step", s, s)
            writer.iteration(ctx)
            writer.log("loss", 10 * e + s, ctx)
    assert writer.close()
    store.end_run(run, "finished", 0)
    return run


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path, create=True) as opened:
        yield opened


H, G, Z = statement("h", "epoch", "step"), statement("g", "epoch"), statement("z")


def positions(store, sql, statements, **options):
    found = demand(store, sql, statements, **options)
    return {need.run: set(need.positions) for need in found.runs}


def test_statement_of_each_nest(store):
    run = record(store)
    assert positions(store, "SELECT h FROM logs WHERE epoch = 1", [H, G, Z]) == {
        run: {(("epoch", 1), ("step", 0)), (("epoch", 1), ("step", 1))}
    }
    assert positions(store, "SELECT g FROM logs WHERE epoch > 0", [H, G, Z]) == {
        run: {(("epoch", 1),), (("epoch", 2),)}
    }
    assert positions(store, "SELECT z FROM logs", [H, G, Z]) == {run: {()}}
    assert positions(store, "SELECT g FROM logs WHERE loss = 21", [G]) == {run: {(("epoch", 2),)}}
    assert positions(store, "SELECT loss FROM logs", [H, G, Z]) == {}
    found = demand(store, "SELECT g, h, loss FROM logs WHERE loss = 0", [H, G, Z])
    assert found.names == ("g", "h")
    (need,) = found.runs
    assert need.names == ("g", "h")
    assert need.wanted[(("epoch", 0),)] == (G,)
    assert need.wanted[(("epoch", 0), ("step", 0))] == (H,)
    assert need.positions == ((("epoch", 0),), (("epoch", 0), ("step", 0)))


def test_only_runs_that_lack_the_statement(store):
    had = record(store, logs=[H])
    lacks = record(store)
    assert set(positions(store, "SELECT h FROM logs", [H])) == {lacks}
    assert positions(store, "SELECT h FROM logs", [H], runs=[had]) == {}
    store.end_run(had, "finished", 0, dropped=5)  # its recorder lost values: they are missing
    assert set(positions(store, "SELECT h FROM logs", [H])) == {had, lacks}


def test_replayed_positions_are_not_replayed_again(store):
    run = record(store, epochs=1)
    first, second = (("epoch", 0), ("step", 0)), (("epoch", 0), ("step", 1))
    replay = RunWriter(store.path, run, source="replay")
    replay.log("h", 1, ((None, "epoch", 0, 0), "step", 0, 0), "s:h")
    replay.close()
    assert positions(store, "SELECT h FROM logs", [H]) == {run: {second}}
    store.mark_replayed(run, [("h", "s:h", second)])  # it ran, and logged nothing
    assert positions(store, "SELECT h FROM logs", [H]) == {}
    other = statement("h", "epoch", "step", id="another")
    assert positions(store, "SELECT h FROM logs", [other]) == {run: {second}}
    assert first not in positions(store, "SELECT h FROM logs", [other])[run]


def test_deepest_recorded_prefix(store):
    run = record(store, epochs=2, plan=False)
    deeper = statement("m", "epoch", "step", "micro")
    assert positions(store, "SELECT m FROM logs WHERE epoch = 1", [deeper]) == {
        run: {(("epoch", 1), ("step", 0)), (("epoch", 1), ("step", 1))}
    }
    unknown = statement("u", "fold")
    assert positions(store, "SELECT u FROM logs", [unknown]) == {run: {()}}


def test_loop_that_was_never_entered_needs_nothing(store):
    record(store, epochs=0)
    assert positions(store, "SELECT h FROM logs", [H]) == {}


def test_declared_names_are_known_before_and_after(store):
    record(store, epochs=2, steps=2, logs=[statement("w", "epoch")])
    statements = [H, statement("w", "epoch")]
    found = demand(store, "SELECT step, h, w FROM logs WHERE epoch = 9", statements)
    assert found.runs == ()
    with pytest.raises(QueryError):
        store.sql("SELECT h, w FROM logs")
    assert store.sql("SELECT h, w FROM logs", declared=found.declarations)[1] == [(None, None)] * 4
    store.declare(found.declarations)
    assert store.sql("SELECT h, w FROM logs")[1] == [(None, None)] * 4


def test_statement_without_a_literal_name_is_passed_over(store):
    record(store)
    assert demand(store, "SELECT loss FROM logs", [LogStatement("x", None, "t.py", 1, "", ())])
