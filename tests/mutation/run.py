"""Applies every mutant in a forked process and prints, as JSON lines, what kills it.

python tests/mutation/run.py [--skip-unmutated] [part of a name …]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from judging import CASES, KILLS, checked, fault, killer, plan_of
from mutants import MUTANTS, Mutant


def judged(mutant: Mutant | None) -> dict[str, Any]:
    """The verdict, from a child process; None: what the cases say when nothing is mutated."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        try:
            verdict = _verdict(mutant)
        except BaseException:
            verdict = {"name": mutant.name if mutant else "", "error": traceback.format_exc()}
        with os.fdopen(write, "w") as stream:
            json.dump(verdict, stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    if not text:
        return {"name": mutant.name if mutant else "", "error": "the process died"}
    verdict: dict[str, Any] = json.loads(text)
    return verdict


def _verdict(mutant: Mutant | None) -> dict[str, Any]:
    if mutant is None:
        faults = {name: found.text for name, case in CASES.items() if (found := fault(case))}
        for name, case in CASES.items():
            promoted = checked(case).promoted
            if promoted:
                faults[f"{name}, while recording"] = f"{promoted} promoted"
        return {"name": "", "fault": json.dumps(faults) if faults else ""}
    mutant.apply()
    case, found = killer(mutant.hints)
    verdict: dict[str, Any] = {"name": mutant.name, "case": case, "kind": "", "fault": ""}
    if found is not None:
        verdict |= {"kind": found.kind, "fault": found.text}
    told = {name: checked(CASES[name]) for name in dict.fromkeys((*mutant.hints, case)) if name}
    promoting = {name: found for name, found in told.items() if found.promoted}
    if promoting and verdict["kind"] not in KILLS:
        verdict |= {"kind": "recording", "case": min(promoting), "fault": ""}
    return {
        **verdict,
        "promoted": {name: list(found.promoted) for name, found in promoting.items()},
        "right": bool(promoting) and all(found.right for found in promoting.values()),
    }


def main() -> None:
    """Run the chosen mutants, and before them the cases as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--skip-unmutated", action="store_true")
    options = parser.parse_args()
    import numpy  # noqa: F401  (once, before all children)
    import torch

    torch.set_num_threads(1)
    plan_of("import flor\n")  # what is read once is read here
    if not options.skip_unmutated:
        print(json.dumps(judged(None)), flush=True)
    for mutant in MUTANTS:
        if not options.names or any(name in mutant.name for name in options.names):
            print(json.dumps(judged(mutant)), flush=True)


if __name__ == "__main__":
    main()
