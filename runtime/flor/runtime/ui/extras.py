"""Optional packages: what is asked for without them ends in one line that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import FlorError


class MissingPackage(FlorError, ImportError):
    """An optional package isn't installed."""

    def __init__(self, message: str) -> None:
        FlorError.__init__(self, message, 2)


def need(module: str, package: str, what: str) -> Any:
    """Import `module`, which `what` needs.  Raises MissingPackage (one line)."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or top).partition(".")[0] == top:
            why = f"pip install {package}"
        else:  # it is there, and broken
            why = " ".join(str(error).split())
        raise MissingPackage(f"{what} needs {top}: {why}") from None
