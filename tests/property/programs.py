"""Random Python programs with state in every place that Python offers; deterministic, they end.

A program has globals of every type, classes, functions, closures and generators made from
templates, and loops around random statements.  In a template `{L1}` is a visible variable of type
L (the same one for the same number), `{L1!}` one that may be rebound here, `{I}` an int expression.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

TYPES = {
    "i": "int",
    "L": "list of ints",
    "D": "dict of ints",
    "S": "set of ints",
    "Q": "deque of ints",
    "T": "tuple (int, list)",
    "O": "object: n, items, child, bump, add, share",
    "C": "callable without arguments that returns an int",
    "G": "iterator of ints",
    "R": "random.Random",
    "N": "list of lists of ints",
    "P": "list of objects",
    "E": "defaultdict of lists",
    "M": "dict of objects",
    "B": "Bag",
    "A": "numpy array of 4 floats",
    "K": "numpy random generator",
    "X": "torch tensor of 3 floats",
    "Z": "torch random generator",
    "Y": "Fit: a model with optimizer and scheduler",
}
LIBRARIES = {"numpy": "AK", "torch": "XZY"}
"""Types that only programs with that import have."""

HEADER = """\
import collections
import contextlib
import copy
import functools
import heapq
import io
import itertools
import random
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import flor

random.seed({seed})


class Box:
    made = 0
    registry = []

    def __init__(self, n, items=None):
        self.n = n
        self.items = items if items is not None else [n]
        self.child = None
        Box.made += 1

    def bump(self, k=1):
        self.n = (self.n + k) % 89
        return self.n

    def add(self, v):
        self.items.append(v)
        del self.items[:-6]
        return self

    def share(self):
        return self.items

    @property
    def total(self):
        return self.n + sum(self.items)

    @total.setter
    def total(self, v):
        self.n = v % 89

    @classmethod
    def fresh(cls, n):
        cls.made += 1
        return cls(n % 7)

    @staticmethod
    def note(v):
        Box.registry.append(v % 11)
        del Box.registry[:-5]
        return len(Box.registry)

    def view(self):
        return (self.n, list(self.items))


class Slim(Box):
    __slots__ = ("extra",)

    def __init__(self, n, items=None):
        super().__init__(n, items)
        self.extra = [n]

    def bump(self, k=1):
        self.extra.append(k % 5)
        del self.extra[:-4]
        return super().bump(k + len(self.extra))

    def view(self):
        return (*super().view(), tuple(self.extra))


class Bare:
    __slots__ = ("n", "items", "child")

    def __init__(self, n, items=None):
        self.n, self.items, self.child = n, [n] if items is None else items, None

    def bump(self, k=1):
        self.n = (self.n * 3 + k) % 83
        return self.n

    def add(self, v):
        self.items = (self.items + [v])[-5:]
        return self

    def share(self):
        return self.items

    @property
    def total(self):
        return self.n - sum(self.items)

    @total.setter
    def total(self, v):
        self.items[:] = [v % 13]

    def view(self):
        return (self.n, list(self.items))


@dataclass
class Data:
    n: int
    items: list = field(default_factory=list)
    child: object = None

    def bump(self, k=1):
        self.n = (self.n ^ k) % 64
        return self.n

    def add(self, v):
        self.items += [v]
        self.items = self.items[-4:]
        return self

    def share(self):
        return self.items

    @property
    def total(self):
        return self.n + len(self.items)

    @total.setter
    def total(self, v):
        self.n = v % 31

    def view(self):
        return (self.n, list(self.items))


class Bag:
    def __init__(self):
        self.held = {{}}
        self.depth = 0
        self.calls = []

    def __getitem__(self, k):
        return self.held.get(k % 5, 0)

    def __setitem__(self, k, v):
        self.held[k % 5] = v

    def __len__(self):
        return len(self.held)

    def __bool__(self):
        self.depth = (self.depth + 3) % 37
        return self.depth % 2 == 0

    def __str__(self):
        self.depth = (self.depth + 5) % 31
        return "bag" * (self.depth % 3)

    def __lt__(self, other):
        self.depth = (self.depth + 7) % 29
        return self.depth < other

    def __iter__(self):
        return iter(sorted(self.held))

    def __contains__(self, k):
        self.depth = (self.depth + 1) % 41
        return k % 5 in self.held

    def __call__(self, v):
        self.calls.append(v % 9)
        del self.calls[:-4]
        return sum(self.calls)

    def __enter__(self):
        self.depth += 1
        return self

    def __exit__(self, *error):
        self.depth = self.depth * 2 % 43
        return False

    def __iadd__(self, v):
        self.held[v % 5] = v % 17
        return self

    def view(self):
        return (sorted(self.held.items()), self.depth, list(self.calls))


class Walk:
    def __init__(self, n):
        self.at = n

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        if self.at > 60:
            raise StopIteration
        return self.at


class Muffle:
    def __init__(self):
        self.caught = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.caught += kind is not None
        return True


class Lens:
    def __init__(self, of):
        self.of = of

    def __getattr__(self, name):
        return getattr(self.of, name)


class Times:
    def __init__(self, inner):
        self.inner = inner
        self.count = 0

    def __call__(self, *args):
        self.count += 1
        return (self.inner(*args) + self.count) % 67


def numbers(n, step=1):
    at = n
    for k in range(40):
        at = (at + step * k) % 71
        yield at


def drawn(n):
    for _ in range(40):
        yield n + random.randint(0, 9)


def chained(n):
    seen = []
    for v in numbers(n):
        seen.append(v)
        yield len(seen) + v
    yield from [1, 2, 3]


def counter(start):
    n = start
    log = []

    def up():
        nonlocal n
        n = (n + 1) % 53
        log.append(n)
        del log[:-3]
        return n + len(log)

    return up


def pair(start):
    n = start

    def put():
        nonlocal n
        n = (n * 2 + 1) % 59
        return n

    def get():
        return n

    return put, get


