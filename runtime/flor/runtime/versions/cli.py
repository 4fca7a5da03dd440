"""The command line of `versions`, `diff` and `checkout`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..ui.render import FORMATS


def add_parsers(subparsers: Any) -> None:
    """Add `versions`, `diff` and `checkout` to an argparse subparsers object."""
    top = subparsers.add_parser(
        "versions",
        help="list the recorded versions of the project",
        description="List the recorded versions of the project, and what each changed.",
    )
    _common(top, "versions")
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND")
    for parent in (subparsers, verbs):
        show = parent.add_parser("diff", help="show what differs between two runs' versions")
        show.add_argument("old", metavar="RUN", help='its number, or "last"')
        show.add_argument("new", metavar="RUN", help='its number, or "last"')
        _common(show, "diff")
        get = parent.add_parser("checkout", help="write the files of a run's version to a folder")
        get.add_argument("run", metavar="RUN", help='its number, or "last"')
        get.add_argument("folder", metavar="DIR", help="a new or empty folder")
        _root(get)
        get.set_defaults(func=_late("checkout"))


def _common(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    _root(parser)
    parser.set_defaults(func=_late(command))


def _root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", help="the project's root (default: found from the current folder)"
    )


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it runs."""

    def command(args: argparse.Namespace) -> int:
        from . import command as commands

        return int(getattr(commands, name)(args))

    return command
