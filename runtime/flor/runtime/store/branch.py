"""The rows of one nest of loops as SQL: where they are found, and what is joined to them."""

from __future__ import annotations

from .positions import ROOT


class Branch:
    """The FROM clause of one shape: the row's node, and what is joined to it as needed.

    It is looked for from the row outward; `inward`, from the run to the row, each loop's
    iterations being looked for only where all that is known further out is met.
    """

    def __init__(self, shapes: list[int], *, inward: bool = False) -> None:
        self.shapes = shapes
        self._depth = len(shapes) - 1
        self._inward = inward and self._depth > 0
        self._joined = self._depth  # nodes n<joined> … n<depth> are in the FROM clause
        self._runs = self._depth == 0
        self._joins: list[tuple[int, str]] = []  # to the node at which depth
        self._aliases = 0

    @property
    def run(self) -> str:
        """SQL of the row's run."""
        return f"n{self._depth}.run" if self._depth and not self._inward else "r.run"

    def node(self, depth: int) -> str:
        """SQL of the node at `depth` on the row's path."""
        if depth == 0:
            return str(ROOT)
        if depth < self._depth and not self._inward:
            self._join(depth + 1)
            return f"n{depth + 1}.parent"
        return f"n{depth}.node"

    def _join(self, depth: int) -> None:
        """Have the node at `depth` in the FROM clause."""
        while self._joined > depth and not self._inward:
            below = self._joined
            self._joined -= 1
            self._joins.append((
                self._joined,
                f"JOIN nodes n{self._joined} ON n{self._joined}.run = n{below}.run "
                f"AND n{self._joined}.node = n{below}.parent",
            ))  # fmt: skip

    def metadata(self, name: str) -> str:
        """SQL of a column of `runs`."""
        if name == "run":
            return self.run
        if not self._runs and not self._inward:
            self._runs = True
            self._joins.append((0, f"JOIN runs r ON r.run = {self.run}"))
        return f"r.{name}"

    def argument(self, name: str) -> tuple[str, str, str]:
        """SQL of a run argument's value, kind and exact form."""
        alias = self._alias("a")
        literal = "'" + name.replace("'", "''") + "'"
        on = f"{alias}.run = {self.run} AND {alias}.name = {literal}"
        self._joins.append((0, f"LEFT JOIN arguments {alias} ON {on}"))
        return f"{alias}.value", f"{alias}.kind", f"{alias}.exact"

    def loop(self, depth: int) -> tuple[str, str, str]:
        """SQL of the coordinate at `depth`."""
        self._join(depth)
        return f"n{depth}.value", f"n{depth}.kind", f"n{depth}.exact"

    def logged(self, name_id: int, depths: list[int]) -> tuple[str, str, str]:
        """SQL of a logged value: the one at the innermost of `depths` that has one."""
        aliases = []
        for depth in reversed(depths):
            alias = self._alias("c")
            node = self.node(depth)  # which may have to be joined first
            on = f"{alias}.run = {self.run} AND {alias}.node = {node}"
            on += f" AND {alias}.name_id = {name_id} AND {alias}.shown = 1"
            self._joins.append((depth, f"LEFT JOIN cells {alias} ON {on}"))
            aliases.append(alias)
        value, kind, exact = (_first(aliases, part) for part in ("value", "kind", "exact"))
        return value, kind, exact

    def _alias(self, prefix: str) -> str:
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    def conditions(self, shape: int, outer: bool) -> list[str]:
        """Conditions that make the row's node one of `shape`.

        The index by shape is for outer loops, whose iterations are few among all; for an
        innermost one (the + hides it) it would only be a detour.
        """
        if not self._depth or self._inward:
            return []
        return [f"{'' if outer else '+'}n{self._depth}.shape = {shape}"]

    def childless(self, below: list[int]) -> str:
        """The condition that the row has no iteration in the nest of loops `below` it."""
        tables, conditions, parent = [], [], self.node(self._depth)
        for i, shape in enumerate(below):
            tables.append(f"nodes d{i}")
            conditions.append(f"d{i}.run = {self.run} AND d{i}.parent = {parent}")
            conditions.append(f"d{i}.shape = {shape}")
            parent = f"d{i}.node"
        return f"NOT EXISTS (SELECT 1 FROM {', '.join(tables)} WHERE {' AND '.join(conditions)})"

    def tables(self) -> str:
        """The FROM clause."""
        if not self._inward:
            start = f"nodes n{self._depth}" if self._depth else "runs r"
            return "\n".join([start, *(join for _, join in self._joins)])
        found = ["runs r"]
        for depth, shape in enumerate(self.shapes):
            if depth:
                parent = f"n{depth - 1}.node" if depth > 1 else str(ROOT)
                found.append(
                    f"CROSS JOIN nodes n{depth} ON n{depth}.run = r.run "
                    f"AND n{depth}.shape = {shape} AND n{depth}.parent = {parent}"
                )
            found += [join for at, join in self._joins if at == depth]
        return "\n".join(found)


def _first(aliases: list[str], part: str) -> str:
    """`part` of the first of `aliases` that has a row."""
    if len(aliases) == 1:
        return f"{aliases[0]}.{part}"
    cases = " ".join(f"WHEN {a}.kind IS NOT NULL THEN {a}.{part}" for a in aliases)
    return f"CASE {cases} END"
