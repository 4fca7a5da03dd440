"""The calls that log, for one project."""

from __future__ import annotations

from pathlib import Path

from florc.effects.configured import configured_log_calls
from florc.effects.validate import EffectsError
from florc.logcalls.model import LogCall, load_log_calls

from ..errors import FlorError

BROKEN = "FLR007"


def log_calls(root: Path) -> dict[str, LogCall]:
    """Ours and those of the project at `root`.  Raises FlorError (one line)."""
    try:
        return load_log_calls(configured_log_calls(root))
    except EffectsError as error:
        raise FlorError(f"{BROKEN} {error}") from None