def latest(v, kept=[]):
    kept.append(v % 10)
    del kept[:-4]
    return sum(kept)


def counted(v):
    counted.calls = getattr(counted, "calls", 0) + 1
    return (v + counted.calls) % 47


@contextlib.contextmanager
def entered(xs):
    xs.append(1)
    try:
        yield xs
    finally:
        del xs[:-5]


@functools.lru_cache(maxsize=None)
def square(v):
    return v * v % 61


def traced(inner):
    seen = [0]

    @functools.wraps(inner)
    def outer(*args, **kwargs):
        seen[0] += 1
        return (inner(*args, **kwargs) + seen[0]) % 73

    return outer


@traced
def twice(v):
    return v * 2


@Times
def thrice(v):
    return v * 3


def dive(n, xs):
    if n <= 0:
        return len(xs)
    xs.append(n)
    del xs[:-5]
    return dive(n - 1, xs) + xs[0]


def keyed(*args, **kwargs):
    kwargs.setdefault("kept", []).append(len(args))
    return sum(args) + len(kwargs["kept"]) + sum(v for v in kwargs.values() if isinstance(v, int))


def split(xs, n):
    return xs[: n % 3], xs


def early(xs, n):
    for v in xs:
        try:
            if v > n:
                return v
        finally:
            early.seen = getattr(early, "seen", 0) + 1
    return getattr(early, "seen", 0)


def collected(xs, n):
    for k in range(n % 5 + 30):
        xs.append(k)
        del xs[:-4]
        yield k + len(xs)

