"""The format of checkpoint files, and their hashes.

Layout, little-endian:
  0   8 bytes  magic `FLORCKPT`
  8   u32      format (1)
  12  u32      hash: 1 xxh3-128, 2 BLAKE2b-128
  16  u64 u64  offset and size of the manifest
  32  u64 u64  offset and size of the data
  48  16 bytes hash of bytes 0..48 and of the manifest
  64           manifest (pickle of plain values), then the data, at a page boundary
The manifest has the graph, the RNG states and for each region its size, its hash, the file that
holds it ("" is this one) and the offset there.  A region whose bytes an earlier checkpoint of the
same run holds is not stored again; the reference always leads to the file with the bytes, never
to a further reference.  A file that others refer to must not be deleted before them.
Files are renamed into place when they are complete.  They are not synced: after a power cut the
newest ones may be damaged, and the hashes tell.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

MAGIC = b"FLORCKPT"
FORMAT = 1
SUFFIX = ".ckpt"
HEAD = struct.Struct("<8sIIQQQQ")
HEAD_SIZE = 64
CHUNK = 8 << 20
"""Bytes that are hashed or written in one go."""


def hasher(number: int) -> Any:
    """A hash of 16 bytes.  Raises ImportError, ValueError."""
    if number == 1:
        import xxhash

        return xxhash.xxh3_128()
    if number == 2:
        return hashlib.blake2b(digest_size=16)
    raise ValueError(f"unknown hash {number}")


def algorithm() -> int:
    """The number of the best hash that is installed."""
    try:
        hasher(1)
    except ImportError:
        return 2
    return 1


def digest(number: int, *parts: Any) -> bytes:
    """The hash of the parts' bytes, one after the other (16 bytes)."""
    state = hasher(number)
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), CHUNK):
            state.update(view[start : start + CHUNK])
    return bytes(state.digest())
