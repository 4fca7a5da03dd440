"""The command line of `status`, `compact`, `gc` and `fsck`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from ..ui.render import FORMATS

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_parsers(subparsers: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    status = subparsers.add_parser(
        "status",
        help="say what a name's NULLs mean in each run",
        description="Say of each run whether a name was recorded, replayed, can be, or never was.",
    )
    status.add_argument("name", metavar="NAME", help="a logged name")
    status.add_argument("--run", type=int, action="append", metavar="RUN", help="only this run")
    status.add_argument("--script", help="today's script, if the runs' own path isn't meant")
    _common(status, "status")
    compact = subparsers.add_parser(
        "compact",
        help="make queries fast and the store small",
        description="Pack the values of ended runs by column, and give unused space back.",
    )
    _root(compact, "compact")
    gc = subparsers.add_parser(
        "gc",
        help="remove checkpoints",
        description="Remove checkpoints, of runs that have ended, by age, size or metric. "
        "Values are never removed.",
    )
    gc.add_argument("--older-than", type=_span, metavar="AGE", help="ended so long ago: 30d, 12h")
    gc.add_argument("--max-size", type=_size, metavar="SIZE", help="of all checkpoints: 20G, 500M")
    gc.add_argument(
        "--keep-best", metavar="NAME[:N]",
        help="of each run keep those of the N (default 1) iterations where NAME is largest",
    )  # fmt: skip
    gc.add_argument("--min", action="store_true", help="with --keep-best: where NAME is smallest")
    gc.add_argument("--run", type=int, action="append", metavar="RUN", help="only this run's")
    gc.add_argument("--dry-run", action="store_true", help="say what would be removed")
    _common(gc, "gc")
    fsck = subparsers.add_parser(
        "fsck",
        help="check the store",
        description="Check the database, the checkpoints and what killed processes have left.",
    )
    fsck.add_argument("--quick", action="store_true", help="don't read all of the checkpoints")
    fsck.add_argument("--repair", action="store_true", help="mend what can be mended")
    _common(fsck, "fsck")


def _common(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    _root(parser, command)


def _root(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument(
        "--root", help="the project's root (default: found from the current folder)"
    )
    parser.set_defaults(func=_late(command))


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it runs."""

    def command(args: argparse.Namespace) -> int:
        from . import command as commands

        return int(getattr(commands, name)(args))

    return command


def _span(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no age, as 30d, 12h or 2w are")
    return float(match[1]) * _SPANS[match[2]]


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)i?B?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size, as 500M or 20G are")
    return int(float(match[1]) * _UNITS[match[2].upper()])
