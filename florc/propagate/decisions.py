"""Places that the user chose by --at, remembered in a file beside the project.

A decision holds for one slice and one old text: it is found again as long as neither changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from florc.propagate.choice import At

FORMAT = 1
NAME = "propagate.json"
"""The file in `.flor/`."""


@dataclass(frozen=True)
class Decision:
    """Where the user wants a slice in a certain text."""

    slice: str  # Slice.id
    file: str  # of the old version
    sha256: str  # of that file's text
    line: int
    behind: bool = False


def digest(text: str) -> str:
    """What tells old texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def load(path: Path) -> tuple[Decision, ...]:
    """What the file holds; nothing if there is none.  Raises ValueError if it can't be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] > FORMAT:
            raise ValueError("written by a newer florc")
        return tuple(Decision(**entry) for entry in data["decisions"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None


def save(path: Path, decisions: Iterable[Decision]) -> None:
    """Write the file as a whole; the folder is made, and kept out of git."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        if path.parent.name == ".flor":
            (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    data = {"format": FORMAT, "decisions": [asdict(decision) for decision in decisions]}
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def with_decision(decisions: Iterable[Decision], new: Decision) -> tuple[Decision, ...]:
    """The decisions with a new one, which takes the place of one for the same slice and text."""
    same = (new.slice, new.file, new.sha256)
    return (*(d for d in decisions if (d.slice, d.file, d.sha256) != same), new)


def applicable(decisions: Iterable[Decision], old: Mapping[str, str]) -> dict[str, At]:
    """The decisions that hold for an old version, as `propagate` takes them."""
    digests = {path: digest(text) for path, text in old.items()}
    return {
        d.slice: At(d.file, d.line, d.behind) for d in decisions if digests.get(d.file) == d.sha256
    }
