"""How far a replay may jump, and when it is done."""

from __future__ import annotations

from flor.runtime.replay.schedule import Schedule


def test_flat_loop() -> None:
    """The next wanted index at each head; passed ones are gone."""
    schedule = Schedule([(("e", 3),), (("e", 5),)])
    assert schedule.at_head((), "e", 0) == 3
    assert schedule.at_head((), "e", 3) == 3
    assert not schedule.finished()
    assert schedule.at_head((), "e", 4) == 5
    assert schedule.done() == [(("e", 3),)]
    assert schedule.at_head((), "e", 6) is None
    assert schedule.finished()


def test_nested_positions_finish_early() -> None:
    """Nothing after the last wanted step is executed."""
    schedule = Schedule([(("e", 2), ("s", 1)), (("e", 2), ("s", 4))])
    assert schedule.at_head((), "e", 0) == 2
    assert schedule.at_head((("e", 0),), "s", 0) is None
    assert schedule.at_head((("e", 2),), "s", 2) == 4
    assert schedule.at_head((("e", 2),), "s", 5) is None
    assert schedule.finished()
    assert len(schedule.done()) == 2


def test_outer_and_inner_of_one_iteration() -> None:
    """The outer position is done when its iteration is over, not before."""
    schedule = Schedule([(("e", 1),), (("e", 1), ("s", 0))])
    schedule.at_head((("e", 1),), "s", 1)
    assert not schedule.finished()
    schedule.at_head((), "e", 2)
    assert schedule.finished()


def test_to_the_end() -> None:
    """What is wanted behind the loops keeps the worker going."""
    schedule = Schedule([(), (("e", 0),)], to_the_end=True)
    schedule.at_head((), "e", 1)
    assert not schedule.finished()
