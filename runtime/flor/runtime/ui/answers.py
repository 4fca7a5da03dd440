"""What a query gives: rows, and the forms in which people and programs want them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, overload

from ..store.rows import Answer as Found
from ..store.rows import unique
from .columns import framed, table


class Answer(Sequence[dict[str, Any]]):
    """The rows of an answer, each a dict by column; equal to a list of such dicts.

    `print` shows a table, a notebook an HTML one.  Two columns of one name are NAME and NAME_2.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self.columns = unique(columns)
        self._found = Found(list(columns), list(rows))

    @classmethod
    def of(cls, found: Found) -> Answer:
        """What the store has found; rows are made of its columns when someone looks at them."""
        made = cls(found.names, ())
        made._found = found
        return made

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows, as tuples."""
        return self._found.table()[1]

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Answer: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Answer:
        if isinstance(index, slice):
            return Answer(self.columns, self.rows[index])
        return dict(zip(self.columns, self.rows[index]))

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row)) for row in self.rows)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Answer):
            return self.columns == other.columns and self.rows == other.rows
        if isinstance(other, (list, tuple)):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def df(self) -> Any:
        """A pandas DataFrame with a type for each column.  Needs pandas."""
        return framed(self._found)

    def arrow(self) -> Any:
        """A pyarrow Table.  Needs pyarrow."""
        return table(self.columns, self.rows)

    def to(self, format: str) -> str:
        """The text that the command line prints: "table", "csv", "json" or "jsonl"."""
        from .render import render

        out = io.StringIO()
        render(self.columns, self.rows, format, file=out)
        return out.getvalue()

    def __repr__(self) -> str:
        return f"<{count(len(self), 'row')}: {', '.join(self.columns)}>"

    def __str__(self) -> str:
        return self.to("table").rstrip("\n")

    def _repr_html_(self) -> str:
        from .html import html_table

        return html_table(self.columns, self.rows)


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