"""

MAKE = {
    "i": ("{I}",),
    "L": ("[{I}, {I}]", "list(range({I} % 4))", "[]", "[v % 9 for v in range({I} % 5)]"),
    "D": ("{{1: {I}}}", "{{}}", "{{k: k * 2 for k in range(3)}}", "dict(zip([1, 2], [{I}, {I}]))"),
    "S": ("{{{I}, 3}}", "set()", "{{v % 7 for v in range({I} % 5)}}"),
    "Q": ("deque([{I}], maxlen=4)", "deque()"),
    "T": ("({I}, [{I}])", "({I}, [])"),
    "O": ("Box({I})", "Slim({I})", "Bare({I})", "Data({I})", "Box.fresh({I})", "Slim.fresh({I})"),
    "C": ("counter({I})", "pair({I})[0]", "Box({I}).bump", "functools.partial(latest, {I})"),
    "G": ("numbers({I})", "drawn({I})", "chained({I})", "iter(range(50))", "itertools.count({I})",
          "Walk({I} % 9)", "itertools.cycle([1, 2, 3])", "(v * 2 for v in range(40))",
          "map(square, range(40))", "zip_sum(numbers({I}), itertools.count(2))"),
    "R": ("random.Random({I})",),
    "N": ("[[{I}], []]", "[[] for _ in range(3)]", "[[1]] * 2"),
    "P": ("[Box({I}), Bare({I})]", "[Data({I}) for _ in range(2)]"),
    "E": ("defaultdict(list)", "defaultdict(list, {{1: [{I}]}})"),
    "M": ("{{'a': Box({I}), 'b': Data({I})}}", "{{'a': Slim({I}), 'b': Bare({I})}}"),
    "B": ("Bag()",),
    "A": ("np.zeros(4)", "np.arange(4.0) + {I}", "np.ones((2, 2)).reshape(4)"),
    "K": ("np.random.default_rng({I})",),
    "X": ("torch.zeros(3)", "torch.arange(3.0) + {I}", "torch.randn(3)"),
    "Z": ("torch.Generator().manual_seed({I})",),
    "Y": ("Fit({I})", "Fit({I}, 'adam')"),
}  # fmt: skip

ALIAS = {
    "i": ("{L1}[-1] if {L1} else 0", "sum({L1})", "len({S1})", "{O1}.bump({I})", "{O1}.total",
          "{C1}()", "next({G1}, 0)", "{R1}.randint(0, 9)", "random.randint(0, 9)", "latest({I})",
          "counted({I})", "{B1}({I})", "{B1}[{I}]", "int({I} in {B1})", "{D1}.get({I}, 0)",
          "{Q1}.popleft() if {Q1} else 1", "square({I})", "Box.note({I})", "Box.made % 50",
          "{D1}.setdefault({I} % 5, {I})", "{L1}.pop() if {L1} else 2", "max({L1}, default=0)",
          "{T1}[0]", "len({E1}[{I} % 3])", "sum(o.n for o in {P1})", "{R1}.getrandbits(5)",
          "twice({I})", "thrice({I})", "dive({I} % 4, {L1})", "keyed({I}, a={I})",
          "early({L1}, {I})", "(2 if {B1} else 3)", "len(str({B1}))", "len(f'{{{B1}}}')",
          "int(not {B1})", "int({B1} < {I})", "Lens({O1}).bump()", "Lens({O1}).n", "muffle.caught",
          "keyed(*{L1}[:2], **{{'a': {I}}})", "(lambda *v: sum(v))(*{L1}[:3])",
          "int({A1}.sum()) % 50", "int({K1}.integers(9))", "int(np.random.randint(9))",
          "int({X1}.abs().sum().item() * 10) % 40", "int(torch.randint(9, (1,)).item())",
          "int(torch.randint(9, (1,), generator={Z1}).item())", "{Y1}.n"),
    "L": ("{L2}", "{O1}.items", "{O1}.share()", "{N1}[0]", "{T1}[1]", "{E1}[{I} % 3]",
          "{L2}[:3]", "{L2} + [{I}]", "list({L2})", "copy.copy({L2})", "sorted({S1})",
          "{M1}['a'].items", "{P1}[0].items", "copy.deepcopy({L2})", "[v + 1 for v in {L2}][-4:]",
          "Box.registry", "{L2} if {I} % 2 else {L3}", "{L2} or {L3}", "({N1}[0], {L2})[{I} % 2]",
          "random.sample(range(9), 3)", "[next({G1}, 0) for _ in range(2)]",
          "list(itertools.islice({G1}, 2))", "[{C1}() for _ in range(2)]"),
    "D": ("{D2}", "dict({D2})", "{B1}.held", "copy.copy({D2})", "{D2} | {{2: {I}}}"),
    "S": ("{S2}", "set({L1})", "{S2} | {{{I}}}", "set({S2})", "{S2}.copy()"),
    "Q": ("{Q2}", "deque({L1}, maxlen=5)", "copy.copy({Q2})"),
    "T": ("({I}, {L1})", "{T2}", "({T2}[0] + 1, {T2}[1])", "(*{T2}[:1], {L1})"),
    "O": ("{O2}", "{P1}[{I} % 2]", "{M1}['b']", "{M1}['a']", "copy.copy({O2})",
          "copy.deepcopy({O2})", "{O2}.add({I})", "Box({I}, {L1})", "Bare({I}, {O2}.items)",
          "{O2}.child or {O2}", "min({P1}, key=lambda o: o.n)"),
    "C": ("{C2}", "{O1}.bump", "lambda: {O1}.bump() + len({L1})", "functools.partial({B1}, {I})",
          "{M1}['a'].bump", "functools.partial(next, {G1}, 0)"),
    "G": ("iter({L1}[:4])", "{G2}", "itertools.chain([1, 2], {G2})", "itertools.islice({G2}, 30)",
          "enumerated({G2})"),
    "R": ("{R2}", "copy.copy({R2})", "random.Random({R2}.random())"),
    "N": ("{N2}", "[{L1}, {L2}]", "[list(x) for x in {N2}]", "{N2}[:2] + [{L1}]",
          "copy.deepcopy({N2})"),
    "P": ("{P2}", "[{O1}, {O2}]", "list({P2})", "[o.add(1) for o in {P2}]", "{P2}[::-1]"),
    "E": ("{E2}", "copy.copy({E2})"),
    "M": ("{M2}", "{{**{M2}, 'a': {O1}}}", "dict({M2})"),
    "B": ("{B2}", "copy.copy({B2})"),
    "A": ("{A2}", "{A2}.copy()", "{A2}[:]", "{A2} * 0.5", "{A2}.reshape(2, 2).reshape(4)",
          "np.sort({A2})", "np.random.rand(4)", "{K1}.normal(size=4)", "{A2}.astype(float)",
          "np.concatenate([{A2}[:2], {A3}[2:]])", "{A2}.T", "np.asarray({A2})"),
    "K": ("{K2}", "copy.deepcopy({K2})"),
    "X": ("{X2}", "{X2}.clone()", "{X2}[:]", "{X2}.view(3)", "{X2} * 0.5", "{X2}.detach()",
          "torch.rand(3)", "torch.rand(3, generator={Z1})", "({X2} + {X3}) / 2",
          "{Y1}.net[0].weight.detach()[0]", "{Y1}.ema[1]",
          "torch.bernoulli(torch.full((3,), 0.5))"),
    "Z": ("{Z2}",),
    "Y": ("{Y2}", "copy.deepcopy({Y2})"),
}  # fmt: skip

SIMPLE = (
    "{i1!} = ({I} + {I}) % 97", "{i1!} += {I}", "{i1!} = ({i1!} * 3 + {I}) % 101",
    "{i1!}, {i2!} = {i2!}, {i1!} + 1", "{i1!} -= 1",
    "{L1}.append({I})", "{L1}.extend([{I}, {I}])", "{L1}[:] = {L1}[-4:]", "{L1!} += [{I}]",
    "{L1}.sort()", "{L1}.reverse()", "{L1}[1:2] = [{I}, {I}]", "{L1!} = {L1!}[-5:]",
    "random.shuffle({L1})", "{R1}.shuffle({L1})", "{L1}.insert(0, {I})", "del {L1}[:-3]",
    "if {L1}:\n    {L1}[0] = {I}", "if {L1}:\n    {L1}[-1] += {I}", "heapq.heappush({L1}, {I})",
    "{D1}[{I} % 5] = {I}", "{D1}.update({{1: {I}}})", "{D1}.pop({I} % 5, None)",
    "{D1}[{I} % 3] = {D1}.get({I} % 3, 0) + 1", "{D1} |= {{3: {I}}}" if False else "{D1}[4] = {I}",
    "for k in {D1}:\n    {D1}[k] = ({D1}[k] + 1) % 99",
    "{S1}.add({I})", "{S1}.discard({I})", "{S1!} |= {{{I}}}", "{S1!} ^= {{{I} % 8}}",
    "{S1}.difference_update({L1})",
    "{Q1}.append({I})", "{Q1}.appendleft({I})", "{Q1}.rotate(1)", "{Q1!} += [{I}]",
    "while len({Q1}) > 4:\n    {Q1}.pop()",
    "{T1}[1].append({I})", "{i1!}, {L1!} = {T1}", "{T1!} = ({T1}[0] + {I}, {T1}[1])",
    "{O1}.n += {I}", "{O1}.items.append({I})", "{O1}.bump({I})", "{O1}.add({I})",
    "{O1}.add({I}).bump()", "{O1}.items = {L1}", "{O1}.items = [{I}]", "{O1}.child = {O2}",
    "if {O1}.child is not None:\n    {O1}.child.bump(2)", "{O1}.total = {I}", "{O1}.total += 1",
    "{O1}.share().append({I})", "setattr({O1}, 'n', {I})", "Box.made += 1", "Box.note({I})",
    "Box.registry = [*Box.registry[-3:], {I}]",
    "{C1}()", "next({G1}, 0)", "latest({I})", "counted({I})", "random.random()", "{R1}.random()",
    "{R1}.seed({I})", "random.seed({I})",
    "try:\n    {i1!} = next({G1})\nexcept StopIteration:\n    {G2!} = numbers({I})",
    "{N1}[0].append({I})", "{N1}.append([{I}])", "{N1}[-1] = {L1}", "{N1}.append({L1})",
    "del {N1}[:-3]", "for row in {N1}:\n    row.append({I})\n    del row[:-4]",
    "for row in {N1}:\n    row[:] = row[-3:]",
    "{P1}[0].bump({I})", "{P1}.append({O1})", "{P1}[0], {P1}[1] = {P1}[1], {P1}[0]",
    "del {P1}[2:]", "for o in {P1}:\n    o.bump({I})", "{P1}[1] = {O1}",
    "for k, o in enumerate({P1}):\n    o.n = (o.n + k) % 91",
    "{E1}[{I} % 3].append({I})", "{E1}[1] = {L1}", "for xs in {E1}.values():\n    del xs[:-3]",
    "{M1}['a'].bump()", "{M1}['b'] = {O1}", "{M1}['a'], {M1}['b'] = {M1}['b'], {M1}['a']",
    "for name, o in {M1}.items():\n    o.add(len(name))",
    "{B1}[{I}] = {I}", "{B1!} += {I}", "with {B1}:\n    {i1!} = {I}", "{B1}({I})",
    "with {B1} as bag:\n    bag[{I}] = {I}", "with entered({L1}) as xs:\n    xs.append({I})",
    "a, *b = [{I}, {I}, {I}]\n{i1!} = a + sum(b)",
    "if (w := {I} % 7) > 3:\n    {i1!} = w",
    "match {I} % 3:\n    case 0:\n        {L1}.append(0)\n    case 1:\n        {i1!} = {I}\n"
    "    case other:\n        {O1}.n = other",
    "match {T1}:\n    case (0, xs):\n        xs.append(1)\n    case (k, [*xs]):\n"
    "        {i1!} = k + len(xs)",
    "{i1!} = (lambda a, b=2: a * b % 37)({I})",
    "{i1!} = sum(a * b for a, b in zip({L1}, {L2})) % 77",
    "{D1!} = {{k: v for k, v in {D1}.items() if k != {I} % 5}}",
    "{i1!} = sum(1 for v in {L1} if v in {S1})", "{L1!} = [o.bump() for o in {P1}]",
    "{L1!} = list(map(square, {L2}[:4]))", "for a, b in zip({L1}[:2], {G1}):\n    {i1!} = a + b",
    "for k, v in enumerate({G1}):\n    {i1!} += v\n    if k > 1:\n        break",
    "{L1!} = [*{L2}[:2], *{L3}[:2]]", "globals_holder['x'] = {I}",
    "globals_holder['y'].append({I})",
    "nested['a']['b'] = {I}", "nested['a']['c'].append({I})",
    "{i1!}, {L1!} = len({L2}), split({L2}, {I})[1]", "{L1!}, {L2!} = split({L3}, {I})",
    "with contextlib.suppress(KeyError):\n    {D1}.pop({I})\n    {i1!} = {I}",
    "with muffle:\n    {i1!} = {D1}[{I}]\n    {L1}.append({I})",
    "with muffle as held, {B1}:\n    {L1}.append(held.caught)",
    "while ({i1!} := {i1!} + 1) % 3:\n    {L1}.append({i1!})\n    del {L1}[:-4]",
    "{L1!} = [w := v + 1 for v in {L2}[:3]]",
    "if hasattr({O1}, '__dict__'):\n    {O1}.tag = {I}",
    "if hasattr({O1}, 'tag'):\n    del {O1}.tag",
    "{i1!} = getattr({O1}, 'tag', 0) + 1",
    "match {O1}:\n    case Data(n=k):\n        {i1!} = k\n    case Box(items=[k, *_]):\n"
    "        {L1}.append(k)",
    "match {D1}:\n    case {{1: v, **rest}}:\n        {i1!} = v + len(rest)",
    "print({I}, {i1}, file=sink)", "sink.write(f'{{{i1}:>4}}')",
    "for v in collected({L1}, {I}):\n    if v > 2:\n        break\n    {i1!} = v",
    "{C1!} = {C2} if {I} % 2 else Times({C2})",
    "xs = {L1}\nxs += [{I}]\nys = xs[-4:]\n{L2!} = ys",
    "{L1!}, {L2!} = {L2!}, {L1!}",
    "for {i1!} in {L1}[:2]:\n    {O1}.bump({i1!})",
    "{D1}[{I} % 4], {D1}[{I} % 4] = {I}, {I}",
    "del {D1}[{D1}.setdefault({I} % 3, 1) and next(iter({D1}))]",
    "{S1}.update({L1})", "{S1} -= {{{I}}}" if False else "{S1}.symmetric_difference_update([{I}])",
    "{E1}.pop({I} % 3, None)", "{Q1}.extendleft([{I}])", "{L1}.remove({L1}[0]) if {L1} else None",
    "{L1}.clear()", "{D1}.clear()", "assert {B1} or True", "{N1}[0] += [{I}]",
    "{M1}['a'].items[:] = [{I}]", "{O1}.items += [{I}]", "{O1}.n -= 1 if {B1} else 2",
    "{L1!} = {L2} * 1", "{L1} *= 1" if False else "{L1}.extend({L1}[:1])",
    "{i1!} = 1 if {O1} is {O2} else 2", "{i1!} += {O1} in {P1}",
    # numpy
    "{A1!} += {I}", "{A1}[{I} % 4] = {I}", "{A1}[1:3] *= 0.5", "np.random.shuffle({A1})",
    "{A1}.sort()", "{A1}.fill({I})", "np.add({A1}, 1, out={A1})", "{K1}.shuffle({A1})",
    "{A1!} = {A1!} % 7", "{A1}[{A1} > 20] = 0", "np.random.seed({I})", "{A1!} %= 50",
    "np.copyto({A1}, {A2})", "{A1}.resize(4)" if False else "{A1}[::2] -= {A2}[::2]",
    "for row in {A1}.reshape(2, 2):\n    row += 1", "np.random.rand(2)",
    # torch
    "{X1}.add_({I})", "{X1}.mul_(0.5)", "{X1}[0] = {I}", "{X1!} += 1", "{X1}[1:].fill_({I})",
    "{X1}.copy_({X2})", "torch.manual_seed({I})", "{X1}.clamp_(-9, 9)", "{X1!} = {X1!} % 7",
    "torch.add({X1}, 1, out={X1})", "{X1}.data[1] = {I}", "{Z1}.manual_seed({I})", "torch.rand(1)",
    "{Y1}.step({X1})", "{Y1}.step({X1})", "{Y1}.sched.step()", "{Y1}.net.train()",
    "{Y1}.net.eval()", "{Y1}.n += 1", "{Y1}.probe()",
    "with torch.no_grad():\n    {Y1}.net[0].weight.mul_(0.9)",
    "{Y1}.opt.param_groups[0]['lr'] = 0.01 * (1 + {I} % 5)",
    "for group in {Y1}.opt.param_groups:\n    group['lr'] *= 0.9",
    "{Y1}.best = copy.deepcopy({Y1}.net.state_dict())",
    "if {Y1}.best is not None:\n    {Y1}.net.load_state_dict({Y1}.best)",
    "{Y1}.ema = {Y1}.ema * 0.5", "nn.init.normal_({Y1}.net[0].weight)",
    "nn.utils.clip_grad_norm_({Y1}.net.parameters(), 0.5)", "{Y1}.opt.zero_grad()",
)  # fmt: skip

VIEWS = {
    "i": "{i1} % 1000", "L": "repr({L1}[-6:])", "D": "repr({D1})", "S": "sorted({S1})",
    "Q": "list({Q1})[-5:]", "T": "repr({T1})", "O": "repr({O1}.view())", "N": "repr({N1}[-4:])",
    "P": "repr([o.view() for o in {P1}])", "E": "repr(sorted({E1}.items()))",
    "M": "repr([(k, o.view()) for k, o in {M1}.items()])", "B": "repr({B1}.view())",
    "C": "{C1}()", "G": "next({G1}, -1)", "R": "{R1}.random()", "A": "repr({A1}.tolist())",
    "K": "{K1}.random()", "X": "repr({X1}.tolist())", "Z": "torch.rand(1, generator={Z1}).item()",
    "Y": "repr({Y1}.view())",
}  # fmt: skip

PURE_VIEWS = "iLDSQTONPEMBAXY"
PARAMS = "iLDSOQN"
EXTRA = """
def zip_sum(a, b):
    for x, y in zip(a, b):
        if x > 10_000:
            return
        yield x + y


