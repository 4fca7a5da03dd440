"""Answers as pandas frames, with a type for each column that follows from its values.

Integers with NULLs are pandas' Int64, truth values with NULLs its boolean; a NULL among floats is
NaN, text is pandas' text.  Columns of several types, or of lists and arrays, are objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import column
from .column import ABSENT, Column
from .rows import Answer, unique
from .values import BOOL, FLOAT, INT, NAN, NONE, STR

_NUMBERS = {BOOL, INT, FLOAT, NAN}
_INT64 = 1 << 63


def data_frame(answer: Answer) -> Any:
    """The answer as a pandas DataFrame.  Raises ImportError."""
    import pandas  # type: ignore[import-untyped]

    names = unique(answer.names)
    if answer.columns is not None:
        series = [_of_column(pandas, found) for found in answer.columns]
    else:
        rows = answer.rows or []
        values = list(zip(*rows)) if rows else [()] * len(names)
        series = [_of_values(pandas, found) for found in values]
    return pandas.DataFrame(dict(zip(names, series)), columns=names, copy=False)


def _of_values(pandas: Any, values: tuple[Any, ...]) -> Any:
    types = set(map(type, values)) - {type(None)}
    if types <= {bool, int, float}:
        wide = any(type(v) is int and not -_INT64 <= v < _INT64 for v in values)
        if not wide or float in types:
            return _of_column(pandas, column.of_values(values))
    if types == {str}:
        return _of_column(pandas, Column(column.objects(values), _kinds_of_text(values)))
    return pandas.Series(column.objects(values), dtype=object)


def _kinds_of_text(values: tuple[Any, ...]) -> Any:
    kinds = [NONE if value is None else STR for value in values]
    return np.array(kinds, dtype=np.uint8)


def _of_column(pandas: Any, found: Column) -> Any:
    present = found.present - {NONE, ABSENT}
    nulls = bool(found.present & {NONE, ABSENT})
    if not present:
        return np.full(len(found), np.nan) if nulls else pandas.Series([], dtype=object)
    if present <= _NUMBERS:
        if present & {FLOAT, NAN}:
            return _floats(found, nulls)
        data = found.data
        if found.form == "o":
            data = np.array([0 if v is None else int(v) for v in found.data], dtype=np.int64)
        kind, nullable = (bool, "boolean") if present == {BOOL} else (np.int64, "Int64")
        values = data.astype(kind, copy=False)
        if not nulls:
            return values
        arrays = {"boolean": pandas.arrays.BooleanArray, "Int64": pandas.arrays.IntegerArray}
        return arrays[nullable](values, found.missing)
    if present == {STR}:
        return _text(pandas, found)
    return pandas.Series(column.objects(found.to_list()), dtype=object)


def _floats(found: Column, nulls: bool) -> Any:
    if found.form == "o":
        values = found.to_list()
        return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    if not nulls:
        return found.data
    return np.where(found.missing, np.nan, found.data)


def _text(pandas: Any, found: Column) -> Any:
    codes, distinct = pandas.factorize(found.data)  # NULL is -1
    return pandas.Series(distinct, dtype="str").array.take(codes, allow_fill=True)
