"""The one exception of this package."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QueryError(Exception):
    """The query can't be answered; the message is one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> QueryError:
    """A QueryError that names the closest known names, or a few of them."""
    names = list(dict.fromkeys(known))
    lower = {other.lower(): other for other in reversed(names)}
    close = [lower[m] for m in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    if close:
        hint = "did you mean " + " or ".join(close) + "?"
    else:
        more = ", …" if len(names) > 12 else ""
        hint = f"{kind}s are: {', '.join(names[:12])}{more}" if names else f"there are no {kind}s"
    return QueryError(f"unknown {kind} {name!r}: {hint}")
