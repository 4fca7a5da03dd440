"""Capture: walk the object graph from the roots and copy its memory once.

The walk has a memo by identity and an explicit stack, so cycles and chains of any length are
fine.  It runs on the training thread; what it returns is frozen, so that the background thread
can write it at leisure.  It runs no user code: it reads `__dict__`s, slots and the contents of
built-in containers directly, never properties or `__getstate__`.
"""

from __future__ import annotations

import collections
import enum
import functools
import operator
import pickle
import random
import sys
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from .capture_memory import Kind, MemoryKinds
from .closures import describe_code, running
from .errors import one_line
from .graph import ATOMS, Edge, Node, Snapshot
from .kinds import TypeInfo, callable_name, describe, stateless, type_name
from .memory import MemoryPlan
from .origins import ORIGINS, Origins
from .paths import MISSING
from .rng import capture_rng, pack_numpy, pack_python, tensor_bytes

_get_dict = object.__getattribute__


def capture(
    roots: Mapping[str, object],
    *,
    skip_grads: bool = False,
    anchors: Mapping[str, object] | None = None,
    origins: Origins | None = None,
) -> Snapshot:
    """Snapshot everything reachable from `roots` (path -> object) and all RNG streams.

    Blocks for the walk and one copy of the memory.  `skip_grads`: gradients are dead, note only
    whether there was one.  What cannot be captured is listed in `Snapshot.missing`.
    `anchors` (path -> object) are noted by identity only: what a path led to that leads there
    at a restore too.  Their contents are captured only as far as roots reach them.
    `origins`: what there was when the loop began; objects of then are noted with their numbers.
    """
    rng = capture_rng()
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return _Walk(skip_grads, origins).run(roots, anchors or {}, rng)
    with torch._C.DisableTorchFunctionSubclass():
        return _Walk(skip_grads, origins).run(roots, anchors or {}, rng)


