"""Logged values come back bit for bit, and are compared so."""

from __future__ import annotations

import contextlib
import math
import struct
from enum import Enum
from types import SimpleNamespace

import pytest

from flor.runtime.store import RunWriter, Store, freeze, same, to_plain, values
from flor.runtime.store.values import Text

np = pytest.importorskip("numpy")

NAN_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]

VALUES = [
    None, True, False, 0, 1, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**400,
    0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, NAN_PAYLOAD,
    "", "text", "é\n'\"", "nul\0in", "lone \udcff surrogate", b"\x00\xff", b"",
    [], {}, [1, 2.5, None, True, "x", [math.inf]], {"a": {"b": [10**30]}, "é": -0.0},
]  # fmt: skip


def bits(value):
    return struct.pack("<d", value) if isinstance(value, float) else value


def test_values_come_back_exactly(tmp_path):
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run({"args": {f"v{i}": value for i, value in enumerate(VALUES)}})
        writer = RunWriter(store.root, run)
        for i, value in enumerate(VALUES):
            writer.log(f"v{i}", freeze(value), None)
            writer.log("counter", 0, (None, "loop", i, value))
        assert writer.close(), writer.error
        recorded = store.recorded(run)
        args = store.run(run).args
        _, (row,) = store.sql(
            "SELECT " + ", ".join(f'"log.v{i}"' for i in range(len(VALUES))) + " FROM logs"
        )
        _, coordinates = store.sql("SELECT loop FROM logs ORDER BY counter, loop IS NULL")
        assert len(coordinates) == len(VALUES)
        for i, value in enumerate(VALUES):
            for found in (recorded[f"v{i}", (), 0], args[f"v{i}"], row[i]):
                assert type(found) is type(value)
                assert bits(found) == bits(value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "bool", "complex64"])
def test_arrays_come_back_exactly(dtype, tmp_path):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = to_plain(array)
    assert found.dtype == array.dtype
    assert found.shape == (2, 3)
    assert found.tobytes() == array.tobytes()
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run({})
        writer = RunWriter(store.root, run)
        writer.log("a", freeze(array), None)
        writer.close()
        (plain,), (distinct,) = (
            store.sql(f"SELECT {word} a FROM logs")[1][0] for word in ("", "DISTINCT")
        )
        assert same(plain, array)
        assert same(distinct, array)


def test_frozen_values_do_not_follow_the_original():
    array, items, mapping = np.ones(2), [1, [2]], {"a": [1]}
    frozen = [freeze(array), freeze(items), freeze(mapping)]
    array[:] = 7
    items[1].append(3)
    mapping["a"].append(2)
    assert same(frozen[0], np.ones(2))
    assert frozen[1:] == [[1, [2]], {"a": [1]}]


def test_other_kinds_of_scalar():
    class Level(str, Enum):
        HIGH = "high"

    class Odd:
        def __repr__(self):
            return "Odd()"

    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    assert (freeze(np.float64(0.5)), type(freeze(np.float64(0.5)))) == (0.5, float)
    assert (freeze(np.float32(0.1)), type(freeze(np.int64(3)))) == (0.10000000149011612, int)
    assert freeze(np.bool_(True)) is True
    assert type(freeze(Level.HIGH)) is str
    assert freeze((1, (2, 3))) == [1, [2, 3]]
    assert freeze({1: np.int64(2), None: (3,)}) == {"1": 2, "null": [3]}
    assert freeze(Odd()) == "Odd()"
    assert isinstance(to_plain(Odd()), Text)
    assert "RuntimeError" in freeze(Broken())


def test_tensors():
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(2))
    frozen = freeze(weight)
    with torch.no_grad():
        weight.add_(1)
    assert same(frozen, np.ones(2, "float32"))
    assert freeze(torch.tensor(3)) == 3
    assert type(freeze(torch.tensor(True))) is bool
    assert freeze(torch.tensor(0.1)) == 0.10000000149011612
    assert same(freeze(torch.tensor([1.5], dtype=torch.bfloat16)), np.array([1.5], dtype="float32"))
    assert freeze([torch.tensor(1), torch.ones(2)]) == [1, [1.0, 1.0]]


class Stream:
    """A CUDA stream in slow motion: what is queued is done when somebody waits for it."""

    def __init__(self):
        self.queue = []
        self.waited = 0

    def synchronize(self, until):
        self.waited += 1
        while self.queue and until in self.queue:
            step = self.queue.pop(0)
            if callable(step):
                step()


