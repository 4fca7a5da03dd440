"""SQL text -> one read-only query."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from .errors import QueryError

DIALECT = "sqlite"


def parse_query(sql: str) -> exp.Query:
    """Parse one SELECT (or WITH … SELECT) statement.  Raises QueryError with the position."""
    if not sql.strip().strip(";").strip():
        raise QueryError("the query is empty")
    try:
        statements = [tree for tree in sqlglot.parse(sql, read=DIALECT) if tree is not None]
    except ParseError as error:
        raise QueryError(_message(error)) from None
    except (TokenError, RecursionError, ValueError) as error:
        raise QueryError(f"invalid SQL: {str(error).splitlines()[0]}") from None
    if len(statements) != 1:
        raise QueryError(f"one query at a time, not {len(statements)}")
    (tree,) = statements
    if isinstance(tree, exp.Subquery):
        raise QueryError("write the query without parentheses around it")
    if not isinstance(tree, exp.Query):
        raise QueryError(f"only SELECT queries are answered, not {_verb(sql)}")
    if tree.find(exp.Insert, exp.Update, exp.Delete, exp.Create, exp.Drop, exp.Into):
        raise QueryError("only SELECT queries are answered")
    return tree


def _verb(sql: str) -> str:
    return sql.split(None, 1)[0].upper().rstrip(";")


def _message(error: ParseError) -> str:
    first = error.errors[0] if error.errors else {}
    description = (first.get("description") or str(error)).splitlines()[0].rstrip(".")
    line, column = first.get("line"), first.get("col")
    near = (first.get("highlight") or "").strip()
    place = f" at line {line}, column {column}" if line else ""
    return f"invalid SQL{place}: {description}" + (f" (near {near!r})" if near else "")
