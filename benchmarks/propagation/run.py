"""How well log statements are propagated: three sets, florc beside flordb's aligner.

    python benchmarks/propagation/run.py --write              # tables to benchmarks/RESULTS.md
    python benchmarks/propagation/run.py --set mutations      # needs no repositories

Repositories are cloned from github.com, once, to ~/.cache/florc/mirrors. With `--mirrors DIR` they
are taken from DIR/owner+name/repo, bare; `--fetch` clones what isn't there. The sets:

- *histories*: versions of public scripts 1, 3, 10, 30 and 100 commits apart. A statement that both
  versions have, by the lineage of its lines through all commits between, is made into a log
  statement in the new version, taken out of the old one, and propagated.
- *hlast*: the public set of that name, with places chosen by people.
- *mutations*: base scripts of ours and one kind of edit at a time, so that the place is known.

Seconds are of the processor. *Recall*: rightly placed of the answerable. *Precision*: rightly
placed of all that was placed, also where refusing was right. *Unbound*: placed where a name that it
reads isn't bound. flordb is run on every `--every`-th case; its row has florc's figures on the same
cases beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import aligners
import histories
import hlast
import mutations
import results_file
from histories import Case, Found, judge

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "florc" / "mirrors"
SETS = ("histories", "hlast", "mutations")
RIGHT = ("exact", "equivalent")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--mirrors", type=Path, help="folder of the bare clones")
    parser.add_argument("--fetch", action="store_true", help="clone what isn't there")
    parser.add_argument("--set", dest="sets", action="append", choices=SETS)
    parser.add_argument("--only", default="", help="histories of scripts with this in their path")
    parser.add_argument("--flordb", action="store_true", help="run flordb's aligner too")
    parser.add_argument("--every", type=int, default=10, help="flordb: each so many-th case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path, help="write all outcomes (pickle)")
    parser.add_argument("--write", action="store_true", help="write the table to RESULTS.md")
    parser.add_argument("--bad", action="store_true", help="print the cases that weren't right")
    arguments = parser.parse_args(argv)
    sets = arguments.sets or SETS
    if arguments.mirrors is None:
        arguments.mirrors = CACHE
        arguments.fetch = bool(set(sets) - {"mutations"})
    if arguments.fetch:
        fetch(arguments.mirrors)
    found: dict[str, list[Found]] = {}
    rival: dict[str, list[Found]] = {}
    for name in sets:
        cases = list(cases_of(name, arguments.mirrors, arguments.only))
        found[name] = judged(cases, "florc", arguments.processes, arguments.bad)
        print(*rows(name, found[name], "florc"), sep="\n", flush=True)
        if arguments.flordb and aligners.installed("flordb"):
            few = cases[:: arguments.every if name == "histories" else max(1, arguments.every // 3)]
            rival[name] = judged(few, "flordb", arguments.processes)
            print(*rows(name, rival[name], "flordb"), sep="\n", flush=True)
    if arguments.save:
        arguments.save.write_bytes(pickle.dumps((found, rival)))
    if arguments.write:
        results_file.write("propagation/run.py", table(found, rival))
    return 0


def cases_of(name: str, mirrors: Path | None, only: str) -> Iterable[Case]:
    """The cases of a set."""
    if name == "mutations":
        return mutations.cases()
    assert mirrors is not None
    return hlast.cases(mirrors) if name == "hlast" else histories.cases(mirrors, only)


def judged(cases: Sequence[Case], aligner: str, processes: int, bad: bool = False) -> list[Found]:
    """Every case, in worker processes."""
    found = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for one in pool.imap(_judge, [(case, aligner) for case in cases], chunksize=4):
            found.append(one)
            if bad and not is_right(one):
                print(shown(one), flush=True)
    return found


def _judge(pair: tuple[Case, str]) -> Found:
    return judge(pair[0], getattr(aligners, pair[1]))


def is_right(found: Found) -> bool:
    """Whether it was placed rightly, or refused where that is right."""
    if found.unbound:
        return False
    if found.case.answerable:
        return found.verdict in RIGHT
    return found.verdict == "refused" or (found.case.kind == "changed" and found.verdict in RIGHT)


def shown(found: Found) -> str:
    """A case on one line."""
    case = found.case
    what = (found.verdict, case.script, str(case.distance), case.kind, case.place, "|")
    return " ".join((*what, case.text[:60], "|", found.note, *found.unbound))


# -- figures --------------------------------------------------------------------------------------


def figures(found: Sequence[Found]) -> dict[str, float]:
    """Counts, recall, precision, unbound insertions and seconds."""
    answerable = [f for f in found if f.case.answerable]
    placed = [f for f in found if f.verdict not in ("refused", "absent")]
    right = [f for f in placed if f.verdict in RIGHT]
    good = sum(f.verdict in RIGHT for f in answerable)
    seconds = sorted(f.seconds for f in found) or [0.0]
    return {
        "cases": len(found), "answerable": len(answerable),
        "recall": good / len(answerable) if answerable else 1.0,
        "exact": sum(f.verdict == "exact" for f in answerable) / max(1, len(answerable)),
        "precision": len(right) / len(placed) if placed else 1.0,
        "unbound": sum(bool(f.unbound) for f in placed),
        "median": statistics.median(seconds), "most": seconds[-1],
    }  # fmt: skip


def rows(name: str, found: Sequence[Found], program: str) -> list[str]:
    """A line of the table for the set, and one for each kind of case."""
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(group_of(one.case), []).append(one)
    lines = [_row(f"**{name}**, {program}", found)]
    return lines + [_row(group, members) for group, members in sorted(groups.items())]


def group_of(case: Case) -> str:
    """What a case is counted with."""
    if case.script.startswith("mutation "):
        return case.kind
    if case.script.startswith("hlast/"):
        return case.script
    return f"{case.distance:3} commit{'s' if case.distance > 1 else ''}"


def _row(label: str, found: Sequence[Found]) -> str:
    f = figures(found)
    return (
        f"| {label} | {f['cases']} | {f['answerable']} | {f['recall']:.3f} | {f['exact']:.3f} | "
        f"{f['precision']:.3f} | {f['unbound']} | {f['median']:.2f} | {f['most']:.2f} |"
    )


HEAD = (
    "| | cases | answerable | recall | exact | precision | unbound | s, median | s, most |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def table(found: dict[str, list[Found]], rival: dict[str, list[Found]]) -> str:
    """The text for RESULTS.md."""
    lines = [
        results_file.machine(),
        "",
        HEAD,
    ]
    for name, members in found.items():
        lines += rows(name, members, "florc")
    if "histories" in found:
        by_script: dict[str, list[Found]] = {}
        for one in found["histories"]:
            by_script.setdefault(one.case.script, []).append(one)
        lines += ["", HEAD.replace("| |", "| history, florc |", 1)]
        lines += [_row(script, members) for script, members in by_script.items()]
    if rival:
        lines += ["", HEAD.replace("| |", "| side by side |", 1)]
        for name, members in rival.items():
            same = {(f.case.script, f.case.place, f.case.kind) for f in members}
            ours = [f for f in found[name] if (f.case.script, f.case.place, f.case.kind) in same]
            lines.append(_row(f"{name}, flordb", members))
            lines.append(_row(f"{name}, florc, the same cases", ours))
    reasons = Counter(
        f.note.partition(":")[0] if not f.note.startswith("`") else "not bound, or another's"
        for members in found.values() for f in members if f.verdict == "refused"
    )  # fmt: skip
    lines += ["", "Refused: " + "; ".join(f"{r} {n}" for r, n in reasons.most_common()) + "."]
    return "\n".join(lines) + "\n"


def fetch(mirrors: Path) -> None:
    """Clone the repositories from github.com."""
    names = {e["repository"] for e in histories.configured()["history"]} | {hlast.REPOSITORY}
    for name in sorted(names):
        target = mirrors / name.replace("/", "+") / "repo"
        if not target.exists():
            url = f"https://github.com/{name}.git"
            subprocess.run(["git", "clone", "--quiet", "--bare", url, str(target)], check=True)


if __name__ == "__main__":
    started = time.time()
    code = main()
    print(f"{time.time() - started:.0f} s", file=sys.stderr)
    sys.exit(code)
