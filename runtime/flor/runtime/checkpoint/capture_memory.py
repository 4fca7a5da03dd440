"""The kinds of node that have memory: arrays and tensors."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from typing import Any

from .graph import ArrayData, Edge, TensorData
from .kinds import TypeInfo
from .memory import MemoryPlan, array_bounds, tensor_span


class Kind(tuple):  # type: ignore[type-arg]
    """(kind, payload): a node whose kind is not the one of its type."""

    __slots__ = ()

    def __new__(cls, kind: str, payload: Any) -> Kind:
        return tuple.__new__(cls, (kind, payload))


class MemoryKinds:
    """The part of a walk that looks at arrays and tensors.

    Their payload is complete only when it is known where the memory went: `located` has the
    node, the ticket of `memory`, and a function of region and offset.
    """

    skip_grads: bool
    torch: Any
    memory: MemoryPlan
    located: list[tuple[int, int, Any]]
    held: list[Any]
    remarks: list[tuple[int, str]]

    def edge(self, obj: Any) -> Edge:
        """The edge to `obj`."""
        raise NotImplementedError

    def edges(self, items: Iterable[Any]) -> tuple[Edge, ...]:
        """Edges of a sequence."""
        raise NotImplementedError

    def lose(self, index: int, why: str) -> Kind:
        """A node for something that cannot be captured."""
        raise NotImplementedError

    def _ndarray(self, index: int, obj: Any, info: TypeInfo) -> Any:
        numpy = sys.modules["numpy"]
        dtype = obj.dtype
        if type(obj).__name__ == "memmap" and obj.mode in ("r", "c"):
            return Kind("opaque", None)
        if dtype.hasobject:
            if dtype.names is not None or dtype.kind != "O":
                return Kind("reduce", pickle.dumps(obj, 5))
            flat = numpy.ndarray.__array__(obj).ravel().tolist() if obj.ndim else [obj[()]]
            return Kind("objarray", (self.edges(flat), tuple(obj.shape)))
        if dtype.kind == "T":
            return Kind("reduce", pickle.dumps(obj, 5))
        name = dtype.str if dtype.isbuiltin == 1 or dtype.kind in "SUmM" else pickle.dumps(dtype, 5)
        if not dtype.isnative and dtype.kind != "V":
            name = dtype.str
        shape, strides = tuple(obj.shape), tuple(obj.strides)
        address = obj.__array_interface__["data"][0]
        low, high = array_bounds(address, shape, strides, dtype.itemsize)
        writeable = bool(obj.flags.writeable)
        if low == high:
            return ArrayData(-1, 0, name, shape, strides, writeable)
        ticket = self.memory.add("cpu", low, high, obj)

        def make(region: int, offset: int) -> ArrayData:
            return ArrayData(region, offset + address - low, name, shape, strides, writeable)

        self.located.append((index, ticket, make))
        return None

    def _tensor(self, index: int, obj: Any, info: TypeInfo) -> Any:
        torch = self.torch
        assert torch is not None
        if hasattr(type(obj), "__tensor_flatten__"):
            return self.lose(index, f"tensor subclass {type(obj).__qualname__} is not supported")
        if _is_lazy(obj):
            return Kind("opaque", None)
        leaf = obj.is_leaf
        requires_grad = bool(obj.requires_grad)
        if not leaf:
            self.remarks.append((index, "a tensor with a history was stored detached"))
            requires_grad = False
        grad: Edge = None
        if leaf and obj.grad is not None:
            grad = True if self.skip_grads else self.edge(obj.grad)
        if obj.layout is not torch.strided:
            return self._sparse(index, obj, requires_grad)
        device = str(obj.device)
        if device == "meta":
            return Kind("opaque", None)
        if obj.is_quantized:
            return Kind("reduce", pickle.dumps(obj.detach(), 5))
        data = obj.detach()
        if data.is_conj() or data.is_neg():
            data = data.resolve_conj().resolve_neg()
            self.held.append(data)
        shape, stride = tuple(data.shape), data.stride()
        dtype = str(data.dtype)[6:]
        span = tensor_span(shape, stride, data.element_size())
        if not span:
            return TensorData(-1, 0, dtype, shape, stride, requires_grad, device, grad)
        address = data.data_ptr()
        ticket = self.memory.add(device, address, address + span, data)

        def make(region: int, offset: int) -> TensorData:
            return TensorData(region, offset, dtype, shape, stride, requires_grad, device, grad)

        self.located.append((index, ticket, make))
        return None

    def _sparse(self, index: int, obj: Any, requires_grad: bool) -> Any:
        torch = self.torch
        assert torch is not None
        data, shape = obj.detach(), tuple(obj.shape)
        if obj.layout is torch.sparse_coo:
            parts: tuple[Any, ...] = (data._indices(), data._values())
        elif obj.layout in (torch.sparse_csr, torch.sparse_bsr):
            parts = (data.crow_indices(), data.col_indices(), data.values())
        elif obj.layout in (torch.sparse_csc, torch.sparse_bsc):
            parts = (data.ccol_indices(), data.row_indices(), data.values())
        else:
            return Kind("reduce", pickle.dumps(data, 5))
        coalesced = bool(data.is_coalesced()) if obj.layout is torch.sparse_coo else True
        layout = str(obj.layout)[6:]
        return Kind("sparse", (self.edges(parts), layout, shape, coalesced, requires_grad))


def _is_lazy(tensor: Any) -> bool:
    return any(c.__name__ == "UninitializedTensorMixin" for c in type(tensor).__mro__)