def fake_torch(stream, capturing=False):
    """As much of torch as a copy from a device needs."""
    torch = pytest.importorskip("torch")

    class Event:
        def __init__(self, blocking):
            assert blocking

        def record(self):
            stream.queue.append(self)

        def synchronize(self):
            stream.synchronize(self)

    class Host:
        def __init__(self, shape, dtype):
            self.tensor = torch.full(shape, -1, dtype=dtype)

        def copy_(self, other, non_blocking):
            assert non_blocking
            stream.queue.append(lambda: self.tensor.copy_(other.tensor))

        def __getattr__(self, name):
            return getattr(self.tensor, name)

    def empty(shape, dtype, pin_memory):
        assert pin_memory
        return Host(shape, dtype)

    cuda = SimpleNamespace(
        device=lambda device: contextlib.nullcontext(),
        is_current_stream_capturing=lambda: capturing,
        Event=Event,
    )
    return SimpleNamespace(cuda=cuda, empty=empty)


class OnDevice:
    """A tensor on the fake device; reading it from the host would be a wait."""

    def __init__(self, tensor, stream):
        self.tensor, self.stream = tensor, stream
        self.shape, self.dtype, self.device = tensor.shape, tensor.dtype, "cuda:0"

    def resolve_conj(self):
        return self

    resolve_neg = resolve_conj

    def add_(self, number):
        self.stream.queue.append(lambda: self.tensor.add_(number))


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_tensor_on_a_device_is_copied_without_waiting(shape):
    torch = pytest.importorskip("torch")
    stream = Stream()
    value = OnDevice(torch.zeros(shape), stream)
    value.add_(1)
    frozen = values._on_its_way(fake_torch(stream), value)
    value.add_(10)  # in place, right after it was logged
    assert stream.waited == 0
    assert frozen.nbytes == 4 * torch.zeros(shape).numel()
    kept = [frozen, {"in": frozen}]
    assert type(freeze(kept)[0]) is values.Pending  # a list doesn't wait either
    assert stream.waited == 0
    found = to_plain(frozen)
    assert same(found, np.ones(shape, "float32") if shape else 1.0)
    assert stream.waited == 1
    assert len(stream.queue) == 1  # nobody has waited for what came later
    assert to_plain(kept) == [np.asarray(found).tolist(), {"in": np.asarray(found).tolist()}]


def test_a_tensor_in_a_graph_that_is_being_captured_is_left_alone():
    torch = pytest.importorskip("torch")
    stream = Stream()
    found = values._on_its_way(fake_torch(stream, capturing=True), OnDevice(torch.ones(2), stream))
    assert "CUDA graph" in found
    assert stream.queue == []


def test_a_real_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            big = torch.rand(4000, 4000, device="cuda")
            for _ in range(20):
                big = big @ big / 4000
            value = torch.ones((), device="cuda")
            vector = torch.arange(4.0, device="cuda")
            torch.cuda._sleep(100_000_000)
            frozen = [freeze(value), freeze(vector), freeze({"v": value})]
            assert not frozen[0].arrived.query()  # nothing has waited
            value.add_(5)
            vector.zero_()
        assert to_plain(frozen[0]) == 1.0
        assert same(to_plain(frozen[1]), np.arange(4, dtype="float32"))
        assert to_plain(frozen[2]) == {"v": 1.0}


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (math.nan, math.nan, True), (math.nan, NAN_PAYLOAD, True), (0.0, -0.0, False),
        (1, 1.0, False), (1, True, False), (1, 1, True), (10**30, 10**30, True),
        (10**30, 10**30 + 1, False), (2**63, float(2**63), False), (None, None, True),
        (None, math.nan, False), ("a", "a", True), ("1", 1, False),
        ([1, math.nan], [1, math.nan], True), ([1], [1.0], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), ((1, 2), [1, 2], True),
        (0.1 + 0.2, 0.3, False), ("lone \udcff", "lone \udcfe", False),
        (np.float32(0.1), 0.10000000149011612, True),
        (np.array([1.0, math.nan]), np.array([1.0, NAN_PAYLOAD]), True),
        (np.array([0.0]), np.array([-0.0]), False),
        (np.array([1.0]), np.array([1.0], "float32"), False),
        (np.array([1, 2]), np.array([[1, 2]]), False),
    ],
)  # fmt: skip
def test_same(a, b, equal):
    assert same(a, b) is equal
    assert same(b, a) is equal
    assert same(to_plain(a), b) is equal
