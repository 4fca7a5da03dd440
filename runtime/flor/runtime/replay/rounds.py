"""In which order to replay what a query needs: what may spare the rest comes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from .demand import Demand, RunDemand

if TYPE_CHECKING:
    from .estimates import Estimator
    from .schedule import Position
    from .work import Work

GROWTH = 4
"""Where few rows may be enough, each round takes so many times as many as the one before."""
ROUNDS = 12
"""After so many, all that is left is replayed at once."""
WORTH = 0.75
"""A round of its own must promise to save a quarter of the time."""

Cost = Callable[[Sequence[RunDemand]], float]
Rest = Callable[[Sequence[RunDemand], float, Sequence[RunDemand]], float]
"""What some runs' replay is expected to cost when of the rows of others' only a share is left."""


@dataclass(frozen=True)
class Round:
    """What is replayed now, and why it isn't all that is lacking."""

    runs: tuple[RunDemand, ...]
    reason: str = ""


def choose(
    found: Demand, cost: Cost, shares: Mapping[str, float], number: int, rest: Rest | None = None
) -> Round:
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
        others = _only(found.runs, names - {name}, None)
        left = share * cost(others) if rest is None else rest(others, share, part)
        if spent + left < expected:
            expected = spent + left
            best = Round(
                part,
                f"{name} first, about {spent:.1f} s of {whole:.1f} s: "
                f"{', '.join(sorted(names - {name}))} only where its values leave something to ask"
                f" ({_known(found, name, share)}, {left:.1f} s)",
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


def _known(found: Demand, name: str, share: float) -> str:
    """Where a share comes from."""
    count = found.sampled.get(name, 0)
    if count:
        return f"{100 * share:.0f} %, by {count} value{'s' * (count != 1)} known"
    return f"{100 * share:.0f} %, a guess"


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

    deriving: float
    estimator: Estimator


class Rounds:
    """Tells, as long as something is lacking, what to replay next."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._number = 0
        self._tried: set[tuple[int, Position, str]] = set()

    @property
    def deriving(self) -> float:
        """Seconds that looking for what is lacking took last."""
        return self._requester.deriving

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
        estimate = self._requester.estimator.estimate
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

        estimate = self._requester.estimator.estimate

        def cost(runs: Sequence[RunDemand]) -> float:
            return sum(estimate(works[one.run].run, one).seconds for one in runs)

        def rest(runs: Sequence[RunDemand], share: float, deciding: Sequence[RunDemand]) -> float:
            rows = {one.run: len(one.positions) for one in deciding}
            total = 0.0
            for one in runs:
                parts = estimate(works[one.run].run, one).parts
                # A run is started if any of its rows is left.
                some = 1 - (1 - share) ** max(1, rows.get(one.run, 1))
                total += some * (parts.start + parts.prefix)
                total += share * (parts.restore + parts.execute)
            return total

        possible = tuple(one for one in found.runs if one.run in works)
        chosen = choose(replace(found, runs=possible), cost, found.shares, self._number, rest)
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
