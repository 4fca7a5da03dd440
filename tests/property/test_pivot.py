"""`logs` against its written rules: random stores, random plain queries, three ways to answer.

The reference enumerates rows by docs/relation.md, one iteration after the other, and puts them into
a table of plain SQLite, which then answers the same query.
"""

from __future__ import annotations

import math
import sqlite3
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from flor.runtime.store import Store, answers, packing
from flor.runtime.store.batches import Batch
from flor.runtime.store.positions import context_at

METADATA = ("run", "script", "status")
NAMES = ("a", "b", "Loss", "loss", "val/acc", "epoch", "text", "mixed")
LOOPS = ("epoch", "step", "i")
ARGUMENTS = ("lr", "a")
NESTS = (
    ("epoch",),
    ("epoch", "step"),
    ("epoch", "i"),
    ("i",),
    ("i", "epoch"),
    ("epoch", "step", "i"),
)


class Logged:
    """A run as it was: iterations in order, and what was logged where."""

    def __init__(self, random: Random) -> None:
        self.script = random.choice(["train.py", "b.py", None])
        self.arguments = {
            name: random.choice([1, 0.5, "x", True, None])
            for name in ARGUMENTS if random.random() < 0.7
        }  # fmt: skip
        self.positions: list[tuple] = [()]
        self.coordinates: dict[tuple, object] = {}
        chosen = [nest for nest in NESTS if random.random() < 0.5]
        self.grow((), (), chosen, random)
        self.values: dict[tuple[str, tuple], list] = {}
        self.replayed: dict[tuple[str, tuple], list] = {}
        kinds = {name: random.choice(KINDS) for name in NAMES}
        for name in NAMES:
            for nest in [(), *chosen]:
                if random.random() < 0.3:
                    self.log(name, nest, kinds[name], random)

    def grow(self, position: tuple, nest: tuple, chosen: list, random: Random) -> None:
        for wider in chosen:
            if wider[:-1] == nest and len(wider) == len(nest) + 1:
                for index in range(random.randint(0, 3)):
                    inner = (*position, (wider[-1], index))
                    value = random.choice([index, index, index * 1.5, f"v{index}", index > 0])
                    self.coordinates[inner] = value if random.random() < 0.2 else index
                    self.positions.append(inner)
                    self.grow(inner, wider, chosen, random)

    def log(self, name: str, nest: tuple, kind, random: Random) -> None:
        for position in self.positions:
            if tuple(loop for loop, _ in position) == nest and random.random() < 0.7:
                count = random.choice([1, 1, 1, 2])
                logged = [kind(random) for _ in range(count)]
                if random.random() < 0.9:
                    self.values[name, position] = logged
                if random.random() < 0.1:
                    self.replayed[name, position] = [kind(random)]

    def shown(self, name: str, position: tuple):
        found = self.values.get((name, position)) or self.replayed.get((name, position))
        return found[-1:] if found else []

    def nests_of(self, name: str) -> set[tuple]:
        logged = [p for n, p in (*self.values, *self.replayed) if n == name]
        return {tuple(loop for loop, _ in position) for position in logged}


def _number(random: Random):
    return random.choice([0.0, -0.0, 1.5, -2.0, 3.0, math.nan, math.inf])


def _whole(random: Random):
    return random.choice([0, 1, 2, -3, 2**53 + 1, -(2**62)])


KINDS = (
    _number, _whole, _number, _whole,
    lambda random: random.random() < 0.5,
    lambda random: random.choice(["x", "y", "", "é", None]),
    lambda random: random.choice([_number, _whole])(random),
    lambda random: random.choice([1, 2.5, "x", None, True, math.nan]),
    lambda random: random.choice([1.0, [1, 2], 10**30]),
    lambda random: random.choice([1.0, 2.0, None]),
)  # fmt: skip


# -- the reference -----------------------------------------------------------------------------


def origin(column: str) -> tuple[str, str]:
    if column in METADATA:
        return "metadata", column
    if column in LOOPS:
        return "loop", column
    if column.startswith(("log.", "arg.", "loop.")):
        return tuple(column.split(".", 1))  # type: ignore[return-value]
    return ("log", column) if column in NAMES else ("arg", column)


