"""Every kind of object: captured, restored into nothing, and in place; sharing kept."""

from __future__ import annotations

import argparse
import array
import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import pathlib
import random
import re
import threading
import types
from typing import Any

import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.compare import differences
from flor.runtime.checkpoint.errors import RestoreImpossible
from flor.runtime.checkpoint.origins import Origins
from flor.runtime.checkpoint.paths import MISSING
from flor.runtime.checkpoint.restore import restore

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Slots:
    __slots__ = ("a", "b", "__weakref__")


class SubSlots(Slots):
    __slots__ = ("c",)


class Both(Slots):
    def __init__(self, a: Any) -> None:
        self.a = a
        self.d = [a]


@dataclasses.dataclass
class Data:
    x: int
    y: list[int]


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int


Pair = collections.namedtuple("Pair", "left right")


class MyList(list):  # type: ignore[type-arg]
    pass


class MyDict(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("user code was run")

    def items(self) -> Any:
        raise AssertionError("user code was run")


class MyInt(int):
    pass


class Evil:
    """Everything that a capture must not run."""

    def __init__(self) -> None:
        self.value = [1]

    @property
    def prop(self) -> int:
        raise AssertionError("property")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("__getattr__")

    def __getstate__(self) -> Any:
        raise AssertionError("__getstate__")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise AssertionError("__reduce_ex__")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("__eq__")

    def __hash__(self) -> int:
        raise AssertionError("__hash__")

    def __len__(self) -> int:
        raise AssertionError("__len__")


def both(a: Any) -> Any:
    return Both(a)


def make() -> dict[str, Any]:
    """One of everything that compares by its representation."""
    return {
        "atoms": [None, True, 1, 2.5, float("inf"), 1j, "s", b"b", ..., range(3), 1 << 100],
        "tuple": (1, (2, [3]), ()),
        "frozenset": frozenset({1, "a", (2, 3)}),
        "slice": slice(1, None, 2),
        "enum": [Color.RED, Color.BLUE, re.I | re.M],
        "dates": [datetime.datetime(2020, 1, 2), datetime.timedelta(3), datetime.date(2021, 1, 1)],
        "path": pathlib.PurePosixPath("/a/b"),
        "decimal": decimal.Decimal("1.5"),
        "pattern": re.compile("a+"),
        "dict": {"a": 1, 2: [3], (1, 2): {"k": {}}, None: ()},
        "ordered": collections.OrderedDict([("b", 1), ("a", [2])]),
        "counter": collections.Counter("hello"),
        "default": collections.defaultdict(list, {"a": [1]}),
        "set": {1, "a", (2, 3)},
        "deque": collections.deque([1, [2]], maxlen=4),
        "bytearray": bytearray(b"xyz"),
        "array": array.array("d", [1.0, 2.0]),
        "namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
        "simple": types.SimpleNamespace(a=[1]),
        "data": Data(1, [2]),
        "frozen": Frozen(3),
        "pair": Pair([1], 2),
        "my": [MyList([1, [2]]), MyInt(7)],
        "error": ValueError("x", 1),
        "numpy": [
            np.arange(6.0).reshape(2, 3),
            np.arange(12).reshape(3, 4)[:, ::2],
            np.arange(5)[::-1],
            np.array(3.5),
            np.zeros((0, 3)),
            np.array(["a", "bcd"]),
            np.array([1, "a", None, [2]], dtype=object),
            np.array([[{}, [1]], [(1,), np.zeros(2)]], dtype=object).T,
            np.array({"a": [1]}, dtype=object),
            np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
            np.array(["2020-01-01"], dtype="M8[D]"),
            np.asfortranarray(np.arange(6).reshape(2, 3)),
            np.arange(4, dtype=">i4"),
            np.float64(2.5),
            np.int8(3),
            np.dtype("f4"),
            np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], fill_value=7),
        ],
        "torch": [
            torch.arange(6.0).reshape(2, 3),
            torch.arange(12).reshape(3, 4).t(),
            torch.arange(12)[::3],
            torch.tensor(4.5),
            torch.zeros(0, 3),
            torch.tensor([1.5], dtype=torch.bfloat16),
            torch.tensor([True]),
            torch.tensor([1 + 2j]),
            torch.zeros(3).expand(2, 3),
            torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,)).coalesce(),
            torch.eye(3).to_sparse_csr(),
            torch.float16,
            torch.device("cpu"),
            torch.Size([1, 2]),
        ],
    }


