"""The folders of runs below `.flor/`, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..checkpoint.errors import CheckpointCorrupt
from ..checkpoint.fileformat import SUFFIX
from ..checkpoint.reader import contents
from ..record.files import FILES


def run_folders(root: Path) -> Iterator[tuple[int, Path]]:
    """Every run's number and folder, whether or not the store knows it."""
    base = root / ".flor" / "runs"
    if base.is_dir():
        for path in sorted(base.iterdir()):
            if path.is_dir() and path.name.isdecimal():
                yield int(path.name), path


def checkpoint_files(folder: Path) -> list[Path]:
    """The published checkpoints in a run's folder."""
    return sorted((folder / "checkpoints").glob(f"*{SUFFIX}"))


def referred(folder: Path, names: Iterable[str]) -> set[str]:
    """The files that the checkpoints `names` need besides themselves.

    Of one that can't be read that isn't known: then all are needed.
    """
    found: set[str] = set()
    for name in names:
        try:
            found |= contents(folder / "checkpoints" / name)[0]
        except CheckpointCorrupt:
            if (folder / "checkpoints" / name).exists():
                return {path.name for path in checkpoint_files(folder)}
    return found


def unused_contents(folder: Path, names: Iterable[str]) -> list[Path]:
    """Contents of the run's files that none of the checkpoints `names` restores."""
    used: set[str] = set()
    for name in names:
        try:
            meta = contents(folder / "checkpoints" / name)[1]
        except CheckpointCorrupt:
            return []
        used |= set((meta.get(FILES) or {}).get("saved", {}).values())
    place = folder / "files"
    return (
        sorted(path for path in place.iterdir() if path.name not in used) if place.exists() else []
    )