class _Walk(MemoryKinds):
    """One capture.  Each `_<kind>` method returns the payload of a node of that kind."""

    def __init__(self, skip_grads: bool, origins: Origins | None) -> None:
        self.skip_grads = skip_grads
        self.origins = origins
        self.memo: dict[int, int] = {}
        self.objects: list[Any] = []  # by node; holding them keeps ids unique
        self.held: list[Any] = []  # temporaries that must outlive the copy
        self.nodes: list[Any] = []
        self.stack: list[int] = []
        self.types: dict[type, int] = {}
        self.memory = MemoryPlan()
        self.located: list[tuple[int, int, Any]] = []  # (node, ticket, payload without place)
        self.late: list[int] = []  # weak references and methods: tied up when all is known
        torch = sys.modules.get("torch")
        self.torch = torch if torch is not None and hasattr(torch, "Tensor") else None
        self.class_roots: set[int] = set()  # ids of the classes that are roots themselves
        self.lost: list[tuple[int, str]] = []
        self.remarks: list[tuple[int, str]] = []

    def run(
        self, roots: Mapping[str, object], anchors: Mapping[str, object], rng: dict[str, Any]
    ) -> Snapshot:
        edges: dict[str, Edge] = {}
        for path, value in roots.items():
            edges[path] = self.edge(value)
            if isinstance(value, type):
                self.class_roots.add(id(value))
        self.drain()
        self._opaque_roots(edges, roots)
        anchored = {path: self.known(obj) for path, obj in anchors.items()}
        regions, places, buffers = self._copy()
        for index in self.late:
            self._tie(index)
        meta: dict[str, Any] = {"python": sys.version.split()[0], "skip_grads": self.skip_grads}
        if self.torch is not None:
            meta["torch"] = str(self.torch.__version__)
            meta["threads"] = self.torch.get_num_threads()
        if self.origins is not None:
            methods = (i for i, node in enumerate(self.nodes) if node[0] == "method")
            meta[ORIGINS] = self.origins.note(self.objects, methods)
        for index, ticket, make in self.located:
            kind, cls, _, attrs, slots = self.nodes[index]
            self.nodes[index] = (kind, cls, make(*places[ticket]), attrs, slots)
        snapshot = Snapshot(
            roots=edges,
            anchors=anchored,
            nodes=self.nodes,
            types=[type_name(cls) for cls in self.types],
            regions=regions,
            buffers=buffers,
            rng=rng,
            meta=meta,
            recycled=True,
        )
        if self.lost or self.remarks:
            paths = snapshot.paths()
            snapshot.missing = tuple((paths[i] if i >= 0 else "*", w) for i, w in self.lost)
            snapshot.notes = tuple(f"{paths[i]}: {why}" for i, why in self.remarks)
        return snapshot

    def _copy(self) -> Any:
        try:
            return self.memory.copy()
        except (MemoryError, OSError, RuntimeError) as error:
            self.lost.append((-1, f"no memory for the copy: {one_line(error)}"))
            for index, _, _ in self.located:
                self.nodes[index] = ("missing", self.nodes[index][1], None, None, None)
            self.located.clear()
            return [], [], []

    # -- edges and nodes -----------------------------------------------------------------------

    def edge(self, obj: Any) -> Edge:
        """The edge to `obj`; it is visited later if it was not met before."""
        if type(obj) in ATOMS:
            return obj
        index = self.memo.get(id(obj))
        if index is None:
            index = len(self.nodes)
            self.memo[id(obj)] = index
            self.nodes.append(None)
            self.objects.append(obj)
            self.stack.append(index)
        return (index,)

    def known(self, obj: Any) -> Edge:
        """The edge to `obj` if the walk has met it, else None."""
        index = self.memo.get(id(obj)) if type(obj) not in ATOMS else None
        return None if index is None else (index,)

    def _opaque_roots(self, edges: Mapping[str, Edge], roots: Mapping[str, object]) -> None:
        """A root that is itself opaque was asked for because it changes: that it can't be captured
        matters, other than with a lock that some object happens to hold.
        """
        for path, edge in edges.items():
            if type(edge) is not tuple or self.nodes[edge[0]][0] != "opaque":
                continue
            if not stateless(roots[path]):
                cls = type(roots[path])
                self.lost.append((edge[0], f"{cls.__qualname__} objects can't be saved"))

    def drain(self) -> None:
        """Visit until nothing is left."""
        stack, objects, nodes = self.stack, self.objects, self.nodes
        while stack:
            index = stack.pop()
            try:
                nodes[index] = self.visit(index, objects[index])
            except Exception as error:  # whatever it is, training goes on
                self.lost.append((index, one_line(error)))
                nodes[index] = ("missing", self._type(type(objects[index])), None, None, None)

    def visit(self, index: int, obj: Any) -> Node:
        cls = type(obj)
        number = self.types.get(cls)
        if number is None:
            number = self.types.setdefault(cls, len(self.types))
        if obj is MISSING:
            return ("unbound", number, None, None, None)
        info = describe(cls)
        attrs = slots = None
        if info.has_dict:
            attrs = self._attrs(obj, info)
        if info.slots:
            slots = self._slots(obj, info)
        kind = info.kind
        if self.class_roots and id(obj) in self.class_roots:
            return ("class", number, self._class(obj), None, None)
        payload = getattr(self, "_" + kind)(index, obj, info)
        if type(payload) is Kind:
            kind, payload = payload
        return (kind, number, payload, attrs, slots)

    def _type(self, cls: type) -> int:
        return self.types.setdefault(cls, len(self.types))

    def _attrs(self, obj: Any, info: TypeInfo) -> Any:
        values = _get_dict(obj, "__dict__")
        if not values:
            return ()
        if info.skip:
            return tuple((k, self.edge(v)) for k, v in list(values.items()) if k not in info.skip)
        edge = self.edge
        return tuple([(k, v if type(v) in ATOMS else edge(v)) for k, v in values.items()])

    def _slots(self, obj: Any, info: TypeInfo) -> Any:
        found = []
        for name, descriptor in info.slots:
            try:
                value = descriptor.__get__(obj, type(obj))
            except AttributeError:
                continue
            found.append((name, self.edge(value)))
        return tuple(found)

    def edges(self, items: Iterable[Any]) -> tuple[Edge, ...]:
        """Edges of a sequence; one pass in C when all of it are atoms."""
        items = tuple(items)
        if ATOMS.issuperset(map(type, items)):
            return items
        edge = self.edge
        return tuple([v if type(v) in ATOMS else edge(v) for v in items])

    def lose(self, index: int, why: str) -> Kind:
        """A node for something that cannot be captured."""
        self.lost.append((index, why))
        return Kind("missing", None)

    # -- built-in containers and values --------------------------------------------------------

    def _object(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return None

    def _list(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (self.edges(obj if type(obj) is list else list.__getitem__(obj, slice(None))),)

    def _tuple(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (self.edges(obj if type(obj) is tuple else tuple.__getitem__(obj, slice(None))),)

    def _deque(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = collections.deque
        return (self.edges(base.__iter__(obj)), base.maxlen.__get__(obj))

    def _dict(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = info.solid
        factory = None
        if base is collections.defaultdict:
            factory = self.edge(base.default_factory.__get__(obj))
        items = base.items(obj)
        edge = self.edge
        pairs = tuple(
            [
                (k if type(k) in ATOMS else edge(k), v if type(v) in ATOMS else edge(v))
                for k, v in items
            ]
        )
        return (pairs, factory)

    def _set(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = info.solid
        return (self.edges(base.__iter__(obj)),)

    _frozenset = _set

    def _bytearray(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return bytes(memoryview(obj))

    def _array(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (obj.typecode, memoryview(obj).tobytes())

    def _scalar(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = info.solid
        if base is int:
            return operator.index(int.__add__(obj, 0))
        if base is str:
            return str.__str__(obj)
        if base is bytes:
            return bytes.__getitem__(obj, slice(None))
        return base.__pos__(obj)

    def _exception(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = BaseException
        return (self.edges(base.args.__get__(obj)),)

    def _enum(self, index: int, obj: Any, info: TypeInfo) -> Any:
        name = _get_dict(obj, "__dict__").get("_name_")
        return Kind("enum", (name, obj._value_ if isinstance(obj, enum.Flag) else None))

    def _value(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return pickle.dumps(obj, 5)

    def _reduce(self, index: int, obj: Any, info: TypeInfo) -> Any:
        try:
            return pickle.dumps(obj, 5)
        except Exception as error:
            return self.lose(index, f"{type(obj).__qualname__} objects: {one_line(error)}")

    def _partial(self, index: int, obj: Any, info: TypeInfo) -> Any:
        part: Any = functools.partial
        func, args = part.func.__get__(obj), part.args.__get__(obj)
        return (self.edges((func, args, part.keywords.__get__(obj))),)

    def _cell(self, index: int, obj: Any, info: TypeInfo) -> Any:
        try:
            return (self.edges((obj.cell_contents,)),)
        except ValueError:
            return ((),)

    # -- things that are matched, not stored ---------------------------------------------------

    def _opaque(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return None

    def _function(self, index: int, obj: Any, info: TypeInfo) -> Any:
        if type(obj) in (types.BuiltinFunctionType, types.MethodWrapperType):
            owner = obj.__self__
            if owner is not None and not isinstance(owner, (types.ModuleType, type)):
                return Kind("method", self._method(index, obj, info))
        if type(obj) is types.FunctionType and self.origins is not None:
            if self.origins.refer(obj) is None and not running(obj):
                parts = (obj.__defaults__, obj.__kwdefaults__, vars(obj))
                edges = self.edges((*(obj.__closure__ or ()), *parts))
                return Kind("closure", (edges, obj.__qualname__, describe_code(obj)))
        return callable_name(obj)

    def _file(self, index: int, obj: Any, info: TypeInfo) -> Any:
        if "r" in str(getattr(obj, "mode", "")) and type(obj).__module__ in ("_io", "io"):
            self.remarks.append((index, "the position in a file that is read is not kept"))
        return Kind("opaque", None)

    def _memfile(self, index: int, obj: Any, info: TypeInfo) -> Any:
        """(contents, position) and for text the newlines' form; None: closed."""
        return None if obj.closed else obj.__getstate__()[:-1]

    def _generator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        frame = getattr(obj, "gi_frame", None) or getattr(obj, "cr_frame", None)
        if frame is None and isinstance(obj, types.GeneratorType):
            return "finished"
        if frame is not None and frame.f_lasti < 0:
            return "fresh"
        if isinstance(obj, types.GeneratorType) and _unstarted(obj):
            return "fresh"
        return self.lose(index, "a suspended generator's position cannot be captured")

    def _loader_iterator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return self.lose(index, "a data loader's iterator cannot be captured")

    def _weakref(self, index: int, obj: Any, info: TypeInfo) -> Any:
        self.late.append(index)
        return ((),)

    def _method(self, index: int, obj: Any, info: TypeInfo) -> Any:
        """(name, owner): the owner only if it's met anyway, or is the loop's own."""
        name = callable_name(getattr(obj, "__func__", obj))
        if self.origins is not None and self.origins.refer(obj.__self__) is None:
            return (name, self.edge(obj.__self__))
        self.late.append(index)
        return (name, None)

    def _tie(self, index: int) -> None:
        """Fill in the target of a weak reference or method if the walk met it anyway."""
        kind, cls, payload, attrs, slots = self.nodes[index]
        obj = self.objects[index]
        if kind == "method":
            target = self.memo.get(id(obj.__self__))
            payload = (payload[0], None if target is None else (target,))
        elif kind == "weakref" and type(obj) is weakref.ref and obj.__callback__ is None:
            referent = obj()
            target = None if referent is None else self.memo.get(id(referent))
            payload = (() if target is None else ((target,),),)
        self.nodes[index] = (kind, cls, payload, attrs, slots)

    def _iterator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        try:
            parts = obj.__reduce__()
        except Exception as error:
            return self.lose(index, f"an iterator that cannot be captured: {one_line(error)}")
        if not isinstance(parts, tuple) or len(parts) < 2:
            return self.lose(index, "an iterator that cannot be captured")
        state = parts[2] if len(parts) > 2 else None
        self.held.append(parts)
        return (self.edges((parts[0], tuple(parts[1]), state)), len(parts) > 2)

    def _iterator_proxy(self, index: int, obj: Any, info: TypeInfo) -> Any:
        state = obj.snapshot_state(self.origins)
        if state["unrestorable"]:
            self.remarks.append((index, state["unrestorable"]))
        return pickle.dumps(state, 5)

    def _class(self, obj: type) -> Any:
        """Plain attributes of a class that is itself a root (`Config.step += 1`)."""
        found = []
        for name, value in list(vars(obj).items()):
            if not name.startswith("__") and not hasattr(type(value), "__get__"):
                found.append((name, self.edge(value)))
        return (tuple(found), callable_name(obj))

    # -- random number generators --------------------------------------------------------------

    def _pyrandom(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = random.Random.__mro__[1]
        return pack_python((0, base.getstate(obj), None))[1]

    def _torchgen(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (str(obj.device), tensor_bytes(obj.get_state().contiguous()))

    def _npgen(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (self.edges((obj.bit_generator,)),)

    def _nprandomstate(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return pickle.dumps(pack_numpy(obj.get_state(legacy=False)), 5)

    def _npbitgen(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (pickle.dumps(pack_numpy(obj.state), 5), pickle.dumps(obj, 5))


def _unstarted(generator: Any) -> bool:
    import inspect

    return inspect.getgeneratorstate(generator) == inspect.GEN_CREATED
