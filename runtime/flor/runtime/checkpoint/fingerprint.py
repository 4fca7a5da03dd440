"""Fingerprints of live objects: whether something is what it was, without keeping a copy.

The graph below a root is walked as for a checkpoint, without running user code, and hashed.
Small memory is hashed with it; large memory is left as `Block`s, of which slices are hashed one
by one, as time allows.  Containers are sampled beyond `LONG` items and a graph is cut off after
`LIMIT` objects, always at the same places, so that two prints of one thing are equal.

What can't be looked at without running code that may have effects counts as *unseen*: objects of
extension types that can't be pickled, or whose `__reduce__` or `__getstate__` somebody wrote in
Python (a few well-known packages excepted).  Locks, files, loggers and the like have no state that
a checkpoint would hold, so nothing of them is looked at either.
"""

from __future__ import annotations

import bisect
import collections
import copyreg
import functools
import hashlib
import io
import itertools
import marshal
import pickle
import sys
import types
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from .capture import _get_dict, _Walk
from .capture_memory import Kind
from .graph import ATOMS, Edge, Node
from .kinds import MODULE_HOOKS, TypeInfo, callable_name
from .memory import array_bounds, device_bytes, tensor_span
from .rng import pack_numpy, tensor_bytes

LONG = 2048
"""Containers with more items than this are sampled."""
LIMIT = 20_000
"""Objects of one root that are looked at."""
SMALL = 1 << 14
"""Bytes of memory that are hashed at once; more becomes a block."""
SLICE = 1 << 22
"""Bytes of a block that are hashed in one go."""
MAX_PICKLE = 1 << 22
PHASES = 4
"""Different samples of a long container, taken in turn."""

_PLAIN = frozenset(ATOMS - {range})
_CONSTANT = frozenset("re datetime decimal fractions uuid zoneinfo ipaddress builtins".split())
"""Objects of extension types of these modules don't change."""
_TRUSTED = frozenset("numpy pandas scipy sklearn pyarrow polars".split())
"""Reducing objects of these packages has no effects, though it may be written in Python."""

try:
    from xxhash import xxh3_64_intdigest as digest
