"""What recording a region keeps, and what skipping it puts back."""

from __future__ import annotations

import inspect
import math
import pickle
import random
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.random  # loaded when first used: only then there is a stream
import pytest
import torch
from torch import nn

from flor.runtime import abi
from flor.runtime.checkpoint.rng import capture_rng, restore_rng
from flor.runtime.record.regions import RecordRegions
from flor.runtime.regions import plain
from flor.runtime.regions.entry import Entry
from flor.runtime.regions.modules import UnwatchableError, Watched, below, set_modes
from flor.runtime.regions.streams import applied, changes
from flor.runtime.replay.regions import ReplayRegions
from flor.runtime.replay.sink import ReplaySink
from flor.runtime.session import Session, key
from florc.plan import LogStatement, LoopPlan, Plan, RegionPlan

# -- results --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -(2**80), 0.1, math.inf, "é\ud800", b"x", (), [], {},
        (1, [2.5, {"a": None, 3: (True,)}]),
        np.float32(0.1), np.int64(3), np.bool_(True), [np.float64("nan")],
        np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 3)), np.array(1.5),
        torch.arange(4.0), torch.tensor(2), torch.zeros(0, 3), torch.ones(2, dtype=torch.bfloat16),
        {"a": torch.tensor([True, False]), "b": [torch.tensor(float("nan"))]},
    ],
)  # fmt: skip
def test_plain_results(value: Any) -> None:
    got = plain.decode(plain.encode(value))
    assert type(got) is type(value)
    assert repr(got) == repr(value)
    if isinstance(value, torch.Tensor):
        assert got.dtype == value.dtype and got.shape == value.shape
        got += 1  # it is writeable


def test_results_keep_their_sharing() -> None:
    shared = [1.0]
    got = plain.decode(plain.encode((shared, {"again": shared})))
    assert got[0] is got[1]["again"]


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        {1, 2}, Number(3), object(), [object()], deque([1]), 1j, bytearray(b"x"), len,
        {"a": (1, {2: Number(1)})}, np.array([None]), np.array(["x"]), np.arange(6)[::2],
        np.arange(6).reshape(2, 3)[0], np.array([1, 2], dtype="datetime64[s]"), np.zeros(10_000),
        torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True) * 2, torch.ones(4)[:2],
        torch.ones(2, 2).t(), torch.eye(2).to_sparse(), nn.Parameter(torch.ones(1)),
        torch.ones(20_000), "x" * 70_000, list(range(20_000)), [a := np.zeros(2), a],
        [b := torch.ones(2), b.view(-1)],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_results_are_not_kept(value: Any) -> None:
    with pytest.raises(plain.NotPlainError):
        plain.encode(value)


def test_a_result_runs_no_code() -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain.decode(pickle.dumps(print))
    assert Entry.from_bytes(pickle.dumps((1, print))) is None
    assert Entry.from_bytes(pickle.dumps((999,))) is None


# -- random streams --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda: random.random(), lambda: random.gauss(0, 1), lambda: np.random.random(),
        lambda: np.random.standard_normal(3), lambda: torch.rand(1), lambda: torch.randn(2000),
        lambda: (random.seed(4), np.random.seed(4), torch.manual_seed(4)),
        lambda: (random.random(), torch.rand(())),
    ],
)  # fmt: skip
def test_streams_after_a_region(draw: Callable[[], object]) -> None:
    before = capture_rng()
    draw()
    after = capture_rng()
    found = changes(before, after)
    assert found and set(found) <= {"python", "numpy", "torch"}
    restore_rng(before)
    put_back = applied(found, capture_rng())
    assert put_back is not None
    restore_rng(put_back)
    assert capture_rng() == after
    assert applied(found, after) is None  # not the state that it was recorded in


def test_nothing_drawn_is_nothing_kept() -> None:
    before = capture_rng()
    assert changes(before, capture_rng()) == {}


# -- modules --------------------------------------------------------------------------------


class Held:
    __slots__ = ("net",)

    def __init__(self, net: nn.Module) -> None:
        self.net = net


