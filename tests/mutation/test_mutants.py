"""An effect entry or a transfer function made wrong is caught.

pytest -m slow -s tests/mutation
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).with_name("run.py")
ENOUGH = 140


@pytest.mark.slow
def test_every_mutant_is_killed() -> None:
    """Unmutated, all cases pass; each mutant fails one, which is printed.

    It is told, too, which mutants a recording that checks its plan finds out by itself: what they
    make the analysis miss is saved from then on, and replayed right.
    """
    process = subprocess.Popen([sys.executable, RUN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    verdicts = []
    for line in process.stdout:
        verdict = json.loads(line)
        verdicts.append(verdict)
        print(shown(verdict), flush=True)
    assert process.wait() == 0
    unmutated, *mutants = verdicts
    assert not unmutated["name"] and not unmutated["fault"], unmutated
    assert len(mutants) >= ENOUGH
    assert max(Counter(v["name"] for v in mutants).values()) == 1
    assert not [v for v in mutants if v.get("error")]
    survivors = [v["name"] for v in mutants if v["kind"] not in ("replay", "plan", "recording")]
    assert not survivors, survivors
    caught = [v for v in mutants if v["promoted"]]
    mended = [v for v in caught if v["right"]]
    print("not mended by what was promoted:", [v["name"] for v in caught if v not in mended])
    assert len(mended) > 0.95 * len(caught) and len(caught) > 0.6 * len(mutants)
    kinds = Counter(v["kind"] for v in mutants)
    print(
        f"{len(mutants)} mutants, killed by {len({v['case'] for v in mutants})} cases: "
        f"{kinds['replay']} replay other values, {kinds['plan']} are told by the plan; "
        f"{len(caught)} are caught by the check while recording, {kinds['recording']} by it alone; "
        f"{len(mended)} of them are replayed right from then on"
    )


def shown(verdict: dict[str, Any]) -> str:
    """A verdict for people."""
    if verdict.get("error"):
        return f"{verdict['name']}\n    {verdict['error']}"
    lines = [
        verdict["name"] or "unmutated",
        f"    {verdict.get('case', '')}: {verdict.get('kind', '')}: {verdict['fault'][:80]}",
    ]
    for case, paths in verdict.get("promoted", {}).items():
        lines.append(f"    while recording {case}: {', '.join(dict.fromkeys(paths))} promoted")
    return "\n".join(lines)
