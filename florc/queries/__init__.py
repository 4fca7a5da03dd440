"""SQL over the relation of logged values: what a query reads, and what it needs replayed.

Pure functions over text and a catalogue of names; nothing here touches a database.
"""

from __future__ import annotations

from .analyse import Analysis, Reference, Scan, analyse
from .catalogue import Catalogue, fold, view_names
from .context import ROWS, UNKNOWN, Unknowns
from .errors import QueryError
from .needs import NODE, Need, derive
from .parse import parse_query
from .reading import Reading, readings
from .selectivity import conditions, selectivity

__all__ = [
    "NODE",
    "ROWS",
    "UNKNOWN",
    "Analysis",
    "Catalogue",
    "Need",
    "QueryError",
    "Reading",
    "Reference",
    "Scan",
    "Unknowns",
    "analyse",
    "conditions",
    "derive",
    "fold",
    "parse_query",
    "readings",
    "selectivity",
    "view_names",
]
