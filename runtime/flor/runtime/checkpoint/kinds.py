"""Which kind of node an object of a type becomes.  The answer depends on the type alone.

User code is never asked: no `__class__` property, no `__getattr__`, no `__getstate__`.
"""

from __future__ import annotations

import _thread
import array
import collections
import enum
import functools
import importlib
import io
import logging
import pathlib
import random
import sys
import threading
import types
import weakref
from typing import Any, NamedTuple

OPAQUE_PACKAGES = frozenset(
    "logging threading _thread multiprocessing concurrent asyncio _asyncio socket _socket ssl _ssl"
    " subprocess io _io tempfile select selectors sqlite3 _sqlite3 tqdm wandb mlflow tensorboard"
    " tensorboardX comet_ml neptune clearml aim matplotlib rich importlib _frozen_importlib"
    " _frozen_importlib_external flor psutil pynvml contextvars _contextvars ctypes _ctypes zmq"
    " grpc ray accelerate.tracking".split()
)
"""Objects of these packages' types are sinks, handles or machinery: the live one is taken."""

_SINKS = frozenset(
    "logging tqdm wandb mlflow tensorboard tensorboardX comet_ml neptune clearml aim matplotlib"
    " rich importlib _frozen_importlib _frozen_importlib_external flor psutil pynvml torch"
    " accelerate".split()
)
"""Of these, objects that training doesn't read back: a root of such a type needs no state."""

_MEMORY_FILES = frozenset({io.StringIO, io.BytesIO})

OPAQUE_TORCH = (
    "torch._C",
    "torch._dynamo",
    "torch._inductor",
    "torch._functorch",
    "torch._ops",
    "torch.distributed",
    "torch.cuda.streams",
    "torch.cuda.graphs",
    "torch.profiler",
    "torch.autograd",
    "torch.amp.autocast_mode",
    "torch.cuda.amp.autocast_mode",
    "torch.cpu.amp.autocast_mode",
    "torch.utils.tensorboard",
    "torch.fx",
)

_OPAQUE_BASES: tuple[type, ...] = (
    threading.Thread,
    logging.Handler,
    logging.Logger,
    logging.LoggerAdapter,
    logging.Filter,
    logging.Formatter,
    weakref.WeakKeyDictionary,
    weakref.WeakValueDictionary,
    weakref.WeakSet,
    type(threading.Lock()),
    type(threading.RLock()),
    _thread._local,
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    types.MappingProxyType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    property,
    staticmethod,
    classmethod,
    functools._lru_cache_wrapper,
)

_FUNCTIONS: tuple[type, ...] = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
    types.ModuleType,
    type,
)

_SOLID: dict[type, str] = {
    object: "object",
    list: "list",
    dict: "dict",
    collections.OrderedDict: "dict",
    collections.defaultdict: "dict",
    set: "set",
    frozenset: "frozenset",
    tuple: "tuple",
    collections.deque: "deque",
    io.StringIO: "memfile",
    io.BytesIO: "memfile",
    bytearray: "bytearray",
    array.array: "array",
    BaseException: "exception",
    int: "scalar",
    float: "scalar",
    complex: "scalar",
    str: "scalar",
    bytes: "scalar",
    types.SimpleNamespace: "object",
    functools.partial: "partial",
    types.CellType: "cell",
    slice: "value",
}

ITERATORS: frozenset[type] = frozenset(
    {
        type(iter([])),
        type(iter(())),
        type(iter({})),
        type(iter({}.values())),
        type(iter({}.items())),
        type(iter(set())),
        type(iter("")),
        type(iter("é")),
        type(iter(b"")),
        type(iter(bytearray())),
        type(iter(range(0))),
        type(iter(range(1 << 80))),
        type(reversed([])),
        type(iter(int, 1)),
        enumerate,
        zip,
        map,
        filter,
        reversed,
    }
)

