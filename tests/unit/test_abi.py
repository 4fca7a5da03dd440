"""What emitted loops do: coordinates, exits of every kind, transparency, cost."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flor
from flor.runtime import abi, session
from flor.runtime.session import Session, key, position
from florc.plan import LoopPlan, Plan


def loop_plan(name: str, **changes: Any) -> LoopPlan:
    """A coordinates-only loop, unless `changes` say otherwise."""
    facts: dict[str, Any] = {
        "id": name, "name": name, "file": "t.py", "line": 1, "scope": "", "kind": "for",
        "training": False, "lexical_parent": None, "parents": (), "counter": "item",
        "counter_name": None,
    }  # fmt: skip
    return LoopPlan(**{**facts, **changes})


class Seen:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, Any, Any]] = []
        self.iterations: list[Any] = []

    def log(self, name: str, value: object, ctx: Any, stmt: str) -> None:
        self.logs.append((name, value, position(ctx)))

    def iteration(self, ctx: Any, t: float) -> None:
        self.iterations.append(position(ctx))

    def keys(self, name: str) -> list[tuple[tuple[str, int], ...]]:
        """Positions of the values of `name`, without the counters' values."""
        return [tuple((loop, index) for loop, index, _ in p) for n, _, p in self.logs if n == name]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """An active session with loops a (outer), b (inside a), w (while) and e (enumerate)."""
    sink = Seen()
    loops = (
        loop_plan("a"),
        loop_plan("b", lexical_parent="a", parents=("a",)),
        loop_plan("w", kind="while", counter="variable", counter_name="n"),
        loop_plan("e", counter="first", lexical_parent="a"),
        loop_plan("x", counter="index", lexical_parent="a"),
    )
    active = Session("record", Plan("t.py", (), loops, ()), sink, quiet=True)
    active.activate()
    yield sink
    active.deactivate()


def test_transparent_outside_a_session() -> None:
    """No session: the same object, `head` True, values given back."""
    items = [1, 2]
    assert abi.loop("a", items) is items
    loop = abi.while_loop("w")
    assert loop.head() is True
    loop.end()
    assert list(abi.iterator(map)(str, items)) == ["1", "2"]
    assert flor.log("x", 3) == 3
    assert flor.arg("lr", 0.1) == 0.1
    assert flor.loop("a", items) is items


def test_nested_coordinates(seen: Seen) -> None:
    """The value is the counter's, the index counts from 0."""
    for a in abi.loop("a", range(1, 3)):
        for e, _ in abi.loop("e", enumerate("xy", 5)):
            flor.log("v", a * 10 + e)
        flor.log("after", a)
    flor.log("end", 0)
    assert [(v, p) for n, v, p in seen.logs if n == "v"] == [
        (15, (("a", 0, 1), ("e", 0, 5))),
        (16, (("a", 0, 1), ("e", 1, 6))),
        (25, (("a", 1, 2), ("e", 0, 5))),
        (26, (("a", 1, 2), ("e", 1, 6))),
    ]
    assert seen.keys("after") == [(("a", 0),), (("a", 1),)]
    assert seen.keys("end") == [()]


def test_break_return_and_exception_leave_the_loop(seen: Seen) -> None:
    """CPython drops the iterator at once, whatever ends the loop."""

    def returns() -> None:
        for _ in abi.loop("b", range(9)):
            return

    for _ in abi.loop("a", range(9)):
        break
    flor.log("broken", 0)
    returns()
    flor.log("returned", 0)
    try:
        for _ in abi.loop("a", range(9)):
            for _ in abi.loop("b", range(9)):
                raise KeyError
    except KeyError:
        flor.log("raised", 0)
    assert seen.keys("broken") == seen.keys("returned") == seen.keys("raised") == [()]


def test_entries_of_one_loop_have_their_own_indexes(seen: Seen) -> None:
    """A second entry under the same outer position goes on counting, one head later."""
    for _ in abi.loop("a", range(2)):
        for _ in range(2):
            for _ in abi.loop("x", "pq"):
                flor.log("v", 0)
    first = [(("a", 0), ("x", i)) for i in (0, 1, 3, 4)]
    second = [(("a", 1), ("x", i)) for i in (0, 1, 3, 4)]
    assert seen.keys("v") == first + second
    assert [p[1][2] for _, _, p in seen.logs] == [0, 1, 0, 1] * 2


