"""Iterators whose position can be kept: counted, with the random draws they made on the way.

A generator or a data loader's iterator cannot be copied.  It can be made again by the same call
and wound forward, if every global random stream is set, before each step that drew from it, to
what it was then.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .errors import RestoreImpossible, one_line
from .kinds import ITERATORS, callable_name
from .rng import (
    byte_tensor,
    capture_rng,
    fingerprint,
    pack_numpy,
    pack_python,
    restore_rng,
    tensor_bytes,
    unpack_numpy,
    unpack_python,
)

LOG_LIMIT = 512
"""Steps with random draws that are remembered; beyond, an iterator is unrestorable."""

_TOO_MANY = f"an iterator that drew random numbers in more than {LOG_LIMIT} steps"


def fast_forward(
    iterator: Iterator[Any], k: int, rng_log: Sequence[tuple[int, dict[str, Any]]], start: int = 0
) -> None:
    """Advance `iterator` from position `start` to `k`, setting RNG streams before logged steps.

    Raises RestoreImpossible if it ends too early or fails.
    """
    states = dict(rng_log)
    for position in range(start, k):
        if position in states:
            restore_rng(states[position])
        try:
            next(iterator)
        except StopIteration:
            raise RestoreImpossible(
                "iterator", f"ended after {position} steps, {k} were recorded"
            ) from None
        except RestoreImpossible:
            raise
        except Exception as error:
            raise RestoreImpossible("iterator", one_line(error)) from error


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


def _is_loader(obj: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.DataLoader in type(obj).__mro__


def _source_loader(values: Sequence[Any]) -> Any:
    return next((value for value in values if _is_loader(value)), None)


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
        elif _is_loader(obj):
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


def _get(stream: Any) -> Any:
    kind = _stream(stream)
    if kind == "torch":
        return tensor_bytes(stream.get_state().contiguous())
    if kind == "python":
        return pack_python(stream.getstate())
    if hasattr(stream, "bit_generator"):
        return pack_numpy(stream.bit_generator.state)
    return pack_numpy(stream.get_state(legacy=False))


def _set(stream: Any, state: Any) -> None:
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
        self.only_first = _is_loader(iterable) if only_first is None else only_first
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
            self.unrestorable = _TOO_MANY
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


class IteratorProxy:
    """The iterator `factory(*args, **kwargs)`, countable and restorable; behaves like it.

    `send`, `throw` and values sent in make it unrestorable, because they cannot be repeated.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._factory, self._args, self._kwargs = factory, tuple(args), dict(kwargs or {})
        self._make()

    def _make(self) -> None:
        values = [*self._args, *self._kwargs.values()]
        self._streams = generators_of(values)
        self._created = capture_rng()
        self._created_own = [_get(stream) for stream in self._streams]
        self._log: list[tuple[int, dict[str, Any], list[Any]]] = []
        self._only_first = self._factory is iter and _source_loader(values) is not None
        self._quiet = self._factory is iter and len(values) == 1 and draws_nothing(values[0])
        self.count = 0
        self.unrestorable = ""
        self._finished = False
        self._iterator = self._factory(*self._args, **self._kwargs)

    # -- the iterator --------------------------------------------------------------------------

    def __iter__(self) -> IteratorProxy:
        return self

    def __next__(self) -> Any:
        return self._step(lambda: next(self._iterator))

    def _step(self, advance: Callable[[], Any]) -> Any:
        if self._quiet or (self._only_first and self.count) or self.unrestorable:
            mark = None
        else:
            mark = fingerprint()
            state = capture_rng()
            own = [_get(stream) for stream in self._streams]
        try:
            value = advance()
        except StopIteration:
            self._finished = True
            raise
        self.count += 1
        if mark is not None and (
            mark != fingerprint() or own != [_get(stream) for stream in self._streams]
        ):
            if len(self._log) >= LOG_LIMIT:
                self.unrestorable = _TOO_MANY
            else:
                self._log.append((self.count - 1, state, own))
        return value

    def send(self, value: Any) -> Any:
        """As of a generator."""
        if value is not None:
            self.unrestorable = "a generator that values were sent into"
        return self._step(lambda: self._iterator.send(value))

    def throw(self, *error: Any) -> Any:
        """As of a generator."""
        self.unrestorable = "a generator that an exception was thrown into"
        return self._step(lambda: self._iterator.throw(*error))

    def close(self) -> None:
        """As of a generator."""
        self._finished = True
        self._iterator.close()

    def __len__(self) -> int:
        return len(self._iterator)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_iterator" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._iterator, name)

    # -- its position --------------------------------------------------------------------------

    def snapshot_state(self) -> dict[str, Any]:
        """Position, and all that is needed to reach it again (picklable)."""
        return {
            "factory": callable_name(self._factory),
            "count": self.count,
            "created": self._created,
            "created_own": list(self._created_own),
            "own": [_get(stream) for stream in self._streams],
            "log": list(self._log),
            "finished": self._finished,
            "unrestorable": self.unrestorable,
        }

    def check_state(self, state: dict[str, Any], path: str) -> None:
        """Raise RestoreImpossible if `state` is not of an iterator made by the same call."""
        if state["factory"] != callable_name(self._factory):
            raise RestoreImpossible(
                path, f"made by {state['factory']}, here by {callable_name(self._factory)}"
            )
        if len(state["created_own"]) != len(self._streams):
            raise RestoreImpossible(path, "its source has other random generators here")

    def restore_state(self, state: dict[str, Any]) -> None:
        """Go to the position of `state`.  Leaves the global RNG streams anywhere."""
        self._wind(state)
        for stream, own in zip(self._streams, state["own"], strict=True):
            _set(stream, own)

    def _wind(self, state: dict[str, Any]) -> None:
        same = (
            self._created == state["created"]
            and self._created_own == state["created_own"]
            and not self.unrestorable
            and not self._finished
            and self.count <= state["count"]
        )
        if not same:
            restore_rng(state["created"])
            for stream, own in zip(self._streams, state["created_own"], strict=True):
                _set(stream, own)
            try:
                self._make()
            except Exception as error:
                raise RestoreImpossible("iterator", one_line(error)) from error
        for position, rng, own_states in state["log"]:
            if position < self.count:
                continue
            fast_forward(self._iterator, position, (), start=self.count)
            self.count = position
            restore_rng(rng)
            for stream, own in zip(self._streams, own_states, strict=True):
                _set(stream, own)
            fast_forward(self._iterator, position + 1, (), start=position)
            self.count = position + 1
        fast_forward(self._iterator, state["count"], (), start=self.count)
        self.count = state["count"]
        self._log = list(state["log"])
        self._finished = state["finished"]
        if self._finished:
            next(self._iterator, None)
