"""When a file was made: statx(2), which `os` does not offer."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_SECONDS = 80  # offset of stx_btime.tv_sec in struct statx; the mask is at 0


@functools.lru_cache(maxsize=1)
def _statx() -> Callable[..., Any] | None:
    try:
        return ctypes.CDLL(None).statx  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


def birth(path: str) -> float | None:
    """Seconds since the epoch at which `path` was made; None where that is not kept."""
    statx = _statx()
    if statx is None:
        return None
    buffer = ctypes.create_string_buffer(256)
    if statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer):
        return None
    if not int.from_bytes(buffer.raw[:4], "little") & _STATX_BTIME:
        return None
    seconds = int.from_bytes(buffer.raw[_SECONDS : _SECONDS + 8], "little", signed=True)
    nanoseconds = int.from_bytes(buffer.raw[_SECONDS + 8 : _SECONDS + 12], "little")
    return seconds + nanoseconds * 1e-9


def born_after(path: str, moment: float) -> bool:
    """Whether `path` is known to have been made after `moment` (epoch seconds)."""
    born = birth(path)
    return born is not None and born > moment
