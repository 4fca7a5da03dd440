"""The command line of the compiler.

Exit codes: 0 done; 1 refused by --strict, or stale under --check; 2 bad usage or input; 123 a fault
of florc itself.  What isn't the result asked for goes to standard error, one line each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from florc import __version__

if TYPE_CHECKING:
    from florc.codes import Code
    from florc.plan import Diagnostic

PASSES = (
    "ast", "scopes", "cfg", "defuse", "liveness", "callgraph", "heap", "effects", "loops",
    "regions", "slices", "plan", "record", "replay", "source-map",
)  # fmt: skip
"""What --emit prints; the last three come from the emitter."""
DONE, REFUSED, BAD_INPUT, OUR_FAULT = 0, 1, 2, 123

_EPILOG = "exit codes: 0 done, 1 stale or refused, 2 bad usage or input, 123 a fault of florc"


class _Parser(argparse.ArgumentParser):
    """Reports misuse in one line that begins `florc: `."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"florc: {message} (see `{self.prog} --help`)\n")


class Quit(Exception):
    """Ends the command with `code` after printing `message` (if any) as a line of florc."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def parser() -> argparse.ArgumentParser:
    """The argument parser of `florc`."""
    top = _Parser(
        prog="florc",
        description="Compile training scripts so that what wasn't logged can be logged afterwards.",
        epilog=_EPILOG,
    )
    top.add_argument("--version", action="version", version=f"florc {__version__}")
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    make = commands.add_parser(
        "instrument",
        help="write the record and replay variants of a script, and the plan",
        description="Write the record and replay variants of a script and of the project modules "
        "it reaches, and the plan, to .flor/build in the project's root.",
        epilog=_EPILOG,
    )
    make.add_argument("script", nargs="?", metavar="SCRIPT", help="the script; - reads stdin")
    make.add_argument("-m", dest="module", metavar="MODULE", help="a module, as for `python -m`")
    make.add_argument("--out", type=Path, metavar="DIR", help="write to DIR, not to .flor/build")
    make.add_argument(
        "--diff", action="store_true", help="print what instrumenting changes; write nothing"
    )
    make.add_argument(
        "--check", action="store_true", help="exit 1 if the build is stale; write nothing"
    )
    make.add_argument(
        "--explain", action="store_true", help="print what is saved at each loop, and why"
    )
    make.add_argument(
        "--emit",
        choices=PASSES,
        help="print what a pass of the compiler computed; write nothing",
    )
    make.add_argument(
        "--strict", action="store_true", help="refuse (exit 1) what is assumed, not proved"
    )
    make.add_argument(
        "--output-format", choices=("text", "json"), default="text", help="of reports and errors"
    )
    _effects_option(make)
    make.add_argument(
        "--no-cache", action="store_true", help="compile, whatever was compiled before"
    )
    make.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    known = commands.add_parser(
        "effects",
        help="show what is known of a library call, or suggest entries that are missing",
        description="Show the effect entry of a call or a type by its qualified name, or print "
        "entries, ready to paste, for what a recorded run found changed against the analysis, or "
        "for the calls of a script that no entry describes.",
        epilog=_EPILOG,
    )
    known.add_argument("name", nargs="?", metavar="NAME", help="such as torch.optim.SGD.step")
    known.add_argument(
        "--suggest",
        nargs="?",
        const="last",
        metavar="RUN|SCRIPT",
        help="entries for a run (default: the last one) or a script",
    )
    _effects_option(known)
    _propagate_parser(commands.add_parser(
        "propagate",
        help="put log statements of one version into another",
        description="Put the log statements of one version of a script or project into another "
        "version. Each is placed, there already, or refused, with the reason.",
        epilog="exit codes: 0 all placed or there, 1 some refused, 2 bad usage or input",
    ))  # fmt: skip
    _filter_parser(commands.add_parser(
        "filter",
        help="show which rows an SQL query needs replayed",
        description="Show which rows of `logs` an SQL query needs replayed, if some names were "
        "not recorded. The names of the project's store are known, if there is one.",
        epilog=_EPILOG,
    ))  # fmt: skip
    codes = commands.add_parser("codes", help="list the codes of errors and warnings")
    codes.add_argument("code", nargs="?", metavar="CODE", help="explain this one")
    codes.add_argument("--output-format", choices=("text", "json"), default="text")
    return top


def _propagate_parser(put: argparse.ArgumentParser) -> None:
    put.add_argument(
        "--from", dest="source", metavar="NEW", required=True,
        help="the file or folder that has the log statements",
    )  # fmt: skip
    put.add_argument(
        "--to", dest="target", metavar="OLD", required=True, help="the other version of it"
    )
    put.add_argument(
        "--names", action="append", metavar="NAME,…", help="only log statements of these names"
    )
    put.add_argument(
        "--at", metavar="FILE:LINE",
        help="put the statement (one, by --names) before this line of OLD, or behind it with a + "
        "at the end; the decision is remembered",
    )  # fmt: skip
    put.add_argument(
        "--decisions", type=Path, metavar="FILE",
        help="where decisions are kept; default .flor/propagate.json in NEW's project",
    )  # fmt: skip
    put.add_argument("--explain", action="store_true", help="say more of each statement")
    put.add_argument("--diff", action="store_true", help="print what changes in OLD")
    put.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    put.add_argument(
        "-o", dest="out", type=Path, metavar="DIR", help="write OLD with the statements to DIR"
    )


def _filter_parser(show: argparse.ArgumentParser) -> None:
    show.add_argument("sql", metavar="SQL", help="a SELECT over logs, runs, …")
    show.add_argument(
        "--script", metavar="SCRIPT", help="what it logs and a run hasn't got is lacking"
    )
    for option, what in (
        ("--hindsight", "names that weren't recorded"),
        ("--recorded", "further names that were"),
        ("--loops", "further loops"),
    ):
        show.add_argument(option, action="append", metavar="NAME,…", help=what)
    show.add_argument("--sql", dest="sql_text", action="store_true", help="print the queries too")
    show.add_argument("--json", action="store_true", help="print it as JSON")


def _effects_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--effects",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="describe library calls (TOML); may be repeated",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return the exit code."""
    try:
        arguments = parser().parse_args(argv)
        if arguments.command == "codes":
            code = _codes(arguments)
        elif arguments.command == "effects":
            from florc.effects_command import effects

            code = effects(arguments)
        elif arguments.command == "propagate":
            from florc.propagate_command import run

            code = run(arguments)
        elif arguments.command == "filter":
            from florc.filter_command import run as show_filter

            code = show_filter(arguments)
        else:
            from florc.instrument import instrument

            code = instrument(arguments)
        sys.stdout.flush()
        return code
    except Quit as quit_:
        if str(quit_):
            say(str(quit_))
        return quit_.code
    except BrokenPipeError:  # `florc … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Exception as error:
        if os.environ.get("FLORC_DEBUG"):
            raise
        say(
            f"internal error: {type(error).__name__}: {' '.join(str(error).split())} "
            f"(florc {__version__}; please report it with the output under FLORC_DEBUG=1)"
        )
        return OUR_FAULT


def say(message: str) -> None:
    """One line of florc on standard error."""
    print(f"florc: {message}", file=sys.stderr)


def report(diagnostics: Sequence[Diagnostic], *, quiet: bool) -> None:
    """Print diagnostics to standard error, one line each; under `quiet` errors only."""
    for diagnostic in diagnostics:
        if diagnostic.severity == "error" or not quiet:
            say(diagnostic.render())


def _codes(arguments: argparse.Namespace) -> int:
    from florc.codes import CODES

    wanted: list[Code] = list(CODES.values())
    if arguments.code:
        if arguments.code.upper() not in CODES:
            raise Quit(BAD_INPUT, f"unknown code {arguments.code!r}; `florc codes` lists them")
        wanted = [CODES[arguments.code.upper()]]
    if arguments.output_format == "json":
        import dataclasses
        import json

        print(json.dumps([dataclasses.asdict(code) for code in wanted], indent=1))
    elif arguments.code:
        code = wanted[0]
        print(f"{code.code} ({code.severity}): {code.title}\n\n{code.explanation}\n\n{code.action}")
    else:
        for code in wanted:
            print(f"{code.code}  {code.severity:<7}  {code.title}")
    return DONE
