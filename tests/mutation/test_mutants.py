"""An effect entry or a transfer function made wrong is caught.

pytest -m slow -s tests/mutation
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
ENOUGH = 40


@pytest.mark.slow
def test_every_mutant_is_killed() -> None:
    """Unmutated, all cases pass; each mutant fails one, which is printed."""
    process = subprocess.Popen([sys.executable, RUN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    verdicts = []
    for line in process.stdout:
        verdict = json.loads(line)
        verdicts.append(verdict)
        shown = verdict.get("error") or f"{verdict.get('case', '')}: {verdict['fault'][:80]}"
        print(f"{verdict['name'] or 'unmutated'}\n    {shown}", flush=True)
    assert process.wait() == 0
    unmutated, *mutants = verdicts
    assert not unmutated["name"] and not unmutated["fault"], unmutated
    assert len(mutants) >= ENOUGH
    assert max(Counter(v["name"] for v in mutants).values()) == 1
    assert not [v for v in mutants if v.get("error")]
    survivors = [v["name"] for v in mutants if not v["case"]]
    assert not survivors, survivors
    print(f"{len(mutants)} mutants, killed by {len({v['case'] for v in mutants})} cases")
