"""Pairing: which live object stands for which node of a snapshot.

Saved and live graphs are walked together from the roots.  A live object stands for at most one
node and a node for at most one live object, so aliasing ends up as it was saved.  Dictionaries
and sets with object keys (an optimizer's `state`) wait until the objects were met elsewhere.
Nothing is changed here.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .graph import ATOMS, Edge, Node, Snapshot
from .kinds import MODULE_HOOKS, TypeInfo, describe, type_name
from .ordering import match_elements
from .origins import ORIGINS, Origins
from .paths import MISSING

UNSHARED = frozenset(
    "opaque function value enum scalar reduce generator unbound missing weakref method".split()
)
"""Kinds of which one live object may stand for several nodes."""

_PERSONAL = frozenset(("function", "closure", "generator", "method"))
"""Of these, kinds with a state of their own (closures' cells, owners)."""

_VALUE_LIKE = frozenset(
    "list tuple dict set frozenset deque bytearray array ndarray tensor".split()
)


class Pairs:
    """The result: by node index, the live object (or MISSING) and whether it may be changed."""

    def __init__(self, snapshot: Snapshot) -> None:
        count = len(snapshot.nodes)
        self.snapshot = snapshot
        self.live: list[Any] = [MISSING] * count
        self.in_place: list[bool] = [False] * count
        self.claimed: dict[int, int] = {}
        self.classes: dict[int, type] = {}  # type index -> live class
        self._taken: dict[type, int] = {}
        self._stack: list[tuple[int, Any, bool]] = []
        self._deferred: list[tuple[int, Any]] = []
        self._waiting: list[int] = []
        self._iterators: list[tuple[Edge, Any, bool]] = []  # last: a used up one has lost its list
        self.others: set[int] = set()  # ids of what there was, that stands for no node but its own

    # -- anchors -------------------------------------------------------------------------------

    def anchor(self, edge: Edge, live: Any) -> None:
        """`live` stands for `edge`; if that is None, for nothing that was saved."""
        if live is MISSING or type(live) in ATOMS or id(live) in self.claimed:
            return
        if type(edge) is not tuple:
            self.claimed[id(live)] = -1
            return
        node = self.snapshot.nodes[edge[0]]
        if self.live[edge[0]] is MISSING and self.same_type(node, live):
            self.live[edge[0]] = live
            self.in_place[edge[0]] = True
            if node[0] not in UNSHARED:
                self.claimed[id(live)] = edge[0]
            self._waiting.append(edge[0])

    def originate(self, numbers: Sequence[int], objects: Sequence[Any]) -> None:
        """Every object that there was when the loop began stands for itself, or for nothing."""
        nodes = {number: index for index, number in enumerate(numbers) if number >= 0}
        for number, live in enumerate(objects):
            index = nodes.get(number)
            self.anchor(None if index is None else (index,), live)
            self.others.add(id(live))

    def anchored(self) -> None:
        """Walk on from the anchors' objects."""
        waiting, self._waiting = self._waiting, []
        for index in waiting:
            live = self.live[index]
            self._children(index, self.snapshot.nodes[index], live, describe(type(live)), True)

    # -- walking -------------------------------------------------------------------------------

    def drain(self) -> None:
        """Pair everything that can be reached from what was pushed."""
        while True:
            while self._stack:
                self._pair(*self._stack.pop())
            if self._deferred and self._keys():
                continue
            if not self._iterators:
                return
            for edge, item, in_place in self._iterators:
                self.push(edge, item, in_place)
            self._iterators.clear()

    def push(self, edge: Edge, live: Any, in_place: bool) -> None:
        """Propose that `live` stands for `edge`."""
        if type(edge) is tuple and live is not MISSING and type(live) not in ATOMS:
            self._stack.append((edge[0], live, in_place))

    def _pair(self, index: int, live: Any, in_place: bool) -> None:
        node = self.snapshot.nodes[index]
        if self.live[index] is not MISSING:
            return
        kind = node[0]
        if kind not in UNSHARED and id(live) in self.claimed:
            return
        if kind in _PERSONAL and id(live) in self.others:
            return
        info = describe(type(live))
        if not self.same_type(node, live):
            return
        self.live[index] = live
        if kind not in UNSHARED:
            self.claimed[id(live)] = index
        in_place = in_place or info.anchored or _is_parameter(live)
        self.in_place[index] = in_place
        self._children(index, node, live, info, in_place)

    def same_type(self, node: Node, live: Any) -> bool:
        """Whether `live` has the class that the node was saved with."""
        number, cls = node[1], type(live)
        known = self.classes.get(number)
        if known is not None:
            return known is cls
        if type_name(cls) != self.snapshot.types[number]:
            become = getattr(cls, "cls_to_become", None)  # a lazy module before its first call
            lazy = any(c.__name__ == "UninitializedTensorMixin" for c in cls.__mro__)
            if lazy and node[0] == "tensor":
                become = cls.cls_to_become
            return isinstance(become, type) and type_name(become) == self.snapshot.types[number]
        if cls in self._taken:
            return False
        self.classes[number] = cls
        self._taken[cls] = number
        return True

    def _children(self, index: int, node: Node, live: Any, info: TypeInfo, mode: bool) -> None:
        kind, _, payload, attrs, slots = node
        push = self.push
        if attrs and info.has_dict:
            values = object.__getattribute__(live, "__dict__")
            for name, edge in attrs:
                if type(edge) is tuple:
                    push(edge, values.get(name, MISSING), mode)
        if slots:
            by_label = dict(info.slots)
            for label, edge in slots:
                if type(edge) is tuple and label in by_label:
                    push(edge, _slot(by_label[label], live), mode)
        pair = getattr(self, "_" + kind, None)
        if pair is not None:
            pair(index, payload, live, mode)

    def _list(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        self._sequence(payload[0], list.__getitem__(live, slice(None)), mode, by_place=True)

    def _tuple(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        if len(live) == len(payload[0]):
            for edge, item in zip(payload[0], tuple.__iter__(live), strict=True):
                self.push(edge, item, mode)

    def _deque(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        self._sequence(payload[0], list(collections.deque.__iter__(live)), mode, by_place=False)

    def _sequence(self, edges: Any, items: list[Any], mode: bool, *, by_place: bool) -> None:
        """Elements by content, then by place.

        In a queue, or a list that was reordered or has another length, what changed is not
        written to: it may be shared with constant data.
        """
        if not any(type(edge) is tuple for edge in edges):
            return
        places = match_elements(self.snapshot, edges, items, by_place=by_place)
        for edge, (place, sure) in zip(edges, places, strict=True):
            if type(edge) is tuple and place is not None:
                keep = sure or (by_place and not self._value_like(edge))
                self.push(edge, items[place], mode and keep)

    def _value_like(self, edge: Edge) -> bool:
        return self.snapshot.nodes[edge[0]][0] in _VALUE_LIKE

    def _dict(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        pairs, factory = payload
        late = False
        for key, edge in pairs:
            if type(key) is tuple:
                key = self.simple_key(key)
                if key is MISSING:
                    late = True
                    continue
            if type(edge) is tuple:
                self.push(edge, dict.get(live, key, MISSING), mode)
        if type(factory) is tuple:
            self.push(factory, live.default_factory, mode)
        if late:
            self._deferred.append((index, live))

    def _set(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        if any(type(e) is tuple and self.simple_key(e) is MISSING for e in payload[0]):
            self._deferred.append((index, live))

    _frozenset = _set

    def simple_key(self, edge: Edge) -> Any:
        """The value of a key that is a plain tuple of atoms, else MISSING."""
        node = self.snapshot.nodes[edge[0]]
        if node[0] != "tuple" or self.snapshot.types[node[1]] != ("builtins", "tuple"):
            return MISSING
        if any(type(item) is tuple for item in node[2][0]):
            return MISSING
        return tuple(node[2][0])

    def _keys(self) -> bool:
        """Pair values under keys that are paired by now; failing that, keys by position."""
        waiting, self._deferred = self._deferred, []
        progress = False
        for index, live in waiting:
            node = self.snapshot.nodes[index]
            if node[0] == "dict":
                progress |= self._dict_values(index, node[2][0], live)
            if self._open_keys(node):
                self._deferred.append((index, live))
        if progress or self._stack:
            return True
        for index, live in self._deferred:
            self._by_position(self.snapshot.nodes[index], live, self.in_place[index])
            node = self.snapshot.nodes[index]
        waiting, self._deferred = self._deferred, []
        while self._stack:
            self._pair(*self._stack.pop())
        for index, live in waiting:
            node = self.snapshot.nodes[index]
            if node[0] == "dict":
                self._dict_values(index, node[2][0], live)
        return bool(self._stack or self._deferred)

    def _dict_values(self, index: int, pairs: Any, live: Any) -> bool:
        found = False
        for key, edge in pairs:
            if type(key) is not tuple or type(edge) is not tuple:
                continue
            partner = self.live[key[0]]
            if partner is MISSING or self.live[edge[0]] is not MISSING:
                continue
            try:
                value = dict.get(live, partner, MISSING)
            except TypeError:
                continue
            if value is not MISSING:
                self.push(edge, value, self.in_place[index])
                found = found or bool(self._stack)
        return bool(self._stack)

    def _open_keys(self, node: Node) -> bool:
        return any(
            self.live[k[0]] is MISSING for k in _keys_of(node) if self.simple_key(k) is MISSING
        )

    def _by_position(self, node: Node, live: Any, mode: bool) -> None:
        """Keys that were met nowhere else: the n-th unpaired one with the n-th unclaimed one."""
        open_keys = [k for k in _keys_of(node) if self.live[k[0]] is MISSING]
        candidates = [k for k in list(live) if type(k) not in ATOMS and id(k) not in self.claimed]
        for edge, candidate in zip(open_keys, candidates, strict=False):
            self.push(edge, candidate, mode)

    # -- other kinds ---------------------------------------------------------------------------

    def _tensor(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        if type(payload.grad) is tuple and live.is_leaf:
            self.push(payload.grad, live.grad, mode)

    def _objarray(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        if live.dtype.hasobject and tuple(live.shape) == payload[1]:
            for edge, item in zip(payload[0], live.ravel().tolist(), strict=True):
                self.push(edge, item, mode)

    def _partial(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        parts = (live.func, live.args, live.keywords)
        for edge, item in zip(payload[0], parts, strict=True):
            self.push(edge, item, mode)

    def _cell(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        try:
            content = live.cell_contents
        except ValueError:
            return
        for edge in payload[0]:
            self.push(edge, content, mode)

    def _npgen(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        self.push(payload[0][0], live.bit_generator, True)

    def _iterator(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        try:
            parts = live.__reduce__()
        except Exception:
            return
        for edge, item in zip(payload[0], parts, strict=False):
            self._iterators.append((edge, item, mode))

    def _class(self, index: int, payload: Any, live: Any, mode: bool) -> None:
        for name, edge in payload[0]:
            self.push(edge, vars(live).get(name, MISSING), mode)


def pair(
    snapshot: Snapshot,
    live: Mapping[str, object],
    rebound: Collection[str],
    anchors: Mapping[str, object],
    origins: Origins | None = None,
) -> Pairs:
    """Walk both graphs.  `rebound` roots come last and their values are not changed in place.

    What there was when the loop began comes first, then anchors: the walk from the roots can't give
    their live objects to other nodes.
    """
    pairs = Pairs(snapshot)
    if origins is not None:
        pairs.originate(origins.numbers(snapshot.meta[ORIGINS]), origins.objects)
        pairs.anchored()
        pairs.drain()
    for path, edge in snapshot.anchors.items():
        pairs.anchor(edge, anchors.get(path, MISSING))
    loose = [path for path in snapshot.roots if _loose(path, rebound)]
    steady = [path for path in snapshot.roots if path not in loose]
    later, pairs._waiting = pairs._waiting, []
    for path in steady:  # such a name leads to the same object as ever: no other node may have it
        pairs.anchor(snapshot.roots[path], live.get(path, MISSING))
    pairs.anchored()
    pairs.drain()
    pairs._waiting = later
    for paths, in_place in ((steady, True), (loose, False)):
        for path in reversed(paths):
            pairs.push(snapshot.roots[path], live.get(path, MISSING), in_place)
        pairs.drain()
        pairs.anchored()  # for what the steady roots did not pair
        pairs.drain()
    return pairs


def _loose(path: str, rebound: Collection[str]) -> bool:
    """Whether the path may lead to another object than before: it, or what it begins with."""
    names = path.split(".")
    return any(".".join(names[:end]) in rebound for end in range(1, len(names) + 1))


def _keys_of(node: Node) -> list[Any]:
    if node[0] == "dict":
        return [key for key, _ in node[2][0] if type(key) is tuple]
    return [edge for edge in node[2][0] if type(edge) is tuple]


def _slot(descriptor: Any, obj: Any) -> Any:
    try:
        return descriptor.__get__(obj, type(obj))
    except AttributeError:
        return MISSING


def _is_parameter(obj: Any) -> bool:
    """Whether `obj` is a tensor that others (an optimizer) must keep seeing."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return False
    return torch.Tensor in type(obj).__mro__ and obj.is_leaf and obj.requires_grad


__all__ = ["MODULE_HOOKS", "UNSHARED", "Pairs", "pair"]
