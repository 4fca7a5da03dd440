"""Paths as the plan writes them: relative to the project's root, "/" between parts."""

from __future__ import annotations

import os


def relative(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> str | None:
    """`path` relative to `root`, or None when it lies outside."""
    base, full = os.path.realpath(root), os.path.realpath(path)
    prefix = base.rstrip(os.sep) + os.sep
    return full[len(prefix) :].replace(os.sep, "/") if full.startswith(prefix) else None


class Moved:
    """Turns paths that were recorded when the project was elsewhere into today's."""

    def __init__(self, then: str | None, now: str | os.PathLike[str]) -> None:
        self.now = os.path.realpath(now)
        self.then = then or self.now

    def path(self, path: str) -> str:
        """Where a recorded path is today; one outside of the project stays."""
        if self.then == self.now:
            return path
        if path == self.then:
            return self.now
        prefix = self.then.rstrip(os.sep) + os.sep
        return os.path.join(self.now, path[len(prefix) :]) if path.startswith(prefix) else path