def rows_of(number: int, run: Logged, columns: list[str]):
    """The run's rows, by the rules."""
    nests: set[tuple] = set()
    anything = False
    for column in columns:
        family, name = origin(column)
        if family == "loop":
            anything = True
            entered = {tuple(loop for loop, _ in p) for p in run.positions}
            nests |= {nest for nest in entered if nest[-1:] == (name,)}
        elif family == "log":
            anything = True
            nests |= run.nests_of(name)
    if not anything:
        nests = {()}
    for position in run.positions:
        nest = tuple(loop for loop, _ in position)
        if nest not in nests:
            continue
        inner = (
            other for other in run.positions
            if len(other) > len(position) and other[: len(position)] == position
            and tuple(loop for loop, _ in other) in nests
        )  # fmt: skip
        if next(inner, None) is None:
            yield [value(number, run, position, *origin(column)) for column in columns]


def value(number: int, run: Logged, position: tuple, family: str, name: str):
    if family == "metadata":
        return {"run": number, "script": run.script, "status": "finished"}[name]
    if family == "arg":
        return run.arguments.get(name)
    for depth in range(len(position), -1, -1):
        if family == "loop" and depth and position[depth - 1][0] == name:
            return run.coordinates[position[:depth]]
        if family == "log" and run.shown(name, position[:depth]):
            return run.shown(name, position[:depth])[0]
    return None


def in_sqlite(runs: list[Logged], columns: list[str], tail: str) -> list[tuple]:
    """The answer of plain SQLite over the reference's rows."""
    listing = ", ".join(quoted(c) for c in columns)
    types = {"run": "INTEGER", "script": "TEXT", "status": "TEXT"}
    with sqlite3.connect(":memory:") as connection:
        declared = ", ".join(f"{quoted(c)} {types.get(c, '')}" for c in fold_apart(columns))
        connection.execute(f"CREATE TABLE logs ({declared})")
        for number, run in enumerate(runs, 1):
            for row in rows_of(number, run, columns):
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO logs VALUES ({marks})", [plain(v) for v in row])
        names = dict(zip(columns, fold_apart(columns)))
        for column, unlike in names.items():
            listing = listing.replace(quoted(column), quoted(unlike))
            tail = tail.replace(quoted(column), quoted(unlike))
        rows = connection.execute(f"SELECT {listing} FROM logs {tail}").fetchall()
    connection.close()
    return rows


def fold_apart(columns: list[str]) -> list[str]:
    """SQLite's own tables can't have columns that differ only by case."""
    return [
        f"{column}~{i}" if column.lower() == "loss" else column for i, column in enumerate(columns)
    ]


def quoted(name: str) -> str:
    return '"' + name + '"'


def plain(found):
    """What SQL sees of a value."""
    if isinstance(found, bool):
        return int(found)
    if isinstance(found, float) and math.isnan(found):
        return None
    if isinstance(found, int) and not -(2**63) <= found < 2**63:
        return float(found)
    if isinstance(found, list):
        return str(found)
    return found


def exact(found):
    """A value that compares as itself only."""
    return (type(found).__name__, "nan" if found != found else repr(found))


# -- queries -----------------------------------------------------------------------------------


def condition(random: Random, columns: list[str], depth: int = 0) -> str:
    roll = random.random()
    if depth < 3 and roll < 0.35:
        parts = [condition(random, columns, depth + 1) for _ in range(2)]
        return f"({parts[0]} {random.choice(['AND', 'OR'])} {parts[1]})"
    if depth < 3 and roll < 0.45:
        return f"NOT ({condition(random, columns, depth + 1)})"
    name = random.choice(columns)
    text = name in ("script", "status")
    constant = "'train.py' 'x' '' 'b.py'" if text else "0 1 2 -3 1.5 -2.0 9007199254740993 1e9"
    if not text and name != "run" and random.random() < 0.2:
        constant = "'x' 'v1' ''"
    pick = [random.choice(constant.split()) for _ in range(3)]
    if roll < 0.55:
        return f"{quoted(name)} IS {random.choice(['', 'NOT '])}NULL"
    if roll < 0.62:
        return f"{quoted(name)} {random.choice(['', 'NOT '])}IN ({', '.join(pick)})"
    if roll < 0.69:
        return f"{quoted(name)} BETWEEN {pick[0]} AND {pick[1]}"
    operator = random.choice(["=", "<", "<=", ">", ">=", "<>", "!=", "=="])
    if roll < 0.75:
        other = random.choice(columns)
        if other not in METADATA and name not in METADATA:
            return f"{quoted(name)} {operator} {quoted(other)}"
    if roll < 0.8:
        return f"{pick[0]} {operator} {quoted(name)}"
    return f"{quoted(name)} {operator} {pick[0]}"


