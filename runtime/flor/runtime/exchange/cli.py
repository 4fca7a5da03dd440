"""The command line of `export` and `import`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def add_parsers(subparsers: Any) -> None:
    """Add `export` and `import` to an argparse subparsers object."""
    out = subparsers.add_parser(
        "export",
        help="write logged values for another tracker",
        description="Write the values of runs as TensorBoard's event files, or into MLflow.",
    )
    out.add_argument("format", choices=("tensorboard", "mlflow"))
    out.add_argument("place", metavar="PLACE", help="a folder; for mlflow also a tracking URI")
    out.add_argument("--run", action="append", metavar="RUN", help='a number, or "last"')
    out.add_argument("--name", action="append", metavar="NAME", help="only values of this name")
    out.add_argument("--experiment", metavar="NAME", help="of MLflow (default: the project's)")
    _root(out, "export_runs")
    into = subparsers.add_parser(
        "import",
        help="read the runs of another tracker",
        description="Read runs from TensorBoard's event files, MLflow or wandb's offline folders.",
    )
    into.add_argument("format", choices=("tensorboard", "mlflow", "wandb"))
    into.add_argument("place", metavar="PLACE", help="a folder or file; for mlflow also a URI")
    _root(into, "import_runs")


def _root(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--root", help="the project's root (default: found from the current folder)"
    )
    parser.set_defaults(func=_late(name))


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it runs."""

    def command(args: argparse.Namespace) -> int:
        from . import command as commands

        return int(getattr(commands, name)(args))

    return command
