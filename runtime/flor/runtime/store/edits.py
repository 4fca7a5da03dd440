"""The changes to a query's text: views for tables, and columns that carry types along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from florc.queries import Analysis, Scan, fold, view_names

KIND, EXACT = "flor:kind:", "flor:exact:"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass
class Companions:
    """Which output columns are restored from hidden columns, and which those are."""

    outputs: list[int] = field(default_factory=list)
    sources: list[tuple[Scan, str]] = field(default_factory=list)
    # Each `*` or `t.*`, to be replaced by the columns it stands for.
    stars: list[tuple[exp.Expression, list[tuple[Scan, str]]]] = field(default_factory=list)

    def columns(self, scan: Scan) -> list[str]:
        """The columns of `scan` that need hidden companions."""
        return list(dict.fromkeys(column for other, column in self.sources if other is scan))

    def add(self, output: int, scan: Scan, column: str) -> None:
        """Restore output column number `output` from the scan's `column`."""
        self.outputs.append(output)
        self.sources.append((scan, column))


def companions(analysis: Analysis, typed: Callable[[str], bool]) -> Companions:
    """Find the outputs that are a logged value, a coordinate or an argument as it is.

    `typed` tells whether a column of `logs` has values that need it.  Only in a plain outermost
    SELECT: after DISTINCT, GROUP BY or UNION a value is SQLite's own.
    """
    result = Companions()
    select = analysis.tree
    if not isinstance(select, exp.Select) or not select.args.get("from_"):
        return result
    if select.args.get("distinct") or select.args.get("group"):
        return result
    if any(_aggregates(projection) for projection in select.expressions):
        return result
    joins = select.args.get("joins") or ()
    merged = any(join.method == "NATURAL" or join.args.get("using") for join in joins)
    here = [scan for scan in analysis.scans if scan.select is select]
    output = 0
    for projection in select.expressions:
        star = projection.this if isinstance(projection, exp.Column) else projection
        if not isinstance(star, exp.Star):
            reference = analysis.reference(projection.unalias())
            if reference is not None and reference.scan.select is select:
                if _is_value(typed, reference.scan, reference.column):
                    result.add(output, reference.scan, reference.column)
            output += 1
            continue
        table = fold(projection.table) if isinstance(projection, exp.Column) else None
        scans = [scan for scan in here if table is None or fold(scan.alias) == table]
        if (table is None and (merged or len(here) != len(joins) + 1)) or len(scans) < 1:
            return Companions()  # no telling how many columns it stands for
        listing = [(scan, column) for scan in scans for column in scan.starred]
        result.stars.append((projection, listing))
        for scan, column in listing:
            if _is_value(typed, scan, column):
                result.add(output, scan, column)
            output += 1
    return result


def _aggregates(projection: exp.Expression) -> bool:
    return any(
        node.find_ancestor(exp.Window, exp.Subquery) is None
        for node in projection.find_all(exp.AggFunc)
    )


def _is_value(typed: Callable[[str], bool], scan: Scan, column: str) -> bool:
    if scan.table == "records":
        return column == "value"
    return scan.table == "logs" and typed(column)


def rewrite(analysis: Analysis, views: Mapping[int, str], hidden: Companions) -> str:
    """The query's text with `views` (by id of the scan) in place of tables."""
    changes: list[tuple[int, int, str]] = []  # start, end (exclusive), new text
    names = {id(scan): view_names(scan.columns) for scan in analysis.scans}
    for scan in analysis.scans:
        meta = scan.node.this.meta
        text = quoted(views[id(scan)])
        if not scan.node.alias:
            text += f" AS {quoted(scan.node.name)}"
        changes.append((meta["start"], meta["end"] + 1, text))
    renamed: dict[tuple[int, int], str] = {}
    for reference in analysis.references:
        name = names[id(reference.scan)][reference.column]
        identifier = reference.node.this
        if fold(name) != fold(identifier.name):
            text = quoted(name)
            parent = reference.node.parent
            if isinstance(parent, exp.Select) and reference.node.arg_key == "expressions":
                text += f" AS {quoted(identifier.name)}"
            renamed[identifier.meta["start"], identifier.meta["end"] + 1] = text
    changes.extend((start, end, text) for (start, end), text in renamed.items())
    for star, listing in hidden.stars:
        text = ", ".join(
            f"{quoted(scan.alias)}.{quoted(names[id(scan)][column])} AS {quoted(column)}"
            for scan, column in listing
        )
        changes.append((*_extent(star), text))
    if hidden.sources:
        place = _end_of_projections(analysis.sql)
        text = "".join(
            f", {quoted(scan.alias)}.{quoted(kind + column)}"
            for scan, column in hidden.sources
            for kind in (KIND, EXACT)
        )
        changes.append((place, place, text + " "))
    return _apply(analysis.sql, changes)


def _extent(star: exp.Expression) -> tuple[int, int]:
    """Where `*` or `t.*` begins and ends (exclusive) in the text."""
    if isinstance(star, exp.Column):
        return star.args["table"].meta["start"], star.this.meta["end"] + 1
    return star.meta["start"], star.meta["end"] + 1


def _end_of_projections(sql: str) -> int:
    """Where the outermost SELECT's FROM begins."""
    depth, selecting, previous = 0, False, None
    for token in sqlglot.tokenize(sql, read="sqlite"):
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        elif depth == 0 and token.token_type == TokenType.SELECT:
            selecting = True
        elif depth == 0 and selecting and token.token_type == TokenType.FROM:
            if previous != TokenType.DISTINCT:  # a IS DISTINCT FROM b
                return token.start
        previous = token.token_type
    raise AssertionError("a query with a FROM clause has none")


def _apply(sql: str, changes: list[tuple[int, int, str]]) -> str:
    for start, end, text in sorted(changes, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql
