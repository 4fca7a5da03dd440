"""Where two snapshots of the same roots differ, bit by bit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .elements import saved_bytes
from .graph import ArrayData, Edge, Snapshot, TensorData, children
from .kinds import MODULE_HOOKS

_LIMIT = 1000
_IGNORED = frozenset({"opaque", "function", "closure", "missing", "weakref", "method", "generator"})


_KNOWN = frozenset({"builtins", "collections", "torch", "numpy", "__main__"})


def differences(
    a: Snapshot,
    b: Snapshot,
    *,
    timeless: Collection[str] | None = None,
    modules: Collection[str] = (),
) -> list[str]:
    """Human paths of what differs: tensors, arrays, ints, strings, structure, RNG streams.

    Below the `timeless` roots, which hold no clock times, plain Python floats count too, but not
    inside of objects of other libraries than `_KNOWN` and the project's `modules`, for nobody
    knows what those keep.  Below the other roots numbers and strings don't count at all.  (None:
    nothing is known of the roots, all but floats counts.)  What is not stored (functions, locks,
    files) is left out.  At most 1000 differences are listed; [] means equal.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[str, Edge, Edge, int]] = []
    for path in [*a.roots, *(p for p in b.roots if p not in a.roots)]:
        if path not in a.roots or path not in b.roots:
            found.append(f"{path} is in one snapshot only")
        else:
            level = _MOST if timeless is None else _ALL if path in timeless else _NONE
            stack.append((path, a.roots[path], b.roots[path], level))
    stack.sort(key=lambda item: item[3])  # those to be compared most closely are taken first
    own = _KNOWN.union(name.partition(".")[0] for name in modules)
    while stack and len(found) < _LIMIT:
        path, left, right, level = stack.pop()
        if type(left) is not tuple or type(right) is not tuple:
            if not _same_atom(left, right, level):
                found.append(f"{path} differs ({_short(a, left)} != {_short(b, right)})")
            continue
        if (left[0], right[0]) in seen:
            continue
        seen.add((left[0], right[0]))
        why = _node_difference(a, left[0], b, right[0])
        if why is None:
            node = a.nodes[left[0]]
            if a.types[node[1]][0].partition(".")[0] not in own:
                level = min(level, _MOST)
            pairs = _pairs(path, node, b.nodes[right[0]])
            stack += [(*pair, level) for pair in reversed(pairs)]
        elif why:
            found.append(f"{path} {why}")
    return found + _rng_differences(a, b)


_NONE, _MOST, _ALL = 0, 1, 2
"""Atoms that are compared: none, all but floats, all."""


def _same_atom(left: Any, right: Any, level: int) -> bool:
    if type(left) is not type(right):
        return False
    if type(left) in (float, complex):
        return level < _ALL or repr(left) == repr(right)  # NaN is itself, -0.0 isn't 0.0
    return level == _NONE or bool(left == right)


def _short(snapshot: Snapshot, edge: Edge) -> str:
    if type(edge) is tuple:
        return snapshot.types[snapshot.nodes[edge[0]][1]][1]
    text = repr(edge)
    return text if len(text) <= 40 else text[:37] + "..."


def _pairs(path: str, left: Any, right: Any) -> list[tuple[str, Edge, Edge]]:
    others = children(right)
    return [
        (path + label, mine, other)
        for (label, mine), (_, other) in zip(children(left), others, strict=False)
        if label[1:] not in MODULE_HOOKS  # their keys are numbers that count all hooks ever made
    ]


def _node_difference(a: Snapshot, i: int, b: Snapshot, j: int) -> str | None:
    """Words for a difference of the nodes themselves, "" to stop silently, None to go deeper."""
    left, right = a.nodes[i], b.nodes[j]
    if left[0] in _IGNORED and right[0] in _IGNORED:
        return ""
    if left[0] != right[0] or a.types[left[1]] != b.types[right[1]]:
        return f"differs ({_short(a, (i,))} != {_short(b, (j,))})"
    kind = left[0]
    if kind in ("tensor", "ndarray"):
        return _memory_difference(a, left[2], b, right[2])
    if kind == "dict":
        if [k for k, _ in left[2][0] if type(k) is not tuple] != [
            k for k, _ in right[2][0] if type(k) is not tuple
        ] or len(left[2][0]) != len(right[2][0]):
            return "has other keys"
    elif kind == "set":
        return _set_difference(left[2][0], right[2][0])
    elif kind == "iterator_proxy":
        return None if _position(left) == _position(right) else "is at another position"
    elif len(children(left)) != len(children(right)):
        return f"has another length ({len(children(left))} != {len(children(right))})"
    elif kind in _CONTENT and left[2] != right[2]:
        return f"differs ({a.types[left[1]][1]})"
    for mine, other in zip(left[3:], right[3:], strict=True):
        if [name for name, _ in mine or ()] != [name for name, _ in other or ()]:
            return "has other attributes"
    return None


_CONTENT = frozenset(
    "bytearray array memfile scalar value enum reduce pyrandom torchgen nprandomstate"
    " npbitgen".split()
)


def _position(node: Any) -> Any:
    import pickle

    # Not "created": a stream that nobody seeded differs without consequence.
    state = pickle.loads(node[2])
    return state["count"], state["finished"]


def _set_difference(left: Any, right: Any) -> str | None:
    atoms = [{x for x in side if type(x) is not tuple} for side in (left, right)]
    if atoms[0] != atoms[1] or len(left) != len(right):
        return "has other elements"
    return None if not any(type(x) is tuple for x in left) else ""


def _memory_difference(a: Snapshot, left: Any, b: Snapshot, right: Any) -> str | None:
    if left is None or right is None:
        return None if left is right else "differs"
    what = _describe(left)
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return f"differs ({what} != {_describe(right)})"
    same = saved_bytes(a, left) == saved_bytes(b, right)
    if isinstance(left, TensorData) and left.requires_grad != right.requires_grad:
        return f"differs in requires_grad ({what})"
    return None if same else f"differs ({what})"


def _describe(data: TensorData | ArrayData) -> str:
    kind = "tensor" if isinstance(data, TensorData) else "array"
    dtype = data.dtype if isinstance(data.dtype, str) else "structured"
    return f"{kind} {dtype} {list(data.shape)}"


def _rng_differences(a: Snapshot, b: Snapshot) -> list[str]:
    names = sorted(set(a.rng) | set(b.rng))
    return [f"rng: {name}" for name in names if a.rng.get(name) != b.rng.get(name)]
