"""Whatever changes an object that an epoch reads, the object is in the checkpoint set."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis import heap
from florc.driver import compile_project

WAYS = {
    "xs": """
        xs.append(1.0)
        xs += [1.0]
        xs.extend(range(2))
        xs.insert(0, 1.0)
        xs[0] = 2.0
        xs[0] += 2.0
        xs[:1] = [2.0]
        xs[-1:] = ()
        del xs[0]
        xs.sort()
        xs.reverse()
        xs.pop()
        xs.clear()
        xs.remove(1.0)
        xs *= 2
        xs.__setitem__(0, 3.0)
        list.append(xs, 1.0)
        list.__setitem__(xs, 0, 1.0)
        operator.setitem(xs, 0, 1.0)
        operator.iadd(xs, [1.0])
        operator.methodcaller("append", 1.0)(xs)
        random.shuffle(xs)
        heapq.heappush(xs, 1.0)
        heapq.heappop(xs)
        heapq.heapreplace(xs, 1.0)
        heapq.heapify(xs)
        bisect.insort(xs, 1.0)
        bisect.insort_left(xs, 1.0)
        add = xs.append; add(1.0)
        getattr(xs, "append")(1.0)
        functools.partial(xs.append, 1.0)()
        list(map(xs.append, [1.0]))
        [xs.append(v) for v in [1.0]]
        any(xs.append(v) for v in [1.0])
        (xs.append(1.0) if epoch else None)
        epoch and xs.append(1.0)
        (lambda: xs.append(1.0))()
        (lambda v=xs: v.append(1.0))()
        grow(xs)
        grow(v=xs)
        grow(*[xs])
        grow(**{"v": xs})
        grow_all(xs, xs)
        grow_named(v=xs)
        holder.grow()
        holder.xs.append(1.0)
        holder.mine.append(1.0)
        Holder.shared.append(1.0)
        holder.shared.append(1.0)
        holder += 1
        holder << 1
        holder[0] = 1.0
        holder[0]
        del holder[0]
        holder(1.0)
        holder == 1
        holder < 1
        1 in holder
        len(holder)
        bool(holder)
        str(holder)
        f"{holder}"
        "%s" % holder
        "{}".format(holder)
        print(holder, file=io.StringIO())
        repr(holder)
        hash(holder)
        abs(holder)
        -holder
        int(holder)
        float(holder)
        round(holder)
        sorted([holder, holder])
        max(holder, holder)
        sum([holder])
        {holder: 1}
        holder.value = 1.0
        holder.value
        holder.missing
        holder.described = 1.0
        holder.described
        del holder.value
        with holder: pass
        with growing(): pass
        with contextlib.closing(holder): pass
        with contextlib.ExitStack() as stack: stack.callback(grow, xs)
        with contextlib.ExitStack() as stack: stack.enter_context(holder)
        for _ in holder: pass
        list(holder)
        (*holder,)
        a, b = holder
        copy.copy(holder)
        copy.deepcopy(holder)
        pickle.dumps(holder)
        next(steps)
        steps.send(None)
        list(zip(range(1), steps))
        decorated(1.0)
        static(1.0)
        Holder.made(1.0)
        Holder.plain(xs)
        super_holder.grow()
        super_holder.xs.append(1.0)
        by_name["grow"](xs)
        registry[0](xs)
        [f(xs) for f in registry]
        functools.reduce(lambda a, b: xs.append(b), [1.0, 2.0])
        sorted([2.0, 1.0], key=xs.append)
        max([2.0, 1.0], key=lambda v: xs.append(v) or v)
        list(filter(xs.append, [1.0]))
        sorted([2.0, 1.0], key=functools.partial(noted, xs))
        list(map(functools.partial(noted, xs), [1.0]))
        next(mapped)
        next(called)
        for v in iter(functools.partial(grow, xs), None): pass
        Gone()
        Fresh()
        Fresh(1.0)
        One().xs.append(1.0)
        Counted()
        Single().xs.append(1.0)
        class Last(Registered): pass
        class Last(metaclass=Making): pass
        class Last: described = Told()
        Generic[int]
        isinstance(1, Checked)
        issubclass(int, Checked)
        Derived_meta.lacking
        len(Derived_meta)
        Derived_meta[0]
        [v for v in Derived_meta]
        1 in Derived_meta
        Derived_meta < Derived_meta
        Derived_meta.plain = 1
        lacking["key"]
        watched.value = 1.0
        watched.value += 1.0
        setattr(watched, "value", 1.0)
        watched.other
        watched.grow
        getattr(watched, "other")
        hasattr(watched, "other")
        del watched.value
        delattr(watched, "value")
        special.__dir__()
        dir(special)
        bytes(special)
        complex(special)
        [1, 2][special]
        range(special)
        os.fspath(special)
        open(special).close()
        pathlib.Path(special)
        format(special, "x")
        f"{special:x}"
        reversed(special)
        list(reversed(special))
        sys.getsizeof(special)
        divmod(special, 1)
        divmod(1, special)
        special @ special
        2 ** special
        special ** 2
        special // 2
        2 % special
        special << 1
        special & special
        special |= special
        special ^= special
        math.floor(special)
        math.ceil(special)
        math.trunc(special)
        ~special
        +special
        special != special
        special <= special
        special >= special
        asyncio.run(awaiting(special))
        asyncio.run(around(special))
        asyncio.run(along(special))
        np.asarray(special)
        np.array(special)
        np.add(special, 1)
        torch.add(special, 1)
        torch.as_tensor(special)
        operator.index(special)
        operator.ior(special, 1)
        operator.length_hint(special)
        copy.copy(stated)
        copy.deepcopy(stated)
        pickle.dumps(stated)
        pickle.loads(pickle.dumps(stated))
        matched(holder)
        matched(sized)
        matched(mapped_)
        next(filter(None, map(grow, [xs])), None)
        collections.deque(map(xs.append, [1.0]), maxlen=0)
        re.sub("a", lambda m: xs.append(1.0) or "", "a")
        threading.Thread(target=grow, args=(xs,)).start()
        threading.Timer(0, grow, [xs]).start()
        pool.submit(grow, xs)
        list(pool.map(grow, [xs]))
        asyncio.run(later(xs))
        globals()["xs"].append(1.0)
        vars()["xs"].append(1.0)
        locals()["xs"].append(1.0)
        eval("xs").append(1.0)
        exec("xs.append(1.0)")
        sys.modules["__main__"].xs.append(1.0)
        vars(holder)["xs"].append(1.0)
        holder.__dict__["xs"].append(1.0)
        holder.__getattribute__("xs").append(1.0)
        type(holder).shared.append(1.0)
        holder.__class__.shared.append(1.0)
        grow.__call__(xs)
        Holder.grow(holder)
        type(holder).grow(holder)
        operator.attrgetter("xs")(holder).append(1.0)
        nested["a"][0].append(1.0)
        nested.get("a")[0].append(1.0)
        nested.setdefault("a", [])[0].append(1.0)
        next(iter(nested.values()))[0].append(1.0)
        for v in nested.values(): v[0].append(1.0)
        for _, v in nested.items(): v[0].append(1.0)
        pair[1].append(1.0)
        named.xs.append(1.0)
        named[0].append(1.0)
        record.xs.append(1.0)
        dataclasses.replace(record).xs.append(1.0)
        dataclasses.asdict(record); record.xs.append(1.0)
        other.xs.append(1.0)
        other.grow(1.0)
        weak().append_to()
        (ys := xs).append(1.0)
        ys = xs if epoch else None; ys.append(1.0)
        ys = xs or []; ys.append(1.0)
        ys = [xs]; ys[0].append(1.0)
        ys = {"k": xs}; ys["k"].append(1.0)
        ys = (xs,); ys[0].append(1.0)
        ys, zs = xs, 1; ys.append(1.0)
        ys = zs = xs; zs.append(1.0)
        [ys, *zs] = [xs, 1]; ys.append(1.0)
        ys = copy.copy([xs]); ys[0].append(1.0)
        ys = [xs][:]; ys[0].append(1.0)
        ys = dict(k=xs); ys["k"].append(1.0)
        ys = list((xs,)); ys[0].append(1.0)
        ys = [xs] * 2; ys[0].append(1.0)
        ys = [xs] + []; ys[0].append(1.0)
        ys = (xs,) + (); ys[0].append(1.0)
        ys = collections.deque([xs]); ys[0].append(1.0)
        ys = collections.ChainMap({"k": xs}); ys["k"].append(1.0)
        ys = collections.defaultdict(lambda: xs); ys["k"].append(1.0)
        ys = types.SimpleNamespace(xs=xs); ys.xs.append(1.0)
        ys = types.MappingProxyType({"k": xs}); ys["k"].append(1.0)
        ys = argparse.Namespace(xs=xs); ys.xs.append(1.0)
        ys = functools.partial(same, xs)(); ys.append(1.0)
        ys = queue.Queue(); ys.put(xs); ys.get().append(1.0)
        ys = same(xs); ys.append(1.0)
        ys = cached(1); ys.append(1.0)
        ys = make()(); ys.append(1.0)
    """,
    "d": """
        d["a"] = 1
        d["a"] += 1
        d.update(a=2)
        d.update({"a": 2})
        d.update([("a", 2)])
        d |= {"a": 2}
        d.setdefault("b", 1)
        d.pop("a")
        d.popitem()
        d.clear()
        del d["a"]
        dict.update(d, a=1)
        dict.__setitem__(d, "a", 1)
        operator.setitem(d, "a", 1)
        vars(holder)["d"].update(a=1)
        for k in list(d): d[k] = 1
        for d["a"] in range(2): pass
        with open(__file__) as d["a"]: pass
        [d.update(a=v) for v in range(2)]
        counts.update("ab"); d.update(counts)
        d["list"].append(1)
        d.get("list").append(1)
        d["list"] += [1]
    """,
    "counts": """
        counts["a"] += 1
        counts.update("ab")
        counts.subtract("a")
    """,
    "missing": """
        missing["new"]
        missing["new"].append(1)
        missing.__getitem__("new")
    """,
    "queue_": """
        queue_.append(1)
        queue_.appendleft(1)
        queue_.popleft()
        queue_.rotate()
        queue_.extendleft([1])
    """,
    "names": """
        names.add(1)
        names |= {1}
        names.discard(1)
        names.update([1])
        names -= {1}
        names.intersection_update([1])
    """,
    "raw": """
        raw[0] = 1
        raw.append(1)
        raw += b"a"
        memoryview(raw)[0] = 1
        struct.pack_into("b", raw, 0, 1)
        np.frombuffer(raw, dtype=np.uint8)[0] = 1
        io.BytesIO(b"ab").readinto(raw)
    """,
    "arr": """
        arr[0] = 1
        arr[0] += 1
        arr += 1
        arr *= 2
        arr[arr > 0] = 1
        arr[:, None][0] = 1
        arr.sort()
        arr.fill(0)
        arr.put(0, 1)
        arr.resize(3)
        arr.itemset(0, 1) if hasattr(arr, "itemset") else arr.fill(1)
        arr.flat[0] = 1
        arr.T[0] = 1
        arr.real[0] = 1
        arr.reshape(-1)[0] = 1
        arr.ravel()[0] = 1
        arr.view()[0] = 1
        np.asarray(arr)[0] = 1
        np.atleast_2d(arr)[0] = 1
        np.ravel(arr)[0] = 1
        np.squeeze(arr)[0] = 1
        np.transpose(arr)[0] = 1
        np.array(arr, copy=False)[0] = 1
        np.add(arr, 1, out=arr)
        np.add(arr, 1, arr)
        np.clip(arr, 0, 1, out=arr)
        np.exp(arr, out=arr)
        np.copyto(arr, 1)
        np.put(arr, 0, 1)
        np.place(arr, arr > 0, 1)
        np.putmask(arr, arr > 0, 1)
        np.fill_diagonal(np.atleast_2d(arr), 1)
        np.add.at(arr, [0], 1)
        np.random.shuffle(arr)
        np.random.default_rng(0).shuffle(arr)
        np.matmul(arr, arr, out=arr)
        arr.dot(arr, out=arr)
        arr.cumsum(out=arr)
        arr.clip(0, 1, out=arr)
        torch.from_numpy(arr).add_(1)
        torch.as_tensor(arr).zero_()
        for v in np.nditer(arr, op_flags=["readwrite"]): v[...] = 1
        for i, v in enumerate(arr): arr[i] = v
        for row in arr[None]: row += 1
        halves = np.split(arr, 2); halves[0][0] = 1
        x, y = arr; arr[0] = y
    """,
    "t": """
        t.add_(1)
        t[0] = 1
        t[0] += 1
        t += 1
        t *= 2
        t.data.add_(1)
        t.data[0] = 1
        t.data = torch.zeros(2)
        t.copy_(torch.ones(2))
        t.zero_()
        t.fill_(1)
        t.clamp_(0, 1)
        t.uniform_()
        t.normal_()
        t.mul_(0.5).add_(1)
        t.lerp_(torch.ones(2), 0.5)
        t.index_fill_(0, torch.tensor([0]), 1)
        t.scatter_(0, torch.tensor([0]), 1.0)
        t.masked_fill_(t > 0, 1)
        t.resize_(3)
        t.set_(torch.ones(2))
        t.view(-1)[0] = 1
        t.view(-1).add_(1)
        t.reshape(-1).add_(1)
        t.flatten().add_(1)
        t.T.add_(1)
        t.t().add_(1)
        t[:1].add_(1)
        t[None].add_(1)
        t.unsqueeze(0).add_(1)
        t.squeeze().add_(1)
        t.expand(1, 2).add_(1)
        t.detach().add_(1)
        t.detach_().add_(1)
        t.numpy()[0] = 1
        t.detach().numpy().fill(1)
        t.detach().cpu().numpy()[0] = 1
        np.asarray(t)[0] = 1
        np.add(t.numpy(), 1, out=t.numpy())
        t.chunk(2)[0].add_(1)
        t.split(1)[0].add_(1)
        t.unbind()[0].add_(1)
        for v in t: v.add_(1)
        for v in t.chunk(2): v.add_(1)
        t.narrow(0, 0, 1).add_(1)
        t.select(0, 0).add_(1)
        t.diagonal(0, -1).add_(1) if t.dim() > 1 else t.add_(1)
        t.requires_grad_().data.add_(1)
        t.to("cpu").add_(1)
        t.float().add_(1)
        t.contiguous().add_(1)
        t.type(torch.float32).add_(1)
        t.cpu().add_(1)
        torch.add(t, 1, out=t)
        torch.clamp(t, 0, 1, out=t)
        torch.sqrt_(t)
        torch.nn.init.ones_(t)
        torch.nn.init.normal_(t)
        torch.nn.functional.relu(t, inplace=True)
        torch.relu_(t)
        torch.nn.ReLU(inplace=True)(t)
        torch.dropout_(t, 0.5, True)
        torch._foreach_add_([t], 1)
        torch.where(t > 0, t, t, out=t)
        torch.randn(2, out=t)
        torch.distributed.all_reduce(t) if epoch > 9 else t.add_(1)
        setattr(t, "data", torch.ones(2))
        t.__setitem__(0, 1)
        t.__iadd__(1)
        torch.Tensor.add_(t, 1)
        tensors[0].add_(1)
        for v in tensors: v.add_(1)
        [v.add_(1) for v in tensors]
        torch.utils.swap_tensors(t, torch.ones(2))
        dlpack = torch.utils.dlpack.from_dlpack(t); dlpack.add_(1)
    """,
}


def ways() -> list[tuple[str, str]]:
    found = []
    for name, block in WAYS.items():
        found += [(name, line.strip()) for line in block.strip().splitlines()]
    return found


SCRIPT = """
import argparse, asyncio, bisect, collections, concurrent.futures, contextlib, copy, dataclasses
import collections.abc, functools, heapq, io, math, operator, os, pathlib, pickle, queue, random, re
import struct, sys, threading, types
import weakref
import numpy as np
import torch
import other

