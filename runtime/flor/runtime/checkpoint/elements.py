"""The elements of saved tensors and arrays, and the names of their types."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

from .graph import ArrayData, Snapshot, TensorData


def torch_dtype(name: str) -> Any:
    """The torch dtype of that name."""
    return getattr(importlib.import_module("torch"), name)


def numpy_dtype(name: Any) -> Any:
    """The numpy dtype of an `ArrayData.dtype`."""
    return (
        pickle.loads(name)
        if isinstance(name, bytes)
        else importlib.import_module("numpy").dtype(name)
    )


def saved_bytes(snapshot: Snapshot, data: TensorData | ArrayData) -> Any:
    """The elements' bytes in index order."""
    if data.region < 0:
        return b""
    if isinstance(data, TensorData):
        count = 1
        for size in data.shape:
            count *= size
        itemsize = _itemsize(data)
        strides = tuple(s * itemsize for s in data.stride)
    else:
        itemsize, strides = _itemsize(data), data.strides
    view = snapshot.region_view(data.region)
    expected = itemsize
    for size, stride in zip(reversed(data.shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return _gather(view, data.offset, data.shape, strides, itemsize)
        expected *= size
    return view[data.offset : data.offset + expected]


def _gather(view: Any, offset: int, shape: Any, strides: Any, itemsize: int) -> bytes:
    numpy = importlib.import_module("numpy")
    array = numpy.ndarray((*shape, itemsize), "u1", view, offset, (*strides, 1))
    return bytes(array.tobytes())


def _itemsize(data: TensorData | ArrayData) -> int:
    if isinstance(data, TensorData):
        return int(torch_dtype(data.dtype).itemsize)
    return int(numpy_dtype(data.dtype).itemsize)
