"""Run numbers for people."""

from __future__ import annotations

from collections.abc import Sequence


def spans(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def runs_named(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as "runs 1-3, 7"; 4 as "run 4"."""
    return f"run{'s' * (len(numbers) > 1)} {spans(numbers)}"