xs = [1.0, 2.0]
d = {"a": 1, "list": []}
counts = collections.Counter("abc")
missing = collections.defaultdict(list)
queue_ = collections.deque([1, 2])
names = {1, 2}
raw = bytearray(b"abc")
arr = np.ones(2)
t = torch.ones(2)
tensors = [t]
pool = concurrent.futures.ThreadPoolExecutor(1)
nested = {"a": [xs]}
pair = (1, xs)
named = collections.namedtuple("Named", "xs")(xs)
other.xs = xs


@dataclasses.dataclass
class Record:
    xs: list


record = Record(xs)


class Described:
    def __get__(self, obj, cls):
        obj.xs.append(1.0)
        return 1.0

    def __set__(self, obj, value):
        obj.xs.append(value)


class Holder:
    shared = xs
    described = Described()

    def __init__(self, xs, d):
        self.xs, self.d = xs, d
        self.mine = self.xs

    def grow(self, *_):
        self.xs.append(1.0)
        return self

    append_to = grow
    __iadd__ = grow
    __lshift__ = __setitem__ = __getitem__ = __delitem__ = __call__ = __enter__ = grow

    def __exit__(self, *_):
        return None

    def close(self):
        self.grow()

    def __eq__(self, other):
        self.grow()
        return True

    def __lt__(self, other):
        self.grow()
        return True

    __gt__ = __lt__

    def __contains__(self, item):
        self.grow()
        return True

    def __len__(self):
        self.grow()
        return 1

    def __bool__(self):
        self.grow()
        return True

    def __str__(self):
        self.grow()
        return ""

    __repr__ = __str__

    def __hash__(self):
        self.grow()
        return 1

    def __int__(self):
        self.grow()
        return 1

    def __float__(self):
        self.grow()
        return 1.0

    def __abs__(self):
        self.grow()
        return 1

    __neg__ = __abs__

    def __round__(self, ndigits=None):
        self.grow()
        return 1

    def __add__(self, other):
        return self.grow()

    __radd__ = __add__

    def __iter__(self):
        self.grow()
        return iter([1, 2])

    def __copy__(self):
        return self.grow()

    def __deepcopy__(self, memo):
        return self.grow()

    def __reduce__(self):
        self.grow()
        return (Holder, ([], {}))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.xs.append(1.0)
        return 1

    @property
    def value(self):
        self.xs.append(1.0)
        return 1.0

    @value.setter
    def value(self, new):
        self.xs.append(new)

    @value.deleter
    def value(self):
        self.xs.append(1.0)

    @classmethod
    def made(cls, value):
        cls.shared.append(value)

    @staticmethod
    def plain(v):
        v.append(1.0)


