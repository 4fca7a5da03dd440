"""The one exception of the store."""

from __future__ import annotations


class StoreError(Exception):
    """The store can't be used; its message is one line that a user can act on."""
