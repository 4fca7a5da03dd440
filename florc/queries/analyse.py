"""Which columns of which table each part of a query reads.

Every `FROM logs` is a *scan* of its own: the granularity of its rows follows from the columns that
are read from that scan.  The query's text is kept; edits are made at identifiers' positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from .catalogue import Catalogue, fold
from .errors import QueryError, unknown
from .parse import parse_query


@dataclass
class Scan:
    """One place where a table of the catalogue is read."""

    table: str
    node: exp.Table
    select: exp.Select
    columns: list[str] = field(default_factory=list)  # canonical names, in order of appearance
    starred: tuple[str, ...] = ()  # what `*` stands for here, if there is one

    def add(self, column: str) -> None:
        """Note that the query reads `column` here."""
        if column not in self.columns:
            self.columns.append(column)

    @property
    def alias(self) -> str:
        """The name by which the query calls this scan."""
        return self.node.alias or self.node.name


@dataclass(frozen=True)
class Reference:
    """A column expression and the scan's column that it reads."""

    node: exp.Column
    scan: Scan
    column: str


@dataclass(frozen=True)
class Analysis:
    """A parsed query with its scans and resolved columns."""

    sql: str
    tree: exp.Query
    catalogue: Catalogue
    scans: tuple[Scan, ...]
    references: tuple[Reference, ...]
    homes: Mapping[int, exp.Select] = field(default_factory=dict)
    """By id of a column expression: the SELECT whose FROM clause or aliases it is found in."""

    def reference(self, node: exp.Expression) -> Reference | None:
        """What a column expression reads from a scan; None for anything else."""
        return next((ref for ref in self.references if ref.node is node), None)


def analyse(sql: str, catalogue: Catalogue) -> Analysis:
    """Resolve every column of `sql`.  Raises QueryError (syntax, unknown table or column)."""
    tree = parse_query(sql)
    return _Resolver(sql, tree, catalogue).run()


