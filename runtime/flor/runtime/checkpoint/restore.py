"""Restore: bring live objects back to a snapshot's state, in place wherever possible.

Order: pair (pairing.py), plan the memory (regions.py), make every object, all without changing
anything, so that a snapshot that does not fit is refused before any harm; then wind iterators
forward (that runs user code), write the memory, fill the containers, and last the RNG streams.
"""

from __future__ import annotations

import array
import collections
import functools
import importlib
import pickle
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from .closures import make
from .errors import RestoreImpossible, one_line
from .filling import Filling, same_objects
from .graph import ATOMS, Snapshot, children
from .iterators import IteratorProxy
from .kinds import MODULE_HOOKS, callable_name, describe, find_named, type_name
from .ordering import insertion_order
from .origins import ORIGINS, Origins
from .pairing import Pairs, pair
from .paths import MISSING
from .regions import Regions
from .rng import restore_rng

_IMMUTABLE = frozenset(
    "tuple frozenset partial iterator scalar value enum reduce method weakref npgen sparse"
    " closure".split()
)
_RANGES = frozenset((type(iter(range(0))), type(iter(range(1 << 80)))))
_REMAINDERS = frozenset(type(iter(obj)) for obj in ({}, {}.values(), {}.items(), set()))
_PLACED = frozenset(type(iter(obj)) for obj in ([], (), "", "é", b"", bytearray()))
"""Iterators that reduce to what is left, and to what they go through."""
_FUNCTION_TYPES = (
    types.FunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)
_LOCKS = {"lock": threading.Lock, "RLock": threading.RLock}


