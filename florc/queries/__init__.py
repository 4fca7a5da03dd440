"""SQL over the relation of logged values: what a query reads, and what it needs replayed.

Pure functions over text and a catalogue of names; nothing here touches a database.
"""

from __future__ import annotations

from .analyse import Analysis, Reference, Scan, analyse
from .catalogue import Catalogue, fold
from .errors import QueryError
from .filter import ScanFilter, derive_filter
from .parse import parse_query

__all__ = [
    "Analysis",
    "Catalogue",
    "QueryError",
    "Reference",
    "Scan",
    "ScanFilter",
    "analyse",
    "derive_filter",
    "fold",
    "parse_query",
]
