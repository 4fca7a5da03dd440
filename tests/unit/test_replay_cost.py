"""What a replay is expected to take: from recorded times, and from what replays took before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flor.runtime.replay.clock import Stopwatch
from flor.runtime.replay.cost import Corrections, Parts, Where, base, makespan, weighted_median
from flor.runtime.replay.demand import RunDemand
from flor.runtime.replay.estimates import Estimator
from flor.runtime.replay.segments import Recorded
from flor.runtime.replay.timeline import Timeline
from flor.runtime.store import Store, costs
from flor.runtime.store.batches import Batch
from flor.runtime.store.costs import Observation
from flor.runtime.store.rows import Checkpoint, seconds
from florc.plan import LogStatement

BEGUN = 1_000_000.0
EPOCH, STEP = 10.0, 2.0


def at(*steps):
    ctx = None
    for loop, index in steps:
        ctx = (ctx, loop, index, index)
    return ctx


def checkpoint(*steps, base: int = 0, nbytes: int = 100) -> Checkpoint:
    coordinates = tuple((loop, index, index) for loop, index in steps)
    *outer, (loop, index, _) = coordinates
    coordinates = (*outer, (loop, index, index - base))
    return Checkpoint(loop, tuple(steps), coordinates, "f", nbytes, nbytes, 0.0, "", 0.0)


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path, create=True) as store:
        yield store


def recorded(store: Store, first: float = EPOCH) -> int:
    """5 s up to the loop, 10 epochs of 10 s with 4 steps of 2 s, and 7 s behind it.

    The first epoch takes `first` seconds, its first step all that is more.
    """
    run = store.begin_run({"script": "train.py", "host": "here", "started": BEGUN - 1})
    entries = []
    for epoch in range(10):
        begin = BEGUN + 5 + EPOCH * epoch + (first - EPOCH) * (epoch > 0)
        entries.append(("iteration", at(("epoch", epoch)), begin))
        for step in range(4):
            late = (first - EPOCH) * (epoch == 0 and step > 0)
            ctx = at(("epoch", epoch), ("step", step))
            entries.append(("iteration", ctx, begin + 1 + late + STEP * step))
            entries.append(("log", "loss", 0.5, ctx, "s:loss", begin))
    end = BEGUN + 5 + 100 + first - EPOCH + 7
    entries += [("timing", costs.SCRIPT, BEGUN), ("timing", costs.END, end)]
    Batch(store.connection, run, 0).write(entries)
    store.end_run(run, "finished", 0, ended=end + 3)
    return run


def line(store: Store, run: int, *stops: Checkpoint, regions=()) -> Timeline:
    return Timeline(store.connection, run, BEGUN - 1, BEGUN + 500, stops, regions)


def epochs(*indexes: int):
    return [(("epoch", index),) for index in indexes]


def test_what_the_next_head_answers_is_not_executed(store: Store) -> None:
    """A checkpoint at the next head is restored instead: of several in a row the first is told."""
    run = recorded(store)
    stops = [checkpoint(("epoch", 3)), checkpoint(("epoch", 4)), checkpoint(("epoch", 8))]
    timeline = line(store, run, *stops)
    wanted = epochs(2, 3, 7)
    found = timeline.replay(wanted, answered=wanted)
    assert (found.execute, found.iterations, found.jumps) == (0.0, 0, 3)
    assert found.starts == [("epoch", 3, 0)]
    found = timeline.replay(epochs(2, 5), answered=epochs(2, 5))  # no checkpoint at head 6
    assert (found.iterations, found.starts) == (2, [("epoch", 3, 0), ("epoch", 4, 2)])


def test_without_checkpoints_all_up_to_the_last_is_executed(store: Store) -> None:
    found = line(store, recorded(store)).replay(epochs(2, 7))
    assert found == Recorded(5.0, 80.0, 0, 0, 40, 8, [("epoch", -1, 8)])


def test_a_jump_leaves_out_what_lies_before_the_checkpoint(store: Store) -> None:
    stops = checkpoint(("epoch", 0)), checkpoint(("epoch", 3)), checkpoint(("epoch", 6), nbytes=7)
    of = line(store, recorded(store), *stops)
    found = of.replay(epochs(7))
    assert (found.execute, found.jumps, found.restored) == (20.0, 1, 7)
    assert found.starts == [("epoch", 6, 2)]
    found = of.replay(epochs(1, 7))
    assert (found.execute, found.jumps, found.restored) == (40.0, 2, 107)
    assert found.starts == [("epoch", -1, 2), ("epoch", 6, 2)]
    assert of.replay(epochs(3, 4, 5)).execute == 30.0  # the next checkpoint isn't nearer


def test_it_stops_in_the_middle_of_an_iteration(store: Store) -> None:
    of = line(store, recorded(store), checkpoint(("epoch", 6)))
    found = of.replay([(("epoch", 6), ("step", 0)), (("epoch", 7), ("step", 1))])
    assert (found.execute, found.iterations) == (EPOCH + 1 + 2 * STEP, 2)
    assert of.replay([*epochs(7), (("epoch", 7), ("step", 1))]).execute == 2 * EPOCH


def test_a_checkpoint_of_an_inner_loop(store: Store) -> None:
    inner = checkpoint(("epoch", 7), ("step", 2), nbytes=5)
    found = line(store, recorded(store), checkpoint(("epoch", 7)), inner).replay(
        [(("epoch", 7), ("step", 3))]
    )
    assert found.execute == 1 + 2 * STEP and found.restored == 105 and found.jumps == 2


def test_what_is_wanted_behind_the_loops(store: Store) -> None:
    run = recorded(store)
    assert line(store, run).replay([()], to_the_end=True).execute == 100 + 7
    behind = checkpoint(("epoch", 10))
    assert line(store, run, behind).replay([()], to_the_end=True).execute == 7
    assert line(store, run, behind).replay([()], to_the_end=True, before=["epoch"]).execute == 0
    assert line(store, run, checkpoint(("epoch", 8))).replay(
        epochs(2), to_the_end=True
    ).execute == 30 + 20 + 7  # fmt: skip


def test_a_loop_in_front_of_the_wanted_one(store: Store) -> None:
    run = recorded(store)
    batch = Batch(store.connection, run, 0)
    times = [BEGUN + 5 + 100 + 1 + 3 * n for n in range(2)]
    batch.write([("iteration", at(("fold", n)), time) for n, time in enumerate(times)])
    wanted = [(("fold", 0),)]
    found = line(store, run).replay(wanted)
    assert found.execute == 100 + 1 + 3  # the loops, and a second between them
    found = line(store, run, checkpoint(("epoch", 10))).replay(wanted)
    assert found.execute == 1 + 3
    assert found.starts == [("fold", -1, 1)]


def test_the_first_iteration_of_a_process_is_longer(store: Store) -> None:
    """Libraries set themselves up in it, wherever a replay begins."""
    of = line(store, recorded(store, first=14.0), checkpoint(("epoch", 6)))
    assert of.replay(epochs(0)).execute == 14.0
    assert of.replay(epochs(6)).execute == EPOCH + 4.0


def test_what_a_replay_skips_is_left_out(store: Store) -> None:
    run = recorded(store)
    entries = [("region", at(("epoch", e)), "t.py:evaluate", 0, b"x") for e in range(10)]
    entries.append(("timing", costs.REGION + "t.py:evaluate", 1.5))
    Batch(store.connection, run, 0).write(entries)
    of = line(store, run, checkpoint(("epoch", 6)), regions=["t.py:evaluate"])
    assert of.replay(epochs(7)).execute == 20.0 - 2 * 1.5
    assert of.replay(epochs(7), executes=lambda region: True).execute == 20.0
    assert line(store, run, checkpoint(("epoch", 6))).replay(epochs(7)).execute == 20.0


def test_a_run_that_was_killed(store: Store) -> None:
    run = recorded(store)
    store.connection.execute("DELETE FROM timings")
    of = Timeline(store.connection, run, BEGUN, None)
    assert of.replay(epochs(9)).execute == 97.0  # up to its last step, and no end is known


# -- corrections ------------------------------------------------------------------------------


def seen(took: float, base: float = 1.0, component: str = "execute", **change) -> Observation:
    one = Observation(0.0, "m", "here", "train.py", 1, 1, component, base, base, took)
    return dataclasses.replace(one, **change)


HERE = Where("here", "train.py", 1)


@pytest.mark.parametrize(
    ("weighted", "value"),
    [([(3, 1)], 3), ([(1, 1), (2, 1), (9, 1)], 2), ([(1, 1), (2, 1)], 1.5), ([(1, 5), (2, 1)], 1)],
)
def test_weighted_median(weighted, value) -> None:
    assert weighted_median(weighted) == value


def test_nothing_known_leaves_what_was_recorded() -> None:
    assert Corrections().factor("execute", HERE) == 1.0
    assert Corrections(processors=2).factor("execute", Where("", "", workers=6)) == 3.0


def test_the_last_replays_count_most_and_outliers_little() -> None:
    assert Corrections([seen(2.0)]).factor("execute", HERE) == 2.0
    assert Corrections([seen(2.0), seen(2.2), seen(50.0)]).factor("execute", HERE) == 2.2
    old = [seen(5.0) for _ in range(3)]
    assert Corrections([*old, *(seen(2.0) for _ in range(4))]).factor("execute", HERE) == 2.0
    short = seen(0.1, base=0.001)  # hundred times as long, but that tells nothing
    assert Corrections([short]).factor("execute", HERE) == 1.0


def test_what_is_more_alike_counts_more() -> None:
    other = [seen(3.0, script="eval.py") for _ in range(4)]
    assert Corrections(other).factor("execute", HERE) == 3.0
    assert Corrections([seen(2.0), seen(2.0), *other]).factor("execute", HERE) == 2.0
    mine = [seen(4.0), seen(4.0), *(seen(2.0, run=2) for _ in range(3))]
    assert Corrections(mine).factor("execute", HERE) == 4.0
    assert Corrections(mine).factor("execute", Where("here", "train.py", 2)) == 2.0
    assert Corrections([seen(3.0, origin="far")]).factor("execute", HERE) == 1.0
    beside = [seen(2.0) for _ in range(5)]
    crowded = Where("here", "train.py", 1, workers=4)
    assert Corrections(beside, 2).factor("execute", crowded) == 4.0
    beside += [seen(2.5, workers=4) for _ in range(5)]
    assert Corrections(beside, 2).factor("execute", crowded) == 2.5
    assert Corrections(beside, 2).factor("execute", HERE) == 2.0


def test_processes_at_once() -> None:
    assert makespan([3, 3, 3], 1) == 9 and makespan([3, 3, 3], 2) == 6
    assert makespan([1, 5, 2, 2], 2) == 5 and makespan([], 2) == 0


def test_stopwatch() -> None:
    now = [0.0]
    watch = Stopwatch(lambda: now[0])
    assert watch.parts() == {}
    watch.script()
    now[0] = 4.0
    watch.looping()
    begun, now[0] = now[0], 5.0
    watch.restoring(begun)
    watch.looping()
    now[0] = 8.0
    assert watch.parts() == {"prefix": 4.0, "restore": 1.0, "execute": 3.0}


# -- through the store ------------------------------------------------------------------------


def demand_of(run: int, *positions) -> RunDemand:
    statement = LogStatement("s:h", "h", "train.py", 1, "", ())
    wanted = dict.fromkeys(positions, (statement,))
    return RunDemand(run, ("h",), tuple(positions), wanted, {})


def test_an_estimate_is_corrected_by_what_a_replay_took(store: Store) -> None:
    run = store.run(recorded(store))
    one = demand_of(run.run, *epochs(3))
    estimator = Estimator(store, clock=lambda: 0.0)
    before = estimator.estimate(run, one)
    assert before.iterations == 4 and before.parts.prefix == 5.0 and before.parts.execute == 40.0
    took = {"start": 2 * before.parts.start, "prefix": 4.0, "restore": 0.0, "execute": 50.0}
    estimator.observe((run, one, one.positions), 1, took)
    after = estimator.estimate(run, one).parts
    assert (after.start, after.prefix, after.execute) == (took["start"], 4.0, 50.0)
    fresh = Estimator(store)  # the next command's
    assert fresh.estimate(run, demand_of(run.run, *epochs(7))).parts.execute == 100.0
    price = fresh.price([(run, one, one.positions)] * 2, 1)
    assert price.replays == 1 and price.seconds == pytest.approx(2 * after.seconds)
    assert str(price).startswith(f"about {price.seconds:.1f} s (start ")


def test_another_machine_has_its_own_corrections(store: Store) -> None:
    run = store.run(recorded(store))
    one = demand_of(run.run, *epochs(3))
    estimator = Estimator(store)
    estimator.machine = "elsewhere"
    estimator.observe((run, one, one.positions), 1, {"execute": 400.0})
    assert Estimator(store).estimate(run, one).parts.execute == 40.0


def test_only_so_many_observations_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "KEPT", 3)
    with store.transaction() as connection:
        for n in range(5):
            costs.put_observations(connection, [seen(float(n))])
    assert [o.took for o in costs.get_observations(store.connection, "m")] == [2.0, 3.0, 4.0]


def test_bases() -> None:
    nothing = base(Recorded())
    assert nothing == Parts(nothing.start) and nothing.start > 0
    found = base(Recorded(3.0, 7.0, restored=2_000_000_000, jumps=1, values=1_000_000))
    assert (found.prefix, found.execute) == (3.0, 7.0)
    assert found.restore > 1.9 and found.start > nothing.start + 1
    assert seconds("1970-01-01 00:01:00") == 60.0
