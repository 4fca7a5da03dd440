"""How much is replayed to answer a question, against the least that would do.

A synthetic store: runs of epochs of steps, with `loss` by step, `val_acc` by epoch and two
arguments.  Four names were never logged: `grad` and `cos` (by step), `wn` (by epoch), `size` (by
run).  A replay is simulated: the values of what the derivation asks for are put into the store,
round by round, in the order that the planner chooses, until nothing is asked for.  The answer must
be that of a store in which everything was replayed.

What is counted are *iterations*: (run, position) pairs at which something is replayed, at whichever
loop.  A question's oracle is the smallest set of them found that settles the answer, by someone who
knows all values beforehand: each question has SQL, over the full values, that counts it.  It is
honest in what it may do (show one row where one is enough for an EXISTS; show the cheaper
of two failing conditions) and in what it may not (every row of a run must be looked at to say that
none of them has a property).  Values are hashes of the position, so no structure helps anyone.

    python benchmarks/filter.py [--runs 200 --epochs 50 --steps 200] [--only 3,4]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "runtime"))

from flor.runtime.replay.demand import Demand, RunDemand, demand
from flor.runtime.replay.rounds import choose
from flor.runtime.store.store import Store
from florc.plan import LogStatement, LoopPlan, Plan

NAMES = {"grad": ("epoch", "step"), "cos": ("epoch", "step"), "wn": ("epoch",), "size": ()}


@dataclass(frozen=True)
class Question:
    """What is asked, and the least that answers it."""

    sql: str
    oracle: str  # a SELECT that gives the number of iterations, over `steps`, `epochs`, `sizes`


QUESTIONS = (
    Question(
        "SELECT run, epoch, step, grad FROM logs WHERE epoch = 40 AND step = 100",
        "SELECT count(*) FROM steps WHERE epoch = 40 AND step = 100",
    ),
    Question(
        "SELECT run, epoch, step, grad FROM logs WHERE val_acc < 0.02 AND epoch > 8",
        "SELECT count(*) FROM steps WHERE val_acc < 0.02 AND epoch > 8",
    ),
    Question(
        "SELECT run, avg(grad) FROM logs WHERE lr = 0.1 GROUP BY run HAVING run > 150",
        "SELECT count(*) FROM steps WHERE lr = 0.1 AND run > 150",
    ),
    Question(
        "SELECT run, wn, max(val_acc) FROM logs GROUP BY run",
        "SELECT count(DISTINCT run) FROM epochs",
    ),
    Question("SELECT run, epoch, wn FROM logs ORDER BY val_acc DESC LIMIT 10", "SELECT 10"),
    Question(
        "SELECT run, wn FROM logs WHERE epoch = "
        "(SELECT max(epoch) FROM logs AS l WHERE l.run = logs.run)",
        "SELECT count(DISTINCT run) FROM epochs",
    ),
    Question(
        "WITH best AS (SELECT run, max(val_acc) AS v FROM logs GROUP BY run) "
        "SELECT l.run, l.epoch, l.wn FROM logs l JOIN best b ON l.run = b.run AND l.val_acc = b.v",
        "SELECT count(DISTINCT run) FROM epochs",
    ),
    Question(
        "SELECT run, epoch, step, grad FROM logs WHERE loss > 0.999",
        "SELECT count(*) FROM steps WHERE loss > 0.999",
    ),
    Question(
        "SELECT epoch, avg(wn) FROM logs GROUP BY epoch HAVING epoch >= 40",
        "SELECT count(*) FROM epochs WHERE epoch >= 40",
    ),
    Question(
        "SELECT * FROM (SELECT run, epoch, step, sum(grad) OVER (PARTITION BY run "
        "ORDER BY epoch, step) AS total FROM logs) WHERE run = 7",
        "SELECT count(*) FROM steps WHERE run = 7",
    ),
    Question(
        "SELECT DISTINCT run FROM logs WHERE grad > 0.9999 AND epoch < 10",
        "SELECT sum(CASE WHEN hit THEN 1 ELSE n END) FROM (SELECT max(grad > 0.9999) AS hit, "
        "count(*) AS n FROM steps WHERE epoch < 10 GROUP BY run)",
    ),
    Question(
        "SELECT run FROM runs r WHERE status = 'finished' AND EXISTS (SELECT 1 FROM logs l "
        "WHERE l.run = r.run AND l.epoch = 0 AND l.grad > 0.99)",
        "SELECT sum(CASE WHEN hit THEN 1 ELSE n END) FROM (SELECT max(grad > 0.99) AS hit, "
        "count(*) AS n FROM steps WHERE epoch = 0 GROUP BY run)",
    ),
    Question(
        "SELECT run, epoch, step, grad FROM logs WHERE wn > 0.9 AND step < 10",
        "SELECT (SELECT count(*) FROM epochs) + "
        "(SELECT count(*) FROM steps WHERE wn > 0.9 AND step < 10)",
    ),
    Question(
        "SELECT run, epoch, step, grad FROM logs WHERE epoch = 49 AND "
        "run IN (SELECT run FROM logs WHERE size > 0.8)",
        "SELECT (SELECT count(*) FROM sizes) + (SELECT count(*) FROM steps JOIN sizes USING (run) "
        "WHERE epoch = 49 AND size > 0.8)",
    ),
    Question(
        "SELECT run, epoch, step, cos FROM logs WHERE grad > 0.8 AND epoch = 10",
        "SELECT count(*) FROM steps WHERE epoch = 10",
    ),
    Question(
        "SELECT l.run, l.grad FROM logs l JOIN runs r ON r.run = l.run "
        "WHERE r.script = 'train.py' AND r.run < 50 AND l.epoch = 5",
        "SELECT count(*) FROM steps WHERE epoch = 5 AND run < 50",
    ),
    Question(
        "SELECT run, epoch, wn FROM logs WHERE wn > 0.5 ORDER BY val_acc DESC LIMIT 5",
        "SELECT count(*) FROM epochs WHERE val_acc >= (SELECT val_acc FROM epochs WHERE wn > 0.5 "
        "ORDER BY val_acc DESC LIMIT 1 OFFSET 4)",
    ),
    Question(
        "SELECT count(*) FROM logs WHERE epoch > 45 AND (val_acc > 0.9 OR wn > 0.5)",
        "SELECT count(*) FROM epochs WHERE epoch > 45 AND NOT val_acc > 0.9",
    ),
    Question(
        "SELECT run, wn FROM logs WHERE epoch = 0 UNION ALL SELECT run, wn FROM logs "
        "WHERE epoch = 49",
        "SELECT count(*) FROM epochs WHERE epoch IN (0, 49)",
    ),
    Question(
        "SELECT a.run, a.wn, b.wn FROM logs a LEFT JOIN logs b ON b.run = a.run "
        "AND b.epoch = a.epoch - 1 WHERE a.epoch = 30 AND a.val_acc > 0.5",
        "SELECT 2 * count(*) FROM epochs WHERE epoch = 30 AND val_acc > 0.5",
    ),
)


def statements() -> list[LogStatement]:
    return [
        LogStatement(f"s:{name}", name, "train.py", 1, "", path, paths=(path,))
        for name, path in NAMES.items()
    ]


def uniform(*place: int) -> float:
    """A hash of a place, between 0 and 1."""
    x = 0x9E3779B97F4A7C15
    for number in place:
        x = (x ^ (number + 0x7F4A7C15)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 29
    return (x >> 11) / 2**53


def build(folder: Path, runs: int, epochs: int, steps: int) -> Store:
    """The store, and the tables `steps`, `epochs`, `sizes` of all values."""
    store = Store.open(folder, create=True)
    c = store.connection
    c.execute("PRAGMA synchronous = OFF")
    plan = Plan("train.py", (), tuple(
        LoopPlan(name, name, "train.py", 1, "", "for", True, None, (), "item", None)
        for name in ("epoch", "step")
    ), ()).to_json()  # fmt: skip
    rates = (0.1, 0.01, 0.001)
    for run in range(1, runs + 1):
        record = {"script": "train.py", "args": {"lr": rates[run % 3]}, "plan": plan}
        assert store.begin_run(record) == run
        store.end_run(run, "finished", 0)
    c.execute("BEGIN")
    c.execute("INSERT INTO shapes VALUES (1, 0, 'epoch', 1), (2, 1, 'step', 2)")
    c.execute("INSERT INTO names VALUES (1, 'loss'), (2, 'val_acc')")
    c.executemany("INSERT INTO names VALUES (?, ?)", [(i + 3, n) for i, n in enumerate(NAMES)])
    c.executemany("INSERT INTO statements VALUES (?, ?)", [
        (i + 1, f"s:{n}") for i, n in enumerate(NAMES)
    ])  # fmt: skip
    c.execute("CREATE TEMP TABLE steps (run, node, epoch, step, lr, loss, val_acc, grad, cos, wn)")
    c.execute("CREATE TEMP TABLE epochs (run, node, epoch, lr, val_acc, wn)")
    c.execute("CREATE TEMP TABLE sizes (run, node, size)")
    c.create_function("uniform", 4, uniform, deterministic=True)
    counts = (
        f"WITH r(run) AS (SELECT run FROM runs), e(epoch) AS (SELECT 0 UNION ALL SELECT epoch + 1 "
        f"FROM e WHERE epoch < {epochs - 1}), s(step) AS (SELECT 0 UNION ALL SELECT step + 1 "
        f"FROM s WHERE step < {steps - 1}) "
    )
    width = steps + 1
    c.execute(f"INSERT INTO sizes {counts} SELECT run, 0, uniform(run, 9, 9, 4) FROM r")
    c.execute(
        f"INSERT INTO epochs {counts} SELECT run, 1 + epoch * {width}, epoch, a.value, "
        "uniform(run, epoch, 7, 2), uniform(run, epoch, 7, 3) "
        "FROM r JOIN arguments a USING (run), e"
    )
    c.execute(
        f"INSERT INTO steps {counts} SELECT p.run, p.node + 1 + step, epoch, step, lr, "
        "uniform(p.run, epoch, step, 1), val_acc, uniform(p.run, epoch, step, 5), "
        "uniform(p.run, epoch, step, 6), wn FROM temp.epochs p, s"
    )
    kind = c.execute("SELECT kind FROM arguments LIMIT 1").fetchone()[0]
    whole = 2  # kinds of values.py: an int
    c.execute(
        "INSERT INTO nodes SELECT run, node, 0, 1, epoch, epoch, ?1, NULL, epoch FROM epochs "
        f"UNION ALL SELECT run, node, 1 + epoch * {width}, 2, step, step, ?1, NULL, epoch "
        "FROM steps ORDER BY 1, 2", (whole,),
    )  # fmt: skip
    c.execute(
        "INSERT INTO cells SELECT run, node, 2, 0, 0, val_acc, ?1, NULL, NULL, 0, 1 FROM epochs "
        "UNION ALL SELECT run, node, 1, 0, 0, loss, ?1, NULL, NULL, 0, 1 FROM steps ORDER BY 1, 2",
        (kind,),
    )
    c.execute("INSERT INTO name_shapes SELECT run, 1, 2, 0 FROM runs")
    c.execute("INSERT INTO name_shapes SELECT run, 2, 1, 0 FROM runs")
    c.execute("INSERT INTO loop_shapes SELECT run, 1, 0 FROM runs")
    c.execute("INSERT INTO loop_shapes SELECT run, 2, 0 FROM runs")
    c.execute("CREATE TEMP TABLE asked (run, node, PRIMARY KEY (run, node))")
    c.execute("COMMIT")
    c.execute("CREATE UNIQUE INDEX temp.steps_key ON steps (run, node)")
    c.execute("CREATE UNIQUE INDEX temp.epochs_key ON epochs (run, node)")
    return store


def reveal(store: Store, runs: Sequence[RunDemand], steps: int) -> set[tuple[int, int]]:
    """Put in the values of what is asked; the iterations."""
    c, kind = store.connection, 3  # a float
    table = {2: "steps", 1: "epochs", 0: "sizes"}
    done = set()
    c.execute("BEGIN")
    for one in runs:
        rows = []
        for position, found in one.wanted.items():
            node = 0
            if position:
                node = 1 + position[0][1] * (steps + 1)
            if len(position) > 1:
                node += 1 + position[1][1]
            done.add((one.run, node))
            rows += [(one.run, node, str(s.name)) for s in found]
        for name, path in NAMES.items():
            number = list(NAMES).index(name)
            mine = [(run, node) for run, node, other in rows if other == name]
            c.executemany(
                "INSERT OR REPLACE INTO cells SELECT run, node, "
                f"{number + 3}, 0, 1, {name}, {kind}, NULL, {number + 1}, 0, 1 "
                f"FROM temp.{table[len(path)]} WHERE run = ? AND node = ?", mine,
            )  # fmt: skip
            if mine:
                c.execute(
                    "INSERT OR IGNORE INTO name_shapes VALUES (?, ?, ?, 0)",
                    (one.run, number + 3, len(path)),
                )
    c.execute("COMMIT")
    return done


def forget(store: Store) -> None:
    """Back to what was recorded."""
    store.connection.execute("DELETE FROM cells WHERE name_id > 2")
    store.connection.execute("DELETE FROM name_shapes WHERE name_id > 2")
    store.connection.execute("DELETE FROM replayed")


def everything(store: Store, names: Sequence[str]) -> None:
    c = store.connection
    table = {2: "steps", 1: "epochs", 0: "sizes"}
    c.execute("BEGIN")
    for number, (name, path) in enumerate(NAMES.items()):
        if name in names:
            c.execute(
                f"INSERT OR REPLACE INTO cells SELECT run, node, {number + 3}, 0, 1, {name}, 3, "
                f"NULL, {number + 1}, 0, 1 FROM temp.{table[len(path)]}"
            )
            c.execute(
                f"INSERT OR IGNORE INTO name_shapes SELECT run, {number + 3}, {len(path)}, 0 "
                "FROM runs"
            )
    c.execute("COMMIT")


def cost(runs: Sequence[RunDemand]) -> float:
    return float(sum(len(one.positions) for one in runs))


def ask(store: Store, sql: str, steps: int) -> tuple[int, int, float, Demand]:
    """Iterations replayed, rounds, and the processor seconds of the first derivation."""
    done: set[tuple[int, int]] = set()
    first, last = 0.0, Demand()
    for number in range(1000):
        started = time.process_time()
        found = demand(store, sql, statements())
        first = first or time.process_time() - started
        last = found
        if not found.runs:
            return len(done), number, first, last
        done |= reveal(store, choose(found, cost, found.shares, number).runs, steps)
    raise AssertionError("no end")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = build(Path(folder), args.runs, args.epochs, args.steps)
        total = args.runs * (1 + args.epochs * (1 + args.steps))
        print(f"{total} iterations, built in {time.perf_counter() - started:.0f} s", flush=True)
        times = "first derivation, processor s"
        print(f"| | question | replayed | of all | oracle | ratio | rounds | {times} |")
        print("|---|---|---|---|---|---|---|---|")
        wanted = {int(n) for n in args.only.split(",") if n}
        good = 0
        for number, question in enumerate(QUESTIONS, 1):
            if wanted and number not in wanted:
                continue
            least = store.connection.execute(question.oracle).fetchone()[0]
            count, rounds, seconds, last = ask(store, question.sql, args.steps)
            store.declare(last.declarations)
            answer = _key(store.sql(question.sql)[1])
            everything(store, last.names)
            assert answer == _key(store.sql(question.sql)[1]), question.sql
            forget(store)
            ratio = count / least if least else float(count == 0)
            good += ratio <= 1.2
            print(
                f"| {number} | `{question.sql}` | {count} | {100 * count / total:.3f} % | {least} "
                f"| **{ratio:.2f}** | {rounds} | {seconds:.1f} |", flush=True,
            )  # fmt: skip
        print(f"\nat most 1.2 times the oracle: {good}")
        store.close()


def _key(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, rows))


if __name__ == "__main__":
    main()
