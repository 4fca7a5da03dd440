"""Access paths in live frames.  Runs on plain Python: `python test_paths.py` checks it alone."""

from __future__ import annotations

import sys
import types
from typing import Any

from flor.runtime.checkpoint.paths import MISSING, PathError, assign, resolve, write_local

WORLD = 1


def outer() -> Any:
    hidden = [0]
    count = 0

    def inner() -> Any:
        nonlocal count
        count += 1
        return hidden, count

    return inner


CLOSURE = outer()


class Box:
    __slots__ = ("slot", "__dict__")

    def __init__(self) -> None:
        self.plain = 1
        self.slot = 2

    @property
    def half(self) -> int:
        return self.plain

    @half.setter
    def half(self, value: int) -> None:
        self.plain = value * 2


def change(changes: dict[str, Any]) -> None:
    """Assign in the caller's frame, through one frame in between like the run time does."""
    frame = sys._getframe(1)
    for path, value in changes.items():
        assign(path, frame, value)


def test_locals_of_a_function() -> None:
    number = 1
    if number > 1:
        late = None
    change({"number": 5})
    assert number == 5
    for i in range(3):
        if i == 1:
            change({"number": 7, "i": 40})
            assert (number, i) == (7, 40)
        assert resolve("number", sys._getframe()) == number
    assert resolve("late", sys._getframe()) is MISSING
    assert resolve("nothing", sys._getframe()) is MISSING
    change({"late": [1]})
    assert late == [1]


def test_cells() -> None:
    number = 1

    def look() -> int:
        return number

    change({"number": 5})
    assert look() == 5 == number
    assert resolve("number", sys._getframe()) == 5

    def free() -> int:
        nonlocal number
        number = number + 0
        change({"number": 6})
        return number

    assert free() == 6 == look()


def test_unbinding() -> None:
    gone = 1
    if sys.version_info >= (3, 12):
        try:
            change({"gone": MISSING})
        except PathError as error:
            assert "gone" in str(error)
        else:
            raise AssertionError("unbound")
    else:
        change({"gone": MISSING})
        try:
            gone  # noqa: B018
        except UnboundLocalError:
            pass
        else:
            raise AssertionError("still bound")
    unbound = None
    del unbound
    change({"unbound": MISSING})


def test_globals_and_modules() -> None:
    assert resolve("WORLD", sys._getframe()) == 1
    change({"WORLD": 2})
    assert WORLD == 2
    change({f"{__name__}:WORLD": 1})
    assert WORLD == 1
    assert resolve(f"{__name__}:CLOSURE.__name__", sys._getframe()) == "inner"
    assert resolve("no.such.module:x", sys._getframe()) is MISSING
    try:
        assign("no.such.module:x", sys._getframe(), 1)
    except PathError as error:
        assert "no.such.module" in str(error)
    else:
        raise AssertionError("assigned")


def test_attributes() -> None:
    box = Box()
    change({"box.plain": 3, "box.slot": 4, "box.new": 5})
    assert (box.plain, box.slot, box.new) == (3, 4, 5)  # type: ignore[attr-defined]
    change({"box.half": 4})
    assert box.plain == 8
    change({"box.new": MISSING, "box.absent": MISSING})
    assert not hasattr(box, "new")
    box.child = Box()  # type: ignore[attr-defined]
    change({"box.child.plain": 9})
    assert resolve("box.child.plain", sys._getframe()) == 9
    assert resolve("box.nothing.plain", sys._getframe()) is MISSING
    try:
        assign("box.nothing.plain", sys._getframe(), 1)
    except PathError:
        pass
    else:
        raise AssertionError("assigned")


def test_closures() -> None:
    assert resolve("CLOSURE.__closure__.hidden", sys._getframe()) == [0]
    change({"CLOSURE.__closure__.count": 41})
    assert CLOSURE()[1] == 42
    assert resolve("CLOSURE.__closure__.nothing", sys._getframe()) is MISSING
    change({"CLOSURE.__closure__.hidden": [7]})
    assert CLOSURE()[0] == [7]


MODULE = """
import sys
value = 1
for i in range(3):
    if i == 1:
        hook(sys._getframe())
total = value + i
class Body:
    inner = 1
    for j in range(2):
        hook2(sys._getframe())
    seen = inner
"""


def test_module_and_class_bodies() -> None:
    def hook(frame: Any) -> None:
        assert resolve("value", frame) == 1
        assign("value", frame, 10)
        assign("i", frame, 5)
        assign("fresh", frame, 1)
        assign("fresh", frame, MISSING)

    def hook2(frame: Any) -> None:
        assert resolve("value", frame) == 10
        write_local(frame, "inner", resolve("inner", frame) + 1)
        assign("value", frame, 10)

    space: dict[str, Any] = {"hook": hook, "hook2": hook2, "__name__": "made"}
    exec(compile(MODULE, "made.py", "exec"), space)
    assert space["total"] == 12
    assert space["Body"].seen == 3
    assert space["value"] == 10
    assert not hasattr(space["Body"], "value")


def test_modules_tables() -> None:
    """Assigning a member of something like a torch module does not go through __setattr__."""

    class Module(types.SimpleNamespace):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AssertionError("__setattr__")

        def __getattr__(self, name: str) -> Any:
            return self.__dict__["_parameters"][name]

    net = Module.__new__(Module)
    net.__dict__.update(_parameters={"weight": 1}, epoch=0)
    change({"net.weight": 2, "net.epoch": 3})
    assert net.__dict__ == {"_parameters": {"weight": 2}, "epoch": 3}


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
    print(sys.version_info[:2], "ok")
