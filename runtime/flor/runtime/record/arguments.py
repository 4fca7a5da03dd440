"""Parsed arguments, hands-free: what the script's argparse parsers return."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any

from ..places import relative
from ..session import Session

METHODS = ("parse_args", "parse_known_args", "parse_intermixed_args", "parse_known_intermixed_args")


def watch(session: Session) -> None:
    """Note the namespace of every parse that a project file asks for."""
    depth = 0

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def parse(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            try:
                result = method(self, *args, **kwargs)
            finally:
                depth -= 1
            if depth == 0 and session.live():
                caller = sys._getframe(1).f_code.co_filename
                if relative(session.project, caller) is not None:
                    note(session, result[0] if isinstance(result, tuple) else result)
            return result

        return parse

    for name in METHODS:
        setattr(argparse.ArgumentParser, name, wrap(getattr(argparse.ArgumentParser, name)))


def note(session: Session, namespace: object) -> None:
    """Keep a namespace's values as arguments of the run."""
    try:
        values = vars(namespace)
    except TypeError:
        return
    for name, value in values.items():
        if not name.startswith("_") and not callable(value):
            session.argument(name, value)
