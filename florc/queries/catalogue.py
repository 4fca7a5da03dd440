"""The names that a query may use, and which one wins when two are alike."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

METADATA = ("run", "version", "script", "started", "branch", "status")
"""Columns of `logs` that every run has."""

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """SQLite compares identifiers without regard to ASCII case only."""
    return name.translate(_LOWER)


def view_names(columns: Iterable[str]) -> dict[str, str]:
    """Column -> its name in a view, where names that differ only by case can't stand together."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        name, n = column, 2
        while fold(name) in taken:
            name, n = f"{column}~{n}", n + 1
        taken.add(fold(name))
        names[column] = name
    return names


@dataclass(frozen=True)
class Catalogue:
    """What there is to select from.

    Columns of `logs` come from four families; where two have a column of the same name, the first
    of metadata, loops, logged names, arguments wins, and the other is still there as
    "loop.NAME", "log.NAME" or "arg.NAME" (quoted).  `tables` holds every other table's columns.
    """

    loops: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _columns(self) -> dict[str, tuple[str, str]]:
        families = (
            ("metadata", METADATA),
            ("loop", self.loops),
            ("log", self.names),
            ("arg", self.arguments),
        )
        columns: dict[str, tuple[str, str]] = {}
        for family, names in families:
            for name in names:
                columns.setdefault(name, (family, name))
        for family, names in families[1:]:
            for name in names:
                columns.setdefault(f"{family}.{name}", (family, name))
        return columns

    @cached_property
    def _folded(self) -> dict[str, str]:
        folded: dict[str, str] = {}
        for column in self._columns:
            folded.setdefault(fold(column), column)
        return folded

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of `logs`."""
        return tuple(self._columns)

    def find(self, column: str) -> str | None:
        """The column of `logs` that `column` means: the exact one, else regardless of case."""
        return column if column in self._columns else self._folded.get(fold(column))

    def origin(self, column: str) -> tuple[str, str]:
        """(family, name) of a column of `logs`; family: "metadata", "loop", "log" or "arg"."""
        return self._columns[column]

    @cached_property
    def star(self) -> tuple[str, ...]:
        """The columns of `SELECT * FROM logs`, in order; each name once."""
        order = (*METADATA, *self.arguments, *self.loops, *self.names)
        return tuple(dict.fromkeys(order))

    def table_columns(self, table: str) -> tuple[str, ...] | None:
        """The columns of a table by any case of its name; None if there is no such table."""
        if fold(table) == "logs":
            return self.star
        return self.tables.get(fold(table))