class Derived(Holder):
    def grow(self, *_):
        return super().grow()


class Fresh:
    def __new__(cls, *_):
        xs.append(1.0)
        return super().__new__(cls)


class One:
    only = None

    def __new__(cls):
        if cls.only is None:
            cls.only = super().__new__(cls)
            cls.only.xs = xs
        return cls.only


class Counting(type):
    def __call__(cls, *args):
        xs.append(1.0)
        return super().__call__(*args)


class Counted(metaclass=Counting):
    pass


class OnceOnly(type):
    made = {}

    def __call__(cls, *args):
        if cls not in cls.made:
            cls.made[cls] = super().__call__(*args)
        return cls.made[cls]


class Single(metaclass=OnceOnly):
    def __init__(self):
        self.xs = xs


class Registered:
    def __init_subclass__(cls, **_):
        xs.append(1.0)


class Making(type):
    def __new__(meta, name, bases, namespace):
        xs.append(1.0)
        return super().__new__(meta, name, bases, namespace)


class Told:
    def __set_name__(self, owner, name):
        xs.append(1.0)


class Generic:
    def __class_getitem__(cls, item):
        xs.append(1.0)
        return cls


class Checking(type):
    def __instancecheck__(cls, value):
        xs.append(1.0)
        return True

    def __subclasscheck__(cls, value):
        xs.append(1.0)
        return True


