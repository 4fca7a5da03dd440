"""Runs as they pass between the store and other trackers."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FlorError
from ..store import RunWriter
from ..store.rows import Run
from ..store.store import Store

At = tuple[tuple[str, int, Any], ...]
"""A loop position: (loop, index, counter), outermost first."""


@dataclass(frozen=True)
class Value:
    """A logged value."""

    name: str
    value: Any
    at: At
    time: float
    step: int = 0  # for trackers that know one counter only


@dataclass
class Foreign:
    """A run that another tracker has recorded."""

    source: str  # what it was imported from: nothing is imported twice
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    iterations: list[tuple[At, float]] = field(default_factory=list)  # in order, if known
    started: float | None = None
    ended: float | None = None
    status: str = "finished"
    exit_code: int | None = None
    left_out: int = 0  # values that can't be kept: images, histograms, …
    problem: str = ""  # why there may be more than what was read


# -- out of the store ------------------------------------------------------------------------------


def chosen(store: Store, wanted: Sequence[str]) -> list[Run]:
    """The runs that the command line names; all without a name.  Raises StoreError."""
    return [store.run(ref) for ref in wanted] if wanted else store.runs()


def exported(store: Store, run: int, names: Collection[str]) -> list[Value]:
    """What a run shows in `logs`, in the order it was logged: recorded values, else replayed."""
    coordinates: dict[tuple[tuple[str, int], ...], At] = {(): ()}
    for iteration in store.iterations(run):
        coordinates[iteration.position] = tuple(iteration.coordinates)
    steps = _steps(coordinates.values())
    records = store.records_of(run)
    recorded = {(r.name, r.position) for r in records if r.source == "record"}
    found = []
    for record in records:
        if names and record.name not in names:
            continue
        if record.source == "record" or (record.name, record.position) not in recorded:
            at = coordinates[record.position]
            found.append(Value(record.name, record.value, at, record.time, steps[at]))
    return found


def iterations(store: Store, run: int) -> list[tuple[At, float]]:
    """Every iteration, with its time."""
    return [(tuple(i.coordinates), i.time or 0.0) for i in store.iterations(run)]


def _steps(positions: Collection[At]) -> dict[At, int]:
    """One counter for each position: the loop's own where it only grows, else the iteration's.

    Iterations of inner loops are counted through the whole run, as scripts do.
    """
    nests: dict[tuple[str, ...], list[At]] = {}
    for at in positions:
        nests.setdefault(tuple(loop for loop, _, _ in at), []).append(at)
    found: dict[At, int] = {}
    for nest, members in nests.items():
        values = [at[-1][2] if at else 0 for at in members]
        own = len(nest) == 1 and all(type(value) is int and value >= 0 for value in values)
        own = own and all(a < b for a, b in itertools.pairwise(values))
        found.update((at, values[i] if own else i) for i, at in enumerate(members))
    return found


# -- into the store --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """What became of a foreign run."""

    run: int
    name: str
    source: str
    values: int
    left_out: int
    outcome: str  # "imported" | "there already" | a problem


def imported(store: Store, foreign: Foreign) -> Imported:
    """Put a foreign run into the store, unless it is there.  Raises StoreError."""
    note = f"imported from {foreign.source}"
    for run in store.runs():
        if run.note == note:
            return Imported(run.run, foreign.name, foreign.source, 0, 0, "there already")
    info = {
        "args": {"run_name": foreign.name, **foreign.args}, "started": foreign.started,
        "host": "", "pid": 0,
    }  # fmt: skip
    number = store.begin_run({k: v for k, v in info.items() if v is not None})
    writer = RunWriter(store.path, number, source="record")
    contexts: dict[At, Any] = {(): None}
    for at, moment in _in_order(foreign):
        if at not in contexts:
            _begin(writer, contexts, at, moment)
    for value in foreign.values:
        clock = functools.partial(float, value.time)
        writer.log(value.name, value.value, contexts[value.at], None, clock)
    closed = writer.close(60.0)
    store.end_run(
        number, foreign.status, foreign.exit_code,
        ended=foreign.ended, dropped=writer.dropped, note=note,
    )  # fmt: skip
    if not closed or writer.error:
        raise FlorError(f"run {number}: not everything could be stored: {writer.error}", 1)
    outcome = foreign.problem or "imported"
    count = len(foreign.values)
    return Imported(number, foreign.name, foreign.source, count, foreign.left_out, outcome)


def _in_order(foreign: Foreign) -> Iterator[tuple[At, float]]:
    yield from foreign.iterations
    for value in foreign.values:
        yield value.at, value.time


def _begin(writer: RunWriter, contexts: dict[At, Any], at: At, moment: float) -> None:
    """Note an iteration, and those around it."""
    for depth in range(1, len(at) + 1):
        inner = at[:depth]
        if inner not in contexts:
            loop, index, counter = inner[-1]
            contexts[inner] = (contexts[inner[:-1]], loop, index, counter)
            writer.iteration(contexts[inner], moment)


def by_step(points: Mapping[str, Sequence[tuple[int, float, Any]]]) -> list[Value]:
    """Values by name of (step, time, value), with the steps as a loop `step`."""
    steps = sorted({step for found in points.values() for step, _, _ in found})
    places: dict[int, At] = {step: (("step", i, step),) for i, step in enumerate(steps)}
    values = [
        Value(name, value, places[step], moment, step)
        for name, found in points.items()
        for step, moment, value in found
    ]
    return sorted(values, key=lambda value: (value.step, value.time))


def kept(value: Any) -> bool:
    """Whether a value of another tracker is one that `logs` takes: numbers and texts."""
    return isinstance(value, (bool, int, float, str))


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
