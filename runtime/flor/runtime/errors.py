"""Errors that end a command with one line."""

from __future__ import annotations


class FlorError(Exception):
    """A refusal or a bad input: `message` is one line for the user, `code` the exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