def scramble(obj: Any, seen: set[int]) -> None:
    """Damage every mutable thing in reach."""
    if id(obj) in seen:
        return
    seen.add(id(obj))
    if isinstance(obj, collections.abc.MutableSequence) and not isinstance(obj, array.array):
        for item in list(obj):
            scramble(item, seen)
        obj.append(1)
        obj.reverse()
    elif isinstance(obj, dict):
        for item in list(obj.values()):
            scramble(item, seen)
        obj["extra"] = 1
        obj.pop(next(iter(obj)))
    elif isinstance(obj, set):
        obj.clear()
    elif isinstance(obj, np.ndarray) and obj.dtype.kind in "fi" and obj.flags.writeable:
        obj += 1
    elif isinstance(obj, torch.Tensor) and obj.is_floating_point() and obj.numel():
        if obj.layout is torch.strided and 0 not in obj.stride():
            obj.add_(1)
    elif isinstance(obj, array.array):
        obj.append(3.0)
    elif hasattr(obj, "__dict__") and not isinstance(obj, (type, enum.Enum, Frozen)):
        for item in list(vars(obj).values()):
            scramble(item, seen)
        vars(obj)["extra"] = 1


KINDS = list(make())


@pytest.mark.parametrize("kind", KINDS)
def test_restored_from_nothing(kind: str) -> None:
    value = make()[kind]
    shot = capture({kind: value})
    assert shot.missing == ()
    fresh = restore(shot, {})[kind]
    assert repr(fresh) == repr(make()[kind])
    assert type(fresh) is type(value)
    assert differences(shot, capture({kind: fresh})) == []


@pytest.mark.parametrize("kind", KINDS)
def test_restored_in_place(kind: str) -> None:
    value = make()[kind]
    shot = capture({kind: value})
    scramble(value, set())
    back = restore(shot, {kind: value})[kind]
    if isinstance(value, (list, dict, set, collections.deque, bytearray)):
        assert back is value
    assert repr(back) == repr(make()[kind])
    assert differences(shot, capture({kind: back})) == []


def test_capture_runs_no_user_code() -> None:
    evil, special = Evil(), MyDict(a=1)
    shot = capture({"evil": evil, "special": special})
    assert shot.missing == ()
    evil.__dict__["value"].append(2)
    dict.__setitem__(special, "b", 3)
    restore(shot, {"evil": evil, "special": special})
    assert evil.__dict__ == {"value": [1]}
    assert dict(dict.items(special)) == {"a": 1}


def test_slots_and_dict_together() -> None:
    inner = [1]
    first, second = Both(inner), SubSlots()
    second.c = first
    second.a = inner
    shot = capture({"x": second})
    fresh = restore(shot, {})["x"]
    assert fresh.c.a is fresh.a is fresh.c.d[0]
    assert not hasattr(fresh, "b")
    second.b, first.a = 5, None
    del second.a
    restore(shot, {"x": second})
    assert second.a is inner is first.a
    assert not hasattr(second, "b")


