"""Answers as columns: typed pandas frames and Arrow tables.

A column's type follows from its values.  Numbers never end up as objects: integers with NULLs are
pandas' nullable Int64, booleans with NULLs its boolean, and a NULL among floats is NaN.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from ..store.rows import Answer, unique
from .extras import need

_NONE = type(None)
_NUMBERS = frozenset((bool, int, float))
_INT64 = 1 << 63


def transposed(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The values of each column."""
    return [list(map(itemgetter(i), rows)) for i in range(len(columns))]


def kind_of(values: Sequence[Any]) -> tuple[str, bool]:
    """What a column is, and whether it has NULLs.

    Either "int", "bool", "float", "str", "empty" (all NULL, or no row) or "object".
    """
    types = set(map(type, values))
    nulls = _NONE in types
    types.discard(_NONE)
    if not types:
        return "empty", nulls
    if types <= _NUMBERS:
        if float in types:
            return "float", nulls
        if types == {bool}:
            return "bool", nulls
        numbers = [value for value in values if value is not None] if nulls else values
        if min(numbers) >= -_INT64 and max(numbers) < _INT64:
            return "int", nulls
        return "object", nulls  # over 64 bits
    return ("str" if types == {str} else "object"), nulls


def frame(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    """A pandas DataFrame with a type for each column.  Raises MissingPackage."""
    return framed(Answer(list(columns), list(rows)))


def framed(answer: Answer) -> Any:
    """As `frame`, of what the store has found.  Raises MissingPackage."""
    need("pandas", "pandas", "a data frame")
    from ..store.framing import data_frame

    return data_frame(answer)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A pyarrow Table with a type for each column.  Raises MissingPackage."""
    pyarrow = need("pyarrow", "pyarrow", "an Arrow table")
    arrays = [_arrow(pyarrow, values) for values in transposed(columns, rows)]
    return pyarrow.Table.from_arrays(arrays, names=unique(columns))


def _arrow(pyarrow: Any, values: Sequence[Any]) -> Any:
    kind, _ = kind_of(values)
    types = {
        "int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_(),
        "str": pyarrow.string(), "empty": pyarrow.null(),
    }  # fmt: skip
    if kind in types:
        if kind == "float":  # true numbers among the floats: Arrow takes no bool for a float
            values = [None if value is None else float(value) for value in values]
        return pyarrow.array([_text(v) for v in values] if kind == "str" else values, types[kind])
    plain = [value.tolist() if hasattr(value, "tolist") else value for value in values]
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):  # of several types
        return pyarrow.array([None if v is None else _written(v) for v in plain], pyarrow.string())


def _text(value: Any) -> Any:
    """Text that UTF-8 can hold: lone surrogates are replaced."""
    return value and value.encode("utf-8", "replace").decode("utf-8")


def _written(value: Any) -> str:
    if isinstance(value, str):
        return str(_text(value))
    return value.hex() if isinstance(value, bytes) else json.dumps(value, default=str)