_SKIPPED_LOADER = frozenset(
    "dataset _iterator collate_fn worker_init_fn multiprocessing_context"
    " _DataLoader__multiprocessing_context".split()
)
MODULE_HOOKS = frozenset(
    "_forward_hooks _forward_hooks_with_kwargs _forward_hooks_always_called _forward_pre_hooks"
    " _forward_pre_hooks_with_kwargs _backward_hooks _backward_pre_hooks _state_dict_hooks"
    " _state_dict_pre_hooks _load_state_dict_pre_hooks _load_state_dict_post_hooks"
    " _optimizer_step_pre_hooks _optimizer_step_post_hooks _optimizer_state_dict_pre_hooks"
    " _optimizer_state_dict_post_hooks _optimizer_load_state_dict_pre_hooks"
    " _optimizer_load_state_dict_post_hooks".split()
)
"""Hook tables of a live module or optimizer are left as they are."""


_CLOSED = frozenset("function opaque file reduce value enum iterator_proxy".split())
"""Kinds whose attributes are not walked."""


class TypeInfo(NamedTuple):
    """What the walk needs to know about one type."""

    kind: str
    solid: type  # the built-in base whose contents are stored, for containers and scalars
    slots: tuple[tuple[str, Any], ...]  # (label, member descriptor) of every `__slots__` entry
    has_dict: bool
    skip: frozenset[str]  # attributes that are not state (a loader's data set)
    anchored: bool  # identity matters: modules, optimizers, generators… are restored in place


_cache: dict[type, TypeInfo] = {}
_HEAP, _IMMUTABLE = 1 << 9, 1 << 8


def describe(cls: type) -> TypeInfo:
    """The `TypeInfo` of `cls` (cached)."""
    info = _cache.get(cls)
    if info is None:
        info = _cache[cls] = _describe(cls)
    return info


def _describe(cls: type) -> TypeInfo:
    mro = list(type.__dict__["__mro__"].__get__(cls))
    kind, anchored = _special(cls, mro)
    solid: type = object
    if not kind:
        solid = _solid(mro)
        kind = _SOLID.get(solid, "reduce")
    slots = () if kind in _CLOSED else tuple(_slots(mro))
    has_dict = cls.__dictoffset__ != 0 and kind not in _CLOSED
    return TypeInfo(kind, solid, slots, has_dict, _skipped(mro), anchored)


def _special(cls: type, mro: list[type]) -> tuple[str, bool]:
    """(kind, anchored) for types that are recognised by a base class; ("", False) for others."""
    bases = set(mro)

    def has(module: str, *names: str) -> bool:
        loaded = sys.modules.get(module)
        if loaded is None:
            return False
        return any(vars(loaded).get(name) in bases for name in names if name in vars(loaded))

    if cls in ITERATORS or cls.__module__ == "itertools":
        return "iterator", False
    if has("flor.runtime.checkpoint.iterators", "IteratorProxy"):
        return "iterator_proxy", True
    if pathlib.PurePath in bases and not cls.__dictoffset__:
        return "value", False
    if enum.Enum in bases:
        return "enum", False
    if weakref.ref in bases:
        return "weakref", False
    if types.MethodType in bases:
        return "method", False
    if bases & {types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType}:
        return "generator", False
    if bases.intersection(_FUNCTIONS) or has("numpy", "ufunc"):
        return "function", False
    if bases & _MEMORY_FILES:
        return "", False
    if io.IOBase in bases or any(b.__module__ in ("_io", "io") for b in mro):
        return "file", False
    if has("torch", "Tensor"):
        return "tensor", False
    if has("torch", "Generator"):
        return "torchgen", True
    if has("torch", "dtype", "device", "layout", "memory_format", "Size", "finfo", "iinfo"):
        return "value", False
    if has("torch.jit", "ScriptModule", "ScriptFunction"):
        return "reduce", False
    if has("torch.nn", "Module") or has("torch.optim", "Optimizer"):
        return ("object" if _solid(mro) is object else _SOLID.get(_solid(mro), "reduce")), True
    if has("torch.optim.lr_scheduler", "LRScheduler", "ReduceLROnPlateau"):
        return "object", True
    if has("torch.utils.data", "DataLoader", "Sampler"):
        return "object", True
    if has("torch.utils.data.dataloader", "_BaseDataLoaderIter"):
        return "loader_iterator", False
    if has("numpy", "ndarray"):
        return "ndarray", False
    if has("numpy", "generic", "dtype"):
        return "value", False
    if has("numpy.random", "Generator", "RandomState"):
        return ("npgen" if has("numpy.random", "Generator") else "nprandomstate"), True
    if has("numpy.random", "BitGenerator"):
        return "npbitgen", True
    if random.Random in bases:
        return ("opaque" if random.SystemRandom in bases else "pyrandom"), True
    if bases.intersection(_OPAQUE_BASES) or _opaque_package(cls):
        return "opaque", False
    return "", False