class _Resolver:
    def __init__(self, sql: str, tree: exp.Query, catalogue: Catalogue) -> None:
        self.sql = sql
        self.tree = tree
        self.catalogue = catalogue
        self.scopes: dict[int, Scope] = {}
        self.scans: dict[int, Scan] = {}
        self.references: list[Reference] = []
        self.homes: dict[int, exp.Select] = {}

    def run(self) -> Analysis:
        try:
            scopes = traverse_scope(self.tree)
        except Exception as error:  # sqlglot's OptimizeError and plain bugs of it alike
            raise QueryError(f"can't make sense of the query: {error}") from None
        for scope in scopes:
            self.scopes[id(scope.expression)] = scope
        for scope in scopes:
            if isinstance(scope.expression, exp.Select):
                self._find_scans(scope)
        for scope in scopes:
            if isinstance(scope.expression, exp.Select):
                self._stars(scope)
                self._joins(scope)
        for column in self.tree.find_all(exp.Column):
            if not isinstance(column.this, exp.Star):
                self._resolve(column)
        return Analysis(
            self.sql, self.tree, self.catalogue, tuple(self.scans.values()),
            tuple(self.references), self.homes,
        )  # fmt: skip

    def _find_scans(self, scope: Scope) -> None:
        for _, source in _sources(scope):
            if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
                continue
            name = source.name
            if source.db or self.catalogue.table_columns(name) is None:
                raise unknown("table", name, ("logs", *self.catalogue.tables))
            assert isinstance(scope.expression, exp.Select)
            self.scans.setdefault(id(source), Scan(fold(name), source, scope.expression))

    def _stars(self, scope: Scope) -> None:
        for projection in scope.expression.expressions:
            if isinstance(projection, exp.Star):
                tables = None
            elif isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                tables = fold(projection.table)
            else:
                continue
            found = False
            for alias, source in _sources(scope):
                if tables is None or fold(alias) == tables:
                    found = True
                    self._star(source)
            if not found and tables is not None:
                raise unknown("table", projection.table, (alias for alias, _ in _sources(scope)))

    def _star(self, source: exp.Expression | Scope) -> None:
        scan = self.scans.get(id(source))
        if scan is not None:
            scan.starred = self.catalogue.table_columns(scan.table) or ()
            for column in scan.starred:
                scan.add(column)

    def _joins(self, scope: Scope) -> None:
        for join in scope.expression.args.get("joins") or ():
            if join.method == "NATURAL":  # joins on all columns that both sides have
                for _, source in _sources(scope):
                    self._star(source)
            for identifier in join.args.get("using") or ():
                found = False
                for _, source in _sources(scope):
                    column = self._column_of(source, identifier.name)
                    found = found or column is not None
                    if column and id(source) in self.scans:
                        self.scans[id(source)].add(column)
                if not found:
                    raise self._unknown(identifier.name, scope)

    def _resolve(self, column: exp.Column) -> None:
        select = column.parent_select
        if not isinstance(select, exp.Select):  # ORDER BY of a UNION names output columns
            return
        start = scope = self.scopes.get(id(select))
        while scope is not None:
            if isinstance(scope.expression, exp.Select):
                if self._resolve_in(column, scope):
                    self.homes[id(column)] = scope.expression
                    return
            if scope.is_root or scope.is_cte or scope.is_derived_table:
                break
            scope = scope.parent
        if start is not None:
            raise self._unknown(column.name, start, column)

    def _resolve_in(self, column: exp.Column, scope: Scope) -> bool:
        name, table = column.name, fold(column.table) if column.table else None
        found = opaque = False
        for alias, source in _sources(scope):
            if table is not None and fold(alias) != table:
                continue
            scan = self.scans.get(id(source))
            canonical = self._column_of(source, name)
            if scan is not None and canonical is not None:
                scan.add(canonical)
                self.references.append(Reference(column, scan, canonical))
            found = found or canonical is not None
            opaque = opaque or self._outputs(source) is None
        if found or opaque:
            return True
        return table is None and fold(name) in (fold(a) for a in _aliases(scope.expression))

    def _column_of(self, source: exp.Expression | Scope, name: str) -> str | None:
        scan = self.scans.get(id(source))
        if scan is not None and scan.table == "logs":
            return self.catalogue.find(name)
        folded = fold(name)
        names = self._outputs(source) or ()
        if scan is not None and folded in ("rowid", "oid", "_rowid_"):
            return None
        return next((n for n in names if n == name), None) or next(
            (n for n in names if fold(n) == folded), None
        )

    def _outputs(self, source: exp.Expression | Scope, depth: int = 0) -> tuple[str, ...] | None:
        """Names of a source's columns; None if only SQLite knows them."""
        if isinstance(source, exp.Table):
            scan = self.scans.get(id(source))
            return self.catalogue.table_columns(scan.table) if scan else None
        if not isinstance(source, Scope) or depth > 50:
            return None
        wrapper = source.expression.parent
        while isinstance(wrapper, exp.SetOperation):  # a recursive CTE, seen from inside
            wrapper = wrapper.parent
        if isinstance(wrapper, (exp.CTE, exp.Subquery)) and wrapper.alias_column_names:
            return tuple(wrapper.alias_column_names)
        query = source.expression
        while isinstance(query, exp.SetOperation):
            query = query.this
        while isinstance(query, exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select):
            return None
        inner = self.scopes.get(id(query))
        names: list[str] = []
        for projection in query.expressions:
            star = projection if isinstance(projection, exp.Star) else projection.find(exp.Star)
            if star is not None and isinstance(projection, (exp.Star, exp.Column)):
                for alias, below in _sources(inner) if inner else ():
                    table = projection.table if isinstance(projection, exp.Column) else ""
                    if not table or fold(table) == fold(alias):
                        columns = self._outputs(below, depth + 1)
                        if columns is None:
                            return None
                        names.extend(columns)
            elif projection.alias_or_name:
                names.append(projection.alias_or_name)
            else:
                names.append(projection.sql())  # unnamed: the user can hardly refer to it
        return tuple(names)

    def _unknown(self, name: str, scope: Scope, column: exp.Column | None = None) -> QueryError:
        known: list[str] = []
        for alias, source in _sources(scope):
            if column is None or not column.table or fold(column.table) == fold(alias):
                known.extend(self._outputs(source) or ())
        if column is not None and column.table and not known:
            return unknown("table", column.table, (alias for alias, _ in _sources(scope)))
        if column is not None and column.this.quoted and not column.table:
            error = unknown("column", name, known)
            return QueryError(f"{error} (text goes in single quotes: '{name}')")
        return unknown("column", name, known)


def _sources(scope: Scope) -> Iterator[tuple[str, exp.Expression | Scope]]:
    """(alias, source) of everything in the FROM clause of this very scope."""
    for alias, (_, source) in scope.selected_sources.items():
        yield alias, source


def _aliases(select: Any) -> Iterator[str]:
    for projection in select.expressions:
        if isinstance(projection, exp.Alias):
            yield projection.alias