def test_while_loop_counts_by_its_variable(seen: Seen) -> None:
    """Its variable is read at the head."""
    n = 3
    loop = abi.while_loop("w")
    while loop.head() and n < 6:
        flor.log("v", n)
        n += 1
    loop.end()
    flor.log("end", 0)
    assert [p for _, _, p in seen.logs] == [(("w", 0, 3),), (("w", 1, 4),), (("w", 2, 5),), ()]


def test_while_left_by_exception_is_popped_by_the_next_loop(seen: Seen) -> None:
    """Its object lives on in the frame; a loop that isn't inside it ends it."""
    loop = abi.while_loop("w")
    n = 0
    try:
        while loop.head():
            n += 1
            raise KeyError
    except KeyError:
        pass
    for _ in abi.loop("a", range(1)):
        flor.log("v", 0)
    assert seen.keys("v") == [(("a", 0),)]


def test_generators_with_loops_of_their_own(seen: Seen) -> None:
    """A coordinate loop in a generator has no place in the nest: it interleaves."""

    def items() -> Iterator[int]:
        for i in abi.loop("x", range(3)):  # noqa: UP028
            yield i

    for _ in abi.loop("a", items()):
        flor.log("v", 0)
    assert seen.keys("v") == [(("a", 0),), (("a", 1),), (("a", 2),)]


def test_other_threads_have_no_loops(seen: Seen) -> None:
    """Their loops are plain; what they log gets the main thread's position."""

    def work() -> None:
        for _ in abi.loop("b", range(2)):
            flor.log("t", 0)

    for _ in abi.loop("a", range(1)):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen.keys("t") == [(("a", 0),)] * 2


def test_values_are_snapshots(seen: Seen) -> None:
    """Later changes of a logged list don't show."""
    values = [1]
    flor.log("v", values)
    values.append(2)
    assert seen.logs[0][1] == [1]


def test_hand_made_loop_and_argument(seen: Seen) -> None:
    """flor.loop and flor.arg need no plan."""
    for _ in flor.loop("epoch", [7]):
        flor.log("v", flor.arg("lr", 0.5))
    assert seen.logs == [("v", 0.5, (("epoch", 0, 7),))]
    assert session.current is not None
    assert session.current.arguments == {"lr": 0.5}


def test_replay_gives_the_recorded_argument(seen: Seen) -> None:
    """In a replay the recorded value wins."""
    assert session.current is not None
    session.current.recorded_arguments = {"lr": 0.25}
    assert flor.arg("lr", 0.5) == 0.25


def test_forked_children_are_inert(seen: Seen) -> None:
    """A child may go on in the loop; it records nothing."""
    for a in abi.loop("a", range(3)):
        if a == 1:
            pid = os.fork()
            if pid == 0:
                flor.log("child", 1)
                os._exit(0 if not seen.logs and session.current is None else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(seen.iterations) == 3


def test_an_error_of_ours_stays_ours(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that fails costs a note, nothing else."""

    def broken(*_: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(seen, "log", broken)
    assert flor.log("v", 1) == 1
    assert session.current is not None
    assert "disk on fire" in session.current.notes[0]


def test_errors_of_the_iterable_come_through(seen: Seen) -> None:
    """Not iterable, or failing in next: the script's own exception, and the loop is left."""
    with pytest.raises(TypeError, match="not iterable"):
        iter(abi.loop("a", 5))  # type: ignore[arg-type]

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        for _ in abi.loop("a", failing()):
            pass
    flor.log("v", 0)
    assert seen.keys("v") == [()]


def calls_of(run: Callable[[], object]) -> int:
    """Python functions that a call enters: what it costs, on any machine."""
    entered = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return entered


def test_cost_of_an_iteration_and_of_a_log(seen: Seen) -> None:
    """Few functions run for each; benchmarks/record_overhead.py has the times."""
    count = 1000

    def iterate() -> None:
        for _ in abi.loop("a", range(count)):
            pass

    def log() -> None:
        for _ in range(count):
            flor.log("v", 1.0)

    assert calls_of(iterate) <= 3 * count + 50
    assert calls_of(log) <= 4 * count + 50


def test_key_and_position() -> None:
    """Outermost first."""
    ctx = ((None, "a", 1, 2), "b", 3, "x")
    assert key(ctx) == (("a", 1), ("b", 3))
    assert position(ctx) == (("a", 1, 2), ("b", 3, "x"))
    assert key(None) == ()
