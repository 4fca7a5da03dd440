"""Random SQL over the names of test_filter's stores."""

from __future__ import annotations

from random import Random

HINDSIGHT = {"h": ("epoch", "step"), "g": ("epoch",), "e": ("epoch", "i"), "z": ()}
RECORDED = {"loss": ("epoch", "step"), "acc": ("epoch",), "fin": (), "dev": ("epoch", "i")}
COLUMNS = ("run", "lr", "epoch", "step", "i", *HINDSIGHT, *RECORDED)
JOINS = ("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ",")


class Queries:
    """A source of queries; each has at most two scans of `logs` beside each other."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names = 0

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def small(self) -> int:
        return self.random.randint(0, 3)

    def fresh(self) -> str:
        self.names += 1
        return f"q{self.names}"

    # -- expressions ---------------------------------------------------------------------------

    def column(self, tables: dict[str, tuple[str, ...]]) -> str:
        alias = self.random.choice(sorted(tables))
        columns = tables[alias]
        known = [c for c in columns if c in ("run", "epoch", "step", "acc", "loss", "lr", "x")]
        name = self.random.choice(known or columns) if self.chance(2) else None
        return f"{alias}.{name or self.random.choice(columns)}"

    def hindsight(self, tables: dict[str, tuple[str, ...]]) -> str:
        options = [
            f"{alias}.{c}" for alias, columns in tables.items() for c in columns
            if c in HINDSIGHT or c == "y"
        ]  # fmt: skip
        return self.random.choice(options) if options else self.column(tables)

    def scalar(self, tables: dict[str, tuple[str, ...]]) -> str:
        column = self.column(tables)
        kind = self.random.randrange(16)
        if kind < 9:
            return column
        if kind == 9:
            return str(self.small())
        if kind == 10:
            return f"{column} {self.pick('+', '-', '*', '/', '%')} {self.small()}"
        if kind == 11:
            return f"coalesce({column}, {self.column(tables)}, 1)"
        if kind == 12:
            return f"({self.column(tables)} IS NULL)"
        if kind == 13:
            return f"CASE WHEN {self.hindsight(tables)} > 1 THEN {column} ELSE 2 END"
        if kind == 14:
            return f"{self.pick('typeof', 'abs', '-', 'length')}({column})"
        return self.pick("NULL", "1.0", "'a'", f"{column} || ''")

    def comparison(self, tables: dict[str, tuple[str, ...]]) -> str:
        kind = self.random.randrange(9)
        if kind < 3:
            condition = self.pick(
                "= 0", "> 0", "< 2", "IS NULL", "IS NOT NULL", "<> 1", "= 1", "> 1"
            )
            return f"{self.hindsight(tables)} {condition}"
        one = self.scalar(tables)
        if kind < 6:
            sign = self.pick("=", "<", ">", "<=", ">=", "<>", "IS", "IS NOT")
            return f"{one} {sign} {self.scalar(tables) if self.chance(3) else self.small()}"
        if kind == 6:
            return f"{one} IS {self.pick('NOT ', '')}NULL"
        if kind == 7:
            return f"{one} {self.pick('NOT ', '')}BETWEEN {self.small()} AND {self.small()}"
        return f"{one} {self.pick('NOT ', '')}IN ({self.small()}, {self.small()})"

    def condition(self, tables: dict[str, tuple[str, ...]], depth: int = 2) -> str:
        kind = self.random.randrange(12)
        if depth <= 0 or kind < 4:
            return self.comparison(tables)
        if kind < 9:
            word = self.pick("AND", "AND", "OR")
            return f"{self.condition(tables, depth - 1)} {word} {self.condition(tables, depth - 1)}"
        if kind == 9:
            return f"NOT ({self.condition(tables, depth - 1)})"
        if kind == 10:
            return f"({self.condition(tables, depth - 1)})"
        return self.nested(tables)

    def nested(self, tables: dict[str, tuple[str, ...]]) -> str:
        """A condition with a subquery, perhaps a correlated one."""
        q = self.fresh()
        inner = {q: COLUMNS}
        outer = self.column(tables)
        joined = f"{self.column(inner)} = {outer} AND " if self.chance(2) else ""
        where = f"{joined}{self.condition(inner, 1)}"
        kind = self.random.randrange(7)
        no = self.pick("NOT ", "")
        if kind < 2:
            return f"{no}EXISTS (SELECT 1 FROM logs {q} WHERE {where})"
        if kind < 4:
            return f"{outer} {no}IN (SELECT {self.column(inner)} FROM logs {q} WHERE {where})"
        if kind == 4:
            function = self.pick("max", "min", "count", "sum")
            sign = self.pick("=", "<", ">=")
            return (
                f"{outer} {sign} (SELECT {function}({self.column(inner)}) FROM logs {q} "
                f"WHERE {where})"
            )
        if kind == 5:
            order = f"{q}.{self.pick('acc', 'loss', 'epoch', 'h')} {self.pick('', 'DESC')}"
            return (
                f"{outer} = (SELECT {self.column(inner)} FROM logs {q} WHERE {where} "
                f"ORDER BY {order}, {q}.run, {q}.epoch, {q}.step, {q}.i LIMIT 1)"
            )
        return f"EXISTS (SELECT count({q}.h) FROM logs {q} WHERE {where})"

    # -- FROM ----------------------------------------------------------------------------------

    def source(self, depth: int) -> tuple[str, tuple[str, ...]]:
        """A table and its columns."""
        kind = self.random.randrange(10)
        if depth <= 0 or kind < 6:
            return "logs", COLUMNS
        if kind == 6:
            return "runs", ("run",)
        return f"({self.plain(depth - 1)})", ("x", "y")

    def tables(self, depth: int) -> tuple[str, dict[str, tuple[str, ...]]]:
        """A FROM clause."""
        table, columns = self.source(depth)
        a = self.fresh()
        text, found = f"{table} AS {a}", {a: columns}
        count = self.random.choice([0, 0, 0, 1, 1, 2])
        for number in range(count):
            table, columns = self.source(depth - 1) if number == 0 else ("runs", ("run",))
            b = self.fresh()
            join = self.pick(*JOINS)
            both = {**found, b: columns}
            if join in (",", "CROSS JOIN"):
                text += f" {join} {table} AS {b}"
            elif self.chance(6) and "run" in columns and "run" in found[a] and number == 0:
                text += f" {join} {table} AS {b} USING (run)"
            else:
                on = f"{self.column({b: columns})} = {self.column(found)}"
                if self.chance(2):
                    on += f" AND {self.condition(both, 1)}"
                text += f" {join} {table} AS {b} ON {on}"
            found = both
        return text, found

    # -- SELECT --------------------------------------------------------------------------------

    def plain(self, depth: int) -> str:
        """A query with the columns x and y."""
        if depth > 0 and self.chance(6):
            word = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
            return f"{self.arm(depth - 1)} {word} {self.arm(depth - 1)}"
        text, tables = self.tables(depth)
        where = f" WHERE {self.condition(tables)}" if not self.chance(4) else ""
        x, y = self.column(tables), self.column(tables)
        kind = self.random.randrange(12)
        if kind == 0:
            return f"SELECT {x} AS x, {self.aggregate(tables)} AS y FROM {text}{where} GROUP BY {x}"
        if kind == 1:
            return f"SELECT DISTINCT {x} AS x, {y} AS y FROM {text}{where}"
        if kind == 2:
            return f"SELECT {x} AS x, {self.window(tables)} AS y FROM {text}{where}"
        if kind == 3:
            return f"SELECT max({x}) AS x, {self.aggregate(tables)} AS y FROM {text}{where}"
        if kind == 4:
            order = self.total(tables, x, y)
            return f"SELECT {x} AS x, {y} AS y FROM {text}{where} ORDER BY {order}{self.limit()}"
        y = self.scalar(tables) if self.chance(3) else y
        return f"SELECT {x} AS x, {y} AS y FROM {text}{where}"

    def arm(self, depth: int) -> str:
        """A SELECT for a compound."""
        return f"SELECT x, y FROM ({self.plain(depth)}) AS {self.fresh()}"

    def aggregate(self, tables: dict[str, tuple[str, ...]]) -> str:
        column = self.column(tables) if self.chance(2) else self.hindsight(tables)
        return self.pick(
            f"count({column})", "count(*)", f"sum({column})", f"max({column})", f"min({column})",
            f"count(DISTINCT {column})", f"total({column})",
            f"sum({column}) FILTER (WHERE {self.comparison(tables)})",
        )  # fmt: skip

    def window(self, tables: dict[str, tuple[str, ...]]) -> str:
        part = f"PARTITION BY {self.column(tables)} " if not self.chance(4) else ""
        if self.chance(3):
            return f"rank() OVER ({part}ORDER BY {self.column(tables)} {self.pick('', 'DESC')})"
        order = f"ORDER BY {self.column(tables)}" if self.chance(2) else ""
        return f"{self.pick('sum', 'max', 'count')}({self.hindsight(tables)}) OVER ({part}{order})"

    def total(self, tables: dict[str, tuple[str, ...]], *columns: str) -> str:
        """An order in which rows that are equal look alike."""
        first = self.column(tables)
        directions = [self.pick("", " DESC", " NULLS LAST", " DESC NULLS FIRST") for _ in range(3)]
        return ", ".join(f"{c}{d}" for c, d in zip((first, *columns), directions))

    def limit(self) -> str:
        if self.chance(6):
            return ""
        return f" LIMIT {self.random.randint(0, 4)}" + (
            f" OFFSET {self.small()}" if self.chance(3) else ""
        )

    def query(self) -> str:
        """Any query."""
        kind = self.random.randrange(16)
        if kind == 0:
            outer = self.pick(
                "x > 0", "y > 0", "x = 1", "x + y > 1", "x IS NULL", "typeof(x) = 'null'"
            )
            return f"SELECT x, y FROM ({self.plain(2)}) t WHERE {outer}"
        if kind == 1:
            return (
                f"WITH t AS ({self.plain(1)}), u AS (SELECT x, y FROM t WHERE y > 0) "
                f"SELECT t.x, u.y FROM t {self.pick('LEFT JOIN', 'JOIN')} u ON t.x = u.x "
                f"WHERE {self.condition({'t': ('x', 'y'), 'u': ('x', 'y')}, 1)}"
            )
        if kind == 2:
            text, tables = self.tables(1)
            key, other = self.column(tables), self.column(tables)
            having = f" HAVING {self.pick(f'{key} > 0', f'{key} = 1', f'count({other}) > 1')}"
            order = (
                f" ORDER BY {key} {self.pick('', 'DESC')}{self.limit()}" if self.chance(2) else ""
            )
            return (
                f"SELECT {key}, {self.aggregate(tables)}, {self.aggregate(tables)} FROM {text} "
                f"WHERE {self.condition(tables)} GROUP BY {key}{having}{order}"
            )
        if kind == 3:
            return f"SELECT * FROM logs WHERE {self.condition({'logs': COLUMNS})}"
        if kind == 4:
            best = self.pick("max", "min")
            return f"SELECT run, epoch, g, {best}(fin * 100 + epoch) FROM logs GROUP BY run"
        if kind == 5:
            where = self.condition({"logs": COLUMNS})
            keys = self.pick("run", "run, epoch", "epoch", "lr, epoch")
            return f"SELECT DISTINCT {keys} FROM logs WHERE {where}"
        if kind == 6:
            outer = self.condition({"r": ("run",)}, 1)
            return f"SELECT run FROM runs r WHERE {outer} AND {self.nested({'r': ('run',)})}"
        if kind == 7:
            text, tables = self.tables(1)
            where = self.condition(tables)
            one, other = self.aggregate(tables), self.aggregate(tables)
            return f"SELECT {one}, {other} FROM {text} WHERE {where}"
        if kind == 8:
            where = self.condition({"logs": COLUMNS})
            order = self.pick("loss", "acc DESC", "fin, acc", "h", "loss DESC", "dev")
            return (
                f"SELECT run, epoch, step, i, {self.pick('h', 'g', 'e', 'h, g')} FROM logs "
                f"WHERE {where} ORDER BY {order}, run, epoch, step, i{self.limit()}"
            )
        if kind == 9:
            word = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
            tail = f" ORDER BY x, y{self.limit()}" if self.chance(2) else ""
            return f"{self.arm(1)} {word} {self.arm(1)}{tail}"
        if kind == 10:
            where, output = self.condition({"logs": COLUMNS}), self.nested({"logs": COLUMNS})
            return f"SELECT epoch, ({output}) FROM logs WHERE {where}"
        return self.plain(2)
