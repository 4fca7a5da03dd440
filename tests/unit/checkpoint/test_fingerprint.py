"""Fingerprints: equal for what is unchanged, different for any change, and free of side effects."""

from __future__ import annotations

import array
import collections
import ctypes
import datetime
import functools
import io
import random
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flor.runtime.checkpoint import fingerprint as module
from flor.runtime.checkpoint.fingerprint import (
    LONG,
    SLICE,
    Block,
    covering,
    fingerprint,
    hash_slices,
)

torch = pytest.importorskip("torch")


class Plain:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a = [1]


def look(root: object) -> Any:
    found = fingerprint(root)
    places = [(b, n) for b in found.blocks for n in range(b.slices())]
    return (found.structure, tuple(hash_slices(places)))


def poke(tensor: Any) -> None:
    ctypes.c_float.from_address(tensor.data_ptr() + 8).value = 7.5


def _set(obj: Any, name: str, value: Any) -> None:
    setattr(obj, name, value)


Make = Callable[[], Any]
CHANGES: dict[str, tuple[Make, Callable[[Any], object]]] = {
    "list": (lambda: [1, "a", 2.5], lambda x: x.append(3)),
    "nested": (lambda: [{"a": [1, {2}]}], lambda x: x[0]["a"][1].add(5)),
    "long list": (lambda: [float(n) for n in range(10 * LONG)], lambda x: x.pop()),
    "long list of objects": (
        lambda: [Plain(a=n) for n in range(2 * LONG)],
        lambda x: _set(x[3], "a", -1),
    ),
    "dict": (lambda: {"a": 1}, lambda x: x.update(a=2)),
    "order of a dict": (lambda: {"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a"))),
    "default dict": (lambda: collections.defaultdict(list), lambda x: x["new"]),
    "long dict": (lambda: dict.fromkeys(range(3 * LONG)), lambda x: x.update({-1: 0})),
    "set": (lambda: {1, 2}, lambda x: x.add(3)),
    "deque": (lambda: collections.deque([1, 2], 2), lambda x: x.append(3)),
    "attribute": (lambda: Plain(a=1), lambda x: _set(x, "a", 2)),
    "new attribute": (lambda: Plain(a=1), lambda x: _set(x, "b", None)),
    "slot": (Slotted, lambda x: x.a.append(2)),
    "new slot": (Slotted, lambda x: _set(x, "b", 1)),
    "bytearray": (lambda: bytearray(b"abc"), lambda x: x.append(1)),
    "array": (lambda: array.array("d", [1.0]), lambda x: x.append(2.0)),
    "text buffer": (lambda: io.StringIO("ab"), lambda x: x.read(1)),
    "bytes buffer": (io.BytesIO, lambda x: x.write(b"1")),
    "small array": (lambda: np.arange(6.0), lambda x: x.__setitem__(2, 9)),
    "array of objects": (lambda: np.array([1, "a"], dtype=object), lambda x: x.__setitem__(0, 2)),
    "strided array": (lambda: np.ones((9, 8))[:, ::2], lambda x: x.__setitem__((3, 2), 9)),
    "large array": (lambda: np.zeros(3 * SLICE // 8 + 5), lambda x: x.__setitem__(-1, 9)),
    "large strided array": (
        lambda: np.zeros((4000, 300))[:, ::3],
        lambda x: x.__setitem__((3999, 99), 1),
    ),
    "tensor": (lambda: torch.ones(5), poke),
    "data of a tensor": (lambda: torch.ones(5), lambda x: x.data.add_(1)),
    "large tensor": (lambda: torch.ones(100_000), poke),
    "transposed tensor": (lambda: torch.ones(300, 200).t(), poke),
    "sliced tensor": (lambda: torch.ones(300, 200)[:, 50:99], poke),
    "sparse tensor": (lambda: torch.eye(4).to_sparse(), lambda x: x._values().add_(1)),
    "requires_grad": (lambda: torch.ones(5), lambda x: x.requires_grad_()),
    "batch norm": (lambda: torch.nn.BatchNorm1d(3), lambda x: x(torch.ones(4, 3))),
    "mode of a module": (lambda: torch.nn.Linear(2, 2), lambda x: x.eval()),
    "python generator": (lambda: random.Random(1), lambda x: x.random()),
    "numpy generator": (lambda: np.random.default_rng(1), lambda x: x.random()),
    "numpy state": (lambda: np.random.RandomState(1), lambda x: x.rand()),
    "torch generator": (torch.Generator, lambda x: torch.rand(1, generator=x)),
    "iterator": (lambda: iter([1, 2, 3]), next),
    "suspended generator": (lambda: (n for n in range(3)), next),
    "class attribute": (
        lambda: type("Config", (), {"rate": 1.0}),
        lambda x: _set(x, "rate", 2.0),
    ),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_is_seen(name: str) -> None:
    make, change = CHANGES[name]
    thing = make()
    before = look(thing)
    assert look(thing) == before, "looking changes nothing"
    change(thing)
    assert look(thing) != before


SAME: dict[str, tuple[Make, Callable[[Any], object]]] = {
    "locks": (lambda: Plain(lock=threading.Lock()), lambda x: x.lock.acquire()),
    "cached property": (lambda: Cached(), lambda x: x.value),
    "gradients": (lambda: torch.nn.Linear(2, 1), lambda x: x(torch.ones(1, 2)).sum().backward()),
    "an equal atom": (lambda: Plain(a="some text"), lambda x: _set(x, "a", "some " + "text"[:])),
    "order of a set": (lambda: {"a", "b"}, lambda x: (x.remove("a"), x.add("a"))),
    "gaps of a view": (
        lambda: np.ones((4, 4))[:, ::2],
        lambda x: x.base.__setitem__((0, 1), 9),
    ),
    "constants": (
        lambda: [re.compile("a"), datetime.date(2020, 1, 1), slice(1, 2), range(3), ..., 1j],
        lambda x: None,
    ),
}


class Cached:
    @functools.cached_property
    def value(self) -> int:
        return 3


@pytest.mark.parametrize("name", list(SAME))
def test_what_is_no_change_of_state_is_not_seen(name: str) -> None:
    make, change = SAME[name]
    thing = make()
    before = look(thing)
    change(thing)
    assert look(thing) == before


class Touchy:
    """Every hook that a careless walk could run raises."""

    def __init__(self) -> None:
        self.a = [1]

    def _no(self, *args: Any) -> Any:
        raise AssertionError("code of the user's was run")

    __reduce__ = __reduce_ex__ = __getstate__ = __eq__ = __len__ = __iter__ = __bool__ = _no  # type: ignore[assignment]
    __hash__ = __getattr__ = __repr__ = __getitem__ = __copy__ = __deepcopy__ = _no  # type: ignore[assignment]
    value = property(_no)


class TouchyList(list):  # type: ignore[type-arg]
    def _no(self, *args: Any) -> Any:
        raise AssertionError("code of the user's was run")

    __len__ = __iter__ = __getitem__ = __reduce_ex__ = __eq__ = _no  # type: ignore[assignment]


class TouchyDict(dict):  # type: ignore[type-arg]
    def _no(self, *args: Any) -> Any:
        raise AssertionError("code of the user's was run")

    __len__ = __iter__ = __getitem__ = items = keys = __reduce_ex__ = _no  # type: ignore[assignment]


def test_no_code_of_the_users_is_run() -> None:
    touchy = Touchy()
    things = [touchy, TouchyList([1, 2]), TouchyDict(a=1), Plain(inner=touchy)]
    before = look(things)
    touchy.a.append(2)
    assert look(things) != before
    assert not fingerprint(things).unseen


class Counted(datetime.tzinfo):
    """An extension type's subclass whose pickling is written in Python."""

    calls = 0

    def __reduce__(self) -> Any:
        Counted.calls += 1
        return (Counted, ())


def test_a_reducer_in_python_is_not_called_but_counted_as_unseen() -> None:
    found = fingerprint([Counted()])
    assert "Counted" in found.unseen and not Counted.calls
    nested = fingerprint([datetime.timezone.utc, threading.Lock()])
    assert not nested.unseen


def test_known_extension_types_are_looked_into() -> None:
    frame = pytest.importorskip("pandas").DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    before = look(frame)
    assert not fingerprint(frame).unseen and look(frame) == before
    frame.loc[0, "a"] = 5.0
    assert look(frame) != before


def test_what_a_member_holds_is_left_to_it() -> None:
    net = torch.nn.Linear(200, 200)
    claim = [list(net.parameters()), net.weight.data[:5], net.weight.detach().numpy(), [1]]
    covered = covering([net])
    before = fingerprint(claim, covered)
    assert before.met and not before.blocks
    with torch.no_grad():
        net.weight.add_(1)
        net.bias.add_(1)
    assert fingerprint(claim, covered) == before
    claim[3].append(2)  # type: ignore[union-attr]
    assert fingerprint(claim, covered).structure != before.structure


def test_memory_that_a_member_has_in_part_is_looked_at_where_it_has_not() -> None:
    for size in (10, SLICE):
        table = np.zeros(size)
        covered = covering([table[2:4]])
        assert covered.rest(*_bounds(table)) == [
            (table.ctypes.data, table.ctypes.data + 16),
            (table.ctypes.data + 32, table.ctypes.data + table.nbytes),
        ]

        def print_of(array: Any, covered: Any = covered) -> Any:
            found = fingerprint(array, covered)
            slices = [(b, n) for b in found.blocks for n in range(b.slices())]
            return found.structure, hash_slices(slices)

        before = print_of(table)
        table[2:4] = 1
        assert print_of(table) == before
        table[1] = 1
        assert print_of(table) != before
        before = print_of(table)
        table[4] = 1
        assert print_of(table) != before


def _bounds(table: Any) -> tuple[int, int]:
    return table.ctypes.data, table.ctypes.data + table.nbytes


def test_a_graph_that_is_too_large_is_cut_off_in_one_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LIMIT", 50)
    things = [Plain(a=[n]) for n in range(500)]
    found = fingerprint(things)
    assert found.cut and fingerprint(things) == found
    things[-1].a.append(1)
    assert fingerprint(things).structure != found.structure or found.cut


def test_samples_of_long_containers_differ_by_phase_and_agree_with_themselves() -> None:
    things = list(range(100_000))
    prints = [fingerprint(things, phase=phase).structure for phase in range(module.PHASES)]
    assert len(set(prints)) == module.PHASES
    assert prints == [fingerprint(things, phase=p).structure for p in range(module.PHASES)]


def test_types_that_are_declared_sinks_are_left_alone() -> None:
    name = f"{Plain.__module__}.Plain"
    thing = [Plain(a=1)]
    before = fingerprint(thing, sinks=(name,))
    thing[0].a = 2
    assert fingerprint(thing, sinks=(name,)) == before
    assert fingerprint(thing).structure != before.structure


def test_cycles_and_long_chains() -> None:
    ring: list[Any] = []
    ring.append(ring)
    chain: Any = None
    for _ in range(10_000):
        chain = [chain]
    assert look(ring) == look(ring) and look(chain) == look(chain)


@pytest.mark.parametrize("shape", ["dense", "unaligned", "with gaps"])
def test_slices_on_a_device_are_told_apart_by_their_ends_and_a_sum(shape: str) -> None:
    """The arithmetic that runs on a device, on host memory that is said to be a device's."""
    count = SLICE // 4 + 5000
    tensor = torch.arange(count, dtype=torch.float32)
    if shape == "unaligned":
        tensor = tensor[1:]
    elif shape == "with gaps":
        tensor = torch.arange(2.0 * count).view(-1, 4)[:, 1:3]
    low = tensor.data_ptr()
    nbytes = tensor.numel() * 4
    block = Block(tensor, low, nbytes, "cuda:0", dense=shape != "with gaps")
    places = [(block, n) for n in range(block.slices())]
    before = hash_slices(places)
    assert len(before) == 2 and hash_slices(places) == before
    rows = tensor.view(-1) if shape != "with gaps" else tensor
    for place in (3, len(rows) // 3, len(rows) - 2):
        old = rows[place].clone()
        rows[place] = 12345.0
        changed = hash_slices(places)
        assert sum(a != b for a, b in zip(before, changed)) == 1, place
        rows[place] = old
    assert hash_slices(places) == before