def enumerated(it):
    for k, v in enumerate(it):
        yield k + v


sink = io.StringIO()
muffle = Muffle()
globals_holder = {"x": 0, "y": []}
nested = {"a": {"b": 0, "c": []}}

"""


NUMPY = """
import numpy as np

np.random.seed(7)
"""

TORCH = """
import torch
from torch import nn

torch.manual_seed(5)


class Fit:
    def __init__(self, n, kind="sgd"):
        self.net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.2))
        if kind == "sgd":
            self.opt = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        else:
            self.opt = torch.optim.Adam(self.net.parameters(), lr=0.02)
        self.sched = torch.optim.lr_scheduler.StepLR(self.opt, 2, gamma=0.5)
        self.ema = self.net[0].weight.detach().clone()
        self.best = None
        self.n = n

    def step(self, x):
        out = self.net(torch.stack([x, x + 1.0]) / 50)
        loss = ((out - 1.0) ** 2).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.ema.lerp_(self.net[0].weight.detach(), 0.25)
        return loss.item()

    @torch.no_grad()
    def probe(self):
        self.net.eval()
        value = self.net(torch.ones(1, 3)).sum().item()
        self.net.train()
        return value

    def view(self):
        lr = self.opt.param_groups[0]["lr"]
        return (self.net[0].weight.tolist(), self.net[1].running_mean.tolist(), lr, self.n,
                self.ema.tolist(), self.net.training, self.sched.last_epoch)

