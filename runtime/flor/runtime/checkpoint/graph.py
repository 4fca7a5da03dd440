"""The serialisable object graph that a snapshot holds.

A node is a plain tuple `(kind, type, payload, attrs, slots)`:
  kind     one of the words of `kinds.py`
  type     index into `Snapshot.types`, whose entries are (module, qualified name).  Two classes
           of the same name have two entries: parametrizations make such classes.
  payload  what the kind needs, see the function of that name in `capture.py`
  attrs    None, or the items of the object's `__dict__`: ((name, edge), …)
  slots    None, or the set `__slots__`: ((name, edge), …)
An edge is either an atom (a value of one of the types in `ATOMS`) or a 1-tuple with the index of
a node.  Tuples are never atoms, so the two cannot be confused, and everything can be pickled
cheaply and is immutable: a snapshot cannot change after it was taken.

Tensor and array memory is not in the nodes but in *regions*: maximal runs of overlapping memory
that live tensors and arrays used, each copied once.  A view, a tied weight and a numpy array made
from a tensor refer to the same region and so keep sharing it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .arena import POOL, Buffer

ATOMS: frozenset[type] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type(...), range}
)
"""Immutable types that are stored in the edge itself."""

Edge = Any
Node = tuple[str, int, Any, "tuple[tuple[Any, Edge], ...] | None", "tuple[Any, ...] | None"]


class Region(NamedTuple):
    """Where the bytes of one run of memory are: buffer index, offset and size in bytes."""

    buffer: int
    offset: int
    nbytes: int


@dataclass
class Snapshot:
    """State of a set of roots at one moment.  Give it back with `release()` when it is done."""

    roots: dict[str, Edge]
    nodes: list[Node]
    types: list[tuple[str, str]]
    regions: list[Region]
    buffers: list[Buffer]
    rng: dict[str, Any]
    anchors: dict[str, Edge] = field(default_factory=dict)  # known by identity; None: not met
    missing: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    recycled: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of tensor and array memory."""
        return sum(region.nbytes for region in self.regions)

    def region_view(self, index: int) -> memoryview:
        """The bytes of region `index`."""
        buffer, offset, nbytes = self.regions[index]
        return self.buffers[buffer].view[offset : offset + nbytes]

    def region_address(self, index: int) -> int:
        """The address of the first byte of region `index`."""
        buffer, offset, _ = self.regions[index]
        return self.buffers[buffer].address + offset

    def release(self) -> None:
        """Recycle the arena.  The snapshot must not be used afterwards."""
        if self.recycled:
            buffers, self.buffers, self.recycled = self.buffers, [], False
            for buffer in buffers:
                POOL.release(buffer)

    def paths(self) -> list[str]:
        """For each node, a human path from a root: `model._modules['fc']`."""
        names: list[str | None] = [None] * len(self.nodes)
        stack: list[tuple[int, str]] = [
            (edge[0], path) for path, edge in reversed(self.roots.items()) if type(edge) is tuple
        ]
        while stack:
            index, name = stack.pop()
            if names[index] is not None:
                continue
            names[index] = name
            for label, edge in children(self.nodes[index]):
                if type(edge) is tuple and names[edge[0]] is None:
                    stack.append((edge[0], name + label))
        return [name if name is not None else "?" for name in names]


_PARTED = frozenset("sparse partial iterator cell npgen exception weakref closure".split())


def children(node: Node) -> list[tuple[str, Edge]]:
    """(label, edge) of each edge of a node; labels read like Python source."""
    kind, _, payload, attrs, slots = node
    out: list[tuple[str, Edge]] = []
    if kind in ("list", "tuple", "deque", "objarray"):
        out += [(f"[{i}]", edge) for i, edge in enumerate(payload[0])]
    elif kind == "dict":
        for i, (key, value) in enumerate(payload[0]):
            if type(key) is tuple:
                out += [(f".keys()[{i}]", key), (f".values()[{i}]", value)]
            else:
                out.append((f"[{key!r}]", value))
        out.append((".default_factory", payload[1]))
    elif kind in ("set", "frozenset"):
        out += [(f"{{{i}}}", edge) for i, edge in enumerate(payload[0])]
    elif kind == "tensor":
        out.append((".grad", payload.grad))
    elif kind in (
        "sparse",
        "partial",
        "iterator",
        "cell",
        "npgen",
        "exception",
        "weakref",
        "closure",
    ):
        out += [(f"<{i}>", edge) for i, edge in enumerate(payload[0])]
    elif kind == "class":
        out += [(f".{name}", edge) for name, edge in payload[0]]
    elif kind == "method":
        out.append((".__self__", payload[1]))
    for name, edge in attrs or ():
        out.append((f".{name}", edge))
    for name, edge in slots or ():
        out.append((f".{name.rpartition('|')[2]}", edge))
    return out


class TensorData(NamedTuple):
    """Payload of a strided tensor.  `offset` in bytes into the region, shape/stride in elements."""

    region: int  # -1: no elements
    offset: int
    dtype: str  # "float32"
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    device: str
    grad: Edge  # None, or the gradient; True: there was one that is dead


class ArrayData(NamedTuple):
    """Payload of an array.  `offset` in bytes to element 0, `strides` in bytes."""

    region: int
    offset: int
    dtype: Any  # dtype.str, or the pickled dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writeable: bool
