"""Iterators are brought back to their position, whatever they drew."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.errors import RestoreImpossible
from flor.runtime.checkpoint.iterators import DrawLog, IteratorProxy, fast_forward
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.rng import capture_rng, restore_rng

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")


def shuffled(items: Any, extra: int = 0) -> Any:
    """Infinite, draws at every pass only."""
    while True:
        order = list(items)
        random.shuffle(order)
        for item in order:
            yield item, torch.rand(()).item() if extra else None


def crops(rng: Any) -> Any:
    while True:
        yield int(rng.integers(1000))


def loader(generator: Any = None) -> Any:
    data = torch.utils.data.TensorDataset(torch.arange(40.0))
    return torch.utils.data.DataLoader(data, 4, shuffle=True, generator=generator)


def plain(value: Any) -> Any:
    return [v.tolist() for v in value] if isinstance(value, list) else value


MAKERS: dict[str, Any] = {
    "generator": lambda: IteratorProxy(shuffled, (range(7),)),
    "drawing": lambda: IteratorProxy(shuffled, (range(7), 1)),
    "rng": lambda: IteratorProxy(crops, (np.random.default_rng(1),)),
    "loader": lambda: IteratorProxy(iter, (loader(),)),
    "own": lambda: IteratorProxy(iter, (loader(torch.Generator().manual_seed(3)),)),
    "list": lambda: IteratorProxy(iter, (list(range(30)),)),
    "kwargs": lambda: IteratorProxy(shuffled, (), {"items": range(5)}),
}


@pytest.mark.parametrize("kind", list(MAKERS))
@pytest.mark.parametrize("start", [0, 2, 8])
def test_wound_to_its_position(kind: str, start: int) -> None:
    def seeded() -> Any:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return MAKERS[kind]()

    def advance(proxy: Any, steps: int) -> list[Any]:
        out = []
        for _ in range(steps):
            out.append(plain(next(proxy)))
            random.random()  # the training draws too
            torch.rand(3)
        return out

    first = seeded()
    advance(first, 5)
    shot = capture({"it": first})
    assert shot.missing == ()
    expected = advance(first, 4)
    second = seeded()
    advance(second, start)
    live = restore(shot, {"it": second})["it"]
    assert live is second
    assert live.count == 5
    assert advance(second, 4) == expected


def test_made_again_in_the_loop() -> None:
    torch.manual_seed(0)
    source = loader()
    proxy = IteratorProxy(iter, (source,))
    for _ in proxy:
        pass
    proxy = IteratorProxy(iter, (source,))
    for _ in range(3):
        next(proxy)
    shot = capture({"it": proxy})
    expected = [plain(x) for x in proxy]
    torch.manual_seed(5)
    other = IteratorProxy(iter, (loader(),))
    restore(shot, {"it": other})
    assert [plain(x) for x in other] == expected


def test_finished_one() -> None:
    proxy = IteratorProxy(iter, ([1, 2],))
    list(proxy)
    shot = capture({"it": proxy})
    other = IteratorProxy(iter, ([1, 2],))
    restore(shot, {"it": other})
    assert list(other) == []
    assert other.count == 2


def test_behaves_like_the_generator() -> None:
    def echo() -> Any:
        got = yield 1
        try:
            while True:
                got = yield got
        except KeyError:
            yield "caught"

    proxy = IteratorProxy(echo)
    assert iter(proxy) is proxy
    assert next(proxy) == 1
    assert not proxy.unrestorable
    assert proxy.send(5) == 5
    assert proxy.unrestorable
    assert proxy.throw(KeyError("x")) == "caught"
    proxy.close()
    assert proxy.gi_frame is None
    with pytest.raises(StopIteration):
        next(proxy)
    assert len(IteratorProxy(iter, (loader(),))) == 10
    with pytest.raises(RestoreImpossible):
        restore(capture({"it": proxy}), {"it": proxy})


def test_too_many_draws() -> None:
    proxy = IteratorProxy(shuffled, (range(7), 1))
    for _ in range(513):
        next(proxy)
    assert "512" in proxy.unrestorable
    shot = capture({"it": proxy})
    with pytest.raises(RestoreImpossible, match="512"):
        restore(shot, {"it": proxy})


def test_another_source_is_refused() -> None:
    shot = capture({"it": IteratorProxy(shuffled, (range(3),))})
    with pytest.raises(RestoreImpossible, match="crops"):
        restore(shot, {"it": IteratorProxy(crops, (np.random.default_rng(1),))})
    with pytest.raises(RestoreImpossible, match="does not exist"):
        restore(shot, {})
    short = IteratorProxy(iter, ([1, 2, 3],))
    list(short)
    shot = capture({"it": short})
    with pytest.raises(RestoreImpossible, match="ended after 1"):
        restore(shot, {"it": IteratorProxy(iter, ([1],))})


def test_draw_log() -> None:
    for safe in (range(3), [1], (1,), {1: 2}.items(), np.zeros(3), torch.zeros(3)):
        assert not DrawLog(safe).enabled
    assert not DrawLog(enumerate([1])).enabled
    assert not DrawLog(zip([1], range(2), strict=False)).enabled
    assert DrawLog(enumerate(crops(None))).enabled
    assert DrawLog(loader()).enabled
    random.seed(1)
    items = shuffled(range(4))
    log = DrawLog(items)
    iterator = iter(items)
    seen = []
    for _ in range(10):
        log.before()
        value = next(iterator)
        log.after()
        seen.append(value)
        random.random()
    assert [k for k, _ in log.log] == [0, 4, 8]
    random.seed(99)
    again = shuffled(range(4))
    fast_forward(again, 9, log.state()["log"])
    assert next(again) == seen[9]


def test_what_fails_when_an_iterator_has_moved_says_so() -> None:
    def two(length: int) -> dict[str, Any]:
        return {"a": IteratorProxy(iter, [[1, 2, 3]]), "b": IteratorProxy(iter, [[1] * length])}

    roots = two(3)
    for proxy in roots.values():
        next(proxy), next(proxy)
    shot = capture(roots)
    with pytest.raises(RestoreImpossible, match="ended after 1 steps") as caught:
        restore(shot, two(1))
    assert caught.value.late
    with pytest.raises(RestoreImpossible, match="does not exist") as caught:
        restore(shot, {})
    assert not caught.value.late


def test_rng_round_trip() -> None:
    state = capture_rng()
    expected = (random.gauss(0, 1), np.random.randn(3).tolist(), torch.rand(2).tolist())
    random.gauss(0, 1)
    restore_rng(state)
    assert (random.gauss(0, 1), np.random.randn(3).tolist(), torch.rand(2).tolist()) == expected
