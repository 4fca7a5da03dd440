"""Iterators whose position can be kept: counted, with the random draws they made on the way.

A generator or a data loader's iterator cannot be copied.  It can be made again by the same call
and wound forward, if every global random stream is set, before each step that drew from it, to
what it was then.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .draws import (
    LOG_LIMIT,
    TOO_MANY,
    DrawLog,
    draws_nothing,
    generators_of,
    get_stream,
    set_stream,
    source_loader,
)
from .errors import RestoreImpossible, one_line
from .kinds import ITERATORS, callable_name
from .origins import Origins
from .rng import (
    capture_rng,
    fingerprint,
    restore_rng,
)


def fast_forward(
    iterator: Iterator[Any], k: int, rng_log: Sequence[tuple[int, dict[str, Any]]], start: int = 0
) -> Any:
    """Advance `iterator` from position `start` to `k`, setting RNG streams before logged steps.

    Returns the last item.  Raises RestoreImpossible if it ends too early or fails.
    """
    states = dict(rng_log)
    item = None
    for position in range(start, k):
        if position in states:
            restore_rng(states[position])
        try:
            item = next(iterator)
        except StopIteration:
            raise RestoreImpossible(
                "iterator", f"ended after {position} steps, {k} were recorded"
            ) from None
        except RestoreImpossible:
            raise
        except Exception as error:
            raise RestoreImpossible("iterator", one_line(error)) from error
    return item


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

    @classmethod
    def unmade(
        cls, factory: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> IteratorProxy:
        """One that makes its iterator when a state is restored."""
        proxy = cls.__new__(cls)
        proxy._factory, proxy._args, proxy._kwargs = factory, tuple(args), dict(kwargs)
        proxy._streams = generators_of([*proxy._args, *proxy._kwargs.values()])
        proxy._created, proxy._created_own, proxy.count = {}, [], 0
        proxy.unrestorable, proxy._finished, proxy._drew = "", True, True
        return proxy

    def _make(self) -> None:
        values = [*self._args, *self._kwargs.values()]
        self._streams = generators_of(values)
        self._created = capture_rng()
        self._created_own = [get_stream(stream) for stream in self._streams]
        self._log: list[tuple[int, dict[str, Any], list[Any]]] = []
        self._only_first = self._factory is iter and source_loader(values) is not None
        self._quiet = self._factory is iter and len(values) == 1 and draws_nothing(values[0])
        self.count = 0
        self.unrestorable = ""
        self._finished = False
        mark = fingerprint()
        self._iterator = self._factory(*self._args, **self._kwargs)
        own = [get_stream(stream) for stream in self._streams]
        self._drew = mark != fingerprint() or own != self._created_own

    def or_plain(self) -> Any:
        """Itself, or what the factory made if that is no iterator after all."""
        return self if hasattr(type(self._iterator), "__next__") else self._iterator

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
            own = [get_stream(stream) for stream in self._streams]
        try:
            value = advance()
        except StopIteration:
            self._finished = True
            raise
        self.count += 1
        if mark is not None and (
            mark != fingerprint() or own != [get_stream(stream) for stream in self._streams]
        ):
            if len(self._log) >= LOG_LIMIT:
                self.unrestorable = TOO_MANY
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

    def snapshot_state(self, origins: Origins | None = None) -> dict[str, Any]:
        """Position, and all that is needed to reach it again (picklable).

        By `origins`, too, how a process that hasn't got the iterator finds what it was made of.
        """
        made = None
        if origins is not None:
            args = [origins.refer(value) for value in self._args]
            kwargs = {name: origins.refer(value) for name, value in self._kwargs.items()}
            made = (origins.refer(self._factory), args, kwargs)
        return {
            "made": made,
            "factory": callable_name(self._factory),
            "count": self.count,
            "created": self._created,
            "created_own": list(self._created_own),
            "own": [get_stream(stream) for stream in self._streams],
            "log": list(self._log),
            "drew": self._drew or bool(self._log),
            "finished": self._finished,
            "unrestorable": self.unrestorable,
        }

    def height(self) -> int:
        """0, or one more than that of the highest iterator of its kind that it is made from."""
        inner, seen = [*self._args, *self._kwargs.values()], set()
        highest = -1
        while inner:
            value = inner.pop()
            if isinstance(value, IteratorProxy):
                highest = max(highest, value.height())
            elif type(value) in ITERATORS and id(value) not in seen:
                seen.add(id(value))
                inner += gc.get_referents(value)
        return highest + 1

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
            set_stream(stream, own)

    def _wind(self, state: dict[str, Any]) -> None:
        # What has drawn nothing is the same whatever the streams were; to make it anew could give
        # something else, where it reads what has changed since.
        drew = self._drew or self._log or state.get("drew", True)
        streams = self._created, self._created_own
        same = (
            (not drew or streams == (state["created"], state["created_own"]))
            and not self.unrestorable
            and not self._finished
            and self.count <= state["count"]
        )
        if not same:
            for value in (*self._args, *self._kwargs.values()):
                if isinstance(value, Iterator) and self.count:  # no more where it was then
                    raise RestoreImpossible("iterator", "it was made from another iterator")
            restore_rng(state["created"])
            for stream, own in zip(self._streams, state["created_own"], strict=True):
                set_stream(stream, own)
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
                set_stream(stream, own)
            fast_forward(self._iterator, position + 1, (), start=position)
            self.count = position + 1
        fast_forward(self._iterator, state["count"], (), start=self.count)
        self.count = state["count"]
        self._log = list(state["log"])
        self._finished = state["finished"]
        if self._finished:
            next(self._iterator, None)


__all__ = ["LOG_LIMIT", "DrawLog", "IteratorProxy", "fast_forward"]
