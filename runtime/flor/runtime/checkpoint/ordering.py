"""Which element of a live list stands for which saved one.

Usually the one at the same place.  But a list may have been shuffled, extended or shifted since,
and its elements may be shared with constant data that no checkpoint holds: writing the saved
third element into the object that is third *now* would damage that data.  So elements are told
by their contents first.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from .elements import saved_bytes
from .graph import ATOMS, ArrayData, Edge, Snapshot, TensorData
from .kinds import describe

_DEPTH = 3
_ROUNDS = 8
_FEW, _MANY, _TRIES = 6, 2000, 30


def match_elements(
    snapshot: Snapshot, edges: Sequence[Edge], items: Sequence[Any], *, by_place: bool
) -> list[tuple[int | None, bool]]:
    """For each saved element: the index of its live one (None: none), and whether that is sure.

    It is sure if the contents are equal.  Elements whose contents changed keep their place, and
    that is sure too unless the list has another length or shows signs of a new order (or not
    `by_place`: in a queue, a place says nothing).
    """
    saved = [_saved(snapshot, edge, _DEPTH) if type(edge) is tuple else None for edge in edges]
    live = [_live(item, _DEPTH) if type(item) not in ATOMS else None for item in items]
    places: list[tuple[int | None, bool]] = [(None, False)] * len(edges)
    taken = [False] * len(items)
    for i in range(min(len(saved), len(live))):
        if saved[i] is None or saved[i] == live[i]:
            places[i], taken[i] = (i, True), True
    by_content: dict[Any, list[int]] = {}
    for j in reversed(range(len(live))):
        if not taken[j] and live[j] is not None:
            by_content.setdefault(live[j], []).append(j)
    moved = False
    for i, signature in enumerate(saved):
        if places[i][0] is None and by_content.get(signature):
            j = by_content[signature].pop()
            places[i], taken[j], moved = (j, True), True, True
    for i, (place, _) in enumerate(places):
        if place is None and i < len(live) and not taken[i]:
            places[i] = (i, by_place and not moved and len(saved) == len(live))
    return places


def insertion_order(items: Sequence[Any]) -> list[Any]:
    """The elements of a set in an order of insertion that makes an empty set iterate as `items`.

    Where an element stands depends on which ones of like hash came before it, and on how the set
    grew.  The order is searched for; of a large set with many collisions, or of one that has
    shrunk, it may not be found.
    """
    for start in _orders(items):
        order = _repaired(items, start)
        if order is not None:
            return order
    return list(items)


def _orders(items: Sequence[Any]) -> Iterator[list[Any]]:
    yield list(items)
    if len(items) <= _FEW:
        yield from map(list, itertools.permutations(items))
    elif len(items) <= _MANY:
        shuffled, chance = list(items), random.Random(0)
        for _ in range(_TRIES):
            chance.shuffle(shuffled)
            yield list(shuffled)


def _repaired(items: Sequence[Any], order: list[Any]) -> list[Any] | None:
    """`order`, changed until a set made so iterates as `items`; None if that doesn't come about.

    An element that comes out too late had found its place taken when it was saved: it is
    inserted behind the others.
    """
    for _ in range(_ROUNDS):
        made = {id(item): place for place, item in enumerate(set(order))}
        late = {id(item) for place, item in enumerate(items) if made[id(item)] > place}
        if not late:
            return order
        kept = [item for item in order if id(item) not in late]
        order = kept + [item for item in order if id(item) in late]
    return None


def _digest(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _atom(value: Any) -> Any:
    return (type(value).__name__, repr(value))


def _saved(snapshot: Snapshot, edge: Edge, depth: int) -> Any:
    """A hashable summary of a saved value; None if contents say nothing about identity."""
    if type(edge) is not tuple:
        return _atom(edge)
    kind, _, payload, attrs, _ = snapshot.nodes[edge[0]]
    if isinstance(payload, (TensorData, ArrayData)):
        if isinstance(payload, TensorData) and payload.requires_grad:
            return None
        return (payload.dtype, payload.shape, _digest(saved_bytes(snapshot, payload)))
    if depth == 0:
        return (kind,)
    if kind in ("list", "tuple", "deque"):
        return (kind, tuple(_saved(snapshot, e, depth - 1) for e in payload[0]))
    if kind == "dict":
        pairs = payload[0]
        return (kind, tuple(_saved(snapshot, e, depth - 1) for pair in pairs for e in pair))
    if kind == "object":
        return (kind, tuple((n, _saved(snapshot, e, depth - 1)) for n, e in attrs or ()))
    return (kind,)


def _live(obj: Any, depth: int) -> Any:
    """The same summary of a live value."""
    if type(obj) in ATOMS:
        return _atom(obj)
    info = describe(type(obj))
    kind = info.kind
    if kind == "tensor":
        return _live_tensor(obj)
    if kind == "ndarray":
        if obj.dtype.hasobject:
            return ("objarray",)
        return (obj.dtype.str, tuple(obj.shape), _digest(obj.tobytes()))
    if info.anchored:
        return None
    if depth == 0:
        return (kind,)
    if kind in ("list", "tuple", "deque"):
        solid: Any = info.solid
        return (kind, tuple(_live(item, depth - 1) for item in solid.__iter__(obj)))
    if kind == "dict":
        base: Any = info.solid
        return (kind, tuple(_live(item, depth - 1) for pair in base.items(obj) for item in pair))
    if kind == "object":
        values = object.__getattribute__(obj, "__dict__") if info.has_dict else {}
        return (kind, tuple((n, _live(v, depth - 1)) for n, v in list(values.items())))
    return (kind,)


def _live_tensor(obj: Any) -> Any:
    torch = sys.modules["torch"]
    if obj.requires_grad or obj.layout is not torch.strided or obj.device.type == "meta":
        return None
    data = obj.detach().cpu().contiguous()
    if data.is_conj() or data.is_neg() or data.is_quantized:
        return None
    raw = data.reshape(-1).view(torch.uint8) if data.numel() else data.new_empty(0)
    content = ctypes.string_at(raw.data_ptr(), raw.numel()) if data.numel() else b""
    return (str(obj.dtype)[6:], tuple(obj.shape), _digest(content))
