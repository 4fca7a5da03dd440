"""Copying the memory of tensors and arrays into an arena, each byte once."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from .arena import POOL, Buffer
from .graph import Region

PAGE = 4096
LARGE = 4 * PAGE
"""Regions of this size and more start at a page, so that they can be written past the cache."""
_SMALL = 64


class MemoryPlan:
    """The intervals of memory that a walk met.  `add` them, then `copy` once."""

    def __init__(self) -> None:
        self.intervals: list[tuple[str, int, int, Any]] = []

    def add(self, device: str, low: int, high: int, owner: Any) -> int:
        """Note bytes [low, high) on `device`; `owner` keeps them alive.  Returns a ticket."""
        self.intervals.append((device, low, high, owner))
        return len(self.intervals) - 1

    def copy(self) -> tuple[list[Region], list[tuple[int, int]], list[Buffer]]:
        """Merge overlapping intervals and copy them.

        Returns the regions, for each ticket (region, offset in bytes), and the buffers.
        """
        order = sorted(range(len(self.intervals)), key=lambda i: self.intervals[i][:2])
        places: list[tuple[int, int]] = [(-1, 0)] * len(order)
        merged: list[list[Any]] = []  # [device, low, high, owner]
        for ticket in order:
            device, low, high, owner = self.intervals[ticket]
            last = merged[-1] if merged else None
            if last is None or last[0] != device or low >= last[2]:
                last = [device, low, high, owner]
                merged.append(last)
            elif high > last[2]:
                last[2] = high
            places[ticket] = (len(merged) - 1, low - last[1])
        regions, total = _layout(merged)
        if not total:
            return regions, places, []
        devices = {m[0] for m in merged}
        arena = POOL.acquire(total, pin=any(d.startswith("cuda") for d in devices))
        _fill(arena, regions, merged)
        return regions, places, [arena]


def _layout(merged: list[list[Any]]) -> tuple[list[Region], int]:
    """Places in the arena: large regions first, on pages of their own, then the small ones."""
    sizes = [high - low for _, low, high, _ in merged]
    offsets = [0] * len(sizes)
    total = 0
    for large in (True, False):
        align = PAGE if large else _SMALL
        for number, size in enumerate(sizes):
            if (size >= LARGE) == large:
                offsets[number] = -(-total // align) * align
                total = offsets[number] + size
        total = -(-total // PAGE) * PAGE
    return [Region(0, offset, size) for offset, size in zip(offsets, sizes, strict=True)], total


def _fill(arena: Buffer, regions: list[Region], merged: list[list[Any]]) -> None:
    remote = []
    base, move = arena.address, ctypes.memmove
    for region, (device, low, _, owner) in zip(regions, merged, strict=True):
        tail = -region.nbytes % PAGE
        if region.nbytes >= LARGE and tail:  # whole pages are written to files
            ctypes.memset(base + region.offset + region.nbytes, 0, tail)
        if device == "cpu":
            move(base + region.offset, low, region.nbytes)
        else:
            remote.append((region, low, owner))
    if remote:
        _fetch(arena, remote)


def _fetch(arena: Buffer, remote: list[tuple[Region, int, Any]]) -> None:
    """Copy device memory; one synchronisation at the end."""
    torch = sys.modules["torch"]
    host = arena.pinned
    if host is None:
        host = torch.frombuffer(arena.view, dtype=torch.uint8)
    for region, low, tensor in remote:
        source = device_bytes(tensor, low, region.nbytes)
        host[region.offset : region.offset + region.nbytes].copy_(source, non_blocking=True)
    for device in {tensor.device for _, _, tensor in remote if tensor.device.type == "cuda"}:
        torch.cuda.synchronize(device)


def device_bytes(tensor: Any, low: int, nbytes: int) -> Any:
    """A byte tensor over `nbytes` bytes at address `low` of `tensor`'s storage, on its device."""
    torch = sys.modules["torch"]
    storage = tensor.untyped_storage()
    view = torch.empty(0, dtype=torch.uint8, device=tensor.device)
    return view.set_(storage, low - storage.data_ptr(), (nbytes,), (1,))


def tensor_span(shape: Any, stride: Any, itemsize: int) -> int:
    """Bytes from the first element to the end of the last one; 0 if there are none."""
    last = 0
    for size, step in zip(shape, stride, strict=True):
        if size == 0:
            return 0
        last += (size - 1) * step
    return (last + 1) * itemsize


def array_bounds(address: int, shape: Any, strides: Any, itemsize: int) -> tuple[int, int]:
    """[low, high) addresses of an array whose element 0 is at `address` (strides in bytes)."""
    low = high = address
    for size, step in zip(shape, strides, strict=True):
        if size == 0:
            return address, address
        if step < 0:
            low += (size - 1) * step
        else:
            high += (size - 1) * step
    return low, high + itemsize
