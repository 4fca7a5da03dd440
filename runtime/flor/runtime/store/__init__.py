"""The store: one SQLite file (WAL) that many processes write at once.

`Store` reads and manages, `RunWriter` records one run from a background thread, `freeze` takes
the snapshot of a logged value.  Names are imported on first use, so that recording a script
without queries never loads sqlglot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import StoreError as StoreError
    from .store import Store as Store
    from .values import freeze as freeze
    from .values import same as same
    from .values import to_plain as to_plain
    from .writer import RunWriter as RunWriter

_HOMES = {
    "Store": "store",
    "RunWriter": "writer",
    "StoreError": "errors",
    "freeze": "values",
    "same": "values",
    "to_plain": "values",
}

__all__ = ["RunWriter", "Store", "StoreError", "freeze", "same", "to_plain"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