def restore(
    snapshot: Snapshot,
    live: Mapping[str, object],
    *,
    rebound: Collection[str] = (),
    anchors: Mapping[str, object] | None = None,
    origins: Origins | None = None,
) -> dict[str, Any]:
    """Restore every root of `snapshot` and the RNG streams; returns path -> object.

    `live` maps each path to the object that is there now (MISSING or absent: none).  What is
    reached only through `rebound` roots and is value-like is built fresh, because the live object
    may be shared with constant data.  `anchors` are the live objects at the anchors' paths: each
    stands for the object that was there, and for no other.  `origins`: what there was here when
    the loop began; if it's what there was in the recorded run, it tells which live object is which.
    An unbound root yields MISSING.
    Raises RestoreImpossible before anything was changed, or (`late`) while an iterator is wound
    forward.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return _Restore(snapshot, live, rebound, anchors or {}, origins).run()
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        return _Restore(snapshot, live, rebound, anchors or {}, origins).run()


class _Restore(Filling):
    """One restore.  `out` holds the object for each node, once made."""

    def __init__(
        self,
        snapshot: Snapshot,
        live: Mapping[str, object],
        rebound: Collection[str],
        anchors: Mapping[str, object],
        origins: Origins | None,
    ) -> None:
        self.snapshot = snapshot
        fits = origins is not None and origins.fits(snapshot.meta.get(ORIGINS))
        self.origins = origins if fits else None
        note = snapshot.meta.get(ORIGINS)
        self.numbers = self.origins.numbers(note) if self.origins is not None and note else ()
        self.pairs: Pairs = pair(snapshot, live, rebound, anchors, self.origins)
        self.regions = Regions(snapshot, self.pairs)
        self.out: list[Any] = [_UNMADE] * len(snapshot.nodes)
        self.winding: list[tuple[Any, Any]] = []
        self.moving: list[Callable[[], Any]] = []  # live iterators to their places
        self.order: list[int] = []
        self.wanted: list[int] = []

    def run(self) -> dict[str, Any]:
        self.regions.plan(self.needed())
        for index in self.wanted:
            self.make(index)
        # One that is made from others first: winding it forward moves them.
        for proxy, state in sorted(self.winding, key=lambda pair: -pair[0].height()):
            try:
                proxy.restore_state(state)
            except RestoreImpossible as error:
                error.late = True
                raise
        self.regions.write()
        self.fill()
        for move in self.moving:
            move()
        restore_rng(self.snapshot.rng)
        return {path: self.value(edge) for path, edge in self.snapshot.roots.items()}

    def needed(self) -> set[int]:
        """Nodes that the restored graph has: not the hook tables that live modules keep."""
        nodes = self.snapshot.nodes
        seen: dict[int, None] = {}
        stack = [edge[0] for edge in reversed(self.snapshot.roots.values()) if type(edge) is tuple]
        while stack:
            index = stack.pop()
            if index in seen:
                continue
            seen[index] = None
            node = nodes[index]
            if node[3] and self.keeps_hooks(index):
                kept = tuple(item for item in node[3] if item[0] not in MODULE_HOOKS)
                node = (*node[:3], kept, node[4])
            stack += [e[0] for _, e in children(node) if type(e) is tuple and e[0] not in seen]
        self.wanted = list(seen)
        return set(seen)

    def fail(self, index: int, why: str) -> RestoreImpossible:
        return RestoreImpossible(self.snapshot.paths()[index], why)

    # -- making --------------------------------------------------------------------------------

    def make(self, index: int) -> None:
        """Make the object of a node; immutable ones after what they contain."""
        out, nodes = self.out, self.snapshot.nodes
        if out[index] is not _UNMADE:
            return
        stack = [index]
        entered: set[int] = set()
        while stack:
            top = stack[-1]
            if out[top] is not _UNMADE:
                stack.pop()
                continue
            node = nodes[top]
            if node[0] in _IMMUTABLE and top not in entered:
                entered.add(top)
                open_ = [
                    e[0] for _, e in children(node) if type(e) is tuple and out[e[0]] is _UNMADE
                ]
                if open_:
                    if any(i in entered for i in open_):
                        raise self.fail(top, "an immutable object that contains itself")
                    stack += open_
                    continue
            stack.pop()
            try:
                out[top] = getattr(self, "_" + node[0])(top, node[2], self.pairs.live[top])
            except RestoreImpossible:
                raise
            except Exception as error:
                raise self.fail(top, one_line(error)) from error
            self.order.append(top)

    def find_class(self, index: int) -> type:
        """The live class of a node's object."""
        number = self.snapshot.nodes[index][1]
        known = self.pairs.classes.get(number)
        if known is not None:
            return known
        module, qualname = self.snapshot.types[number]
        found = find_named(f"{module}:{qualname}")
        if not isinstance(found, type):
            same = [c for c in _all_classes() if type_name(c) == (module, qualname)]
            if len(same) != 1:
                raise self.fail(index, f"class {module}.{qualname} cannot be found")
            found = same[0]
        self.pairs.classes[number] = found
        return found

    def shell(self, index: int, base: Any) -> Any:
        """The live object if it may be changed, else an empty new one."""
        live = self.pairs.live[index]
        if live is not MISSING and self.pairs.in_place[index]:
            return live
        return base.__new__(self.find_class(index))

    def _solid(self, index: int) -> Any:
        return describe(self.find_class(index)).solid

    def _object(self, index: int, payload: Any, live: Any) -> Any:
        cls = self.find_class(index)
        if live is not MISSING and self.pairs.in_place[index]:
            return live
        skipped = describe(cls).skip
        if skipped and live is MISSING:
            raise self.fail(index, f"a {cls.__qualname__} that is not there any more")
        base: Any = types.SimpleNamespace if types.SimpleNamespace in cls.__mro__ else object
        return base.__new__(cls)

    def _list(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, list)

    def _dict(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, self._solid(index))

    def _set(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, set)

    def _deque(self, index: int, payload: Any, live: Any) -> Any:
        usable = live is not MISSING and self.pairs.in_place[index]
        base: Any = collections.deque
        if usable and base.maxlen.__get__(live) == payload[1]:
            return live
        fresh = base.__new__(self.find_class(index))
        base.__init__(fresh, (), payload[1])
        return fresh

    def _bytearray(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, bytearray)

    def _array(self, index: int, payload: Any, live: Any) -> Any:
        usable = live is not MISSING and self.pairs.in_place[index]
        if usable and live.typecode == payload[0]:
            return live
        return array.array.__new__(self.find_class(index), payload[0])

    def _memfile(self, index: int, payload: Any, live: Any) -> Any:
        if live is not MISSING and self.pairs.in_place[index]:
            if live.closed and payload is not None:
                raise self.fail(index, "a buffer that is closed already")
            return live
        cls: Any = self.find_class(index)
        fresh = cls.__new__(cls)
        self._solid(index).__init__(fresh)
        return fresh

    def _exception(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, BaseException)

    def _cell(self, index: int, payload: Any, live: Any) -> Any:
        return live if live is not MISSING else types.CellType()

    def _class(self, index: int, payload: Any, live: Any) -> Any:
        return live if live is not MISSING else self._function(index, payload[1], live)

    def _tensor(self, index: int, payload: Any, live: Any) -> Any:
        return self.regions.objects[index]

    _ndarray = _tensor

    def _objarray(self, index: int, payload: Any, live: Any) -> Any:
        numpy = importlib.import_module("numpy")
        usable = live is not MISSING and self.pairs.in_place[index]
        if usable and live.dtype == object and tuple(live.shape) == payload[1]:
            if live.flags.writeable:
                return live
        return numpy.empty(payload[1], dtype=object)

    # immutable ones: the live object is kept if it holds the very same things

    def _tuple(self, index: int, payload: Any, live: Any) -> Any:
        items = self.values(payload[0])
        if live is not MISSING and same_objects(tuple.__iter__(live), items):
            return live
        cls: Any = self.find_class(index)
        if cls is tuple:
            return tuple(items)
        try:
            return tuple.__new__(cls, items)
        except TypeError:
            return cls(items)

    def _frozenset(self, index: int, payload: Any, live: Any) -> Any:
        items = self.values(payload[0])
        if live is not MISSING and same_objects(list(frozenset.__iter__(live)), items):
            return live
        return frozenset.__new__(self.find_class(index), insertion_order(items))

    def _partial(self, index: int, payload: Any, live: Any) -> Any:
        func, args, keywords = self.values(payload[0])
        if live is not MISSING and live.func is func and live.args is args:
            if live.keywords is keywords:
                return live
        make: Any = functools.partial.__new__
        return make(self.find_class(index), func, *args, **keywords)

    def _iterator(self, index: int, payload: Any, live: Any) -> Any:
        parts, stateful = payload
        function, args, state = self.values(parts)
        if live is not MISSING and self.pairs.in_place[index]:
            if self._set_back(live, function, args, state, parts[1]):
                return live
            if self.origins is not None and self.numbers[index] >= 0:  # others may go on with it
                raise self.fail(index, "an iterator that can't be set back")
        fresh = function(*args)
        if stateful and state is not None:
            fresh.__setstate__(state)
        return fresh

    def _set_back(self, live: Any, function: Any, args: Any, state: Any, edge: Any) -> bool:
        """Whether a live iterator is where the saved one was, or can be put there in the end."""
        try:
            made, now, place = (*live.__reduce__(), None)[:3]
        except Exception:
            return False
        cls = type(live)
        if made is not function or len(now) != len(args):
            return False
        if cls in _REMAINDERS:  # what is left, as a list: its contents come later
            first = self.snapshot.nodes[edge[0]][2][0][0]
            return len(now[0]) == len(self.snapshot.nodes[first[0]][2][0])
        if cls in _RANGES:
            ahead = len(now[0]) - (place or 0) - (len(args[0]) - (state or 0))
            self.moving.append(lambda: [next(live) for _ in range(ahead)])
            return ahead >= 0 and now[0][-1:] == args[0][-1:] and now[0].step == args[0].step
        if cls in _PLACED and state is None:  # it was used up
            self.moving.append(lambda: [None for _ in live])
            return True
        if not same_objects(now, args):
            return False
        if place is state or (type(state) in ATOMS and place == state):
            return True
        self.moving.append(lambda: live.__setstate__(state))
        return hasattr(live, "__setstate__")

    def _scalar(self, index: int, payload: Any, live: Any) -> Any:
        cls = self.find_class(index)
        base: Any = describe(cls).solid
        return base.__new__(cls, payload)

    def _value(self, index: int, payload: Any, live: Any) -> Any:
        if live is not MISSING:
            try:
                if pickle.dumps(live, 5) == payload:
                    return live
            except Exception:
                pass
        return pickle.loads(payload)

    _reduce = _value

    def _enum(self, index: int, payload: Any, live: Any) -> Any:
        cls: Any = self.find_class(index)
        name, value = payload
        return cls[name] if name in cls.__members__ else cls(value)

    def _sparse(self, index: int, payload: Any, live: Any) -> Any:
        torch = importlib.import_module("torch")
        parts, layout, shape, coalesced, requires_grad = payload
        data = self.values(parts)
        # The parts are filled when the memory is written; a sparse tensor shares them.
        if layout == "sparse_coo":
            built = torch.sparse_coo_tensor(*data, shape, check_invariants=False)
            built._coalesced_(coalesced)
        else:
            build = getattr(torch, f"{layout}_tensor")
            built = build(*data, shape, check_invariants=False)
        return built.requires_grad_() if requires_grad else built

    # things that are matched

    def _opaque(self, index: int, payload: Any, live: Any) -> Any:
        if live is not MISSING:
            return live
        module, name = self.snapshot.types[self.snapshot.nodes[index][1]]
        if module in ("_thread", "threading") and name in _LOCKS:
            return _LOCKS[name]()
        raise self.fail(index, f"a {module}.{name} cannot be made anew")

    _missing = _opaque

    def _unbound(self, index: int, payload: Any, live: Any) -> Any:
        return MISSING

    def _function(self, index: int, payload: Any, live: Any) -> Any:
        if live is not MISSING and callable_name(live) == payload:
            # A closure under a name that was bound anew since may be another one of its kind.
            if self.pairs.in_place[index] or not getattr(live, "__closure__", None):
                return live
        module, _, qualname = payload.partition(":")
        found = find_named(f"{module}:{qualname}")
        if found is not None and callable_name(found) == payload:
            return found
        raise self.fail(index, f"{payload.replace(':', '.')} cannot be found in this process")

    def _closure(self, index: int, payload: Any, live: Any) -> Any:
        edges, name, where = payload
        made = make(name, where, self.values(edges))
        if made is None:
            raise self.fail(index, f"the code of {where[2]}.{name} cannot be found")
        return made

    def _method(self, index: int, payload: Any, live: Any) -> Any:
        name, owner = payload
        module, _, qualname = name.partition(":")
        target = self._owner(index) if owner is None else self.value(owner)
        if live is not MISSING and callable_name(getattr(live, "__func__", live)) == name:
            if target is MISSING or live.__self__ is target:
                return live
        if target is MISSING:
            found = find_named(f"{module}:{qualname}")  # a class method
            if isinstance(found, types.MethodType):
                return found
            raise self.fail(index, f"method {name} of an object that was not saved")
        for cls in type(target).__mro__:
            function = vars(cls).get(qualname.rpartition(".")[2])
            if isinstance(function, _FUNCTION_TYPES):
                return function.__get__(target, type(target))
        raise self.fail(index, f"method {name} cannot be found")

    def _owner(self, index: int) -> Any:
        """The live owner of a bound method, where the snapshot doesn't hold it."""
        if self.origins is None:
            return MISSING
        return self.origins.found(self.snapshot.meta[ORIGINS]["owners"].get(index))

    def _weakref(self, index: int, payload: Any, live: Any) -> Any:
        if not payload[0]:
            if live is MISSING:
                raise self.fail(index, "a weak reference to an object that was not saved")
            return live
        target = self.value(payload[0][0])
        if live is not MISSING and live() is target:
            return live
        return weakref.ref(target)

    def _generator(self, index: int, payload: Any, live: Any) -> Any:
        if payload == "finished":
            if live is not MISSING and live.gi_frame is None:
                return live
            return _finished()
        if live is not MISSING and _unstarted(live) and self.pairs.in_place[index]:
            return live
        raise self.fail(index, "a generator that had not started yet cannot be made anew")

    def _iterator_proxy(self, index: int, payload: Any, live: Any) -> Any:
        state = pickle.loads(payload)
        if state["unrestorable"]:
            raise self.fail(index, state["unrestorable"])
        if self.origins is not None and not self._was_there(index):
            live = self._made_again(state["made"])
        if live is MISSING:
            raise self.fail(index, "its iterator does not exist here")
        live.check_state(state, self.snapshot.paths()[index])
        self.winding.append((live, state))
        return live

    def _was_there(self, index: int) -> bool:
        """Whether the object of a node is one that there was when the loop began."""
        return self.origins is None or self.numbers[index] >= 0

    def _made_again(self, made: Any) -> Any:
        """An iterator that the loop made, from arguments that there were before; else MISSING."""
        if made is None or self.origins is None:
            return MISSING
        factory, args, kwargs = made
        found = [self.origins.found(part) for part in (factory, *args, *kwargs.values())]
        if any(part is MISSING or isinstance(part, Iterator) for part in found):
            return MISSING
        positional, named = found[1 : 1 + len(args)], found[1 + len(args) :]
        return IteratorProxy.unmade(found[0], positional, dict(zip(kwargs, named, strict=True)))

    # random number generators

    def _pyrandom(self, index: int, payload: Any, live: Any) -> Any:
        return self.shell(index, random.Random)

    def _torchgen(self, index: int, payload: Any, live: Any) -> Any:
        if live is not MISSING:
            return live
        return importlib.import_module("torch").Generator(device=payload[0])

    def _npgen(self, index: int, payload: Any, live: Any) -> Any:
        bits = self.values(payload[0])[0]
        if live is not MISSING and live.bit_generator is bits:
            return live
        cls: Any = self.find_class(index)
        return cls(bits)

    def _nprandomstate(self, index: int, payload: Any, live: Any) -> Any:
        cls: Any = self.find_class(index)
        return live if live is not MISSING else cls()

    def _npbitgen(self, index: int, payload: Any, live: Any) -> Any:
        return live if live is not MISSING else pickle.loads(payload[1])


_UNMADE: Any = object()


def _all_classes() -> list[type]:
    seen: set[type] = set()
    stack: list[type] = [object]
    while stack:
        for cls in type.__subclasses__(stack.pop()):
            if cls not in seen:
                seen.add(cls)
                stack.append(cls)
    return list(seen)


def _finished() -> Any:
    generator = (item for item in ())
    next(generator, None)
    return generator


def _unstarted(generator: Any) -> bool:
    import inspect

    return inspect.getgeneratorstate(generator) == inspect.GEN_CREATED
