"""Which live object a restore takes for which saved one, and buffers in memory."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.compare import differences
from flor.runtime.checkpoint.errors import RestoreImpossible
from flor.runtime.checkpoint.graph import Snapshot
from flor.runtime.checkpoint.origins import ORIGINS, Origins
from flor.runtime.checkpoint.paths import bases
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import CheckpointWriter, load


class Node:
    def __init__(self) -> None:
        self.v: Any = 0
        self.child: Any = None


class Log(io.StringIO):
    pass


def through_a_file(snapshot: Snapshot, folder: Path) -> Snapshot:
    """The snapshot as a replay reads it."""
    published: list[Any] = []
    writer = CheckpointWriter(folder, "1", published.append)
    writer.submit(snapshot, "k", (None, "k", 0, 0))
    assert writer.close(10) and writer.error is None
    return load(folder / published[0].file)


def test_bases() -> None:
    """The objects whose attributes are members."""
    assert bases(["a", "b.c.d", "m:x.y", "f.__closure__.cell"]) == ["b", "b.c", "m:x", "f"]
    assert bases(["b.c.d", "b.c"], rebound=["b.c"]) == ["b"]
    assert bases(["b.c.d"], rebound=["b"]) == []


def test_another_object_took_the_place_of_an_anchor(tmp_path: Path) -> None:
    """root.child was `other` when the loop began, and a new object at the checkpoint."""
    root, other = Node(), Node()
    root.child, root.child.v, other.v = Node(), 7, 3
    saved = through_a_file(
        capture({"root": root, "other.v": 3}, anchors={"other": other}), tmp_path
    )
    root.child, other.v = other, 0
    result = restore(saved, {"root": root, "other.v": 0}, anchors={"other": other})
    assert result["other.v"] == 3 and other.v == 0  # the caller assigns it
    assert root.child is not other and root.child.v == 7


def test_an_anchor_is_found_again() -> None:
    """The other way round: `other` had been put into the graph by then."""
    root, other = Node(), Node()
    root.child, other.v = other, [3]
    saved = capture({"root": root, "other.v": other.v}, anchors={"other": other})
    root.child, other.v = Node(), [0]
    stranger, mine = root.child, other.v
    result = restore(saved, {"root": root, "other.v": other.v}, anchors={"other": other})
    assert root.child is other and other.v is mine is result["other.v"] and mine == [3]
    assert stranger.v == 0


def test_anchor_reached_by_a_rebound_name() -> None:
    """What a name was bound to is the anchor's object, not a copy of it."""
    other, fresh = Node(), Node()
    saved = capture({"other.v": 0, "x": other}, anchors={"other": other})
    live = {"other.v": 0, "x": fresh}
    result = restore(saved, live, rebound=["x"], anchors={"other": other})
    assert result["x"] is other


def test_two_names_that_change_places() -> None:
    """Double buffering, with both lists in a container that is in the set."""
    front, back = [1], [2]
    both = [front, back]
    front, back = back, front
    front.append(5)
    saved = capture({"both": both, "front": front, "back": back})
    front, back = back, front  # as the fresh process has them
    back.pop()
    live = {"both": both, "front": front, "back": back}
    result = restore(saved, live, rebound=["front", "back"])
    assert result["front"] is both[1] is back and result["back"] is both[0] is front
    assert both == [[1], [2, 5]]


@pytest.mark.parametrize("make", [io.StringIO, Log])
def test_text_buffer(tmp_path: Path, make: Any) -> None:
    """Contents and position, in the same object."""
    log = make("0123\r\n4", newline=None)
    log.seek(2)
    log.name = "x"
    saved = capture({"log": log})
    log.write("----")
    log.name = "y"
    assert differences(saved, capture({"log": log})) != []
    result = restore(through_a_file(saved, tmp_path), {"log": log})
    assert result["log"] is log
    assert (log.getvalue(), log.tell(), log.name) == ("0123\n4", 2, "x")
    again = restore(saved_again(log), {})["log"]
    assert type(again) is make and (again.getvalue(), again.tell()) == ("0123\n4", 2)


