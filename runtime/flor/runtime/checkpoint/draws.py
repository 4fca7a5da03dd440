"""Random draws that iterators make: which can draw at all, from what, and at which steps."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

from .kinds import ITERATORS
from .rng import (
    byte_tensor,
    capture_rng,
    fingerprint,
    pack_numpy,
    pack_python,
    tensor_bytes,
    unpack_numpy,
    unpack_python,
)

LOG_LIMIT = 512
"""Steps with random draws that are remembered; beyond, an iterator is unrestorable."""

TOO_MANY = f"an iterator that drew random numbers in more than {LOG_LIMIT} steps"


# -- which iterables draw ----------------------------------------------------------------------


_SAFE = frozenset(
    {
        list,
        tuple,
        range,
        dict,
        set,
        frozenset,
        str,
        bytes,
        bytearray,
        type({}.keys()),
        type({}.values()),
        type({}.items()),
    }
)
_WRAPPERS = frozenset({enumerate, zip, reversed})


def draws_nothing(iterable: Any, depth: int = 0) -> bool:
    """Whether advancing an iterator over `iterable` surely runs no user code."""
    cls = type(iterable)
    if cls in _SAFE or (cls in ITERATORS and cls not in _WRAPPERS and cls not in (map, filter)):
        return "callable_iterator" not in cls.__name__
    if depth < 8 and cls in _WRAPPERS:
        parts = _inner(iterable)
        return parts is not None and all(draws_nothing(part, depth + 1) for part in parts)
    names = {(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__}
    if ("tqdm", "tqdm") in names and depth < 8:
        return draws_nothing(getattr(iterable, "iterable", iterable), depth + 1)
    return ("numpy", "ndarray") in names or (cls.__module__ == "torch" and cls.__name__ == "Tensor")


def _inner(iterator: Any) -> list[Any] | None:
    try:
        parts = iterator.__reduce__()
    except Exception:
        return None
    args = list(parts[1])
    return [a for a in args if type(a) is not int]


def is_loader(obj: Any) -> bool:
    """Whether `obj` is a torch data loader."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.DataLoader in type(obj).__mro__


def source_loader(values: Sequence[Any]) -> Any:
    """The first data loader among `values`, or None."""
    return next((value for value in values if is_loader(value)), None)


# -- generators of random numbers that belong to the source ------------------------------------


def generators_of(values: Sequence[Any]) -> list[Any]:
    """torch, numpy and Python generators among `values`, and those of a data loader's samplers."""
    found: list[Any] = []
    todo, seen = list(values), set()
    while todo:
        obj = todo.pop(0)
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if _stream(obj):
            found.append(obj)
        elif is_loader(obj):
            spaces = [vars(obj)]
            todo += [spaces[0].get(name) for name in ("generator", "sampler", "batch_sampler")]
        elif _is_sampler(obj):
            todo += [vars(obj).get(name) for name in ("generator", "sampler")]
    return found


def _is_sampler(obj: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.Sampler in type(obj).__mro__


def _stream(obj: Any) -> str:
    torch, np_random = sys.modules.get("torch"), sys.modules.get("numpy.random")
    if torch is not None and hasattr(torch, "Generator") and isinstance(obj, torch.Generator):
        return "torch"
    if np_random is not None and isinstance(obj, (np_random.Generator, np_random.RandomState)):
        return "numpy"
    return "python" if type(obj) is random.Random else ""


def get_stream(stream: Any) -> Any:
    """The state of a random generator object, as plain values."""
    kind = _stream(stream)
    if kind == "torch":
        return tensor_bytes(stream.get_state().contiguous())
    if kind == "python":
        return pack_python(stream.getstate())
    if hasattr(stream, "bit_generator"):
        return pack_numpy(stream.bit_generator.state)
    return pack_numpy(stream.get_state(legacy=False))


def set_stream(stream: Any, state: Any) -> None:
    """Set what `get_stream` gave."""
    kind = _stream(stream)
    if kind == "torch":
        stream.set_state(byte_tensor(state))
    elif kind == "python":
        stream.setstate(unpack_python(state))
    elif hasattr(stream, "bit_generator"):
        stream.bit_generator.state = unpack_numpy(state)
    else:
        stream.set_state(unpack_numpy(state))


# -- logs of draws -----------------------------------------------------------------------------


class DrawLog:
    """Notes which steps of an iterator drew from a global random stream.

    Make it *before* `iter(iterable)`.  Around each `next()` call `before()` and `after()`; both
    do nothing when `enabled` is False.
    """

    def __init__(self, iterable: Any, *, only_first: bool | None = None) -> None:
        self.enabled = not draws_nothing(iterable)
        self.only_first = is_loader(iterable) if only_first is None else only_first
        self.created: dict[str, Any] | None = capture_rng() if self.enabled else None
        self.log: list[tuple[int, dict[str, Any]]] = []
        self.count = 0
        self.unrestorable = ""
        self._mark: Any = None
        self._state: Any = None

    def before(self) -> None:
        """About to call `next()`."""
        if not self.enabled or (self.only_first and self.count):
            return
        self._mark = fingerprint()
        self._state = capture_rng()

    def after(self) -> None:
        """`next()` gave a value."""
        self.count += 1
        mark, self._mark = self._mark, None
        if mark is None or mark == fingerprint():
            return
        if len(self.log) >= LOG_LIMIT:
            self.unrestorable = TOO_MANY
            self.enabled = False
        else:
            self.log.append((self.count - 1, self._state))

    def state(self) -> dict[str, Any]:
        """What a later process needs to wind its own iterator forward (picklable)."""
        return {
            "count": self.count,
            "created": self.created,
            "log": list(self.log),
            "unrestorable": self.unrestorable,
        }
