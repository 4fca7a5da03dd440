"""The command line of the commands that only read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .render import FORMATS


def add_parsers(subparsers: Any) -> None:
    """Add `query`, `runs` and `show` to an argparse subparsers object.

    Each sets `func`, a callable from the namespace to the exit code.
    """
    query = subparsers.add_parser(
        "query",
        help="answer a SQL query from what is stored",
        description="Answer a SQL query from what is stored; nothing is replayed.",
    )
    query.add_argument("sql", metavar="SQL", help='a SELECT over logs, runs, …; "-" reads stdin')
    _common(query, _late("query"))
    runs = subparsers.add_parser("runs", help="list the recorded runs")
    _common(runs, _late("runs"))
    show = subparsers.add_parser("show", help="show one run")
    show.add_argument("run", metavar="RUN", help='its number, or "last"')
    _common(show, _late("show"))


def _common(parser: argparse.ArgumentParser, func: Callable[[argparse.Namespace], int]) -> None:
    add_format(parser)
    parser.add_argument(
        "--root", help="the project's root (default: found from the current folder)"
    )
    parser.set_defaults(func=func)


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add `--format` and `--output` to a parser."""
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the answer to FILE")


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it runs: other commands start without sqlglot and rich."""

    def command(args: argparse.Namespace) -> int:
        from . import commands

        return int(getattr(commands, name)(args))

    return command
