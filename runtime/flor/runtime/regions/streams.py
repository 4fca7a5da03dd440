"""What a region does to the random streams: the difference of two states.

A state after a region is kept as what has to be exclusive-ored to the state before it, which is
next to nothing for a few draws, with a hash of the state before: only after that very state may
the region be skipped.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

from ..checkpoint.rng import State

Change = tuple[bytes, bool, bytes]
"""Hash of the state before ("" if there was none), whether it is a difference, the data."""


def serialised(state: Any) -> bytes:
    """A stream's state as bytes that depend on nothing but its value."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=4)
    pickler.fast = True  # no memo: it would tell which equal parts are one object
    pickler.dump(state)
    return stream.getvalue()


def changes(before: State, after: State) -> dict[str, Change]:
    """The streams that differ."""
    found: dict[str, Change] = {}
    for stream, state in after.items():
        old = before.get(stream)
        if old == state:
            continue
        new = serialised(state)
        if old is None:
            found[stream] = (b"", False, new)
            continue
        was = serialised(old)
        if len(was) == len(new):
            found[stream] = (_digest(was), True, _xor(was, new))
        else:
            found[stream] = (_digest(was), False, new)
    return found


def applied(found: dict[str, Change], now: State) -> State | None:
    """The states after a region, if `now` is the state that it was recorded in; else None."""
    after: State = {}
    for stream, (digest, difference, data) in found.items():
        if digest:
            if stream not in now:
                return None
            was = serialised(now[stream])
            if _digest(was) != digest:
                return None
            data = _xor(was, data) if difference else data
        elif stream in now:
            return None
        after[stream] = pickle.loads(data)
    return after


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    made = int.from_bytes(a, "little") ^ int.from_bytes(b, "little")
    return made.to_bytes(len(a), "little")