class Checked(metaclass=Checking):
    pass


class Meta(type):
    def grow(cls, *_):
        xs.append(1.0)
        return 1

    __getattr__ = __len__ = __getitem__ = __contains__ = __lt__ = __setattr__ = grow

    def __iter__(cls):
        xs.append(1.0)
        return iter([1])


class Derived_meta(metaclass=Meta):
    pass


class Lacking(dict):
    def __missing__(self, key):
        xs.append(1.0)
        return 1.0


class Watched:
    def __init__(self):
        object.__setattr__(self, "value", 1.0)
        object.__setattr__(self, "other", 1.0)

    def __setattr__(self, name, value):
        xs.append(value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        xs.append(1.0)

    def __getattribute__(self, name):
        if not name.startswith("__"):
            xs.append(1.0)
        return object.__getattribute__(self, name)

    def grow(self):
        pass


class Special:
    def grow(self, *_):
        xs.append(1.0)
        return 1

    __int__ = __index__ = __floor__ = __ceil__ = __trunc__ = __sizeof__ = __length_hint__ = grow
    __divmod__ = __rdivmod__ = __matmul__ = __pow__ = __rpow__ = __floordiv__ = __rmod__ = grow
    __lshift__ = __and__ = __ior__ = __ixor__ = __invert__ = __pos__ = __ne__ = grow
    __le__ = __ge__ = grow

    def __bytes__(self):
        self.grow()
        return b""

    def __complex__(self):
        self.grow()
        return 0j

    def __fspath__(self):
        self.grow()
        return "/dev/null"

    def __format__(self, how):
        self.grow()
        return ""

    def __dir__(self):
        self.grow()
        return []

    def __reversed__(self):
        self.grow()
        return iter([1])

    def __await__(self):
        self.grow()
        yield from ()

    async def __aenter__(self):
        self.grow()

    async def __aexit__(self, *_):
        pass

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.grow()
        raise StopAsyncIteration

    def __array__(self, *_, **__):
        self.grow()
        return np.zeros(1)

    def __array_ufunc__(self, *_, **__):
        self.grow()
        return 1

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        xs.append(1.0)
        return 1


class Stated:
    def __init__(self):
        self.n = 1

    def __getstate__(self):
        xs.append(1.0)
        return {"n": 1}

    def __setstate__(self, state):
        xs.append(1.0)


class Sized(collections.abc.Sequence):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        xs.append(1.0)
        return place


class Mapped(collections.abc.Mapping):
    def __len__(self):
        return 1

    def __iter__(self):
        return iter(["a"])

    def __getitem__(self, key):
        xs.append(1.0)
        return 1


def matched(v):
    match v:
        case Holder(value=1.0):
            return 1
        case [a, b]:
            return a
        case {"a": a}:
            return a


async def awaiting(v):
    await v


async def around(v):
    async with v:
        pass


async def along(v):
    async for _ in v:
        pass


lacking = Lacking()
watched = Watched()
special = Special()
stated = Stated()
sized = Sized()
mapped_ = Mapped()
holder = Holder(xs, d)
super_holder = Derived(xs, d)
weak = weakref.ref(holder)


def grow(v):
    v.append(1.0)


def noted(v, w):
    v.append(w)
    return w


mapped = map(lambda v: xs.append(v), range(99))
called = iter(functools.partial(grow, xs), 1)


class Gone:
    def __del__(self):
        xs.append(1.0)


def grow_all(*vs):
    for v in vs:
        v.append(1.0)


def grow_named(**named):
    named["v"].append(1.0)


def same(v):
    return v


def make():
    return lambda: xs


@functools.lru_cache
def cached(n):
    return xs


def decorator(function):
    def wrapper(value):
        xs.append(value)
        return function(value)

    return wrapper


@decorator
def decorated(value):
    return value


@decorator
def static(value):
    return value


@contextlib.contextmanager
def growing():
    xs.append(1.0)
    yield


async def later(v):
    v.append(1.0)


def stepping():
    while True:
        xs.append(1.0)
        yield


steps = stepping()
by_name = {"grow": grow}
registry = [grow]
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    seen = [len(xs), d, counts, missing, queue_, names, raw, arr.sum(), t.sum().item()]
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
"""

SAME = {
    "xs": {
        "xs",
        "holder",
        "Holder",
        "super_holder",
        "nested",
        "pair",
        "named",
        "record",
        "other:xs",
    }
    | {"steps", "weak"},
    "t": {"t", "tensors"},
}


@pytest.fixture(params=[heap.CROWD, 1], ids=["apart", "crowded"])
def crowd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of one type are told apart, or one stands for any two of them."""
    monkeypatch.setattr(heap, "CROWD", request.param)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(("name", "way"), ways())
def test_a_change_is_seen(tmp_path: Path, name: str, way: str) -> None:
    (tmp_path / "other.py").write_text("xs = None\n\ndef grow(v):\n    xs.append(v)\n")
    text = dedent(SCRIPT).strip() + f"\n    {way}\n"
    (tmp_path / "script.py").write_text(text)
    plan = compile_project(tmp_path / "script.py", root=tmp_path).plan
    (loop,) = (loop for loop in plan.loops if loop.name == "epoch")
    found = {member.path.split(".")[0] for member in loop.state}
    assert found & SAME.get(name, {name}) or not loop.jump, sorted(found)
