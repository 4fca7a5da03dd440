"""What is asked of live tensors and arrays: whether they fit, and where their memory is."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .elements import numpy_dtype
from .graph import ArrayData, TensorData
from .memory import array_bounds, device_bytes


def tensor_fits(live: Any, data: TensorData) -> bool:
    """Whether a saved tensor can be copied into `live` as it is."""
    torch = sys.modules["torch"]
    return (
        not is_lazy(live)
        and live.layout is torch.strided
        and tuple(live.shape) == data.shape
        and live.stride() == data.stride
        and str(live.dtype)[6:] == data.dtype
        and live.is_leaf
        and not live.is_inference()
        and not live.is_conj()
        and not live.is_neg()
        and live.device.type != "meta"
    )


def array_fits(live: Any, data: ArrayData) -> bool:
    """Whether a saved array can be copied into `live` as it is."""
    return (
        tuple(live.shape) == data.shape
        and tuple(live.strides) == data.strides
        and not live.dtype.hasobject
        and live.dtype == numpy_dtype(data.dtype)
        and live.flags.writeable
        and data.writeable
    )


def is_lazy(tensor: Any) -> bool:
    """Whether the tensor has no shape yet."""
    return any(c.__name__ == "UninitializedTensorMixin" for c in type(tensor).__mro__)


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.Tensor)


def address_of(live: Any) -> int:
    """The address of the first element."""
    if is_tensor(live):
        return int(live.data_ptr())
    return int(live.__array_interface__["data"][0])


def device_of(live: Any) -> str:
    """The name of the device that holds the memory."""
    return str(live.device) if is_tensor(live) else "cpu"


def bounds_of(live: Any) -> tuple[int, int]:
    """[low, high) of the memory that `live` is part of."""
    if is_tensor(live):
        storage = live.untyped_storage()
        low = storage.data_ptr()
        return low, low + storage.nbytes()
    numpy = sys.modules["numpy"]
    while isinstance(live.base, numpy.ndarray):
        live = live.base
    return array_bounds(address_of(live), live.shape, live.strides, live.dtype.itemsize)


class _Raw:
    """Lends bytes at an address to numpy and keeps their owner alive."""

    def __init__(self, owner: Any, address: int, size: int) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
        }


def bytes_at(owner: Any, address: int, size: int) -> Any:
    """A byte tensor or byte array over part of `owner`'s memory."""
    if is_tensor(owner):
        return device_bytes(owner, address, size)
    return import_numpy().asarray(_Raw(owner, address, size))


def import_torch() -> Any:
    """The torch module."""
    return importlib.import_module("torch")


def import_numpy() -> Any:
    """The numpy module."""
    return importlib.import_module("numpy")


def saved_device(data: TensorData) -> Any:
    """The device that a tensor was saved from, or the CPU if it has none here."""
    torch = import_torch()
    device = torch.device(data.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        return torch.device("cpu")
    return device


def count_of(shape: Any) -> int:
    """The number of elements of a shape."""
    count = 1
    for size in shape:
        count *= size
    return count


def array_order(data: ArrayData, itemsize: int) -> str:
    """The order in which the array has no gaps: "C", "F" or ""."""
    for order, axes in (("C", reversed(range(len(data.shape)))), ("F", range(len(data.shape)))):
        expected = itemsize
        for axis in axes:
            if data.shape[axis] != 1 and data.strides[axis] != expected:
                break
            expected *= data.shape[axis]
        else:
            return order
    return ""
