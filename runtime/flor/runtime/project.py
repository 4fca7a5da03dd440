"""Where the project of a script is."""

from __future__ import annotations

from pathlib import Path

_MARKS = (".flor", ".git", "pyproject.toml")


def project_root(script: Path) -> Path:
    """The nearest folder at or above the script's that holds a mark of a project.

    A mark is `.flor`, `.git` (a file in worktrees) or `pyproject.toml`; without one the script's
    own folder is the project.  The result is absolute; the script need not exist.
    """
    folder = script.absolute().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in _MARKS):
            return candidate
    return folder
