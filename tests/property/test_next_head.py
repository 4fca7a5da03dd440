"""What the next head's state answers is what the plain program logs, in random programs."""

from __future__ import annotations

import random
import warnings
from collections import Counter

import answering
import jumping
import pytest
from programs import program

SHARDS, SHARD = 20, 60
FIRST_SEED = 700_000


def tally(seeds: range) -> Counter[str]:
    """Counts over programs; fails on the first value that differs."""
    found: Counter[str] = Counter()
    for seed in seeds:
        text = program(random.Random(seed), 1 + seed % 12, bool(seed % 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `(5, [])[…]`, `if 3 % 2` and the like
            try:
                jumping.truth(text)
            except Exception:
                continue
            counts = answering.check(text)
        wrong = [what for what in counts if what.startswith("wrong")]
        assert not wrong, f"seed {seed}: {wrong[0]}\n\n{text}"
        found += counts
    print(dict(found))
    return found


@pytest.mark.parametrize("part", range(2))
def test_the_next_head_answers(part: int) -> None:
    found = tally(range(part, 40, 2))
    assert found["answered"] > 40
    assert found["answered"] > 10 * (found["given up"] + found["failed"])


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_programs(shard: int) -> None:
    first = FIRST_SEED + shard * SHARD
    assert tally(range(first, first + SHARD))["answered"] > SHARD
