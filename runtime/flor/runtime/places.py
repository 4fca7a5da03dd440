"""Paths as the plan writes them: relative to the project's root, "/" between parts."""

from __future__ import annotations

import os


def relative(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> str | None:
    """`path` relative to `root`, or None when it lies outside."""
    base, full = os.path.realpath(root), os.path.realpath(path)
    prefix = base.rstrip(os.sep) + os.sep
    return full[len(prefix) :].replace(os.sep, "/") if full.startswith(prefix) else None