"""


REGIONS = """
def measured(xs, n):
    total, seen = 0, []
    for v in xs[:5]:
        seen.append((v + n) % 13)
        total += random.randint(0, 3) + len(seen)
    return total % 97


def tabled(xs, n):
    table = {"a": [], "n": n % 50}
    for v in xs[:6]:
        table["a"].append(v % 17)
        table.setdefault("b", table["a"])
    return table


def own(n):
    box = Data(n % 7, [n])
    box.add(n).bump(random.randint(0, 5))
    return box.total % 60


def noise(n):
    rng = random.Random(n)
    return [rng.randint(0, 9) for _ in range(3)]


def reader(n):
    return (sum(L0) + len(D0) + n + Box.made) % 80


def viewed(o):
    n, items, *_ = o.view()
    return (n + sum(items[-3:])) % 70


def bundled(n):
    items = []

    def put(v):
        items.append(v)

    for v in range(n % 4):
        put(v + random.randint(0, 1))
    return n % 30, items


def leaky(xs, n):
    # Gives back what it was given.
    return xs, n + len(xs)


def drained(xs, n):
    # Changes what it was given, by another name.
    ys = xs if n % 2 else [n]
    ys.append(random.randint(0, 9))
    del ys[:-4]


def drawer(r, n):
    # Moves somebody's random generator.
    return r.randint(0, n % 5 + 1)


def stepped(it, n):
    # Advances somebody's iterator.
    return (next(it, 1) + n) % 65


def touchy(n):
    if random.randint(0, 2) == 0:
        raise ValueError(n)
    return n % 20


def remembered(n, kept=[0]):
    kept[0] += n % 3
    return kept[0] % 40


