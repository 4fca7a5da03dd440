"""Results of regions: plain data, kept with its types, sharing and bits."""

from __future__ import annotations

import ctypes
import io
import pickle
import sys
from typing import Any

MAX_BYTES = 1 << 16
"""Of a result that is kept."""
MAX_OBJECTS = 10_000

_SCALARS = frozenset({int, float, str, bool, type(None), bytes})
_KINDS = "biufc"
"""Kinds of numpy data that bytes tell all about."""


class NotPlainError(Exception):
    """The value is of a kind that isn't kept."""


def encode(value: Any) -> bytes:
    """`value` as bytes.  Raises NotPlainError for anything but small plain data."""
    if type(value) not in _SCALARS:
        _check(value)
    stream = io.BytesIO()
    _Pickler(stream, protocol=4).dump(value)
    data = stream.getvalue()
    if len(data) > MAX_BYTES:
        raise NotPlainError(f"a result of {len(data)} bytes")
    return data


def decode(data: bytes) -> Any:
    """What `encode` was given.  Raises pickle.UnpicklingError for anything else."""
    return _Unpickler(io.BytesIO(data)).load()


def _check(value: Any) -> None:
    """Raises NotPlainError unless containers, numbers and arrays are all there is."""
    stack, seen, memory = [value], set[int](), set[int]()
    total = 0
    while stack:
        item = stack.pop()
        kind = type(item)
        total += 1
        if total > MAX_OBJECTS:
            raise NotPlainError("a result of too many parts")
        if kind in _SCALARS or _numpy_scalar(item):
            continue
        if id(item) in seen:
            if kind in (list, tuple, dict):
                continue
            raise NotPlainError("an array that occurs twice")
        seen.add(id(item))
        if kind is list or kind is tuple:
            stack += item
        elif kind is dict:
            stack += item.keys()
            stack += item.values()
        else:
            address = _array(item)
            if address in memory:
                raise NotPlainError("arrays that share memory")
            memory.add(address)


def _numpy_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return False
    return value.dtype.kind in _KINDS and type(value) is value.dtype.type


def _array(value: Any) -> int:
    """The address of a small array or tensor that owns its memory.  Raises NotPlainError."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    address, nbytes = 0, MAX_BYTES + 1
    if numpy is not None and type(value) is numpy.ndarray:
        base = value if value.base is None else value.base  # reshape() gives a view of it all
        owns = type(base) is numpy.ndarray and base.base is None and base.nbytes == value.nbytes
        if (
            owns
            and value.dtype.kind in _KINDS
            and value.flags.c_contiguous
            and value.flags.writeable
        ):
            address, nbytes = value.ctypes.data, value.nbytes
    elif torch is not None and type(value) is torch.Tensor and value.device.type == "cpu":
        if _simple(value, torch):
            address, nbytes = value.data_ptr(), value.numel() * value.element_size()
            if value.untyped_storage().nbytes() != nbytes:
                nbytes = MAX_BYTES + 1  # a part of something larger
    if nbytes > MAX_BYTES:
        raise NotPlainError(f"a result of type {type(value).__name__}")
    return address if nbytes else -id(value)


def _simple(tensor: Any, torch: Any) -> bool:
    return (
        tensor.layout is torch.strided
        and not tensor.requires_grad
        and not tensor.is_quantized
        and tensor.is_contiguous()
        and not (tensor.is_inference() or tensor.is_conj() or tensor.is_neg())
    )


class _Pickler(pickle.Pickler):
    """Arrays as their bytes; containers as pickle does, with their sharing."""

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) in _SCALARS or type(obj) in (list, tuple, dict):
            return None
        if _numpy_scalar(obj):
            return "scalar", obj.dtype.str, obj.tobytes()
        if hasattr(obj, "tobytes"):
            return "array", obj.dtype.str, obj.shape, obj.tobytes()
        count = obj.numel() * obj.element_size()
        raw = ctypes.string_at(obj.data_ptr(), count) if count else b""
        return "tensor", str(obj.dtype).rpartition(".")[2], tuple(obj.shape), raw


class _Unpickler(pickle.Unpickler):
    """Makes plain data only."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in plain data")

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "tensor":
            import torch

            _, dtype, shape, raw = pid
            made = torch.empty(shape, dtype=getattr(torch, dtype))
            if raw:
                ctypes.memmove(made.data_ptr(), raw, len(raw))
            return made
        import numpy

        if pid[0] == "scalar":
            return numpy.frombuffer(pid[2], dtype=pid[1])[0]
        _, dtype, shape, raw = pid
        return numpy.frombuffer(raw, dtype=dtype).reshape(shape).copy()
