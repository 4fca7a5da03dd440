"""A stand-in for `flor` that makes the ground truth without the product.

`log` appends one JSON line (name, position, exact value) to the file named by FLOR_STUB_OUT;
without that variable it only hands the value back, so that a script which imports flor runs plain.
`at` (the position), `pos` and `tick` exist only here; the harness writes them in the truth's copy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")

pos: dict[str, Any] = {}


def tick(name: str) -> None:
    """Count one iteration of the loop `name`; `pos[name] = -1` is set before the loop."""
    pos[name] += 1


def exact(value: Any) -> Any:
    """`value` as JSON that keeps its type and every bit."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return [type(value).__name__, value]
    if isinstance(value, int):
        return ["int", str(int(value))]
    if isinstance(value, float):  # numpy.float64 is one
        return ["float", float(value).hex()]
    if isinstance(value, (list, tuple)):
        return ["list", [exact(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[str(key), exact(item)] for key, item in value.items()]]
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "tobytes"):
        listed = exact(value.tolist())
        return ["array", str(value.dtype), list(value.shape), value.tobytes().hex(), listed]
    raise TypeError(f"the stub can't keep a {type(value).__name__}")


def log(name: str, value: T, at: dict[str, Any] | None = None) -> T:
    """Append (name, position, exact value) to FLOR_STUB_OUT; return the value."""
    target = os.environ.get("FLOR_STUB_OUT")
    if target:
        line = json.dumps({"name": name, "at": at, "value": exact(value)})
        with open(target, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    return value


def arg(name: str, default: T) -> T:
    """The default: the stub knows no command line."""
    return default


def loop(name: str, iterable: Iterable[T]) -> Iterable[T]:
    """The iterable itself."""
    return iterable