def _opaque_package(cls: type) -> bool:
    module = cls.__module__ if isinstance(cls.__module__, str) else ""
    package = module.partition(".")[0]
    if package == "torch":
        return any(module == p or module.startswith(p + ".") for p in OPAQUE_TORCH)
    return package in OPAQUE_PACKAGES


def stateless(obj: Any) -> bool:
    """Whether an opaque object that the training changes may be left as it is by a jump.

    Sinks, locks that are free, caches.  Not: a socket, a cursor, a queue, a file that is read.
    """
    cls = type(obj)
    mro = type.__dict__["__mro__"].__get__(cls)
    if cls in _LOCK_TYPES:
        return not _locked(obj)
    if any(base in _NO_STATE for base in mro):
        return True
    if any(str(base.__module__).partition(".")[0] in _SINKS for base in mro):
        return True
    if any(base.__module__ in ("_io", "io") for base in mro):
        mode = str(getattr(obj, "mode", ""))
        return bool(mode) and "r" not in mode and "+" not in mode
    return False


_LOCK_TYPES = (type(threading.Lock()), type(threading.RLock()))
_NO_STATE: tuple[type, ...] = (
    logging.Handler,
    logging.Logger,
    logging.LoggerAdapter,
    logging.Filter,
    logging.Formatter,
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    property,
    staticmethod,
    classmethod,
    functools._lru_cache_wrapper,
    random.SystemRandom,
)


def _locked(lock: Any) -> bool:
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def _solid(mro: list[type]) -> type:
    """The first base that is not a class statement's: its C structure holds the contents."""
    for cls in mro:
        if cls in _SOLID:
            return cls
        if not _is_python_class(cls):
            return BaseException if BaseException in mro else cls
    return object


def _is_python_class(cls: type) -> bool:
    """Whether instances hold nothing beyond the base's contents, `__dict__` and `__slots__`."""
    flags = cls.__flags__
    if not flags & _HEAP or flags & _IMMUTABLE:
        return False
    base = cls.__base__
    own = cls.__basicsize__ - (base.__basicsize__ if base else 0)
    slots = sum(isinstance(v, types.MemberDescriptorType) for v in vars(cls).values())
    return own <= 8 * (slots if "__slots__" in vars(cls) else 0) + 16


def _slots(mro: list[type]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for cls in mro:
        if "__slots__" in vars(cls) and cls.__flags__ & _HEAP:
            found += [
                (f"{cls.__qualname__}|{name}", value)
                for name, value in vars(cls).items()
                if type(value) is types.MemberDescriptorType
            ]
    return found


def _skipped(mro: list[type]) -> frozenset[str]:
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.DataLoader in mro:
        return _SKIPPED_LOADER
    if data is not None and data.Sampler in mro:
        return frozenset(("data_source", "dataset"))
    return frozenset()


def type_name(cls: type) -> tuple[str, str]:
    """(module, qualified name) of a class."""
    return (str(cls.__module__), str(cls.__qualname__))


def callable_name(obj: Any) -> str:
    """`module:qualified name` of a function, class or module; "" if it has none."""
    if type(obj) is types.ModuleType:
        return f"{vars(obj).get('__name__', '')}:"
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    module = getattr(obj, "__module__", None)
    owner = getattr(obj, "__objclass__", None)
    if module is None and owner is not None:
        module = owner.__module__
    return f"{module or 'builtins'}:{name}" if isinstance(name, str) else ""


def find_named(name: str) -> Any:
    """What `callable_name` calls so, its module imported if need be; None if there is none."""
    module, _, qualname = name.partition(":")
    if "<locals>" in qualname or "<lambda>" in qualname:
        return None
    try:
        found = sys.modules.get(module) or importlib.import_module(module)
        for part in qualname.split(".") if qualname else ():
            found = getattr(found, part)
    except Exception:
        return None
    return found
