"""A jump to any head of any training loop goes on as the plain program does.

The slow suite runs 5,000 programs in shards that pytest-xdist can spread:

    pytest -m slow -n 2 tests/property/test_programs.py
    python tests/property/probe.py        # which members could be dropped, and why they were in
"""

from __future__ import annotations

import random
import warnings
from collections import Counter

import jumping
import programs
import pytest
import shrinking

from florc.analysis.heap import COARSE

SHARDS, SHARD = 50, 104  # a few seeds of each shard give programs that fail by themselves
FIRST_SEED = 100_000
FAST_SEEDS, FAST_PARTS = 100, 4


REGION_SEEDS = 400_000
"""From here on, programs have many calls that may be skipped."""


def program_of(seed: int) -> str:
    """The program with that number."""
    return programs.program(random.Random(seed), 1 + seed % 12, seed >= REGION_SEEDS)


def checked(seed: int, every: int) -> jumping.Outcome | None:
    """What comes of a random program; None if it doesn't run by itself."""
    text = program_of(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `(5, [])[…]`, `if 3 % 2` and the like
        try:
            jumping.truth(text)
        except Exception:
            return None
        outcome = jumping.check(text, every=every)
        if outcome.wrong:
            small = shrinking.shrunk(text, goes_wrong, tries=400)
            pytest.fail(f"seed {seed}: {outcome.wrong}\n\n{small}", pytrace=False)
    return outcome


def goes_wrong(text: str) -> bool:
    """Whether a smaller program runs by itself, and a jump in it doesn't."""
    try:
        jumping.truth(text)
        wrong = jumping.check(text).wrong
    except Exception:
        return False
    return bool(wrong) and not wrong.startswith("recording") and " at 0x" not in wrong


def tally(seeds: range, every: int) -> Counter[str]:
    """Counts over many programs; fails on the first that goes wrong."""
    found: Counter[str] = Counter()
    for seed in seeds:
        outcome = checked(seed, every)
        if outcome is None:
            found["invalid"] += 1
            continue
        found["programs"] += 1
        found["loops"] += outcome.loops
        found["exact loops"] += outcome.exact
        found["refused loops"] += len(outcome.refused)
        found["heads"] += outcome.heads
        found["jumps"] += outcome.jumps
        found["given up"] += len(outcome.restarts)
        found["kept regions"] += outcome.kept
        found["skipped regions"] += outcome.skipped
    return found


def judge(found: Counter[str]) -> None:
    """The programs must be ones that the analysis sees through, and that jumps can be made in."""
    print(dict(found))
    assert found["programs"] > 20 * found["invalid"]
    assert found["jumps"] > 10 * found["given up"]
    assert found["loops"] > 8 * found["refused loops"]
    assert found["exact loops"] > 0.5 * found["loops"]


@pytest.mark.parametrize("part", range(FAST_PARTS))
def test_jumps_are_exact(part: int) -> None:
    """Every value logged behind the head is the plain program's."""
    found = tally(range(part, FAST_SEEDS, FAST_PARTS), every=4)
    assert found["programs"] > 20 and found["jumps"] > 3 * found["given up"]


def coarse(monkeypatch: pytest.MonkeyPatch, saturated: int) -> None:
    """Solve heaps as those of programs that are too large are."""
    monkeypatch.setattr("florc.analysis.execute.GRAINS", (COARSE,))
    monkeypatch.setattr("florc.analysis.heap.SATURATED", saturated)


@pytest.mark.parametrize("saturated", [2, 6])
def test_jumps_are_exact_with_a_coarse_heap(
    saturated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told apart less is saved more, and never less."""
    coarse(monkeypatch, saturated)
    found = tally(range(200_000 + saturated, 200_010 + saturated), every=4)
    assert found["programs"] > 5 and found["heads"] > 5


@pytest.mark.parametrize("crowd", [1, 3])
def test_jumps_are_exact_in_a_crowd(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lump for more than `crowd` objects of a type in a set: more is saved, never less."""
    monkeypatch.setattr("florc.analysis.heap.CROWD", crowd)
    found = tally(range(220_000 + 10 * crowd, 220_012 + 10 * crowd), every=4)
    assert found["programs"] > 5 and found["heads"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_programs_in_a_crowd(shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same over many programs, and from every checkpoint."""
    monkeypatch.setattr("florc.analysis.heap.CROWD", 1 + shard % 3)
    first = 320_000 + shard * SHARD
    found = tally(range(first, first + SHARD // 5), every=1)
    assert found["programs"] > 10 and found["jumps"] > 10


def test_jumps_are_exact_with_few_access_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no path is looked for leads to is saved with the root that holds it."""
    monkeypatch.setattr("florc.analysis.checkpoint_set.MAX_PATHS", 2)
    found = tally(range(210_000, 210_010), every=4)
    assert found["programs"] > 5 and found["heads"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_programs_with_a_coarse_heap(shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same over many programs, and from every checkpoint: a very coarse heap has few."""
    coarse(monkeypatch, 1 + shard % 6)
    first = 300_000 + shard * SHARD
    found = tally(range(first, first + SHARD // 5), every=1)
    assert found["programs"] > 10 and found["jumps"] > 10


@pytest.fixture
def every_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions that aren't worth skipping are regions too."""
    monkeypatch.setattr("florc.analysis.judge.Judge.expected", lambda judge, ran: True)


@pytest.mark.parametrize("part", range(FAST_PARTS))
@pytest.mark.usefixtures("every_region")
def test_skipped_calls_leave_what_they_left(part: int) -> None:
    """A replay that skips whatever may be skipped goes on as the plain program does."""
    first = REGION_SEEDS + part
    found = tally(range(first, first + 60, FAST_PARTS), every=3)
    print(dict(found))
    assert found["skipped regions"] > 10 and found["jumps"] > 3 * found["given up"]


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.usefixtures("every_region")
def test_many_programs_with_skipped_calls(shard: int) -> None:
    """The same over many programs."""
    first = REGION_SEEDS + 1000 + shard * SHARD
    found = tally(range(first, first + SHARD // 2), every=2)
    assert found["skipped regions"] > 10 and found["jumps"] > 3 * found["given up"]


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_programs(shard: int) -> None:
    """The same over many programs, and from every checkpoint."""
    first = FIRST_SEED + shard * SHARD
    found = tally(range(first, first + SHARD), every=1)
    judge(found)
    assert found["programs"] >= 5000 / SHARDS