def test_modules_are_found_wherever_they_are() -> None:
    made = [nn.Linear(1, 1) for _ in range(8)]
    outer = nn.Sequential(made[0])
    outer.plain = [made[1]]  # type: ignore[assignment]

    def closure(net: nn.Module = made[2]) -> object:
        return made[3], net

    class Plain:
        def __init__(self) -> None:
            self.inner = {"a": (made[4], Held(made[5]))}

        def method(self) -> None: ...

    extra = Plain()
    extra.more = deque([{made[6]}])  # type: ignore[attr-defined]
    found = below([outer, closure, extra.method, None, 3, "x", torch.ones(1), [outer]])
    assert set(made[:7]) <= set(found) and outer in found
    assert len(set(map(id, found))) == len(found)
    assert below([outer, closure, extra.method]) == found


def test_what_cannot_be_watched() -> None:
    with pytest.raises(UnwatchableError):
        below([{nn.Linear(1, 1), nn.Linear(1, 1)}])
    with pytest.raises(UnwatchableError):
        below([[[] for _ in range(30_000)]])
    loader = torch.utils.data.DataLoader([1], num_workers=1, persistent_workers=True)
    with pytest.raises(UnwatchableError):
        below([loader])


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [
        (lambda net: net.eval()(torch.randn(4, 2)), True),
        (lambda net: net.train()(torch.randn(4, 2)), False),
        (lambda net: net[1].running_mean.data.fill_(float("nan")), False),
        (lambda net: net[0].weight.data.add_(1), True),  # `.data` moves no counter: exact effects
        (lambda net: net[0].weight.detach().add_(1), False),
        (lambda net: net[0].register_buffer("more", torch.ones(1)), False),
        (lambda net: setattr(net[0], "weight", nn.Parameter(torch.ones(2, 2))), False),
        (lambda net: net.requires_grad_(False), False),
        (lambda net: net(torch.randn(4, 2)).sum().backward(), False),
        (lambda net: net[2](torch.tensor([0])), False),  # max_norm, in evaluation mode too
    ],
)
def test_modules_that_change(change: Callable[[Any], object], unchanged: bool) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    net.append(nn.Embedding(1, 2, max_norm=0.01).eval())
    call = nn.Sequential.forward
    net.forward = lambda x: call(net[:2], x)  # type: ignore[method-assign]
    watched = Watched(below([net]))
    change(net)
    assert watched.unchanged() is unchanged


def test_modes_are_put_back() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    net[1].eval()
    watched = Watched(below([net]))
    net.eval()
    modes = watched.changed_modes()
    net.train()
    net[1].eval()
    set_modes(below([net]), modes)
    assert not any(module.training for module in net.modules())


# -- calls --------------------------------------------------------------------------------


LOOP = {"file": "t.py", "line": 1, "scope": "", "kind": "for", "lexical_parent": None}


def plan(*regions: RegionPlan, logs: tuple[LogStatement, ...] = ()) -> Plan:
    facts: dict[str, Any] = {**LOOP, "parents": (), "counter": "item", "counter_name": None}
    loops = tuple(LoopPlan(id=n, name=n, training=False, **facts) for n in ("a", "i"))
    return Plan("t.py", (), loops, logs, regions=regions)


def region(name: str, **changes: Any) -> RegionPlan:
    return RegionPlan(name, name, "t.py", 1, name, ("a",), **{"plain": False, **changes})


class Sink:
    def __init__(self) -> None:
        self.logged: list[tuple[str, object]] = []

    def log(self, name: str, value: object, ctx: Any, stmt: str) -> None:
        self.logged.append((name, value))

    def iteration(self, ctx: Any, t: float) -> None: ...


Entries = dict[Any, bytes]


class Recorded(RecordRegions):
    share = grace = float("inf")


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    active: list[Session] = []
    yield active
    for one in active:
        one.deactivate()


def recording(
    sessions: list[Session], *regions: RegionPlan, kind: type[RecordRegions] = Recorded
) -> tuple[Session, Entries]:
    entries: Entries = {}
    session = Session("record", plan(*regions), Sink(), quiet=True)
    assert session.plan is not None

    def keep(ctx: Any, name: str, number: int, data: bytes) -> None:
        entries[key(ctx), name, number] = data

    session.regions = kind(session, session.plan, keep)
    session.activate()
    sessions.append(session)
    return session, entries