def build(folder: Path, runs: list[Logged]) -> Store:
    store = Store.open(folder, create=True)
    store.connection.execute("PRAGMA synchronous = OFF")
    for run in runs:
        number = store.begin_run({"script": run.script, "args": run.arguments})
        batch = Batch(store.connection, number, 0)

        def context(position, run=run):
            steps = [
                (loop, index, run.coordinates[position[: depth + 1]])
                for depth, (loop, index) in enumerate(position)
            ]
            return context_at(steps)

        batch.write([("iteration", context(p), 0.0) for p in run.positions if p])
        for source, values in ((0, run.values), (1, run.replayed)):
            batch = Batch(store.connection, number, source)
            batch.write(
                [("log", n, v, context(p), "s", 0.0) for (n, p), vs in values.items() for v in vs]
            )
        store.end_run(number, "finished", 0)
    return store


def everything() -> Logged:
    """A run that logged everything, so that each name is known."""
    run = Logged(Random(0))
    run.positions = [(), (("epoch", 0),), (("epoch", 0), ("step", 0)), (("i", 0),)]
    run.coordinates = {p: 0 for p in run.positions if p}
    run.values = {(name, ()): [1] for name in NAMES}
    run.replayed = {}
    run.arguments = dict.fromkeys(ARGUMENTS, 1)
    return run


COLUMNS = (*METADATA, *LOOPS, *NAMES[:5], "text", "mixed", "lr", "log.epoch", "arg.a", "loop.step")


def check(seed: int) -> None:
    random = Random(seed)
    runs = [Logged(random) for _ in range(random.randint(1, 3))] + [everything()]
    with tempfile.TemporaryDirectory() as folder, build(Path(folder), runs) as store:
        packed = random.choice([0, 1, 2])
        for number in range(1, len(runs) + 1):
            if packed == 2 or (packed == 1 and random.random() < 0.5):
                packing.pack_run(store.connection, number)
        if random.random() < 0.3:
            packing.compact(store.connection)
        for _ in range(6):
            columns = random.sample(COLUMNS, random.randint(1, 5))
            tail = ""
            if random.random() < 0.7:
                tail = f"WHERE {condition(random, columns)}"
            if random.random() < 0.4:
                keys = [c for c in columns if c not in ("mixed",)]
                order = [f"{quoted(c)} {random.choice(['', 'ASC', 'DESC'])}" for c in keys]
                tail += f" ORDER BY {', '.join(order)}" if order else ""
                if len(keys) == len(columns) and random.random() < 0.5:
                    tail += f" LIMIT {random.randint(0, 4)} OFFSET {random.randint(0, 2)}"
            compare(store, runs, columns, tail)


def compare(store: Store, runs: list[Logged], columns: list[str], tail: str) -> None:
    query = f"SELECT {', '.join(map(quoted, columns))} FROM logs {tail}"
    note(query)
    # A LIMIT may choose between rows that sort alike: 0 and -0.0, 1 and True.
    seen = sorted_as if "LIMIT" in tail else plain
    expected = sorted([exact(seen(v)) for v in row] for row in in_sqlite(runs, columns, tail))
    answered = [answers.answer(store.connection, query, columns=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "_worthwhile", lambda *_: False)
        answered.append(answers.answer(store.connection, query))
    assert answered[1].columns is None
    tables = [found.table() for found in answered]
    assert tables[0][0] == tables[1][0] == columns
    for _, rows in tables:
        assert sorted([exact(seen(v)) for v in row] for row in rows) == expected
    ordered = "ORDER BY" in tail and "mixed" not in columns
    exactly = [[[exact(v) for v in row] for row in rows] for _, rows in tables]
    if ordered:  # all columns are keys: only -0.0 and 0, 1 and True and the like may change places
        keys = [[[exact(sorted_as(v)) for v in row] for row in rows] for _, rows in tables]
        assert keys[0] == keys[1]
    if not tail:
        everything = sorted(
            [exact(v) for v in row]
            for n, run in enumerate(runs, 1)
            for row in rows_of(n, run, columns)
        )
        assert sorted(exactly[0]) == sorted(exactly[1]) == everything


def sorted_as(found):
    found = plain(found)
    return float(found) + 0.0 if isinstance(found, (int, float)) else found


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seeds)
def test_columns_and_sqlite_answer_as_the_rules_say(seed):
    check(seed)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(seeds)
def test_columns_and_sqlite_answer_as_the_rules_say_at_length(seed):
    check(seed)


def test_the_columns_way_is_taken(tmp_path):
    """What the tests above compare isn't SQLite with itself."""
    taken = 0
    for seed in range(20):
        random = Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            with build(Path(folder), [Logged(random), everything()]) as store:
                for query in ("SELECT epoch, a FROM logs", "SELECT run, b FROM logs WHERE b > 1"):
                    found = answers.answer(store.connection, query, columns=True)
                    taken += found.columns is not None
    assert taken >= 30
