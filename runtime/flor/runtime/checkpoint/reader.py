"""Reading checkpoint files back, verified."""

from __future__ import annotations

import io
import mmap
import os
import pickle
from pathlib import Path
from typing import Any

from .arena import Buffer
from .errors import CheckpointCorrupt, one_line
from .fileformat import FORMAT, HEAD, HEAD_SIZE, MAGIC, digest
from .graph import ArrayData, Region, Snapshot, TensorData


def load(file: Path) -> Snapshot:
    """Read and verify a checkpoint (and the files it refers to).  Raises CheckpointCorrupt."""
    file = Path(file)
    try:
        return _load(file)
    except CheckpointCorrupt:
        raise
    except FileNotFoundError as error:
        raise CheckpointCorrupt(f"checkpoint {file.name}: {error.filename} is missing") from None
    except Exception as error:
        raise CheckpointCorrupt(f"checkpoint {file.name}: {one_line(error)}") from error


def _load(file: Path) -> Snapshot:
    main, head = _open(file)
    _, _, algorithm, at, size, data_at, data_size = head
    if at != HEAD_SIZE or at + size > main.capacity:
        raise CheckpointCorrupt(f"checkpoint {file.name}: truncated")
    if data_size and data_at + data_size > main.capacity:
        raise CheckpointCorrupt(f"checkpoint {file.name}: truncated")
    manifest = main.view[at : at + size]
    if digest(algorithm, main.view[: HEAD.size], manifest) != bytes(
        main.view[HEAD.size : HEAD_SIZE]
    ):
        raise CheckpointCorrupt(f"checkpoint {file.name}: its checksum is wrong")
    content = _Plain(manifest).load()
    buffers, starts, numbers = [main], [data_at], {"": 0, file.name: 0}
    regions = []
    for number, (nbytes, expected, other, offset) in enumerate(content["regions"]):
        if other not in numbers:
            buffer, other_head = _open(file.parent / other)
            numbers[other] = len(buffers)
            buffers.append(buffer)
            starts.append(other_head[5])
        which = numbers[other]
        start = starts[which] + offset
        view = buffers[which].view[start : start + nbytes]
        if len(view) != nbytes or digest(algorithm, view) != expected:
            where = other or file.name
            raise CheckpointCorrupt(
                f"checkpoint {file.name}: region {number} in {where} is damaged or truncated"
            )
        regions.append(Region(which, start, nbytes))
    return Snapshot(
        roots=content["roots"],
        anchors=content.get("anchors", {}),
        nodes=_nodes(content["nodes"]),
        types=content["types"],
        regions=regions,
        buffers=buffers,
        rng=content["rng"],
        missing=content["missing"],
        notes=content["notes"],
        meta=content["meta"],
    )


def contents(file: Path) -> tuple[frozenset[str], dict[str, Any]]:
    """The other files that a checkpoint refers to, and its `meta`; its data isn't looked at.

    Raises CheckpointCorrupt.
    """
    try:
        main, head = _open(Path(file))
        manifest = main.view[head[3] : head[3] + head[4]]
        content = _Plain(manifest).load()
        others = frozenset(other for _, _, other, _ in content["regions"] if other)
        return others - {Path(file).name}, content["meta"]
    except CheckpointCorrupt:
        raise
    except Exception as error:
        raise CheckpointCorrupt(f"checkpoint {Path(file).name}: {one_line(error)}") from error


def _open(file: Path) -> tuple[Buffer, tuple[Any, ...]]:
    """Map a file privately and read its head."""
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < HEAD_SIZE:
            raise CheckpointCorrupt(f"checkpoint {file.name}: truncated")
        memory = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
    buffer = Buffer(memory)
    head = HEAD.unpack(buffer.view[: HEAD.size])
    if head[0] != MAGIC:
        raise CheckpointCorrupt(f"checkpoint {file.name}: not a checkpoint file")
    if head[1] > FORMAT:
        raise CheckpointCorrupt(
            f"checkpoint {file.name}: format {head[1]} is newer than this flor reads ({FORMAT})"
        )
    return buffer, head


_BUILTINS = {"range": range, "complex": complex, "Ellipsis": ...}


class _Plain(pickle.Unpickler):
    """Reads plain values only: a manifest names no class."""

    def __init__(self, data: Any) -> None:
        super().__init__(io.BytesIO(data))

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name in _BUILTINS:
            return _BUILTINS[name]
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")


def _nodes(rows: list[Any]) -> list[Any]:
    makers: dict[str, Any] = {"TensorData": TensorData, "ArrayData": ArrayData}
    return [
        (r[0], r[1], makers[r[2][0]](*r[2][1:]), r[3], r[4])
        if r[0] in ("tensor", "ndarray") and r[2] is not None
        else r
        for r in rows
    ]
