"""Errors of the checkpoint engine.  Each message is one line that names the place."""

from __future__ import annotations


class RestoreImpossible(Exception):
    """A snapshot cannot be brought back here: `path` is the object, `why` the cause.

    `late`: something has been changed already, the process can't go on as if nothing had been.
    """

    def __init__(self, path: str, why: str) -> None:
        self.late = False
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class CheckpointCorrupt(Exception):
    """A checkpoint file is damaged, incomplete, missing, or of a newer format (one line)."""


def one_line(error: BaseException) -> str:
    """`error` as one line that starts with its type, at most 200 characters."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:200]
