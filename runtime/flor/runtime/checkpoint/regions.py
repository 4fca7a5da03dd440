"""Bringing tensor and array memory back: into live memory where it fits, else into fresh memory.

For each region of a snapshot, one live tensor or array decides where in live memory the region
lies; every other member that lies at the matching place is restored in place too.  Members that
lie elsewhere become views of the region's memory, so sharing ends up as it was saved.
"""

from __future__ import annotations

import bisect
import ctypes
import sys
from collections.abc import Collection
from typing import Any

from .elements import numpy_dtype, saved_bytes, torch_dtype
from .errors import RestoreImpossible
from .graph import ArrayData, Snapshot, TensorData
from .live_memory import (
    address_of,
    array_fits,
    array_order,
    bounds_of,
    bytes_at,
    count_of,
    device_of,
    import_numpy,
    import_torch,
    is_lazy,
    saved_device,
    tensor_fits,
)
from .memory import array_bounds, tensor_span
from .pairing import Pairs
from .paths import MISSING


class Regions:
    """Plans where each region goes (changing nothing), then writes the live ones."""

    def __init__(self, snapshot: Snapshot, pairs: Pairs) -> None:
        self.snapshot, self.pairs = snapshot, pairs
        self.objects: dict[int, Any] = {}  # node -> tensor or array that was built
        self.writes: list[tuple[int, Any]] = []  # node, live object: copy the bytes
        self.repoints: list[tuple[Any, Any]] = []  # live tensor, new data
        self._claims: dict[str, list[tuple[int, int]]] = {}
        self._bases: dict[int, Any] = {}

    def plan(self, needed: Collection[int]) -> None:
        """Decide for every needed tensor and array node what stands for it."""
        members: dict[int, list[int]] = {}
        for index, node in enumerate(self.snapshot.nodes):
            if index not in needed or node[0] not in ("tensor", "ndarray"):
                continue
            if isinstance(node[2], (TensorData, ArrayData)):
                members.setdefault(node[2].region, []).append(index)
        for index in members.pop(-1, ()):
            self._empty(index)
        for region, indices in members.items():
            self._region(region, indices)

    # -- planning ------------------------------------------------------------------------------

    def _empty(self, index: int) -> None:
        live = self._candidate(index)
        if live is not MISSING:
            self.objects[index] = live
        else:
            self._deliver(index, self._fresh(index, None))

    def _candidate(self, index: int) -> Any:
        """The live object that may be overwritten with node `index`, or MISSING."""
        live = self.pairs.live[index]
        if live is MISSING or not self.pairs.in_place[index]:
            return MISSING
        data = self.snapshot.nodes[index][2]
        fits = tensor_fits if isinstance(data, TensorData) else array_fits
        return live if fits(live, data) else MISSING

    def _unchanged(self, index: int) -> bool:
        """Whether the paired object that must not be written to holds the saved bytes already."""
        live, data = self.pairs.live[index], self._data(index)
        if live is MISSING or self.pairs.in_place[index]:
            return False
        if isinstance(data, TensorData):
            if not tensor_fits(live, data) or live.device.type != "cpu":
                return False
            span = tensor_span(data.shape, data.stride, torch_dtype(data.dtype).itemsize)
            return count_of(data.shape) * live.element_size() == span and ctypes.string_at(
                live.data_ptr(), span
            ) == bytes(saved_bytes(self.snapshot, data))
        return array_fits(live, data) and live.tobytes() == bytes(saved_bytes(self.snapshot, data))

    def _region(self, region: int, indices: list[int]) -> None:
        if len(indices) == 1 and self._unchanged(indices[0]):
            self.objects[indices[0]] = self.pairs.live[indices[0]]
            return
        size = self.snapshot.regions[region].nbytes
        if len(indices) > 1:
            indices = sorted(indices, key=lambda i: -self._span(i))
        owner, base = MISSING, 0
        for index in indices:
            live = self._candidate(index)
            if live is MISSING:
                continue
            start = address_of(live) - self.snapshot.nodes[index][2].offset
            low, high = bounds_of(live)
            if low <= start and start + size <= high and self._claim(device_of(live), start, size):
                owner, base = live, start
                break
        if owner is MISSING:
            memory = None if len(indices) == 1 else self._fresh_region(region, indices)
        else:
            memory = None
        covered = False
        for index in indices:
            live = self._candidate(index) if owner is not MISSING else MISSING
            offset = self.snapshot.nodes[index][2].offset
            if (
                live is not MISSING
                and address_of(live) == base + offset
                and device_of(live) == device_of(owner)
            ):
                self.objects[index] = live
                if not covered:
                    self.writes.append((index, live))
                covered = covered or self._dense(index, size)
            else:
                if owner is not MISSING and memory is None:
                    memory = bytes_at(owner, base, size)
                    self._write_around(region, memory)
                    covered = True
                self._deliver(index, self._fresh(index, memory))

    def _write_around(self, region: int, memory: Any) -> None:
        """A view of live memory is handed out: all of the region has to be written."""
        self.writes.append((-1 - region, memory))

    def _claim(self, device: str, low: int, size: int) -> bool:
        """Reserve live memory; False if another region has some of it."""
        claims = self._claims.setdefault(device, [])
        at = bisect.bisect_left(claims, (low, low))
        if at < len(claims) and claims[at][0] < low + size:
            return False
        if at > 0 and claims[at - 1][1] > low:
            return False
        claims.insert(at, (low, low + size))
        return True

    def _span(self, index: int) -> int:
        data = self.snapshot.nodes[index][2]
        if isinstance(data, TensorData):
            return tensor_span(data.shape, data.stride, torch_dtype(data.dtype).itemsize)
        low, high = array_bounds(0, data.shape, data.strides, numpy_dtype(data.dtype).itemsize)
        return high - low

    def _dense(self, index: int, size: int) -> bool:
        """Whether the node covers its whole region without gaps."""
        data = self.snapshot.nodes[index][2]
        if isinstance(data, TensorData):
            itemsize = torch_dtype(data.dtype).itemsize
        else:
            itemsize = numpy_dtype(data.dtype).itemsize
        return count_of(data.shape) * itemsize == size and self._span(index) == size

    def _deliver(self, index: int, built: Any) -> None:
        """`built` stands for the node; a live parameter keeps its identity and gets new data."""
        live = self.pairs.live[index]
        data = self.snapshot.nodes[index][2]
        if isinstance(data, TensorData):
            torch = sys.modules["torch"]
            if live is not MISSING and self.pairs.in_place[index] and live.is_leaf:
                if live.layout is torch.strided and not live.is_inference():
                    self.repoints.append((live, built))
                    self.objects[index] = live
                    return
            self.objects[index] = self._dress(index, data, built)
        else:
            self.objects[index] = self._dress_array(index, data, built)

    # -- building ------------------------------------------------------------------------------

    def _fresh_region(self, region: int, indices: list[int]) -> Any:
        """Memory for a region with several members: a byte tensor, or a byte array."""
        size, address = self.snapshot.regions[region].nbytes, self.snapshot.region_address(region)
        tensors = [n for n in map(self._data, indices) if isinstance(n, TensorData)]
        if tensors:
            torch = import_torch()
            host = torch.empty(size, dtype=torch.uint8)
            ctypes.memmove(host.data_ptr(), address, size)
            return host if tensors[0].device == "cpu" else host.to(saved_device(tensors[0]))
        numpy = import_numpy()
        array = numpy.empty(size, dtype=numpy.uint8)
        ctypes.memmove(array.ctypes.data, address, size)
        return array

    def _data(self, index: int) -> Any:
        return self.snapshot.nodes[index][2]

    def _fresh(self, index: int, memory: Any) -> Any:
        """A plain tensor or array for the node: a view of `memory`, or with memory of its own."""
        data = self._data(index)
        if isinstance(data, TensorData):
            return self._fresh_tensor(data, memory)
        return self._fresh_array(data, memory)

    def _fresh_tensor(self, data: TensorData, memory: Any) -> Any:
        torch, dtype = import_torch(), torch_dtype(data.dtype)
        if memory is not None:
            if type(memory).__module__ == "numpy":
                memory = torch.from_numpy(memory)
            start = memory.storage_offset() + data.offset
            if start % dtype.itemsize == 0:
                view = torch.empty(0, dtype=dtype, device=memory.device)
                return view.set_(
                    memory.untyped_storage(), start // dtype.itemsize, data.shape, data.stride
                )
        fresh = torch.empty_strided(data.shape, data.stride, dtype=dtype)
        if data.region >= 0:
            address = self.snapshot.region_address(data.region) + data.offset
            ctypes.memmove(
                fresh.data_ptr(), address, tensor_span(data.shape, data.stride, dtype.itemsize)
            )
        return fresh if data.device == "cpu" else fresh.to(saved_device(data))

    def _fresh_array(self, data: ArrayData, memory: Any) -> Any:
        numpy, dtype = import_numpy(), numpy_dtype(data.dtype)
        if data.region < 0:
            return numpy.empty(data.shape, dtype=dtype)
        if memory is not None:
            if type(memory).__module__.startswith("torch"):
                memory = memory.numpy()
            return numpy.ndarray(
                data.shape, dtype, buffer=memory, offset=data.offset, strides=data.strides
            )
        size = self.snapshot.regions[data.region].nbytes
        address = self.snapshot.region_address(data.region)
        order = array_order(data, dtype.itemsize)
        if order and count_of(data.shape) * dtype.itemsize == size:
            own = numpy.empty(data.shape, dtype=dtype, order=order)
            ctypes.memmove(own.ctypes.data, address, size)
            return own
        raw = numpy.empty(size, dtype=numpy.uint8)
        ctypes.memmove(raw.ctypes.data, address, size)
        return numpy.ndarray(
            data.shape, dtype, buffer=raw, offset=data.offset, strides=data.strides
        )

    def _dress(self, index: int, data: TensorData, tensor: Any) -> Any:
        torch = import_torch()
        cls = self.pairs.classes.get(self.snapshot.nodes[index][1])
        module, name = self.snapshot.types[self.snapshot.nodes[index][1]]
        if cls is None:
            cls = getattr(sys.modules.get(module), name, None)
        if cls is torch.nn.Parameter:
            return torch.nn.Parameter(tensor, requires_grad=data.requires_grad)
        if cls is not torch.Tensor:
            if not isinstance(cls, type):
                raise RestoreImpossible(
                    self.snapshot.paths()[index], f"class {module}.{name} cannot be found"
                )
            tensor = tensor.as_subclass(cls)
        return tensor.requires_grad_() if data.requires_grad else tensor

    def _dress_array(self, index: int, data: ArrayData, array: Any) -> Any:
        numpy = import_numpy()
        module, name = self.snapshot.types[self.snapshot.nodes[index][1]]
        if (module, name) != ("numpy", "ndarray"):
            cls = self.pairs.classes.get(self.snapshot.nodes[index][1])
            if cls is None:
                cls = getattr(sys.modules.get(module), name, None)
            if isinstance(cls, type) and name != "memmap":
                array = array.view(cls)
        elif not isinstance(array, numpy.ndarray):
            raise RestoreImpossible(self.snapshot.paths()[index], "not an array")
        if not data.writeable:
            array.flags.writeable = False
        return array

    # -- writing -------------------------------------------------------------------------------

    def write(self) -> None:
        """Change live memory.  After this, only shapes of Python objects are left to restore."""
        for index, live in self.writes:
            if index < 0:
                self._write_bytes(-1 - index, live)
            elif isinstance(self._data(index), TensorData):
                self._write_tensor(self._data(index), live)
            else:
                self._write_array(self._data(index), live)
        for live, built in self.repoints:
            if hasattr(live, "materialize") and is_lazy(live):
                live.materialize(tuple(built.shape), built.device, built.dtype)
            live.data = built

    def _write_bytes(self, region: int, memory: Any) -> None:
        size, address = self.snapshot.regions[region].nbytes, self.snapshot.region_address(region)
        if type(memory).__module__ == "numpy":
            ctypes.memmove(memory.ctypes.data, address, size)
        elif memory.device.type == "cpu":
            ctypes.memmove(memory.data_ptr(), address, size)
        else:
            torch = import_torch()
            memory.copy_(torch.frombuffer(self.snapshot.region_view(region), dtype=torch.uint8))

    def _write_tensor(self, data: TensorData, live: Any) -> None:
        itemsize = torch_dtype(data.dtype).itemsize
        span = tensor_span(data.shape, data.stride, itemsize)
        distinct = count_of(n for n, step in zip(data.shape, data.stride, strict=True) if step)
        if live.device.type == "cpu" and distinct * itemsize == span:
            address = self.snapshot.region_address(data.region) + data.offset
            ctypes.memmove(live.data_ptr(), address, span)
            return
        torch = import_torch()
        source = self._fresh_tensor(data._replace(device="cpu"), None)
        with torch.no_grad():
            live.detach().copy_(source)

    def _write_array(self, data: ArrayData, live: Any) -> None:
        itemsize = live.dtype.itemsize
        if array_order(data, itemsize):
            address = self.snapshot.region_address(data.region) + data.offset
            ctypes.memmove(address_of(live), address, count_of(data.shape) * itemsize)
            return
        import_numpy().copyto(live, self._fresh_array(data, None))