def replaying(
    sessions: list[Session],
    entries: Entries,
    *regions: RegionPlan,
    wanted: dict[Any, frozenset[str]] | None = None,
    logs: tuple[LogStatement, ...] = (),
    recorded: dict[Any, Any] | None = None,
) -> tuple[Session, ReplayRegions, ReplaySink]:
    found = plan(*regions, logs=logs)
    sink = ReplaySink(Sink(), recorded or {}, wanted or {}, frozenset(), frozenset({"old"}))  # type: ignore[arg-type]
    session = Session("replay", found, sink, quiet=True)
    skipping = ReplayRegions(session, found, sink, entries, pytest.fail)
    session.regions = skipping
    session.activate()
    sessions.append(session)
    return session, skipping, sink


def test_outside_of_a_session() -> None:
    def f(*args: int, **kwargs: int) -> tuple[Any, ...]:
        return args, kwargs

    assert abi.region("f", f) is f
    assert abi.after(abi.region("f", f)(1, name=2)) == ((1,), {"name": 2})


def draw(n: int, calls: list[int]) -> list[float]:
    calls.append(n)  # a test's way of looking in; no region would do that
    return [random.random() for _ in range(n)]


def test_a_skipped_call_gives_what_was_recorded(sessions: list[Session]) -> None:
    random.seed(1)
    truth = [(draw(2, []), draw(1, []), random.random()) for _ in range(3)]

    def script(calls: list[int]) -> list[Any]:
        random.seed(1)
        seen = []
        for _ in abi.loop("a", range(3)):
            first = abi.after(abi.region("f", draw)(2, calls))
            second = abi.after(abi.region("g", draw)(1, calls))
            seen.append((first, second, random.random()))
        return seen

    session, entries = recording(sessions, region("f"), region("g"))
    assert script([]) == truth
    session.deactivate()
    assert len(entries) == 6
    _, skipping, _ = replaying(sessions, entries, region("f"), region("g"))
    calls: list[int] = []
    assert script(calls) == truth
    assert calls == [] and skipping.skipped == {"f": 3, "g": 3}


def test_another_random_state_is_not_papered_over(sessions: list[Session]) -> None:
    def script(seed: int, calls: list[int]) -> list[Any]:
        random.seed(seed)
        return [abi.after(abi.region("f", draw)(2, calls)) for _ in abi.loop("a", range(2))]

    session, entries = recording(sessions, region("f"))
    script(1, [])
    session.deactivate()
    replaying(sessions, entries, region("f"))
    calls: list[int] = []
    random.seed(2)
    expected = [draw(2, []) for _ in range(2)]
    assert script(2, calls) == expected and calls == [2, 2]


def test_several_calls_at_one_position(sessions: list[Session]) -> None:
    def script(calls: list[int]) -> list[Any]:
        random.seed(1)
        seen: list[Any] = []
        for _ in abi.loop("a", range(2)):
            for n in (3, 1, 2):
                seen.append(abi.after(abi.region("f", draw)(n, calls)))
        return seen

    session, entries = recording(sessions, region("f"))
    expected = script([])
    session.deactivate()
    lost = next(name for name in entries if name[2] == 1)
    del entries[lost]  # one of them is executed
    replaying(sessions, entries, region("f"))
    calls: list[int] = []
    assert script(calls) == expected and calls == [1]


def test_loops_inside_are_counted_on(sessions: list[Session]) -> None:
    """What is executed later has the indexes that it had."""

    def inside(session: Session) -> int:
        for i in abi.loop("i", range(3)):
            session.sink.log("i", i, session.ctx, "new")
        return 0

    def script(session: Session) -> list[Any]:
        places = []
        for _ in abi.loop("a", range(2)):
            abi.after(abi.region("f", inside)(session))
            for _ in abi.loop("i", range(2)):
                places.append(key(session.ctx))
        return places

    session, entries = recording(sessions, region("f"))
    expected = script(session)
    session.deactivate()
    session, skipping, _ = replaying(sessions, entries, region("f"))
    assert script(session) == expected
    assert skipping.skipped == {"f": 2}


