"""A jump to any head of any training loop goes on as the plain program does."""

from __future__ import annotations

import random
import warnings
from collections import Counter

import jumping
import programs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

FAST = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),  # a smaller seed isn't a smaller program
    suppress_health_check=list(HealthCheck),
)
SLOW_EXAMPLES = 2000


def outcome_of(seed: int, size: int, every: int) -> jumping.Outcome | None:
    """What comes of a random program; None if it doesn't run by itself."""
    text = programs.program(random.Random(seed), size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `(5, [])[…]`, `if 3 % 2` and the like
        try:
            jumping.truth(text)
        except Exception:
            return None
        outcome = jumping.check(text, every=every)
    assert not outcome.wrong, f"{outcome.wrong}\n\n{text}"
    return outcome


@FAST
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_jumps_are_exact(seed: int, size: int) -> None:
    """Every value logged behind the head is the plain program's."""
    outcome_of(seed, size, every=4)


@pytest.mark.slow
def test_many_programs() -> None:
    """The same over many programs, with how often a jump was refused."""
    found: Counter[str] = Counter()
    for seed in range(SLOW_EXAMPLES):
        outcome = outcome_of(20_000 + seed, 1 + seed % 12, every=2)
        if outcome is None:
            found["invalid"] += 1
            continue
        found["programs"] += 1
        found["programs with a refused loop"] += bool(outcome.refused)
        found["heads"] += outcome.heads
        found["jumps"] += outcome.jumps
        found["given up"] += len(outcome.restarts)
    print(dict(found))
    assert found["jumps"] > 5 * found["given up"]
    assert found["programs"] > 20 * found["invalid"]
