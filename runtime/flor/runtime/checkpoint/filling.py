"""The second half of a restore: live and new objects get their saved contents."""

from __future__ import annotations

import collections
import importlib
import pickle
import random
from typing import Any

from .graph import ATOMS, Edge, Snapshot, TensorData
from .kinds import MODULE_HOOKS, describe, type_name
from .ordering import insertion_order
from .pairing import Pairs
from .paths import MISSING
from .rng import byte_tensor, unpack_numpy, unpack_python


class Filling:
    """What is restored after every object exists.  `out` holds the object for each node."""

    snapshot: Snapshot
    pairs: Pairs
    out: list[Any]
    order: list[int]

    def find_class(self, index: int) -> type:
        """The live class of a node's object."""
        raise NotImplementedError

    def keeps_hooks(self, index: int) -> bool:
        """Whether the node is a live module or optimizer that goes on with its own hooks."""
        live = self.pairs.live[index]
        return (
            live is not MISSING
            and self.pairs.in_place[index]
            and describe(type(live)).anchored
            and type_name(type(live)) == self.snapshot.types[self.snapshot.nodes[index][1]]
        )

    def value(self, edge: Edge) -> Any:
        """The object that an edge leads to."""
        return self.out[edge[0]] if type(edge) is tuple else edge

    def values(self, edges: Any) -> list[Any]:
        out = self.out
        return [out[e[0]] if type(e) is tuple else e for e in edges]

    def fill(self) -> None:
        """Give every mutable object its contents: attributes first, hashed containers last."""
        hashed = []
        for index in self.order:
            kind, _, payload, attrs, slots = self.snapshot.nodes[index]
            obj = self.out[index]
            if kind in ("dict", "set"):
                hashed.append(index)
            else:
                fill = getattr(self, "_fill_" + kind, None)
                if fill is not None:
                    fill(payload, obj, self.pairs.live[index] is obj)
            if attrs is not None:
                self._fill_attrs(index, attrs, obj)
            if slots is not None:
                self._fill_slots(slots, obj)
        for index in hashed:
            self._fill_hashed(index)

    def _fill_attrs(self, index: int, attrs: Any, obj: Any) -> None:
        info = describe(type(obj))
        if not info.has_dict:
            return
        values = object.__getattribute__(obj, "__dict__")
        hooks: Any = ()
        if self.pairs.live[index] is obj:
            if self.keeps_hooks(index):
                hooks = MODULE_HOOKS
            elif type_name(type(obj)) != self.snapshot.types[self.snapshot.nodes[index][1]]:
                obj.__class__ = self.find_class(index)  # a lazy module that was called since
        wanted = {
            name: values[name] if name in hooks and name in values else self.value(edge)
            for name, edge in attrs
        }
        for name in values:
            if name in info.skip or name in hooks:
                wanted[name] = values[name]
        _replace(dict, values, wanted)

    def _fill_slots(self, slots: Any, obj: Any) -> None:
        wanted = {label: self.value(edge) for label, edge in slots}
        for label, descriptor in describe(type(obj)).slots:
            if label in wanted:
                descriptor.__set__(obj, wanted[label])
            else:
                try:
                    descriptor.__delete__(obj)
                except AttributeError:
                    pass

    def _fill_list(self, payload: Any, obj: Any, live: bool) -> None:
        list.__setitem__(obj, slice(None), self.values(payload[0]))

    def _fill_deque(self, payload: Any, obj: Any, live: bool) -> None:
        collections.deque.clear(obj)
        collections.deque.extend(obj, self.values(payload[0]))

    def _fill_bytearray(self, payload: Any, obj: Any, live: bool) -> None:
        obj[:] = payload

    def _fill_memfile(self, payload: Any, obj: Any, live: bool) -> None:
        if payload is None:
            obj.close()
        else:
            base: Any = describe(type(obj)).solid
            base.__setstate__(obj, (*payload, None))

    def _fill_array(self, payload: Any, obj: Any, live: bool) -> None:
        del obj[:]
        obj.frombytes(payload[1])

    def _fill_exception(self, payload: Any, obj: Any, live: bool) -> None:
        obj.args = tuple(self.values(payload[0]))

    def _fill_cell(self, payload: Any, obj: Any, live: bool) -> None:
        for item in self.values(payload[0]):
            obj.cell_contents = item

    def _fill_class(self, payload: Any, obj: Any, live: bool) -> None:
        wanted = {name: self.value(edge) for name, edge in payload[0]}
        for name, value in list(vars(obj).items()):
            plain = not name.startswith("__") and not hasattr(type(value), "__get__")
            if plain and name not in wanted:
                type.__delattr__(obj, name)
        for name, value in wanted.items():
            if vars(obj).get(name, MISSING) is not value:
                type.__setattr__(obj, name, value)

    def _fill_objarray(self, payload: Any, obj: Any, live: bool) -> None:
        numpy = importlib.import_module("numpy")
        for where, item in zip(numpy.ndindex(*obj.shape), self.values(payload[0]), strict=True):
            if where == ():
                obj.fill(item)  # assigning a list would spread it
            else:
                obj[where] = item

    def _fill_tensor(self, payload: TensorData, obj: Any, live: bool) -> None:
        if not isinstance(payload, TensorData):
            return
        if obj.is_leaf and bool(obj.requires_grad) != payload.requires_grad:
            obj.requires_grad_(payload.requires_grad)
        if not obj.is_leaf:
            return
        if payload.grad is True:
            if obj.grad is None:
                obj.grad = importlib.import_module("torch").zeros_like(obj)
        elif obj.grad is not self.value(payload.grad):
            obj.grad = self.value(payload.grad)

    def _fill_pyrandom(self, payload: Any, obj: Any, live: bool) -> None:
        words = unpack_python((0, payload, None))[1]
        base: Any = random.Random.__mro__[1]
        base.setstate(obj, words)

    def _fill_torchgen(self, payload: Any, obj: Any, live: bool) -> None:
        obj.set_state(byte_tensor(payload[1]))

    def _fill_nprandomstate(self, payload: Any, obj: Any, live: bool) -> None:
        obj.set_state(unpack_numpy(pickle.loads(payload)))

    def _fill_npbitgen(self, payload: Any, obj: Any, live: bool) -> None:
        # With the seed sequence, from which children are spawned.
        obj.__setstate__(pickle.loads(payload[1]).__getstate__())
        obj.state = unpack_numpy(pickle.loads(payload[0]))

    def _fill_hashed(self, index: int) -> None:
        kind, _, payload, _, _ = self.snapshot.nodes[index]
        obj = self.out[index]
        if kind == "set":
            items = self.values(payload[0])
            if not same_objects(list(set.__iter__(obj)), items):
                set.clear(obj)
                set.update(obj, insertion_order(items))
            return
        base: Any = describe(type(obj)).solid
        if base is collections.defaultdict:
            obj.default_factory = self.value(payload[1])
        wanted = [(self.value(k), self.value(v)) for k, v in payload[0]]
        _replace_items(base, obj, wanted)


def _replace(base: Any, target: Any, wanted: dict[Any, Any]) -> None:
    _replace_items(base, target, list(wanted.items()))


def _replace_items(base: Any, target: Any, wanted: list[tuple[Any, Any]]) -> None:
    """Make `target` hold `wanted` in that order, touching as little as possible."""
    if same_objects(base.__iter__(target), [key for key, _ in wanted]):
        for key, value in wanted:
            if base.__getitem__(target, key) is not value:
                base.__setitem__(target, key, value)
        return
    base.clear(target)
    for key, value in wanted:
        base.__setitem__(target, key, value)


def same_objects(live: Any, items: list[Any]) -> bool:
    """Whether two sequences hold the same objects (equal atoms of the same type count)."""
    live = list(live)
    return len(live) == len(items) and all(
        a is b or (type(a) is type(b) and type(a) in ATOMS and a == b)
        for a, b in zip(live, items, strict=True)
    )
