"""Files of records: TensorBoard's (TFRecord), and wandb's (blocks as in LevelDB's log)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reversed


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        found.append(byte)
    return tuple(found)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)


class Damaged(ValueError):
    """A record isn't what was written; those before it are."""


def framed(record: bytes) -> bytes:
    """A record of an event file."""
    size = struct.pack("<Q", len(record))
    return size + _masked(size) + record + _masked(record)


def event_records(data: bytes) -> Iterator[bytes]:
    """The records of an event file.  A last one that is cut off is left out.  Raises Damaged."""
    at = 0
    while at + 12 <= len(data):
        size = data[at : at + 8]
        if _masked(size) != data[at + 8 : at + 12]:
            raise Damaged(f"damaged at byte {at}")
        (length,) = struct.unpack("<Q", size)
        record = data[at + 12 : at + 12 + length]
        end = at + 12 + length
        if end + 4 > len(data):
            return  # it was being written
        if _masked(record) != data[end : end + 4]:
            raise Damaged(f"damaged at byte {at}")
        yield record
        at = end + 4


_BLOCK = 32768
_HEAD = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of a `.wandb` file.  Raises Damaged."""
    if data[:4] != b":W&B":
        raise Damaged("no file of wandb's")
    at, parts = _HEAD, b""
    while at + _HEAD <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEAD:
            at += left
            continue
        crc, length, kind = struct.unpack("<IHB", data[at : at + _HEAD])
        body = data[at + _HEAD : at + _HEAD + length]
        if len(body) < length:
            return
        if not crc and not length and not kind:  # a block that was never filled
            at += left
            continue
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or zlib.crc32(bytes([kind]) + body) != crc:
            raise Damaged(f"damaged at byte {at}")
        at += _HEAD + length
        parts = body if kind in (_FULL, _FIRST) else parts + body
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