def test_cycles_and_depth() -> None:
    node: Any = None
    for i in range(20_000):
        node = {"next": node, "i": i}
    loop: list[Any] = []
    loop.append((loop, {"self": loop}))
    shot = capture({"node": node, "loop": loop})
    fresh = restore(shot, {})
    assert fresh["loop"][0][0] is fresh["loop"] is fresh["loop"][0][1]["self"]
    count, here = 0, fresh["node"]
    while here is not None:
        count, here = count + 1, here["next"]
    assert count == 20_000
    deep: Any = ()
    for _ in range(20_000):
        deep = (deep,)
    shot = capture({"deep": deep})
    fresh = restore(shot, {})
    restore(shot, {"deep": deep})


def test_sharing_across_roots() -> None:
    shared = [1]
    roots = {"a": {"x": shared}, "b": [shared], "c": shared}
    fresh = restore(capture(roots), {})
    assert fresh["a"]["x"] is fresh["b"][0] is fresh["c"]
    separate = {"a": {"x": [0]}, "b": [[0]], "c": [0]}
    live = restore(capture(roots), separate)
    assert live["a"]["x"] is live["b"][0] is live["c"]
    assert live["a"] is separate["a"]
    alias = [9]
    apart = restore(capture({"a": [1], "b": [2]}), {"a": alias, "b": alias})
    assert apart == {"a": [1], "b": [2]}


def test_memory_sharing_between_numpy_and_torch() -> None:
    base = np.arange(10.0)
    roots = {"base": base, "view": base[2:5], "tensor": torch.from_numpy(base)[4:8]}
    shot = capture(roots)
    assert shot.nbytes == 80
    fresh = restore(shot, {})
    fresh["base"][4] = -1
    assert fresh["view"][2] == fresh["tensor"][0] == -1
    base[:] = 0
    live = restore(shot, roots)
    assert all(live[k] is roots[k] for k in roots)
    assert base.tolist() == list(range(10))
    moved = {"base": base, "view": base[5:8], "tensor": torch.zeros(4, dtype=torch.float64)}
    live = restore(shot, moved)
    live["base"][4] = -1
    assert live["base"] is base
    assert live["view"][2] == live["tensor"][0] == -1
    assert moved["view"].tolist() == [5.0, 6.0, 7.0]


def test_rebound_values_are_not_written_into_constant_data() -> None:
    data = torch.arange(12.0).reshape(4, 3)
    items = [np.full(2, float(i)) for i in range(4)]
    rows = [{"v": [i]} for i in range(4)]
    shot = capture({"x": data[1], "item": items[1], "row": rows[1], "n": 3})
    live = {"x": data[2], "item": items[2], "row": rows[2], "n": 4}
    back = restore(shot, live, rebound=("x", "item", "row", "n"))
    assert back["x"].tolist() == [3.0, 4.0, 5.0]
    assert back["item"].tolist() == [1.0, 1.0]
    assert back["row"] == {"v": [1]}
    assert back["n"] == 3
    assert data.flatten().tolist() == list(range(12))
    assert [i.tolist() for i in items] == [[float(i)] * 2 for i in range(4)]
    assert rows == [{"v": [i]} for i in range(4)]


def test_queue_of_constant_items() -> None:
    items = [np.full(2, float(i)) for i in range(6)]
    queue = collections.deque(items[:3], maxlen=3)
    history = items[:2]
    shot = capture({"queue": queue, "history": history})
    queue.extend(items[3:])
    history += items[2:]
    restore(shot, {"queue": queue, "history": history})
    assert [q[0] for q in queue] == [0, 1, 2]
    assert [h[0] for h in history] == [0, 1]
    assert [i[0] for i in items] == [0, 1, 2, 3, 4, 5]


