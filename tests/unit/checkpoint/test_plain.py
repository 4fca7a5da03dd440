"""The engine on plain Python.  `python test_plain.py` checks it alone, on any version."""

from __future__ import annotations

import collections
import random
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.compare import differences
from flor.runtime.checkpoint.iterators import IteratorProxy
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import CheckpointWriter, load


class Slotted:
    __slots__ = ("left", "right")


class Node(Slotted):
    def __init__(self, value: Any) -> None:
        self.left, self.value = None, value


class Name(str):
    def __new__(cls, text: str) -> Name:
        return super().__new__(cls, text)


class Fault(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("code", code)
        self.code = code


def numbers(count: int) -> Any:
    order = list(range(count))
    random.shuffle(order)
    yield from order


def state() -> dict[str, Any]:
    node = Node(1)
    node.left = node
    name = Name("x")
    name.tag = [node]  # type: ignore[attr-defined]
    return {
        "node": node,
        "name": name,
        "fault": Fault(3),
        "space": SimpleNamespace(a={1, 2}),
        "queue": collections.deque([node], 3),
        "table": collections.OrderedDict(b=[1], a=node),
        "many": collections.defaultdict(int, a=1),
        "count": collections.Counter("aab"),
        "rng": random.Random(4),
        "it": IteratorProxy(numbers, (9,)),
        "steps": enumerate(["a", "b", "c"], 1),
    }


def advance(roots: dict[str, Any]) -> list[Any]:
    roots["node"].value += 1
    roots["space"].a.add(roots["node"].value)
    roots["queue"].append(roots["node"].value)
    roots["table"].move_to_end("b")
    roots["many"]["b"] += 1
    roots["count"].update("ab")
    return [
        roots["node"].value,
        roots["rng"].random(),
        next(roots["it"]),
        next(roots["steps"]),
        list(roots["table"]),
        sorted(roots["space"].a),
        dict(roots["many"]),
        dict(roots["count"]),
        random.random(),
    ]


def test_plain_python() -> None:
    random.seed(5)
    first = state()
    advance(first)
    with tempfile.TemporaryDirectory() as folder:
        published: list[Any] = []
        writer = CheckpointWriter(Path(folder), "run", published.append)
        writer.submit(capture(first), "epoch", (None, "epoch", 0, 1))
        assert writer.close(20)
        assert writer.error is None, writer.error
        expected = advance(first)
        shot = load(Path(folder) / published[0].file)
        assert shot.missing == ()
        random.seed(5)
        for steps in (0, 1, 2):
            second = state()
            for _ in range(steps):
                advance(second)
            second = restore(shot, second)
            assert differences(shot, capture(second)) == []
            assert second["node"].left is second["node"] is second["queue"][0]
            assert second["name"].tag[0] is second["node"]
            assert second["fault"].args == ("code", 3)
            assert advance(second) == expected


if __name__ == "__main__":
    test_plain_python()
    print(sys.version_info[:2], "ok")
