"""The budget, with a clock of its own."""

from __future__ import annotations

import pytest

from flor.runtime.checkpoint.budget import FREE_BYTES, Budget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(
    epsilon: float, step: float, block: float, persist: float, size: int, heads: int, depth: int = 0
) -> tuple[int, float]:
    """(snapshots taken, share of the time they cost)."""
    clock = Clock()
    budget = Budget(epsilon, clock)
    taken = 0
    cost = 0.0
    for _ in range(heads):
        if budget.due(depth):
            clock.now += block
            budget.spent(block, size)
            budget.persisted(persist, size)
            cost += block + 0.5 * persist
            taken += 1
        clock.now += step
    return taken, cost / (clock.now - 100.0)


def test_first_head_is_taken() -> None:
    assert Budget(0.05, Clock()).due(0)


@pytest.mark.parametrize("block", [0.001, 0.05, 0.5])
def test_share_is_kept(block: float) -> None:
    taken, share = run(0.05, 1.0, block, block, 1000, 400)
    assert share <= 0.05 + 1e-9
    assert taken > 1


def test_cheap_ones_are_taken_every_time() -> None:
    assert run(0.05, 1.0, 0.001, 0.001, 1000, 50)[0] == 50


def test_dear_ones_are_spread() -> None:
    taken, share = run(0.05, 1.0, 1.0, 2.0, 1000, 400)
    assert 5 <= taken <= 12
    assert share <= 0.06


def test_inner_loops_wait_ten_seconds() -> None:
    taken, _ = run(0.05, 0.5, 0.001, 0.001, 1000, 200, depth=1)
    assert taken == 8 or taken == 9


def test_stored_bytes_are_capped() -> None:
    taken, _ = run(0.5, 1.0, 0.001, 0.001, FREE_BYTES // 4, 400)
    assert taken * FREE_BYTES // 4 <= FREE_BYTES + 50e6 * 401


def test_pauses_do_not_count() -> None:
    clock = Clock()
    budget = Budget(0.05, clock)
    budget.spent(0.1, 1)
    clock.now += 10
    assert budget.due(0)
    budget.paused(9.9)
    assert not budget.due(0)


def test_zero_means_never() -> None:
    assert not Budget(0.0, Clock()).due(0)
    with pytest.raises(ValueError, match="negative"):
        Budget(-1.0)