def test_generators_of_random_numbers() -> None:
    roots = {
        "python": random.Random(1),
        "numpy": np.random.default_rng(2),
        "legacy": np.random.RandomState(3),
        "torch": torch.Generator().manual_seed(4),
        "philox": np.random.Generator(np.random.Philox(5)),
    }

    def draw(g: dict[str, Any]) -> list[Any]:
        return [
            g["python"].gauss(0, 1),
            g["python"].random(),
            g["numpy"].normal(),
            g["legacy"].randn(),
            g["philox"].integers(1000),
            torch.rand(2, generator=g["torch"]).tolist(),
            random.random(),
            np.random.rand(),
            torch.rand(1).item(),
        ]

    draw(roots)
    shot = capture(roots)
    expected = [draw(roots), draw(roots)]
    back = restore(shot, roots)
    assert all(back[k] is roots[k] for k in roots)
    assert [draw(back), draw(back)] == expected
    fresh = restore(shot, {})
    assert [draw(fresh), draw(fresh)] == expected


def test_attributes_of_tensors_and_grads() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.tag = {"group": "decay"}
    (p * 2).sum().backward()
    shot = capture({"p": p})
    dead = capture({"p": p}, skip_grads=True)
    grad = p.grad
    p.grad.zero_()
    p.tag["group"] = "none"
    p.extra = 1
    restore(shot, {"p": p})
    assert p.grad is grad
    assert grad.tolist() == [2.0, 2.0, 2.0]
    assert p.tag == {"group": "decay"}
    assert not hasattr(p, "extra")
    fresh = restore(shot, {})["p"]
    assert isinstance(fresh, torch.nn.Parameter)
    assert fresh.grad.tolist() == [2.0, 2.0, 2.0]
    p.grad = None
    restore(dead, {"p": p})
    assert p.grad is not None
    empty = capture({"p": torch.nn.Parameter(torch.ones(3))})
    p.requires_grad_(False)
    restore(empty, {"p": p})
    assert p.grad is None
    assert p.requires_grad


def test_history_is_cut_and_noted() -> None:
    w = torch.ones(2, requires_grad=True)
    y = w * 3
    shot = capture({"y": y})
    assert "history" in shot.notes[0]
    back = restore(shot, {"y": y})["y"]
    assert back.tolist() == [3.0, 3.0]
    assert back.is_leaf


def test_parameter_that_was_resized_or_recast_keeps_its_identity() -> None:
    p = torch.nn.Parameter(torch.ones(2, 2))
    shot = capture({"p": [p]})
    p.data = torch.zeros(3, dtype=torch.float64)
    assert restore(shot, {"p": [p]})["p"][0] is p
    assert p.dtype == torch.float32
    assert p.tolist() == [[1, 1], [1, 1]]


def test_opaque_things() -> None:
    lock, function = threading.Lock(), lambda x: x + 1
    roots = {
        "lock": lock,
        "f": function,
        "g": len,
        "c": Both,
        "m": re,
        "p": functools.partial(both, 1),
    }
    shot = capture({"box": roots})
    assert shot.missing == ()
    back = restore(shot, {"box": dict(roots)})["box"]
    assert back["lock"] is lock
    assert back["f"] is function
    assert back["p"].func is both
    with pytest.raises(RestoreImpossible) as caught:
        restore(shot, {})
    assert "\n" not in str(caught.value)
    assert "box['f']" in str(caught.value)
    del roots["f"]
    fresh = restore(capture({"box": roots}), {})["box"]
    assert (fresh["g"], fresh["c"], fresh["m"]) == (len, Both, re)


def test_another_function_is_not_silently_kept() -> None:
    shot = capture({"box": {"loss": both}})
    assert restore(shot, {"box": {"loss": make}})["box"]["loss"] is both
    local = types.FunctionType(both.__code__, {}, "other")
    local.__qualname__ = "test.<locals>.other"
    with pytest.raises(RestoreImpossible):
        restore(capture({"box": {"loss": local}}), {"box": {"loss": make}})


def test_what_cannot_be_captured_is_listed() -> None:
    def count() -> Any:
        yield from range(5)

    running = count()
    next(running)
    shot = capture({"box": {"deep": [running]}, "n": 1, "view": memoryview(b"ab")})
    assert {path for path, _ in shot.missing} == {"box['deep'][0]", "view"}
    done = count()
    list(done)
    shot = capture({"new": count(), "done": done})
    assert shot.missing == ()
    back = restore(shot, {"new": count(), "done": count()})
    assert list(back["new"]) == [0, 1, 2, 3, 4]
    assert list(back["done"]) == []


