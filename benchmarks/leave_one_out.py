"""Is a script's checkpoint set sound, and is every member of it needed?

    python benchmarks/leave_one_out.py FOLDER --log FILE:WHERE:EXPR … -- SCRIPT ARGS…
    python benchmarks/leave_one_out.py --scripts benchmarks/scripts.toml --checkouts DIR [NAME…]

1. The script in a copy of FOLDER runs plain and recorded: same standard output, exit code, files.
2. Log statements are inserted into the copy (`--log`; WHERE is a line's number, or its text: the
   statement comes behind the one that begins there).  A plain run of it, with a stub in the place
   of `flor`, is the truth.  From each checkpoint of the outermost training loops a replay runs to
   the script's end: every value that is logged must be the truth's, bit for bit, and every line
   that is printed.
3. For each member of the checkpoint set, and each random stream that the loop draws from, the same
   with what belongs to it left as it was: does anything that is logged or printed change?  Does the
   replay's own check against the recorded states and values notice?  If not, does the record run's
   check, when the plan takes the member for unchanged?  A member that is not missed is listed with
   the plan's reason.

The recording takes a checkpoint at every head (`--every N`: every N-th).  `--overlay` folders go on
PYTHONPATH: stand-ins for what can't be installed.  Prints a table; `--json FILE` has everything.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ablation.cases import Case, Insert, read_cases
from ablation.experiment import Experiment
from ablation.findings import read, table


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="*", help="the project, or names of cases")
    parser.add_argument("--log", action="append", default=[], metavar="FILE:WHERE:EXPR")
    parser.add_argument("--scripts", type=Path, help="cases as data")
    parser.add_argument("--checkouts", type=Path, help="work trees of the cases' repositories")
    parser.add_argument("--overlay", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--mask", action="append", default=[], metavar="REGEX")
    parser.add_argument("--ignore", action="append", default=[], metavar="REGEX")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--drops", type=int, default=3, metavar="N")
    parser.add_argument("--limit", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the runs in DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="of earlier --json")
    arguments = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    args = parser.parse_args(arguments)
    if args.table:
        print(table([read(each) for path in args.table for each in json.loads(path.read_text())]))
        return 0
    overlay = [path.resolve() for path in args.overlay]
    if args.scripts:
        cases = read_cases(args.scripts, args.checkouts.resolve(), overlay, args.folder, args.limit)
    else:
        logs = []
        for n, text in enumerate(args.log):
            file, where, expr = text.split(":", 2)
            logs.append(Insert(file, where, expr, f"value{n}"))
        cases = [
            Case(
                Path(args.folder[0]).name, Path(args.folder[0]).resolve(), tuple(command),
                tuple(logs), overlay=tuple(overlay), masks=tuple(args.mask),
                ignore=tuple(args.ignore), every=args.every, limit=args.limit,
            )
        ]  # fmt: skip
    findings = []
    with tempfile.TemporaryDirectory(prefix="leave-one-out-") as temporary:
        for case in cases:
            scratch = (args.keep.resolve() if args.keep else Path(temporary)) / case.name
            finding = Experiment(case, scratch, args.drops).run()
            findings.append(finding)
            print(table([finding]), flush=True)
    if args.json:
        args.json.write_text(json.dumps([dataclasses.asdict(f) for f in findings], indent=1) + "\n")
    if len(findings) > 1:
        print(table(findings))
    wrong = [f for f in findings if f.error or f.inexact or f.false_alarms or not f.record_same]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