def tallied(n):
    globals_holder["x"] = n
    return len(globals_holder["y"])


spare = 3


def rebinds(n):
    global spare
    spare = (spare + n) % 90
    return spare


def both(xs, n):
    return measured(xs, n) + own(n)


def fills(box, n):
    # Changes an object that it may have made itself.
    box = box if n % 3 else Box(n)
    box.items.append(n)
    del box.items[:-4]
    return len(box.items)

"""
CALLS = (
    "{i1!} = measured({L1}, {I})", "measured({L1}, {I})", "{i1!} = own({I})", "own({I})",
    "{L1!} = noise({I})", "{i1!} = reader({I})", "{i1!} = viewed({O1})", "{T1!} = bundled({I})",
    "tab = tabled({L1}, {I})\n{L2!} = tab['a']\n{L3!} = tab.get('b', [])",
    "{L1!}, {i1!} = leaky({L2}, {I})", "drained({L1}, {I})", "{i1!} = drawer({R1}, {I})",
    "{i1!} = stepped({G1}, {I})", "{i1!} = remembered({I})", "{i1!} = tallied({I})",
    "try:\n    {i1!} = touchy({I})\nexcept ValueError:\n    {i1!} += 1",
    "{i1!} = both({L1}, {I})", "{i1!} = rebinds({I})", "{i1!} = fills({O1}, {I})", "{Y1}.probe()",
    "value = {Y1}.probe()\n{i1!} = int(value * 10) % 40",
)  # fmt: skip
"""Calls that may be regions, and some that are nearly."""


class Scope:
    """What a body may read and rebind, by type."""

    def __init__(self, visible: dict[str, list[str]], rebindable: dict[str, list[str]]) -> None:
        self.visible = visible
        self.rebindable = rebindable


class Writer:
    """Writes one program; every choice comes from `rng`."""

    def __init__(self, rng: random.Random, size: int, regions: bool = False) -> None:
        self.regions = regions
        self.rng = rng
        self.size = size
        self.functions: list[tuple[str, str, bool]] = []  # name, parameter types, generator
        self.number = 0
        self.logs = 0
        self.imports = [name for name in LIBRARIES if rng.random() < 0.25]
        absent = "".join(LIBRARIES[name] for name in LIBRARIES if name not in self.imports)
        self.kinds = "".join(kind for kind in TYPES if kind not in absent)
        self.simple = [t for t in SIMPLE if self.usable(t)]
        self.alias = {k: [t for t in ALIAS[k] if self.usable(t)] for k in self.kinds}

    def pick(self, options: Sequence[str]) -> str:
        """One of `options`."""
        return options[self.rng.randrange(len(options))]

    def usable(self, template: str) -> bool:
        """Whether the program has all types and imports that a template uses."""
        if not set(re.findall(r"\{([a-zA-Z])\d!?\}", template)) <= set(self.kinds):
            return False
        needs = {"np.": "numpy", "torch.": "torch", "nn.": "torch"}
        return all(
            name in self.imports
            for prefix, name in needs.items()
            if re.search(rf"\b{prefix}", template)
        )

    def fresh(self, stem: str) -> str:
        """A name that wasn't used yet."""
        self.number += 1
        return f"{stem}{self.number}"

    def fill(self, template: str, scope: Scope, depth: int = 0) -> str:
        """The template with variables and int expressions put in."""
        chosen: dict[str, str] = {}

        def put(found: re.Match[str]) -> str:
            if found[0] == "{{" or found[0] == "}}":
                return found[0][0]
            if found[0] == "{I}":
                return self.integer(scope, depth + 1)
            kind, bind = found[1], f"{{{found[1]}{found[2]}!}}" in template
            key = found[1] + found[2]
            if key not in chosen:
                chosen[key] = self.pick((scope.rebindable if bind else scope.visible)[kind])
            return chosen[key]

        return re.sub(r"\{\{|\}\}|\{I\}|\{([a-zA-Z])(\d)!?\}", put, template)

    def integer(self, scope: Scope, depth: int) -> str:
        """An int expression."""
        roll = self.rng.random()
        if depth > 2 or roll < 0.4 or "B" not in scope.visible:
            return str(self.rng.randrange(12))
        if roll < 0.7:
            return self.pick(scope.visible["i"])
        text = self.fill(self.pick(self.alias["i"]), scope, depth)
        return f"({text})"

    def block(self, lines: list[str], indent: int) -> list[str]:
        """Lines moved to the right."""
        return ["    " * indent + line if line else line for line in lines]

    def statements(self, scope: Scope, count: int, depth: int, loop: bool, log: bool) -> list[str]:
        """A body of about `count` statements."""
        lines: list[str] = []
        for _ in range(count):
            lines += self.statement(scope, depth, loop, log)
        return lines or ["pass"]

    def statement(self, scope: Scope, depth: int, loop: bool, log: bool) -> list[str]:
        """One statement, perhaps a compound one."""
        roll = self.rng.random()
        if log and roll < 0.08:
            return [self.log(scope)]
        if depth < 2 and roll < 0.2:
            return self.compound(scope, depth, loop, log)
        if self.functions and roll < 0.3:
            return self.call(scope)
        if self.regions and self.rng.random() < 0.5:
            for _ in range(20):
                template = self.pick(CALLS)
                kinds = re.findall(r"\{([a-zA-Z])\d!\}", template)
                if self.usable(template) and all(scope.rebindable.get(kind) for kind in kinds):
                    return self.fill(template, scope).split("\n")
        kinds = [k for k in MAKE if scope.rebindable.get(k)]
        if kinds and roll < 0.5:
            kind = self.pick(kinds)
            if self.rng.random() < 0.3:
                source = self.fill(self.pick(MAKE[kind]), scope)
            else:
                source = self.fill(self.pick(self.alias[kind]), scope)
            return [f"{self.pick(scope.rebindable[kind])} = {source}"]
        for _ in range(20):
            template = self.pick(self.simple)
            kinds = re.findall(r"\{([a-zA-Z])\d!\}", template)
            if all(scope.rebindable.get(kind) for kind in kinds):
                return self.fill(template, scope).split("\n")
        return ["pass"]

    def log(self, scope: Scope) -> str:
        """A log statement; now and then one that draws or advances."""
        roll = self.rng.random()
        kinds = [k for k in (PURE_VIEWS if roll < 0.93 else "CGRKZ") if k in self.kinds]
        view = self.fill(VIEWS[self.pick(kinds)], scope)
        if roll < 0.1:
            view = self.relations(scope)
        self.logs += 1
        return f'flor.log("v{self.logs}", {view})'

    def relations(self, scope: Scope) -> str:
        """Which of some variables are the same object."""
        kind = self.pick([k for k in "LLDSQTOOCGRNPEMBAX" if k in self.kinds])
        names = sorted(set(scope.visible[kind]))
        parts = {"L": "{N1}[0] {O1}.items {T1}[1]", "O": "{P1}[0] {M1}['a'] {O1}.child"}
        more = self.fill(parts.get(kind, ""), scope).split()
        return f"[a is b for a, b in itertools.combinations([{', '.join([*names, *more])}], 2)]"

    def call(self, scope: Scope) -> list[str]:
        """A call of a function of the program."""
        name, kinds, _ = self.functions[self.rng.randrange(len(self.functions))]
        given = [self.pick(scope.visible[k]) for k in kinds]
        roll = self.rng.random()
        if roll < 0.15 and given:
            return [f"{name}(*[{', '.join(given)}])"]
        target = self.pick(scope.rebindable["i"]) if scope.rebindable.get("i") else "unused"
        return [f"{target} = {name}({', '.join(given)})"]

    def compound(self, scope: Scope, depth: int, loop: bool, log: bool) -> list[str]:
        """if, try, an inner loop."""
        kind = self.pick(
            ("if", "if", "else", "try", "finally", "for", "while", "jump", "maybe", "raise", "del")
        )
        few = 1 + self.rng.randrange(3)

        def inner(jumps: bool = loop) -> list[str]:
            return self.block(self.statements(scope, few, depth + 1, jumps, log), 1)

        condition = f"{self.integer(scope, 1)} % {2 + self.rng.randrange(3)} == 0"
        if kind == "if":
            return [f"if {condition}:", *inner()]
        if kind == "else":
            return [f"if {condition}:", *inner(), "else:", *inner()]
        if kind == "for":
            return self.loop(scope, depth, log)
        if kind == "while":
            name = self.fresh("w")
            lines = [f"{name} = 0", f"while {name} < {1 + self.rng.randrange(3)}:"]
            lines += [f"    {name} += 1", *inner(True)]
            return lines + (["else:", *inner()] if self.rng.random() < 0.2 else [])
        if kind == "jump" and loop:
            return [f"if {condition}:", *inner(), f"    {self.pick(('continue', 'break'))}"]
        if kind == "maybe":
            name = self.fresh("m")
            lines = [f"if {condition}:", f"    {name} = {self.integer(scope, 1)}", "try:"]
            return [*lines, f"    {name} = {name} + 1", "except NameError:", f"    {name} = 0"]
        if kind == "del":
            name = self.fresh("d")
            lines = [f"{name} = [{self.integer(scope, 1)}]", *self.statement(scope, 2, loop, log)]
            return [*lines, f"{self.pick(scope.visible['L'])}.extend({name})", f"del {name}"]
        if kind == "raise":
            error = self.pick(("ValueError", "KeyError"))
            lines = ["try:", *inner(), f"    if {condition}:", f"        raise {error}({few})"]
            return [*lines, *inner(), f"except {error} as error:", *inner(), "    del error"][
                : None if self.rng.random() < 0.3 else -1
            ]
        if kind == "finally":
            return ["try:", *inner(), "finally:", *inner(False)]
        lines = ["try:", *inner(), f"    {self.pick(scope.visible['D'])}[{few}] += 1"]
        lines += ["except KeyError:", *inner()]
        return lines + (["else:", *inner()] if self.rng.random() < 0.3 else [])

    def loop(self, scope: Scope, depth: int, log: bool, outer: bool = False) -> list[str]:
        """A for loop."""
        name = self.fresh("e" if outer else "k")
        times = 2 + self.rng.randrange(3)
        kind = self.pick(
            ("range", "range", "enumerate", "list", "gen", "zip", "iter", "named", "objs", "while")
        )
        if kind == "while" and outer:
            return self.while_loop(scope, name, times)
        if kind == "range":
            head = f"for {name} in range({times}):"
        elif kind == "enumerate":
            head = f"for {name}, v{name} in enumerate({self.pick(scope.visible['L'])}[:{times}]):"
        elif kind == "list":
            head = f"for {name} in [{', '.join('3142'[:times])}]:"
        elif kind == "gen":
            source = self.pick(("numbers", "drawn", "chained"))
            head = f"for {name} in itertools.islice({source}({times}), {times}):"
        elif kind == "zip":
            head = f"for {name}, z{name} in zip(range({times}), {self.pick(scope.visible['G'])}):"
        elif kind == "iter":
            head = f"for {name} in itertools.islice({self.pick(scope.visible['G'])}, {times}):"
        elif kind == "objs":
            head = f"for {name} in range(min({times}, 1 + len({self.pick(scope.visible['P'])}))):"
        else:
            head = f"for {name} in flor.loop('{name}', range({times})):"
        inside = dict(scope.visible)
        if kind in ("range", "list", "gen", "iter", "named"):
            inside["i"] = [*inside["i"], name]
        inner = Scope(inside, scope.rebindable)
        count = 3 + self.rng.randrange(self.size) if outer else 1 + self.rng.randrange(3)
        body = self.statements(inner, count, 0 if outer else depth + 1, True, log)
        if outer:
            body.append(self.log(inner))
        lines = [head, *self.block(body, 1)]
        if self.rng.random() < 0.1:
            lines += ["else:", *self.block(self.statements(scope, 1, 2, False, log), 1)]
        return lines

    def while_loop(self, scope: Scope, name: str, times: int) -> list[str]:
        """An outer while loop, by a condition or by a break."""
        inner = Scope({**scope.visible, "i": [*scope.visible["i"], name]}, scope.rebindable)
        body = self.statements(inner, 3 + self.rng.randrange(self.size), 0, True, True)
        body = [line.replace("continue", "break") for line in body]  # would step over the counter
        body.append(self.log(inner))
        if self.rng.random() < 0.5:
            return [f"{name} = 0", f"while {name} < {times}:",
                    *self.block([f"{name} += 1", *body], 1)]  # fmt: skip
        body += [f"{name} += 1", f"if {name} >= {times}:", "    break"]
        return [f"{name} = 0", "while True:", *self.block(body, 1)]

    def function(self, globals_: dict[str, list[str]]) -> list[str]:
        """A function of the program; some rebind globals, some have loops, some log."""
        name = self.fresh("f")
        kinds = "".join(self.pick(PARAMS) for _ in range(self.rng.randrange(3)))
        params = [f"p{n}" for n in range(len(kinds))]
        visible = {k: list(v) for k, v in globals_.items()}
        rebindable: dict[str, list[str]] = {k: [] for k in self.kinds}
        lines = []
        for kind, param in zip(kinds, params):
            visible[kind] = [*visible[kind], param, param]
            rebindable[kind].append(param)
        for kind in self.kinds:
            if self.rng.random() < 0.2:
                shared = self.pick(globals_[kind])
                lines.append(f"global {shared}")
                rebindable[kind].append(shared)
            elif self.rng.random() < 0.2:
                local = f"x{kind}"
                make = self.fill(self.pick(MAKE[kind]), Scope(visible, rebindable))
                lines.append(f"{local} = {make}")
                visible[kind] = [*visible[kind], local, local]
                rebindable[kind].append(local)
        lines.sort(key=lambda line: not line.startswith("global"))
        scope = Scope(visible, rebindable)
        size = 1 + self.rng.randrange(4)
        if self.rng.random() < 0.25:
            lines += self.nested(scope, size)
        else:
            lines += self.statements(scope, size, 1, False, self.rng.random() < 0.4)
        lines.append(f"return {self.integer(scope, 1)}")
        self.functions.append((name, kinds, False))
        shown = ", ".join(params)
        return [f"def {name}({shown}, *rest):" if params else f"def {name}(*rest):",
                *self.block(lines, 1), "", ""]  # fmt: skip

    def nested(self, scope: Scope, size: int) -> list[str]:
        """A nested function with nonlocal state, called a few times."""
        state, local = self.fresh("n"), self.fresh("g")
        inside = {**scope.visible, "i": [*scope.visible["i"], state]}
        body = self.statements(Scope(inside, {"i": [state]}), size, 2, False, False)
        lines = [f"{state} = 1", f"def {local}():", f"    nonlocal {state}", *self.block(body, 1)]
        lines += [f"    return {state} % 90", f"{local}()"]
        if scope.rebindable["C"]:
            lines.append(f"{self.pick(scope.rebindable['C'])} = {local}")
        return lines

    def program(self) -> str:
        """The whole text."""
        seed = self.rng.randrange(100)
        globals_ = {k: [f"{k}0", f"{k}1"] for k in self.kinds}
        plain = {"i": ["1", "2"]}
        lines: list[str] = []
        order = "".join(k for k in "iLDSQTORNPEMBGCAKXZY" if k in self.kinds)
        for kind in order:
            for name in globals_[kind]:
                lines.append(f"{name} = {self.fill(self.pick(MAKE[kind]), Scope(plain, {}))}")
        text = HEADER.format(seed=seed) + EXTRA + REGIONS * self.regions
        text += NUMPY * ("numpy" in self.imports) + TORCH * ("torch" in self.imports)
        text += "\n".join(lines) + "\n\n\n"
        functions: list[str] = []
        for _ in range(self.rng.randrange(4)):
            functions += self.function(globals_)
        text += "\n".join(functions)
        in_main = self.rng.random() < 0.5
        scope = Scope(globals_, globals_)
        body: list[str] = []
        if in_main:
            visible = {k: [*v] for k, v in globals_.items()}
            rebindable: dict[str, list[str]] = {k: [] for k in self.kinds}
            for kind in order:
                if self.rng.random() < 0.7:
                    local = f"{kind}_"
                    source = self.pick(MAKE[kind] if self.rng.random() < 0.5 else self.alias[kind])
                    body.append(f"{local} = {self.fill(source, Scope(globals_, globals_))}")
                    visible[kind] += [local, local]
                    rebindable[kind].append(local)
                elif self.rng.random() < 0.4:
                    shared = self.pick(globals_[kind])
                    body.insert(0, f"global {shared}")
                    rebindable[kind].append(shared)
            scope = Scope(visible, rebindable)
        for _ in range(1 + (self.rng.random() < 0.3)):
            body += self.statements(scope, self.rng.randrange(3), 2, False, False)
            body += self.loop(scope, 0, True, outer=True)
        for kind in order:
            if self.rng.random() < 0.6:
                view = self.fill(VIEWS[kind], scope)
                body.append(f'flor.log("end {kind}", {view})')
        body.append(f'flor.log("same", {self.relations(scope)})')
        body.append('flor.log("sink", sink.getvalue()[-40:])')
        if in_main:
            return text + "\n".join(["def main():", *self.block(body, 1), "", "", "main()", ""])
        return text + "\n".join([*body, ""])


def program(rng: random.Random, size: int = 8, regions: bool = False) -> str:
    """A random program; with `regions`, one with many calls that a replay may skip."""
    return Writer(rng, size, regions).program()