def test_builtin_iterators() -> None:
    items = [1, 2, 3, 4]
    roots: dict[str, Any] = {
        "list": iter(items),
        "enum": enumerate(items),
        "zip": zip(items, range(10), strict=False),
        "dict": iter({1: 2, 3: 4}),
        "items": items,
    }
    for name in ("list", "enum", "zip", "dict"):
        next(roots[name])
    shot = capture(roots)
    expected = {n: list(roots[n]) for n in ("list", "enum", "zip", "dict")}
    back = restore(shot, roots)
    assert back["items"] is items
    assert {n: list(back[n]) for n in expected} == expected
    back = restore(shot, roots)
    items.append(5)
    assert list(back["list"])[-1] == 5  # it goes over the same list


def shared_iterators() -> dict[str, Any]:
    items = [1, 2, 3, 4]
    roots: dict[str, Any] = {
        "list": iter(items),
        "text": iter("abcd"),
        "numbers": iter(range(2, 9)),
        "done": iter([1]),
        "table": iter({1: 2, 3: 4}),
        "counted": enumerate(items),
    }
    return roots | {"zip": zip(range(9), roots["list"], strict=False)}


def advanced(steps: dict[str, int]) -> Any:
    """A snapshot of them, some of them advanced since the loop began."""
    roots = shared_iterators()
    origins = Origins(roots, {}, hold=False)
    for name, count in steps.items():
        for _ in range(count):
            next(roots[name])
    list(roots["done"])
    return capture(roots, origins=origins)


def test_iterators_that_others_hold_are_set_back_themselves() -> None:
    shot = advanced({"list": 1, "zip": 1, "text": 3, "numbers": 2})
    live = shared_iterators()
    held = dict(live)
    back = restore(shot, live, origins=Origins(live, {}, hold=True))
    assert all(back[name] is held[name] for name in held)
    assert next(held["zip"]) == (1, 3)
    assert next(held["list"]) == 4
    assert [*held["text"]] == ["d"]
    assert [*held["numbers"]] == [4, 5, 6, 7, 8]
    assert [*held["done"]] == []
    assert [*held["table"]] == [1, 3]


@pytest.mark.parametrize("name", ["table", "counted"])
def test_iterators_that_cannot_be_set_back_are_refused(name: str) -> None:
    shot = advanced({name: 1})
    live = shared_iterators()
    with pytest.raises(RestoreImpossible, match=f"{name}.*can't be set back"):
        restore(shot, live, origins=Origins(live, {}, hold=True))


def test_objects_as_keys() -> None:
    keys = [Both(1), Both(2)]
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    roots = {
        "state": {params[0]: {"m": torch.ones(1)}, params[2]: [1], keys[0]: 5},
        "set": set(keys),
        "params": params,
        "keys": keys,
    }
    shot = capture(roots)
    fresh = restore(shot, {})
    assert list(fresh["state"])[:2] == [fresh["params"][0], fresh["params"][2]]
    assert fresh["set"] == set(fresh["keys"])
    roots["state"].clear()
    roots["state"][params[1]] = 3
    back = restore(shot, roots)
    assert [id(k) for k in back["state"]] == [id(params[0]), id(params[2]), id(keys[0])]
    assert back["set"] == set(keys)


def test_unbound_names_and_class_attributes() -> None:
    class Config:
        step = 3
        names = ["a"]

        def method(self) -> None: ...

    shot = capture({"gone": MISSING, "Config": Config})
    Config.step, Config.extra = 9, 1  # type: ignore[attr-defined]
    Config.names.append("b")
    back = restore(shot, {"gone": 5, "Config": Config})
    assert back["gone"] is MISSING
    assert back["Config"] is Config
    assert (Config.step, Config.names) == (3, ["a"])
    assert not hasattr(Config, "extra")


