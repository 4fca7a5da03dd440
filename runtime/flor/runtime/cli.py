"""The command line `python -m flor.runtime …` (also `flor …`)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from . import hashseed
from .errors import FlorError

DESCRIPTION = "Record a training script; ask later for what it never logged."


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="flor", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _record(commands)
    _replay(commands)
    from .ui import cli_query

    cli_query.add_parsers(commands)
    from .exchange import cli as cli_exchange
    from .versions import cli as cli_versions

    cli_versions.add_parsers(commands)
    cli_exchange.add_parsers(commands)
    from .upkeep import cli as cli_upkeep

    cli_upkeep.add_parsers(commands)
    return top


def _record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sub = commands.add_parser(
        "record",
        help="run a script and keep what a replay needs",
        usage="flor record [-h] [--budget F] [-q] [--no-checkpoint] [--no-capture] "
        "(SCRIPT | -m MODULE) [ARGS...]",
    )
    sub.add_argument(
        "--budget", type=_fraction, default=0.05, metavar="F",
        help="overhead allowed for checkpoints, as a fraction of the run's time (default 0.05)",
    )  # fmt: skip
    sub.add_argument("-q", "--quiet", action="store_true", help="no lines of ours on stderr")
    sub.add_argument("--no-checkpoint", action="store_true", help="record values only")
    sub.add_argument(
        "--no-capture", action="store_true", help="keep nothing of what the script logs by itself"
    )
    sub.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    sub.add_argument("script", metavar="SCRIPT", help="the script; what follows belongs to it")
    sub.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS")
    sub.set_defaults(func=run_record)


def _replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .ui.cli_query import add_format

    sub = commands.add_parser("replay", help="re-execute what an SQL query lacks, then answer it")
    sub.add_argument("sql", metavar="SQL", help='e.g. "SELECT epoch, grad_norm FROM logs"')
    sub.add_argument("--yes", "-y", action="store_true", help="don't ask before re-executing")
    sub.add_argument("--dry-run", action="store_true", help="say what would be re-executed")
    add_format(sub)
    sub.add_argument("--script", help="today's script, if the runs' own path isn't meant")
    sub.add_argument("--from-start", action="store_true", help="use no checkpoint, skip nothing")
    sub.add_argument("--no-skip", action="store_true", help="execute regions that can be skipped")
    sub.add_argument("--workers", type=_count, default=1, metavar="N", help="processes at once")
    sub.add_argument("-q", "--quiet", action="store_true", help="only problems on stderr")
    sub.set_defaults(func=run_replay)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def run_record(args: argparse.Namespace) -> int:
    """`record`."""
    from .record import target as targets
    from .record.command import Options, record

    make = targets.from_module if args.module else targets.from_script
    target = make(args.script, args.args)
    hashseed.ensure()
    seed = hashseed.hide(os.environ)
    checkpoints, capture = not args.no_checkpoint, not args.no_capture
    return record(target, Options(args.budget, args.quiet, checkpoints, seed, capture))


def run_replay(args: argparse.Namespace) -> int:
    """`replay`."""
    from .replay.command import replay

    return replay(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code.  SystemExit and tracebacks are the recorded script's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["record"]:
            return run_record(record_arguments(arguments))
        args = parser().parse_args(arguments)
        code: int = args.func(args)
        sys.stdout.flush()
        return code
    except FlorError as error:
        print(f"florc: {error.message}", file=sys.stderr)
        return error.code
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        known = _known_errors()
        if isinstance(error, known):
            print(f"florc: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        if os.environ.get("FLORC_DEBUG") or arguments[:1] == ["record"]:
            raise
        print(
            f"florc: internal error: {type(error).__name__}: {' '.join(str(error).split())} "
            "(please report it with the output under FLORC_DEBUG=1)",
            file=sys.stderr,
        )
        return 123


def _known_errors() -> tuple[type[Exception], ...]:
    from florc.queries import QueryError

    from .store import StoreError

    return (StoreError, QueryError)


def record_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse `record …`: everything after SCRIPT or `-m MODULE` is the script's.

    argparse alone would swallow options of ours among the script's, and a "--".
    """
    values = {"--budget"}
    index = 1
    while index < len(arguments) and arguments[index].startswith("-"):
        if arguments[index] == "-m" or arguments[index] == "--":
            index += 1
            break
        index += 2 if arguments[index] in values else 1
    top = argparse.ArgumentParser(prog="flor", description=DESCRIPTION)
    _record(top.add_subparsers(dest="command", required=True))
    ours = [a for a in arguments[: index + 1] if a != "--"]
    args = top.parse_args(ours)
    args.args = arguments[index + 1 :]
    return args
