"""A column as bytes: a line of JSON, then little-endian arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from . import column
from .column import ABSENT, Column

_SPARSE = 4  # a column with a value in every fourth row, or fewer, keeps the rows' numbers


def spread(rows: Any, logged: Column, count: int) -> Column:
    """A column of `count` rows with `logged` at `rows`, and nothing elsewhere."""
    if len(rows) == count and bool((rows == np.arange(count)).all()):
        return logged
    data: Any = np.zeros(count, dtype=logged.data.dtype)
    if logged.form == "o":
        data = np.full(count, None, dtype=object)
    data[rows] = logged.data
    if len(rows) == count:
        kinds: Any = np.empty(count, dtype=np.uint8)
    else:
        kinds = np.full(count, ABSENT, dtype=np.uint8)
    kinds[rows] = logged.kinds
    return column.column(data, kinds)


def to_blob(c: Column) -> bytes:
    """A column as bytes."""
    count, kinds, data = len(c), c.kinds, c.data
    header: dict[str, Any] = {"n": count}
    parts = []
    if not isinstance(kinds, int):
        at = np.flatnonzero(kinds != ABSENT)
        if len(at) * _SPARSE <= count:
            kinds, data = kinds[at], data[at]
            parts.append(_narrow(at))
            header["at"] = parts[-1].dtype.str
    words, header_of_words = _words(data, kinds)
    header |= header_of_words
    parts.append(words)
    header["words"], header["m"] = words.dtype.str, len(words)
    if isinstance(kinds, int):
        header["kind"] = kinds
    else:
        parts.append(kinds)
    line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
    return line + b"".join(part.tobytes() for part in parts)


def _words(data: Any, kinds: Any) -> tuple[Any, dict[str, Any]]:
    if data.dtype.kind == "i":
        return _narrow(data), {}
    if data.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = data.astype(np.float32)
        if np.array_equal(single.astype(np.float64).view(np.int64), data.view(np.int64)):
            return single, {}
        return data, {}
    texts: dict[tuple[str, Any], int] = {}
    codes = [
        texts.setdefault((type(value).__name__, _written(value)), len(texts))
        for value in data.tolist()
    ]
    return _narrow(np.array(codes, dtype=np.int64)), {"texts": list(texts)}


def _written(value: Any) -> Any:
    return value.hex() if type(value) is float else value


_READ: dict[str, Callable[[Any], Any]] = {
    "str": str, "int": int, "bool": bool, "float": float.fromhex, "NoneType": lambda _: None,
}  # fmt: skip


def _narrow(numbers: Any) -> Any:
    if not len(numbers):
        return numbers.astype(np.int8)
    low, high = int(numbers.min()), int(numbers.max())
    for dtype in (np.int8, np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return numbers.astype(dtype)
    return numbers


def from_blob(blob: bytes) -> Column:
    """The column that `to_blob` was given."""
    end = blob.index(b"\n")
    header = json.loads(blob[:end])
    offset, count, stored = end + 1, header["n"], header["m"]

    def part(dtype: str) -> Any:
        nonlocal offset
        array = np.frombuffer(blob, dtype=dtype, count=stored, offset=offset)
        offset += array.nbytes
        return array

    at = part(header["at"]) if "at" in header else None
    words = part(header["words"])
    kinds = header["kind"] if "kind" in header else part("|u1")
    if "texts" in header:
        values = [_READ[kind](value) for kind, value in header["texts"]]
        data = column.objects(values)[words] if values else np.empty(0, dtype=object)
    else:
        data = words.astype(np.float64 if words.dtype.kind == "f" else np.int64)
    if at is None:
        return Column(data, kinds)
    return spread(at, Column(data, kinds), count)