def saved_again(log: Any) -> Snapshot:
    """A snapshot of it."""
    return capture({"log": log})


def test_bytes_buffer() -> None:
    """Also when it is closed."""
    raw, done = io.BytesIO(b"head"), io.BytesIO()
    raw.seek(0, io.SEEK_END)
    done.close()
    saved = capture({"raw": raw, "done": done})
    assert saved.missing == ()
    raw.write(b"tail")
    live = {"raw": raw, "done": io.BytesIO()}
    result = restore(saved, live)
    assert raw.getvalue() == b"head" and raw.tell() == 4 and result["done"].closed
    raw.close()
    with pytest.raises(RestoreImpossible):
        restore(saved, live)


def test_opaque_roots() -> None:
    """What changes and can't be saved makes the checkpoint useless; sinks and locks don't."""
    import logging

    held = threading.Lock()
    held.acquire()
    left, right = socket.socketpair()
    with left, right, open(__file__) as reader, open("/dev/null", "w") as writer:
        roots = {
            "socket": left,
            "reader": reader,
            "event": threading.Event(),
            "held": held,
            "inside": {"socket": right, "lock": held},
            "writer": writer,
            "free": threading.Lock(),
            "logger": logging.getLogger("x"),
            "function": test_bases,
        }
        missing = capture(roots).missing
    assert [path for path, _ in missing] == ["socket", "reader", "event", "held"]


def test_what_turns_out_to_change_only_later_is_restored_in_place_too() -> None:
    """Roots that were taken to be unchanged are numbered as well, as far as they go."""

    def make() -> list[Any]:
        return [[np.ones(2)], {"a": [1]}]

    then = make()
    origins = Origins({}, {"root": then}, hold=False, wide={"root": then})
    then[0][0][:] = 5.0
    then[1]["a"].append(2)
    then[1]["b"] = [3]
    snapshot = capture({"root": then}, origins=origins)
    now = make()
    inner, array, values = now[0], now[0][0], now[1]["a"]
    here = Origins({}, {"root": now}, hold=True, wide={"root": now})
    restore(snapshot, {"root": now}, origins=here)
    assert now[0] is inner and inner[0] is array and now[1]["a"] is values
    assert array.tolist() == [5.0, 5.0] and values == [1, 2] and now[1]["b"] == [3]


def test_roots_of_another_shape_are_restored_without_their_numbers() -> None:
    then: list[Any] = [[1], [2]]
    origins = Origins({}, {"root": then}, hold=False, wide={"root": then})
    then[0].append(5)
    snapshot = capture({"root": then}, origins=origins)
    now: list[Any] = [(1,), [2]]
    here = Origins({}, {"root": now}, hold=True, wide={"root": now})
    restored = restore(snapshot, {"root": now}, origins=here)
    assert restored["root"] is now and now == [[1, 5], [2]]


def test_a_name_that_is_not_assigned_keeps_its_object() -> None:
    """What a container holds by now doesn't take the object of the name away."""
    row = [1, 4]
    table = {1: row}
    snapshot = capture({"table": table, "row": row})
    fresh_row, other = [1], [0]
    fresh_table = {1: other}
    restore(snapshot, {"table": fresh_table, "row": fresh_row})
    assert fresh_table[1] is fresh_row
    assert (fresh_row, other) == ([1, 4], [0])


def test_what_an_assigned_name_leads_to_is_no_anchor() -> None:
    """`box` is another one by now; the first one, that it is here, keeps its list."""
    first, second = Node(), Node()
    first.v, second.v = [1], [2]
    snapshot = capture({"box": second, "box.v": second.v})
    live = Node()
    live.v = kept = [1]
    restore(snapshot, {"box": live, "box.v": kept}, rebound={"box"})
    assert kept == [1]


