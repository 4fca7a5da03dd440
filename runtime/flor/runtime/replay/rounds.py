"""In which order to replay what a query needs: what may spare the rest comes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from .demand import Demand, RunDemand

if TYPE_CHECKING:
    from ..store.rows import Run
    from .schedule import Position
    from .work import Estimate, Work

GROWTH = 4
"""Where few rows may be enough, each round takes so many times as many as the one before."""
ROUNDS = 12
"""After so many, all that is left is replayed at once."""
WORTH = 0.75
"""A round of its own must promise to save a quarter of the time."""

Cost = Callable[[Sequence[RunDemand]], float]


@dataclass(frozen=True)
class Round:
    """What is replayed now, and why it isn't all that is lacking."""

    runs: tuple[RunDemand, ...]
    reason: str = ""


def choose(found: Demand, cost: Cost, shares: Mapping[str, float], number: int) -> Round:
    """The next round; `shares` are guesses of how much a name's conditions leave of the rest.

    First come names on whose values it depends what else is needed, the one that promises the least
    time in all; and where few rows may be enough, those that are likely to be.
    """
    whole = cost(found.runs)
    everything = Round(found.runs)
    if number >= ROUNDS or not found.runs:
        return everything
    names = {name for one in found.runs for name in one.names}
    best, expected = everything, WORTH * whole
    for name in sorted(names & found.deciding) if len(names) > 1 else ():
        part = _only(found.runs, {name}, None)
        spent = cost(part)
        share = shares.get(name, 0.5)
        if spent + share * whole < expected:
            expected = spent + share * whole
            others = ", ".join(sorted(names - {name}))
            best = Round(
                part,
                f"{name} first, about {spent:.1f} s of {whole:.1f} s: "
                f"{others} only where its values leave something to ask",
            )
    chosen = {name for one in best.runs for name in one.names}
    if chosen <= found.early:
        part = _only(best.runs, chosen, GROWTH**number)
        spent = cost(part)
        if part and spent <= WORTH * cost(best.runs):
            return Round(
                part,
                f"{', '.join(sorted(chosen))} where it may be enough first, "
                f"about {spent:.1f} s of {whole:.1f} s",
            )
    return best


def _only(
    runs: Sequence[RunDemand], names: Collection[str], rank: int | None
) -> tuple[RunDemand, ...]:
    """The part of a demand for some names, up to a rank."""
    found = []
    for one in runs:
        wanted = {
            position: kept
            for position, statements in one.wanted.items()
            if rank is None or one.first.get(position, 1) <= rank
            if (kept := tuple(s for s in statements if s.name in names))
        }
        if wanted:
            found.append(
                replace(
                    one,
                    names=tuple(name for name in one.names if name in names),
                    positions=tuple(p for p in one.positions if p in wanted),
                    wanted=wanted,
                )
            )
    return tuple(found)


class Requester(Protocol):
    """What Rounds asks: see work.py."""

    work: list[Work]

    def lacking(self, failed: Collection[int]) -> tuple[Demand, list[Work]]: ...

    def estimate(self, run: Run, one: RunDemand) -> Estimate: ...


class Rounds:
    """Tells, as long as something is lacking, what to replay next."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._number = 0
        self._tried: set[tuple[int, Position, str]] = set()

    def reason(self) -> str:
        """Why the first round won't be all, or ""."""
        return self._chosen(())[2] if self._requester.work else ""

    def next(self, failed: Collection[int] = ()) -> tuple[tuple[Work, ...], str]:
        """The work of the next round, and why it isn't all; runs that failed aren't tried again."""
        runs, works, reason = self._chosen(failed)
        self._number += 1
        self._tried |= {
            (one.run, position, statement.id)
            for one in runs
            for position, statements in one.wanted.items()
            for statement in statements
        }
        estimate = self._requester.estimate
        work = (
            replace(works[one.run], demand=one, estimate=estimate(works[one.run].run, one))
            for one in runs
        )
        return tuple(work), reason

    def _chosen(
        self, failed: Collection[int]
    ) -> tuple[tuple[RunDemand, ...], dict[int, Work], str]:
        found, work = self._requester.lacking(failed)
        found = self._untried(found)
        works = {one.run.run: one for one in work}

        def cost(runs: Sequence[RunDemand]) -> float:
            return sum(self._requester.estimate(works[one.run].run, one).seconds for one in runs)

        possible = tuple(one for one in found.runs if one.run in works)
        chosen = choose(replace(found, runs=possible), cost, found.shares, self._number)
        return chosen.runs, works, chosen.reason

    def _untried(self, found: Demand) -> Demand:
        """Without what was replayed and is lacking nevertheless."""
        runs = []
        for one in found.runs:
            wanted = {
                position: kept
                for position, statements in one.wanted.items()
                if (
                    kept := tuple(
                        s for s in statements if (one.run, position, s.id) not in self._tried
                    )
                )
            }
            if wanted:
                names = tuple(sorted({str(s.name) for kept in wanted.values() for s in kept}))
                positions = tuple(p for p in one.positions if p in wanted)
                runs.append(replace(one, names=names, positions=positions, wanted=wanted))
        return replace(found, runs=tuple(runs))
