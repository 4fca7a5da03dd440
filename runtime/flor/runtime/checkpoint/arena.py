"""Host memory for snapshots, kept from one snapshot to the next.

Allocating pages costs several times what copying into them does, so an arena is returned to a
pool and used again.  Two are kept: one is filled while the other is being persisted.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from typing import Any

KEPT = 2
_ROUND = 1 << 21


class Buffer:
    """Writable bytes with a stable address: `view` (memoryview) and `address` (int)."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        self.view = memoryview(memory).cast("B")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory)) if len(self.view) else 0
        self.pinned: Any = None

    @property
    def capacity(self) -> int:
        """Size in bytes."""
        return len(self.view)


def anonymous(nbytes: int) -> Buffer:
    """Fresh zeroed memory of at least `nbytes` bytes, in huge pages where the system has them."""
    memory = mmap.mmap(-1, max(nbytes, mmap.PAGESIZE))
    if hasattr(memory, "madvise") and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass
    return Buffer(memory)


def pinned(nbytes: int) -> Buffer:
    """Page-locked memory for copies from a GPU; needs torch with CUDA."""
    torch = sys.modules["torch"]
    tensor = torch.empty(max(nbytes, 1), dtype=torch.uint8, pin_memory=True)
    buffer = Buffer((ctypes.c_uint8 * tensor.numel()).from_address(tensor.data_ptr()))
    buffer.pinned = tensor
    return buffer


class ArenaPool:
    """Buffers that are free for the next snapshot.  Thread-safe."""

    def __init__(self) -> None:
        self._free: list[Buffer] = []
        self._lock = threading.Lock()

    def acquire(self, nbytes: int, *, pin: bool = False) -> Buffer:
        """A buffer of at least `nbytes` bytes, recycled if one fits."""
        with self._lock:
            fitting = [
                b for b in self._free if b.capacity >= nbytes and (b.pinned is not None) == pin
            ]
            if fitting:
                best = min(fitting, key=lambda b: b.capacity)
                self._free.remove(best)
                return best
            self._free.clear()  # all too small (or of the wrong kind): let their pages go
        size = -(-max(nbytes + nbytes // 32, 1) // _ROUND) * _ROUND
        return pinned(size) if pin else anonymous(size)

    def release(self, buffer: Buffer) -> None:
        """Give `buffer` back; nothing may point into it any more."""
        with self._lock:
            if len(self._free) < KEPT and buffer not in self._free:
                self._free.append(buffer)


POOL = ArenaPool()
"""The process's pool."""