except ImportError:  # pragma: no cover

    def digest(data: Any) -> int:  # type: ignore[misc]
        """A hash of 64 bits."""
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Block(NamedTuple):
    """Large memory of a root; `owner` keeps it alive and says how it is laid out."""

    owner: Any
    address: int
    nbytes: int  # of dense memory; else of the elements
    device: str  # "cpu", "cuda:0"
    dense: bool

    def slices(self) -> int:
        """How many pieces there are to hash."""
        return max(1, -(-self.nbytes // SLICE))


class Print(NamedTuple):
    """What `fingerprint` found.  Drop it soon: `blocks` hold the objects."""

    structure: int  # hash of everything but the blocks
    blocks: list[Block]
    met: int  # objects that were left to others: they are covered
    unseen: str  # why some part could not be looked at, "" if all was
    cut: bool  # more objects than LIMIT


class Covered(NamedTuple):
    """What checkpoint members save: objects by id, memory by [low, high), sorted."""

    ids: frozenset[int]
    lows: tuple[int, ...]
    highs: tuple[int, ...]

    def rest(self, low: int, high: int) -> list[tuple[int, int]]:
        """The parts of a range of memory that no member has."""
        found = []
        place = bisect.bisect_right(self.highs, low)
        while place < len(self.lows) and self.lows[place] < high:
            if self.lows[place] > low:
                found.append((low, self.lows[place]))
            low = max(low, self.highs[place])
            place += 1
        if low < high:
            found.append((low, high))
        return found


NOTHING = Covered(frozenset(), (), ())


def fingerprint(
    root: object, covered: Covered = NOTHING, sinks: Collection[str] = (), phase: int = 0
) -> Print:
    """The print of all that is reached from `root`, but for what is covered.

    `sinks` are qualified names of types that belong to the outside world.
    """
    if type(root) in _PLAIN:
        plain: Any = (root,)
        return Print(digest(marshal.dumps(plain, 2)), [], 0, "", False)
    walk = _Look(covered, frozenset(sinks), phase)
    with _plain_torch():
        return walk.look(root)


def covering(roots: Iterable[object], sinks: Collection[str] = ()) -> Covered:
    """What is reached from `roots`."""
    walk = _Look(NOTHING, frozenset(sinks), 0)
    walk.hashing = False
    walk.limit = 1 << 30
    with _plain_torch():
        for root in roots:
            walk.edge(root)
        walk.drain()
    merged: list[list[int]] = []
    for low, high in sorted(walk.spans):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = max(high, merged[-1][1])
        else:
            merged.append([low, high])
    lows, highs = tuple(m[0] for m in merged), tuple(m[1] for m in merged)
    return Covered(frozenset(walk.memo), lows, highs)


def hash_slices(wanted: Iterable[tuple[Block, int]]) -> list[int]:
    """The hashes of slices (block, number); memory of a device is fetched in one go."""
    out: list[int] = []
    remote: list[tuple[int, Any]] = []
    with _plain_torch():
        for block, number in wanted:
            if block.device == "cpu":
                out.append(_hash_slice(block, number))
            else:
                remote.append((len(out), _remote_slice(block, number)))
                out.append(0)
        if remote:
            torch = sys.modules["torch"]
            for device in {piece.device for _, piece in remote}:
                here = [(place, piece) for place, piece in remote if piece.device == device]
                host = torch.cat([piece for _, piece in here]).cpu()
                at = 0
                for place, piece in here:
                    out[place] = digest(tensor_bytes(host[at : at + piece.numel()]))
                    at += piece.numel()
    return out


def _plain_torch() -> Any:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        import contextlib

        return contextlib.nullcontext()
    return torch._C.DisableTorchFunctionSubclass()


# -- memory --------------------------------------------------------------------------------------


def _memory(address: int, nbytes: int) -> memoryview:
    import ctypes

    return memoryview((ctypes.c_ubyte * nbytes).from_address(address))


def _hash_slice(block: Block, number: int) -> int:
    start = number * SLICE
    size = min(SLICE, block.nbytes - start)
    if block.dense:
        return digest(_memory(block.address + start, size))
    return _hash_rows(block.owner, number, block.slices())


def _hash_rows(owner: Any, number: int, count: int) -> int:
    """The hash of a part of memory with gaps: of the elements only."""
    part = _elements(owner, number, count)
    if is_tensor(part):
        nbytes = part.numel() * part.element_size()
        return digest(_memory(part.data_ptr(), nbytes)) if nbytes else 0
    return digest(part.view("uint8").reshape(-1).data) if part.nbytes else 0


def _elements(owner: Any, number: int, count: int) -> Any:
    """One of `count` parts of a tensor or array, by its longest dimension, without gaps."""
    shape = tuple(owner.shape)
    axis = max(range(len(shape)), key=lambda n: shape[n])
    step = -(-shape[axis] // count)
    index = (slice(None),) * axis + (slice(number * step, (number + 1) * step),)
    if is_tensor(owner):
        return owner.detach()[index].contiguous()
    numpy = sys.modules["numpy"]
    return numpy.ascontiguousarray(numpy.ndarray.__array__(owner)[index])


def is_tensor(obj: object) -> bool:
    """Whether an object is a torch tensor, by its type alone."""
    torch = sys.modules.get("torch")
    return torch is not None and issubclass(type(obj), torch.Tensor)


ENDS = 1 << 12
"""Bytes at both ends of a slice on a device that are fetched; of all of it, only a sum."""


def _remote_slice(block: Block, number: int) -> Any:
    """Bytes that tell whether a slice on a device has changed, still on the device."""
    torch = sys.modules["torch"]
    start = number * SLICE
    size = min(SLICE, block.nbytes - start)
    if block.dense:
        piece = device_bytes(block.owner, block.address + start, size)
    else:
        piece = _elements(block.owner, number, block.slices()).view(-1).view(torch.uint8)
    whole = piece[: piece.numel() // 8 * 8]
    try:
        total = whole.view(torch.int64).sum()
    except RuntimeError:  # it doesn't begin at a multiple of 8
        total = whole.clone().view(torch.int64).sum()
    return torch.cat([piece[:ENDS], piece[-ENDS:], total.view(1).view(torch.uint8)])


# -- the walk ------------------------------------------------------------------------------------


class _Look(_Walk):
    """A walk that hashes instead of copying.  Overrides what depends on more than the state."""

    def __init__(self, covered: Covered, sinks: frozenset[str], phase: int) -> None:
        super().__init__(skip_grads=True, origins=None)
        self.covered = covered
        self.sinks = sinks
        self.phase = phase
        self.hashing = True
        self.limit = LIMIT
        self.met = 0
        self.cut = False
        self.unseen = ""
        self.blocks: list[Block] = []
        self.spans: list[tuple[int, int]] = []
        self.outside: dict[type, bool] = {}

    def look(self, root: object) -> Print:
        if issubclass(type(root), type):  # isinstance would ask the object for its __class__
            self.class_roots.add(id(root))
        edge = self.edge(root)
        self.drain()
        names = [f"{cls.__module__}.{cls.__qualname__}" for cls in self.types]
        try:
            data = marshal.dumps((edge, self.nodes, names), 2)
        except ValueError:  # a type that marshal doesn't know, deep in a state
            data = repr((edge, self.nodes, names)).encode("utf-8", "surrogatepass")
        return Print(digest(data), self.blocks, self.met, self.unseen, self.cut)

    def edge(self, obj: Any) -> Edge:
        cls = type(obj)
        if cls in _PLAIN:
            return obj
        if cls is range:
            return ("range", obj.start, obj.stop, obj.step)
        if id(obj) in self.covered.ids:
            self.met += 1
            return ("covered",)
        return super().edge(obj)

    def edges(self, items: Iterable[Any]) -> tuple[Edge, ...]:
        if isinstance(items, (list, tuple)) and len(items) > LONG:
            count = len(items)
            step = count // (LONG // 2)
            ends = LONG // 4
            middle = items[self.phase * step // PHASES :: step]
            items = [count, *items[:ends], *middle, *items[-ends:]]
        items = tuple(items)
        if _PLAIN.issuperset(map(type, items)):
            return items
        return tuple([self.edge(v) for v in items])

    def drain(self) -> None:
        stack, objects, nodes = self.stack, self.objects, self.nodes
        while stack:
            if len(nodes) > self.limit:
                self.cut = True
                stack.clear()
                return
            index = stack.pop()
            try:
                nodes[index] = self.visit(index, objects[index])
            except Exception as error:
                self.unseen = f"{type(objects[index]).__qualname__}: {type(error).__name__}"
                nodes[index] = ("unseen",)

    def visit(self, index: int, obj: Any) -> Node:
        cls = type(obj)
        outside = self.outside.get(cls)
        if outside is None:
            outside = self.outside[cls] = bool(self.sinks) and any(
                f"{base.__module__}.{base.__qualname__}" in self.sinks
                for base in type.__dict__["__mro__"].__get__(cls)
            )
        if outside:
            return ("opaque", self._type(cls), None, None, None)
        return super().visit(index, obj)

    def lose(self, index: int, why: str) -> Kind:
        self.unseen = why
        return Kind("opaque", None)

    def _attrs(self, obj: Any, info: TypeInfo) -> Any:
        values = _get_dict(obj, "__dict__")
        if not values:
            return ()
        cached = _cached_properties(_type_of(obj))
        hooks = MODULE_HOOKS if info.anchored else frozenset()
        return tuple(
            [
                (k, self.edge(v))
                for k, v in list(values.items())
                if k not in info.skip and k not in cached and k not in hooks
            ]
        )

    # -- containers

    def _dict(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = info.solid
        count = len(obj) if type(obj) is dict else base.__len__(obj)
        items: Iterable[Any] = base.items(obj)
        if count > LONG:
            last = list(itertools.islice(reversed(items), LONG // 4))  # type: ignore[call-overload]
            items = [*itertools.islice(items, LONG), *last]
        edge = self.edge
        return (count, tuple([(edge(k), edge(v)) for k, v in items]))

    def _set(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = info.solid
        items = list(itertools.islice(base.__iter__(obj), LONG))
        if all(type(item) in _PLAIN for item in items) and base.__len__(obj) <= LONG:
            return (hash(frozenset(items)), len(items))  # whatever their order
        return (base.__len__(obj), tuple([self.edge(item) for item in items]))

    _frozenset = _set

    def _deque(self, index: int, obj: Any, info: TypeInfo) -> Any:
        base: Any = collections.deque
        items = list(itertools.islice(base.__iter__(obj), LONG))
        last = list(itertools.islice(base.__reversed__(obj), LONG // 4))
        return (base.__len__(obj), self.edges(items), self.edges(last))

    def _bytearray(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (len(obj), digest(memoryview(obj)))

    def _array(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (obj.typecode, len(obj), digest(memoryview(obj).cast("B")))

    # -- what is told apart by its type or its name only

    def _function(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return callable_name(obj)

    def _file(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return None

    def _weakref(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return None

    def _method(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return callable_name(getattr(obj, "__func__", obj))

    def _loader_iterator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return None

    def _generator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        frame = getattr(obj, "gi_frame", None) or getattr(obj, "cr_frame", None)
        return None if frame is None else frame.f_lasti

    def _iterator(self, index: int, obj: Any, info: TypeInfo) -> Any:
        if type(obj).__module__ == "itertools":  # reducing them warns from Python 3.12 on
            return Kind("opaque", None)
        parts = obj.__reduce__()
        self.held.append(parts)
        return tuple([self.edge(part) for part in parts[1:]])

    def _iterator_proxy(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return (obj.count, obj._finished)

    def _memfile(self, index: int, obj: Any, info: TypeInfo) -> Any:
        if obj.closed:
            return None
        if isinstance(obj, io.BytesIO):
            return (io.BytesIO.tell(obj), digest(io.BytesIO.getbuffer(obj)))
        text = io.StringIO.getvalue(obj)
        return (io.StringIO.tell(obj), digest(text.encode("utf-8", "surrogatepass")))

    # -- extension types

    def _reduce(self, index: int, obj: Any, info: TypeInfo) -> Any:
        if type(obj).__module__.partition(".")[0] in _CONSTANT:
            return Kind("opaque", None)
        why = _unsafe(_type_of(obj))
        if why:
            return self.lose(index, why)
        try:
            buffers: list[Any] = []
            stream = _Bounded()
            _Pickler(stream, self, buffers.append).dump(obj)
            sizes = tuple(buffer.raw().nbytes for buffer in buffers)
            hashes = tuple(digest(buffer.raw()) for buffer in buffers if buffer.raw().nbytes)
            return (digest(stream.getbuffer()), sizes, hashes)
        except Exception as error:
            return self.lose(index, f"{type(obj).__qualname__}: {type(error).__name__}")

    def _npbitgen(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return pack_numpy(obj.state)

    def _nprandomstate(self, index: int, obj: Any, info: TypeInfo) -> Any:
        return pack_numpy(obj.get_state(legacy=False))

    # -- memory

    def _ndarray(self, index: int, obj: Any, info: TypeInfo) -> Any:
        numpy = sys.modules["numpy"]
        dtype = obj.dtype
        if type(obj).__name__ == "memmap":  # perhaps far larger than memory
            return Kind("opaque", None)
        if dtype.hasobject:
            if dtype.names is not None or dtype.kind != "O":
                return Kind("opaque", None)
            flat = numpy.ndarray.__array__(obj).ravel()
            items = flat[:LONG].tolist() if flat.size > LONG else flat.tolist()
            return Kind("objarray", (tuple(obj.shape), self.edges(items)))
        if dtype.kind == "T":
            return Kind("opaque", None)
        shape, strides = tuple(obj.shape), tuple(obj.strides)
        address = obj.__array_interface__["data"][0]
        low, high = array_bounds(address, shape, strides, dtype.itemsize)
        what = (str(dtype), shape, strides, bool(obj.flags.writeable))
        return (*what, self._bytes(obj, "cpu", low, high, obj.nbytes))

    def _tensor(self, index: int, obj: Any, info: TypeInfo) -> Any:
        torch = self.torch
        assert torch is not None
        device = str(obj.device)
        flattened = hasattr(type(obj), "__tensor_flatten__") or hasattr(type(obj), "materialize")
        if flattened or device == "meta" or obj.is_quantized:
            return Kind("opaque", None)
        if obj.layout is not torch.strided:
            data = obj.detach()
            parts = _sparse_parts(torch, data)
            return (str(obj.layout), tuple(obj.shape), tuple([self.edge(part) for part in parts]))
        shape, stride = tuple(obj.shape), tuple(obj.stride())
        size = obj.element_size()
        what = (str(obj.dtype), shape, stride, bool(obj.requires_grad), device)
        span = tensor_span(shape, stride, size)
        if not span:
            return what
        address = obj.data_ptr()
        return (*what, self._bytes(obj, device, address, address + span, obj.numel() * size))

    def _bytes(self, owner: Any, device: str, low: int, high: int, nbytes: int) -> Any:
        """A hash of small memory, the number of the block for large."""
        if high <= low:
            return None
        self.spans.append((low, high))
        if not self.hashing:
            return None
        dense = high - low <= nbytes  # less: the elements overlap
        rest = self.covered.rest(low, high) if self.covered.lows else [(low, high)]
        if rest != [(low, high)]:
            self.met += 1
            if not dense:
                return ("covered",)
        return tuple([self._part(owner, device, start, end, nbytes, dense) for start, end in rest])

    def _part(self, owner: Any, device: str, low: int, high: int, nbytes: int, dense: bool) -> Any:
        block = Block(owner, low, high - low if dense else nbytes, device, dense)
        if block.nbytes <= SMALL and device == "cpu":
            return _hash_slice(block, 0)
        self.blocks.append(block)
        return ("block", len(self.blocks))


def _sparse_parts(torch: Any, data: Any) -> tuple[Any, ...]:
    if data.layout is torch.sparse_coo:
        return (data._indices(), data._values())
    if data.layout in (torch.sparse_csr, torch.sparse_bsr):
        return (data.crow_indices(), data.col_indices(), data.values())
    if data.layout in (torch.sparse_csc, torch.sparse_bsc):
        return (data.ccol_indices(), data.row_indices(), data.values())
    return ()


def _type_of(obj: object) -> Any:
    return type(obj)


@functools.cache
def _cached_properties(cls: Any) -> frozenset[str]:
    """Attributes that only keep what a property has computed."""
    mro = type.__dict__["__mro__"].__get__(cls)
    return frozenset(
        name
        for base in mro
        for name, value in vars(base).items()
        if isinstance(value, functools.cached_property)
    )


_PROTOCOL = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


@functools.cache
def _unsafe(cls: Any) -> str:
    """Why pickling an object of an extension type could run the user's code; "" if it can't."""
    if cls.__module__.partition(".")[0] in _TRUSTED:
        return ""
    registered = copyreg.dispatch_table.get(cls)
    if registered is not None:
        module = str(getattr(registered, "__module__", "")).partition(".")[0]
        return "" if module in sys.stdlib_module_names else f"{cls.__qualname__}: its reducer"
    own = False
    for base in type.__dict__["__mro__"].__get__(cls):
        for name in _PROTOCOL:
            value = vars(base).get(name)
            if value is None:
                continue
            if isinstance(value, (types.FunctionType, functools.partial, classmethod)):
                return f"{cls.__qualname__}.{name} is written in Python"
            own = own or base is not object
    return "" if own else f"{cls.__qualname__} objects can't be looked at"


class _Bounded(io.BytesIO):
    """Takes MAX_PICKLE bytes at most."""

    def write(self, data: Any) -> int:
        if self.tell() > MAX_PICKLE:
            raise OverflowError("too large")
        return super().write(data)


class _Pickler(pickle.Pickler):
    """Pickles extension objects; gives up where code of the user's would run."""

    def __init__(self, file: Any, walk: _Look, buffers: Any) -> None:
        super().__init__(file, 5, buffer_callback=buffers)
        self.fast = True  # no memo: equal content gives equal bytes
        self.walk = walk

    def reducer_override(self, obj: Any) -> Any:
        cls = _type_of(obj)
        by_name = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
        if issubclass(cls, by_name):
            return NotImplemented
        if _unsafe(cls) and cls is not object:
            raise pickle.PicklingError(f"{cls.__qualname__} isn't looked into")
        return NotImplemented