def test_an_exception_is_not_an_execution(sessions: list[Session]) -> None:
    """It comes through as it is; other regions around it are still noted."""

    def fails(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n

    def outer(n: int) -> int:
        try:
            return abi.after(abi.region("f", fails)(n))  # type: ignore[no-any-return]
        except ValueError:
            return -n

    def script() -> list[int]:
        return [abi.after(abi.region("g", outer)(n)) for n in abi.loop("a", range(4))]

    session, entries = recording(sessions, region("f"), region("g"))
    sink = session.sink
    assert script() == [0, -1, 2, -3]
    assert sorted((name, at[0][1]) for at, name, _ in entries) == [
        ("f", 0), ("f", 2), ("g", 0), ("g", 1), ("g", 2), ("g", 3),
    ]  # fmt: skip
    assert session.sink is sink
    session.deactivate()
    _, skipping, _ = replaying(sessions, entries, region("f"), region("g"))
    assert script() == [0, -1, 2, -3] and skipping.skipped == {"g": 4}


def test_no_frame_of_ours_is_seen(sessions: list[Session]) -> None:
    def look() -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("x", stacklevel=2)
        try:
            raise ValueError
        except ValueError as error:
            trace = traceback.extract_tb(error.__traceback__)
        stack = [frame.function for frame in inspect.stack()[:2]]
        return [*stack, caught[0].filename, trace[0].name, sys._getframe(1).f_code.co_name]

    recording(sessions, region("f"))
    for _ in abi.loop("a", range(1)):
        seen = abi.after(abi.region("f", look)())
    here = "test_no_frame_of_ours_is_seen"
    assert seen == ["look", here, __file__, "look", here]


@pytest.mark.parametrize(
    "leave",
    [
        lambda net: object(),
        lambda net: net.train()(torch.randn(4, 2)).sum().item(),
        lambda net: torch.set_grad_enabled(False) and None,
        lambda net: torch.set_default_dtype(torch.float64),
    ],
)
def test_what_is_not_kept(sessions: list[Session], leave: Callable[[Any], Any]) -> None:
    net = nn.BatchNorm1d(2).eval()
    session, entries = recording(sessions, region("f", watch=("net",)))
    try:
        for _ in abi.loop("a", range(5)):
            abi.after(abi.region("f", leave)(net))
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
    assert not entries
    assert session.regions.tallies["f"].off  # type: ignore[union-attr]


def test_a_result_that_nobody_sees_may_be_anything(sessions: list[Session]) -> None:
    def script() -> None:
        for _ in abi.loop("a", range(2)):
            assert abi.after(abi.region("f", object)()) is not seen

    seen: Any = None
    _, entries = recording(sessions, region("f", discarded=True))
    script()
    assert len(entries) == 2
    _, skipping, _ = replaying(sessions, entries, region("f", discarded=True))
    for _ in abi.loop("a", range(2)):
        assert abi.after(abi.region("f", object)()) is None
    assert skipping.skipped == {"f": 2}


def test_modes_of_modules_are_part_of_it(sessions: list[Session]) -> None:
    def evaluate(net: nn.Module) -> float:
        net.eval()
        return float(net(torch.ones(1, 2)).sum())

    def script(calls: list[int]) -> list[Any]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
        seen = []
        for _ in abi.loop("a", range(2)):
            net.train()
            value = abi.after(abi.region("f", evaluate)(net))
            seen.append((value, [m.training for m in net.modules()]))
        return seen

    session, entries = recording(sessions, region("f", watch=("net",)))
    expected = script([])
    session.deactivate()
    _, skipping, _ = replaying(sessions, entries, region("f", watch=("net",)))
    assert script([]) == expected and skipping.skipped == {"f": 2}


def test_short_regions_are_left_alone(sessions: list[Session]) -> None:
    class Impatient(RecordRegions):
        grace = float("inf")

    session, entries = recording(sessions, region("f"), kind=Impatient)
    for _ in abi.loop("a", range(50)):
        abi.after(abi.region("f", len)(()))
    assert len(entries) == RecordRegions.tries
    assert session.regions.tallies["f"].off == "it is too short"  # type: ignore[union-attr]


def test_what_the_analysis_missed_is_noticed(sessions: list[Session]) -> None:
    """A list of the caller's, a tensor's memory, a global: the region is never skipped."""
    tensor, items = torch.zeros(100_000), [1, 2]

    def script(change: Callable[[], object]) -> None:
        net = nn.Dropout()
        for _ in abi.loop("a", range(3)):
            assert tensor is not None and items and net.train()
            abi.after(abi.region("f", change)())

    for change in (lambda: items.append(1), lambda: tensor.numpy().__setitem__(3, 1)):
        session, entries = recording(sessions, region("f", discarded=True, plain=True))
        script(change)
        session.deactivate()
        assert [name[2] for name in entries] == [-1]
        assert "which the analysis has missed" in session.notes[0]
        _, skipping, _ = replaying(sessions, entries, region("f", discarded=True))
        script(list)
        assert not skipping.skipped
        sessions[-1].deactivate()


def test_a_store_that_fails_stops_nothing(sessions: list[Session]) -> None:
    session, _ = recording(sessions, region("f"))
    recorder = session.regions
    recorder.keep = None  # type: ignore[union-attr]
    sink = session.sink
    assert [abi.after(abi.region("f", len)("ab")) for _ in abi.loop("a", range(3))] == [2, 2, 2]
    assert session.regions is None and session.sink is sink
    assert "training goes on" in session.notes[0]


def test_other_threads_and_positions_outside_of_loops(sessions: list[Session]) -> None:
    _, entries = recording(sessions, region("f"))
    assert abi.after(abi.region("f", len)("ab")) == 2
    found: list[int] = []
    for _ in abi.loop("a", range(1)):
        thread = threading.Thread(
            target=lambda: found.append(abi.after(abi.region("f", len)("abc")))
        )
        thread.start()
        thread.join()
    assert found == [3] and not entries


def statement(name: str | None, stmt: str) -> LogStatement:
    return LogStatement(stmt, name, "t.py", 9, "", ("a",))


@pytest.mark.parametrize(
    ("log", "skipped"),
    [
        (statement("wanted", "new"), 2),  # not where it is wanted
        (statement("other", "new"), 3),
        (statement(None, "new"), 2),
        (statement(None, "old"), 3),
    ],
)
def test_what_is_wanted_is_executed(
    sessions: list[Session], log: LogStatement, skipped: int
) -> None:
    def script() -> None:
        random.seed(1)
        for _ in abi.loop("a", range(3)):
            abi.after(abi.region("f", draw)(1, []))

    session, entries = recording(sessions, region("f"))
    script()
    session.deactivate()
    _, skipping, _ = replaying(
        sessions, entries, region("f", logs=(log.id,)), logs=(log,),
        wanted={(("a", 1), ("i", 3)): frozenset({"wanted"})},
    )  # fmt: skip
    script()
    assert skipping.skipped == {"f": skipped}


def test_values_that_a_skipped_region_logged_are_counted(sessions: list[Session]) -> None:
    """A later value of the same name at the same place is compared with its own record."""

    def inside(session: Session) -> None:
        session.sink.log("v", 1, session.ctx, "old")
        session.sink.log("v", 2, session.ctx, "old")

    def script(session: Session) -> None:
        for _ in abi.loop("a", range(2)):
            abi.after(abi.region("f", inside)(session))
            session.sink.log("v", 3, session.ctx, "old")

    session, entries = recording(sessions, region("f", discarded=True))
    script(session)
    session.deactivate()
    recorded = {("v", (("a", a),), n): n + 1 for a in range(2) for n in range(3)}
    session, skipping, sink = replaying(
        sessions, entries, region("f", discarded=True), recorded=recorded
    )
    script(session)
    assert skipping.skipped == {"f": 2}
    assert sink.compared == 2 and sink.count == 0