def test_another_closure_of_the_same_kind_is_not_taken() -> None:
    """A name that is assigned may hold a closure with other cells."""

    def make(n: int) -> Any:
        return lambda: n

    snapshot = capture({"f": make(1)})
    with pytest.raises(RestoreImpossible):
        restore(snapshot, {"f": make(2)}, rebound={"f"})
    steady = make(3)
    assert restore(snapshot, {"f": steady})["f"] is steady


def test_another_generator_is_not_taken() -> None:
    """Neither is one that hasn't started."""
    snapshot = capture({"g": (i for i in range(3))})
    with pytest.raises(RestoreImpossible):
        restore(snapshot, {"g": (i for i in range(5))}, rebound={"g"})


@pytest.mark.parametrize("elements", [{11, 3}, {3, 11}, {3, 11, 19}, {8, 0, 16, 24}])
def test_sets_iterate_as_before(elements: set[int]) -> None:
    """The order depends on the order of insertion."""
    live: set[int] = set()
    restore(capture({"s": elements}), {"s": live})
    assert list(live) == list(elements)


def origins(roots: dict[str, Any], *, hold: bool) -> Origins:
    """What a process numbers at a loop's first head."""
    return Origins(roots, {}, hold=hold)


def jump(begin: dict[str, Any], later: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """`begin` is what a loop began with, `later` its state at a checkpoint, `here` a replay's."""
    noted = origins(begin, hold=False)
    return restore(
        capture(later, origins=noted), here, rebound=set(later), origins=origins(here, hold=True)
    )


def test_a_name_takes_over_an_element() -> None:
    """The element of a list that isn't saved is the very one."""
    pool, here = [[1], [2]], [[1], [2]]
    result = jump({"now": None, "pool": pool}, {"now": pool[1]}, {"now": None, "pool": here})
    assert result["now"] is here[1]


def test_objects_of_the_loop_are_new() -> None:
    """Nothing that was there before is written to for them."""
    box, here = Node(), Node()
    fresh = Node()
    fresh.v = 5
    result = jump({"box": box}, {"box": fresh}, {"box": here})
    assert result["box"] is not here and result["box"].v == 5 and here.v == 0


def test_reordered_objects_keep_themselves() -> None:
    """By what they were, not by place or contents."""
    a, b = Node(), Node()
    c, d = Node(), Node()
    begin = {"both": [a, b]}
    noted = origins(begin, hold=False)
    begin["both"].reverse()
    b.v = 7
    here = {"both": [c, d]}
    numbers = origins(here, hold=True)
    restore(capture(begin, origins=noted), here, origins=numbers)
    assert here["both"] == [d, c] and (c.v, d.v) == (0, 7)


def test_another_structure_is_not_taken() -> None:
    """Where the replay's objects aren't the recording's, numbers say nothing."""
    noted = origins({"pool": [[1], [2]]}, hold=False)
    snapshot = capture({"pool": [[1], [2]]}, origins=noted)
    assert origins({"pool": [[3], [4]]}, hold=True).fits(snapshot.meta[ORIGINS])
    assert not origins({"pool": [[3]]}, hold=True).fits(snapshot.meta[ORIGINS])
    assert not noted.fits(snapshot.meta[ORIGINS])  # it may have let objects go


def test_what_is_gone_has_no_number() -> None:
    """Even if another object has its address by now."""
    box = Node()
    noted = origins({"box": box}, hold=False)
    assert noted.number(box) == 0
    del box
    assert all(noted.number(Node()) == -1 for _ in range(3))


def test_closures_of_the_loop_are_built_again(tmp_path: Path) -> None:
    """With their own cells, that two of them may share."""

    def pair(n: int) -> Any:
        def up() -> int:
            nonlocal n
            n += 1
            return n

        return up, lambda: n

    noted = origins({"up": None}, hold=False)
    up, get = pair(3)
    up()
    saved = through_a_file(capture({"up": up, "get": get}, origins=noted), tmp_path)
    here = {"up": None, "get": None}
    result = restore(saved, here, rebound={"up", "get"}, origins=origins({"up": None}, hold=True))
    assert (result["up"](), result["get"](), up(), get()) == (5, 5, 5, 5)
    assert result["up"] is not up
