"""What all parts of a derivation share: scans, fresh names, subqueries, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from . import subqueries
from .analyse import Analysis, Scan
from .blocks import Item, Relation, TooComplex
from .catalogue import fold, view_names
from .combining import column_value
from .expressions import Scope, Source
from .guards import guarded
from .values import NO, YES, Flag, Influence, Truth, Value

MOVING = ("records", "iterations", "loops")
"""Tables that a replay adds rows to."""
ROWS = "flor:rows"
"""The column that tells which rows stand for rows of a loop that the run didn't note."""
USES = 300
"""How often scans may be used before a query is too complex."""


@dataclass(frozen=True)
class Unknowns:
    """Which columns of `logs` aren't known everywhere.

    `columns` maps them to whether a column `flor:unknown:NAME` of the scan's table tells where
    (else it is nowhere known).  `hindsight` are those that can be replayed.  `rows`: there is a
    column `flor:rows`.
    """

    columns: Mapping[str, bool]
    hindsight: frozenset[str]
    rows: bool = False


UNKNOWN = "flor:unknown:"


@dataclass
class Context:
    """The state of one derivation."""

    analysis: Analysis
    unknowns: Unknowns
    precise: bool = True  # conditions may ask other scans
    relations: dict[str, Relation] = field(default_factory=dict)  # of subqueries, "#1", …
    tables: dict[str, str] = field(default_factory=dict)  # what WITH defines, "t1", …
    scans: dict[str, Scan] = field(default_factory=dict)  # alias of an item -> its scan
    early: set[str] = field(default_factory=set)  # subqueries that few rows may decide
    _count: int = 0

    def fresh(self, prefix: str) -> str:
        """A name that nothing else has."""
        self._count += 1
        if self._count > USES:
            raise TooComplex
        return f"{prefix}{self._count}"

    def scan_of(self, node: exp.Table) -> Scan | None:
        """The scan that a table expression is."""
        return next((scan for scan in self.analysis.scans if scan.node is node), None)

    def lacks(self, scan: Scan) -> bool:
        """Whether some of what a scan reads isn't known."""
        if fold(scan.table) != "logs":
            return scan.table in MOVING
        return any(column in self.unknowns.columns for column in scan.columns)

    def use(self, scan: Scan) -> tuple[Item, Source]:
        """A new item for a scan."""
        alias = self.fresh("s")
        self.scans[alias] = scan
        item = Item(alias, table_text(self.analysis, scan), scan)
        logs = scan.table == "logs"
        values = {}
        shown = view_names(scan.columns)
        names = scan.columns if logs else self.analysis.catalogue.tables[scan.table]
        shown = shown if logs else dict(zip(names, names))
        for column in names:
            state = self.unknowns.columns.get(column) if logs else None
            unknown = NO
            if state is not None:
                unknown = self.unknown(alias, scan, column) if state else YES
            hindsight = logs and column in self.unknowns.hindsight
            values[column] = column_value(
                (alias, column), shown[column], unknown, hindsight, _kind(scan.table, column)
            )
        find = self.analysis.catalogue.find if logs else None
        return item, Source(scan.alias, values, find)

    def unknown(self, alias: str, scan: Scan, column: str) -> Flag:
        """Where a column isn't known."""
        name = (UNKNOWN + view_names(scan.columns)[column]).replace('"', '""')
        return Flag(f'{alias}."{name}"', frozenset((alias,)))

    def new_rows(self, alias: str) -> Flag:
        """Whether a row of an item stands for no one knows how many."""
        scan = self.scans[alias]
        if not self.unknowns.rows or scan.table != "logs" or not guarded("new-loops"):
            return NO
        return Flag(f'{alias}."{ROWS}"', frozenset((alias,)))

    def define(self, sql: str) -> str:
        """A table of a WITH clause; returns its name."""
        for name, text in self.tables.items():
            if text == sql:
                return name
        name = self.fresh("t")
        self.tables[name] = sql
        return name

    # -- subqueries in expressions -------------------------------------------------------------

    def scalar(self, node: exp.Subquery, scope: Scope) -> Value:
        """`(SELECT …)`."""
        return subqueries.scalar(self, node, scope)

    def exists(self, node: exp.Exists, scope: Scope) -> Truth:
        """`EXISTS (SELECT …)`."""
        return subqueries.exists(self, node, scope)

    def among(self, node: exp.In, scope: Scope) -> Truth:
        """`x IN (SELECT …)`."""
        return subqueries.among(self, node, scope)

    def compared(self, node: exp.Expr, scope: Scope) -> Truth | None:
        """`x < (SELECT …)`."""
        return subqueries.compared(self, node, scope)

    def inside(self, node: exp.Expr, scope: Scope) -> Influence:
        """What may change whatever a subquery gives."""
        return subqueries.inside(self, node, scope)


def table_text(analysis: Analysis, scan: Scan) -> str:
    """How a scan's table is written until its real name is known."""
    number = next(i for i, other in enumerate(analysis.scans) if other is scan)
    return f'"flor:scan:{number}"'


def _kind(table: str, column: str) -> str:
    """What SQLite takes a column for in comparisons: equal kinds are compared alike."""
    if table != "logs":
        return f"{table}.{column}"
    if column == "run":
        return "run"
    return "text" if column in ("version", "script", "started", "branch", "status") else "any"
