"""Columns of answers: numpy arrays with a kind for each value.

`data` is float64, int64 (integers and truth values) or, for text and columns of several types,
an array of Python objects.  `kinds` holds the values' kinds (`values.py`), or is the one kind that
all have; ABSENT is an iteration where nothing was logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .values import BOOL, FLOAT, INT, NAN, NONE, STR, Encoded, decode, encode

ABSENT = 255
FLOATS = frozenset((FLOAT, NAN))
INTS = frozenset((INT, BOOL))
HELD = frozenset((NONE, BOOL, INT, FLOAT, NAN, STR, ABSENT))
"""Kinds that a column can hold; anything else stays in rows."""


@dataclass(frozen=True)
class Column:
    """The values of one column, row by row."""

    data: Any
    kinds: Any  # uint8 array, or an int

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def present(self) -> frozenset[int]:
        """The kinds that there are."""
        if isinstance(self.kinds, int):
            return frozenset((self.kinds,)) if len(self.data) else frozenset()
        counts = np.bincount(self.kinds, minlength=256)
        return frozenset(np.flatnonzero(counts).tolist())

    @cached_property
    def form(self) -> str:
        """'f' for floats, 'i' for integers or truth values, 'o' for the rest."""
        return {"f": "f", "i": "i"}.get(self.data.dtype.kind, "o")

    def is_kind(self, *wanted: int) -> Any:
        """Which rows are of these kinds: a mask."""
        if isinstance(self.kinds, int):
            return np.full(len(self.data), self.kinds in wanted)
        mask = self.kinds == wanted[0]
        for kind in wanted[1:]:
            mask |= self.kinds == kind
        return mask

    @property
    def missing(self) -> Any:
        """Which rows are None in an answer."""
        return self.is_kind(NONE, ABSENT)

    @property
    def null(self) -> Any:
        """Which rows are NULL to SQL: None, not logged, or not a number."""
        return self.is_kind(NONE, ABSENT, NAN)

    def take(self, index: Any) -> Column:
        """The rows at `index` (positions, or a mask)."""
        kinds = self.kinds if isinstance(self.kinds, int) else self.kinds[index]
        return Column(self.data[index], kinds)

    def to_list(self) -> list[Any]:
        """Python values."""
        if self.form == "o":
            return list(self.data)
        values: list[Any] = self.data.tolist()
        if BOOL in self.present:
            if self.present == {BOOL}:
                return list(map(bool, values))
            for i in np.flatnonzero(self.is_kind(BOOL)).tolist():
                values[i] = bool(values[i])
        if self.present & {NONE, ABSENT}:
            for i in np.flatnonzero(self.missing).tolist():
                values[i] = None
        return values


def column(data: Any, kinds: Any) -> Column:
    """A column; kinds that are all alike become one number."""
    if not isinstance(kinds, int) and len(kinds) and bool((kinds == kinds[0]).all()):
        kinds = int(kinds[0])
    return Column(data, kinds)


def objects(values: Sequence[Any]) -> Any:
    """An array of Python objects, also where these are sequences themselves."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def of_values(values: Iterable[Any]) -> Column:
    """The column of these Python values (of kinds that a column holds)."""
    return of_encoded([encode(value) for value in values])


def of_encoded(encoded: Sequence[Encoded]) -> Column:
    """The column of stored values."""
    kinds = np.fromiter((e[0] for e in encoded), dtype=np.uint8, count=len(encoded))
    present = set(kinds.tolist()) - {NONE, ABSENT}
    if present <= FLOATS:
        numbers = (decode(*e) if e[0] in FLOATS else 0.0 for e in encoded)
        return column(np.fromiter(numbers, np.float64, count=len(encoded)), kinds)
    if present <= INTS:
        whole = (e[1] if e[0] in INTS else 0 for e in encoded)
        return column(np.fromiter(whole, np.int64, count=len(encoded)), kinds)
    values = [None if e[0] == ABSENT else decode(*e) for e in encoded]
    return column(objects(values), kinds)


def absent(count: int) -> Column:
    """A column in which nothing was logged."""
    return Column(np.zeros(count), ABSENT)


def concatenate(columns: Sequence[Column]) -> Column:
    """One column after the other."""
    if len(columns) == 1:
        return columns[0]
    forms = {c.form for c in columns if c.present - {NONE, ABSENT}} or {"f"}
    if len(forms) == 1:
        (form,) = forms
        dtype = {"f": np.float64, "i": np.int64, "o": object}[form]
        data = np.concatenate([_cast(c, dtype) for c in columns])
    else:
        data = np.concatenate([objects(c.to_list()) for c in columns])
    one = {c.kinds if isinstance(c.kinds, int) else -1 for c in columns if len(c)}
    if len(one) == 1 and -1 not in one:
        return Column(data, one.pop())
    return Column(data, np.concatenate([_kinds(c) for c in columns]))


def _cast(c: Column, dtype: Any) -> Any:
    if c.data.dtype == dtype:
        return c.data
    if dtype is object:
        return np.full(len(c), None, dtype=object)
    return np.zeros(len(c), dtype=dtype)  # nothing but NULLs


def _kinds(c: Column) -> Any:
    return np.full(len(c), c.kinds, dtype=np.uint8) if isinstance(c.kinds, int) else c.kinds


def first(columns: Sequence[Column]) -> Column:
    """Row by row the first of `columns` in which something was logged."""
    best = columns[0]
    for other in columns[1:]:
        lacking = best.is_kind(ABSENT)
        if not lacking.any():
            break
        kinds = np.where(lacking, _kinds(other), _kinds(best))
        if best.form == other.form:
            best = column(np.where(lacking, other.data, best.data), kinds)
        elif not best.present - {NONE, ABSENT}:
            best = column(_filled(best, other, lacking), kinds)
        elif not other.present - {NONE, ABSENT}:
            best = column(best.data, kinds)
        else:
            data = np.where(lacking, objects(other.to_list()), objects(best.to_list()))
            best = column(data, kinds)
    return best


def _filled(best: Column, other: Column, lacking: Any) -> Any:
    data = other.data.copy()
    data[~lacking] = None if other.form == "o" else 0
    return data