def test_local_classes_and_weak_references() -> None:
    import weakref

    class Local:
        def method(self) -> Any:
            return self

    a, items = Local(), [1]
    roots = {"a": a, "ref": [weakref.ref(a)], "method": a.method, "add": items.append, "i": items}
    fresh = restore(capture(roots), {})
    assert type(fresh["a"]) is Local
    assert fresh["ref"][0]() is fresh["a"] is fresh["method"]()
    fresh["add"](2)
    assert fresh["i"] == [1, 2]
    assert items == [1]


def test_snapshot_is_frozen() -> None:
    items, x = [1, 2], torch.zeros(2)
    shot = capture({"items": items, "x": x})
    items.append(3)
    x += 1
    fresh = restore(shot, {})
    assert fresh["items"] == [1, 2]
    assert fresh["x"].tolist() == [0, 0]


def test_differences_name_the_place() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    roots = {"net": net, "n": [1, "a"], "t": 1.0}
    first = capture(roots)
    net(torch.randn(4, 2))
    roots["n"][1], roots["t"] = "b", 2.0
    found = differences(first, capture(roots))
    assert any("running_mean" in f and "tensor float32 [2]" in f for f in found)
    assert any(f.startswith("n[1]") for f in found)
    assert not any(f.startswith("t ") for f in found)
    assert "rng: torch" in found


def test_failed_restore_changes_nothing() -> None:
    p = torch.ones(2)
    shot = capture({"a": [p, 1], "f": {"x": threading.Event(), "y": lambda: 0}})
    p += 1
    live = {"a": [p, 2], "f": {}}
    before = torch.get_rng_state()
    with pytest.raises(RestoreImpossible):
        restore(shot, live)
    assert p.tolist() == [2, 2]
    assert live["a"][1] == 2
    assert torch.equal(before, torch.get_rng_state())


def test_data_loader_keeps_its_data_set() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(1000.0))
    generator = torch.Generator().manual_seed(1)
    loader = torch.utils.data.DataLoader(data, 10, shuffle=True, generator=generator)
    shot = capture({"loader": loader})
    assert shot.nbytes == 0
    expected = [b[0].tolist() for b in loader]
    restore(shot, {"loader": loader})
    assert loader.dataset is data
    assert [b[0].tolist() for b in loader] == expected


def test_shuffled_lists_do_not_damage_what_shares_their_elements() -> None:
    arrays = [np.full(2, float(i)) for i in range(5)]
    rows = [{"id": i, "x": torch.full((2,), float(i))} for i in range(5)]
    pairs = [(np.full(3, float(i)), i) for i in range(5)]
    constant = (list(arrays), list(rows), list(pairs))
    roots = {"arrays": arrays, "rows": rows, "pairs": pairs}
    for items in roots.values():
        random.Random(1).shuffle(items)
    order = [[id(x) for x in items] for items in roots.values()]
    shot = capture(roots)
    for items in roots.values():
        random.Random(2).shuffle(items)
    restore(shot, roots)
    assert [[id(x) for x in items] for items in roots.values()] == order
    assert [a[0] for a in constant[0]] == list(range(5))
    assert [(r["id"], r["x"][0].item()) for r in constant[1]] == [(i, i) for i in range(5)]
    assert [p[0][0] for p in constant[2]] == list(range(5))


def test_list_of_weights_is_restored_in_place() -> None:
    weights = [np.zeros(3), np.ones(2), torch.zeros(2)]
    same = list(weights)
    shot = capture({"weights": weights})
    for i, w in enumerate(weights):
        w += i + 3
    restore(shot, {"weights": weights})
    assert all(a is b for a, b in zip(weights, same, strict=True))
    assert [float(w.sum()) for w in same] == [0.0, 2.0, 0.0]
