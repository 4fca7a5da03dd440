"""Loops that change what an iterator goes through: a jump must find the iterator's very place."""

from __future__ import annotations

import jumping
import pytest

from florc.analysis.heap import COARSE

HEADER = """
import collections, itertools
import flor
class Walk:
    def __init__(self, n): self.at = n
    def __iter__(self): return self
    def __next__(self):
        if self.at > 9: raise StopIteration
        self.at += 1
        return self.at
class Bag:
    def __init__(self, items): self.items = items
    def __iter__(self): return iter(self.items)
class Seq:
    def __init__(self, items): self.items = items
    def __getitem__(self, n): return self.items[n]
def gen(xs):
    for x in xs: yield x
L1 = [3, 2, 1, 5, 6, 7, 8]
n = 0
"""

REFUSED = {
    "rebound iter in zip": """
G = iter(L1)
for k, z in zip(range(4), G):
    n += sum(itertools.islice(G, 2))
    G = iter([k])
    flor.log("n", [n, k, z])
""",
    "iter itself rebound": """
G = iter(L1)
for z in G:
    n += next(G, 0)
    if n > 3: G = iter([n])
    flor.log("n", [n, z])
""",
    "list appended and rebound": """
xs = list(L1)
for z in xs:
    if z < 9: xs.append(z + 3)
    if z == 2: xs = [1]
    n += z
    flor.log("n", [n, z, xs])
""",
    "list changed, deleted": """
xs = list(L1)
for z in xs:
    if n == 0:
        xs[3] = 77
        del xs
    n += z
    flor.log("n", [n, z])
""",
    "unnamed list, changed by function before": """
class Reg: pass
Reg.now = list(L1)
def step(k):
    Reg.now[3] = 50 + k
    Reg.now = [1, 2, 3, 4]
def main():
    n = 0
    for z in Reg.now:
        step(z)
        n += z
        flor.log("n", [n, z, Reg.now])
main()
""",
    "enumerate over rebound list": """
xs = list(L1)
for k, z in enumerate(xs):
    if n == 0: xs[3] = 77
    xs = [1]
    n += z
    flor.log("n", [n, z, xs])
""",
    "zip with rebound Walk": """
w = Walk(1)
for k, z in zip(range(20), w):
    w.at += 1
    if k == 1: w = Walk(1)
    n += z
    flor.log("n", [n, z, w.at])
""",
    "rebound Walk": """
w = Walk(1)
for z in w:
    w.at += 1
    if n > 3: w = Walk(1)
    n += z
    flor.log("n", [n, z, w.at])
""",
    "walk by next": """
w = Walk(1)
for z in w:
    n += next(w, 0)
    if n > 3: w = Walk(1)
    flor.log("n", [n, z, w.at])
""",
    "bag rebound items": """
b = Bag(list(L1))
for z in b:
    b.items.pop()
    if n > 3: b.items = [1]
    n += z
    flor.log("n", [n, z, b.items])
""",
    "bag rebound": """
b = Bag(list(L1))
for z in b:
    b.items.pop()
    if n > 3: b = Bag([1])
    n += z
    flor.log("n", [n, z, b.items])
""",
    "seq rebound": """
b = Seq(list(L1))
for z in b:
    b.items.pop()
    if n > 3: b = Seq([1])
    n += z
    flor.log("n", [n, z, b.items])
""",
    "seq items rebound": """
b = Seq(list(L1))
for z in b:
    b.items.pop()
    if n > 3: b.items = [9,9,9,9,9,9,9]
    n += z
    flor.log("n", [n, z, b.items])
""",
    "dict values rebound": """
d = {k: k for k in L1}
for z in d.values():
    d[6] = 60 + z
    if z == 2: d = {1: 1}
    n += z
    flor.log("n", [n, z, d])
""",
    "dict items elements mutated": """
d = {k: [k] for k in L1}
for k, z in d.items():
    d[6].append(k)
    if k == 2: d = {6: [1]}
    n += sum(z)
    flor.log("n", [n, z, d])
""",
    "list of lists": """
xs = [[v] for v in L1]
for z in xs:
    xs[-1].append(n)
    if z[0] == 2: xs = [[1]]
    n += sum(z)
    flor.log("n", [n, z, xs])
""",
    "islice over G": """
G = iter(L1)
for z in itertools.islice(G, 4):
    n += next(G, 0)
    if z == 3: G = iter([4,4,4,4])
    flor.log("n", [n, z])
""",
    "chain": """
G = iter(L1)
for z in itertools.chain([1, 2], G):
    n += next(G, 0)
    if n > 6: G = iter([4,4,4,4])
    flor.log("n", [n, z])
""",
    "inner loop over outer iterator": """
G = iter(L1)
for z in G:
    for y in G:
        n += y
        if y == 5: break
        G = iter([5, 5])
        flor.log("y", [n, y])
    flor.log("n", [n, z])
""",
    "in another function": """
def bits(it):
    return next(it, 0)
def main():
    n = 0
    G = iter(L1)
    for k, z in zip(range(4), G):
        n += bits(G)
        G = iter([k, 4])
        flor.log("n", [n, k, z])
main()
""",
    "object attribute holds iterator": """
class O: pass
o = O()
o.it = iter(L1)
for k, z in zip(range(4), o.it):
    n += next(o.it, 0)
    if k == 1: o.it = iter([k, 4])
    flor.log("n", [n, k, z])
""",
    "in list holds iterator": """
o = [iter(L1)]
for k, z in zip(range(4), o[0]):
    n += next(o[0], 0)
    if k == 1: o[0] = iter([k, 4])
    flor.log("n", [n, k, z])
""",
    "while zipped outside": """
G = iter(L1); Z = zip(range(5), G)
for k in range(3):
    n += next(G, 0)
    n += sum(next(Z, (0, 0)))
    G = iter([k, 4])
    flor.log("n", [n, k])
""",
    "iter over list rebound outside loop": """
xs = list(L1)
g = iter(xs)
for k in range(5):
    xs.append(k + 10)
    n += next(g, 0) + next(g, 0)
    if k == 2: xs = [1]
    flor.log("n", [n, k])
""",
    "outer loop iter, inner training loop": """
xs = list(L1)
for z in xs:
    for k in range(2):
        if n < 20: xs.append(k + 10)
        n += z
        flor.log("k", [n, k])
    if z == 3: xs = [1]
    flor.log("n", [n, z])
""",
    "view kept": """
d = {k: k for k in L1}
vs = d.values()
for z in vs:
    d[6] = 60 + z
    if z == 2: d = {1: 1}
    n += z
    flor.log("n", [n, z, d])
""",
    "genexp over changed list": """
xs = list(L1)
for z in (v for v in xs if v % 2):
    xs[5] = 8 + z
    xs[6] += n
    n += z
    flor.log("n", [n, z, xs])
""",
    "genexp over rebound list": """
xs = list(L1)
for z in (v + 1 for v in xs):
    xs[5] = 8 + z
    if z == 3: xs = list(L1)
    n += z
    flor.log("n", [n, z, xs])
""",
    "filter sure": """
xs = list(L1)
for z in filter(lambda v: v % 2, xs):
    xs[5] = 8 + z
    xs[1] = 5
    n += z
    flor.log("n", [n, z, xs])
""",
    "filter function reads changed": """
xs = list(range(12)); ys = [1] * 20
for z in filter(lambda v: ys[v], xs):
    ys[z] = 0
    ys[min(z + 2, 19)] = 0
    n += z
    flor.log("n", [n, z, xs])
""",
    "filter reads rebound global": """
xs = list(range(12)); t = 0
def f(v): return v > t
def main():
    global t
    for z in filter(f, xs):
        t = z + 2
        flor.log("n", [z, t, xs])
main()
""",
    "generator adds up what the frame rebinds": """
def sums():
    s = 0
    for v in L1:
        s += v + n
        yield s
for z in sums():
    n += 1
    flor.log("n", [n, z])
""",
    "generator adds up what a function's frame rebinds": """
def main():
    n = 0
    def sums():
        s = 0
        for v in L1:
            s += v + n
            yield s
    g = sums()
    for k in range(4):
        n += 1
        flor.log("n", [n, next(g)])
main()
""",
    "generator in an inner loop adds up what the outer one rebinds": """
def sums():
    s = 0
    for v in range(20):
        s += v + n
        yield s
g = sums()
for k in range(3):
    n += 1
    for j in range(3):
        flor.log("n", [n, next(g)])
""",
    "generator of an inner loop's header adds up what the outer one changes": """
xs = [1]
def sums():
    s = 0
    for v in range(20):
        s += v + xs[0]
        yield s
g = sums()
for k in range(3):
    xs[0] += 1
    for j, z in zip(range(3), g):
        n += z
        flor.log("n", [n, z])
""",
    "pairwise and what it goes through, in one statement": """
x = iter(range(50))
y = itertools.pairwise(x)
for k in range(5):
    flor.log("n", [next(y), next(x) if k % 2 else 0])
""",
    "pairwise over what the body advances": """
x = iter(range(50))
for z in itertools.pairwise(x):
    n += 1
    if n % 2: next(x)
    flor.log("n", [n, z])
    if n > 6: break
""",
    "unnamed walk adds up what the frame rebinds": """
class Adding(Walk):
    def __next__(self):
        self.at += 1 + n
        return self.at
for z in Adding(1):
    n += z
    flor.log("n", [n, z])
    if z > 50: break
""",
    "zip of a walk that adds up what the frame rebinds": """
class Adding(Walk):
    def __next__(self):
        self.at += 1 + n
        return self.at
m = zip(Adding(1), range(50))
for k in range(5):
    n += next(m)[0]
    flor.log("n", n)
""",
    "accumulate adds up what the frame rebinds": """
for z in itertools.accumulate(L1, lambda a, b: a + b + n):
    n += 1
    flor.log("n", [n, z])
""",
    "chain grows": """
xs = list(L1)
for z in itertools.chain(xs, [10, 20]):
    if z < 5: xs.append(z + 3)
    n += z
    flor.log("n", [n, z, xs])
""",
    "takewhile": """
xs = list(L1)
for z in itertools.takewhile(lambda v: v != n, xs):
    xs[5] = 8 + z
    n += z
    flor.log("n", [n, z, xs])
""",
    "gen over shared iterator, rebound": """
G = iter(L1)
def g2(it):
    for x in it: yield x
for z in g2(G):
    n += next(G, 0)
    G = iter([z, 5])
    flor.log("n", [n, z])
""",
    "gen shared and rebound": """
g = gen(L1)
for z in g:
    n += next(g, 0)
    if n > 3: g = gen([n])
    flor.log("n", [n, z])
""",
    "gen in zip shared and rebound": """
g = gen(L1)
for k, z in zip(range(9), g):
    n += next(g, 0)
    if n > 3: g = gen([n])
    flor.log("n", [n, z])
""",
    "tensor rows": """
import torch
X = torch.arange(12.).reshape(4, 3)
for row in X:
    X[3] += row
    n += row.sum().item()
    if n > 2: X = torch.zeros(4, 3)
    flor.log("n", [n, X.sum().item()])
""",
    "reversed": """
xs = list(L1)
for z in reversed(xs):
    xs[1] += z
    n += z
    xs = list(xs)
    flor.log("n", [n, z, xs])
""",
    "nested function rebinds": """
def main():
    xs = list(L1)
    n = 0
    def change():
        nonlocal xs
        xs[4] = 20
        xs = [1, 2]
    for z in xs:
        if z == 2: change()
        n += z
        flor.log("n", [n, z, xs])
main()
""",
    "object swapped by setattr": """
class O: pass
o = O()
o.xs = list(L1)
for z in o.xs:
    o.xs[4] = 30
    setattr(o, "xs", [1, 2, 3, 4, 5])
    n += z
    flor.log("n", [n, z, o.xs])
""",
    "zip of lists one rebound": """
xs = list(L1); ys = list(L1)
for a, b in zip(xs, ys):
    xs[4] = 30; ys[5] = 40
    n += a + b
    if a == 2: ys = [2] * 7
    flor.log("n", [n, xs, ys])
""",
    "tuple of lists": """
t = ([1], [2], [3], [4])
for x in t:
    t[3].append(n); t[2].append(1)
    n += sum(x)
    if n > 3: t = ([1], [2], [3], [4])
    flor.log("n", [n, t])
""",
    "csv reader": """
import csv
rows = ["1,2", "3,4", "5,6", "7,8", "9,0"]
r = csv.reader(rows)
for a, b in r:
    n += int(next(r, [0])[0]) + int(a)
    flor.log("n", [n, a])
""",
}

JUMPED = {
    "parameters of a network": """
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
for p in net.parameters():
    with torch.no_grad(): p.add_(n % 3)
    n += int(p.sum())
    flor.log("n", [n, sum(q.sum().item() for q in net.parameters())])
""",
    "a data set that changes below a loader": """
import torch
class Data(torch.utils.data.Dataset):
    def __init__(self): self.xs = [float(x) for x in L1]
    def __len__(self): return len(self.xs)
    def __getitem__(self, k): return self.xs[k]
data = Data()
batches = iter(torch.utils.data.DataLoader(data, batch_size=1))
for k in range(6):
    data.xs[(k + 2) % 7] += k
    n += next(batches).item()
    flor.log("n", [n, data.xs])
""",
    "elements that only the header names": """
def main():
    n = 0
    walks = [Walk(k) for k in L1]
    for w in walks:
        w.at += n
        w.next = walks_of(w, n)
        n += w.at
        flor.log("n", n)
def walks_of(w, n): return Walk(w.at + n)
main()
""",
    "iter itself": """
G = iter(L1)
for z in G:
    n += next(G, 0)
    flor.log("n", [n, z])
""",
    "list changed, dead": """
xs = list(L1)
for z in xs:
    xs[-1] += z
    n += z
    flor.log("n", [n, z])
""",
    "dict values not rebound": """
d = {k: k for k in L1}
for z in d.values():
    d[6] = 60 + z
    n += z
    flor.log("n", [n, z, d])
""",
    "genexp reads rebound": """
xs = list(L1)
for z in (v + n for v in xs):
    n += z
    flor.log("n", [n, z, xs])
""",
    "genexp reads a changed list": """
xs = list(L1); ys = [0] * 20
for z in (ys[v] for v in xs):
    ys[n % 20] += 1
    n += z + 1
    flor.log("n", [n, z, xs, ys])
""",
    "genexp calls function reading global": """
xs = list(L1); ys = [0] * 20
def f(v): return ys[v]
def main():
    n = 0
    for z in (f(v) for v in xs):
        ys[n % 20] += 1
        n += z + 1
        flor.log("n", [n, z, xs, ys])
main()
""",
    "map function reads changed": """
xs = list(L1); ys = [0] * 20
def f(v): return ys[v]
def main():
    n = 0
    for z in map(f, xs):
        ys[n % 20] += 1
        n += z + 1
        flor.log("n", [n, z, xs, ys])
main()
""",
    "walk by next, what it is": """
w = Walk(1)
for k in range(5):
    n += next(w)
    w.at += n % 2
    flor.log("n", [n, w.at, isinstance(w, Walk)])
""",
    "walk by next adds up what the frame rebinds": """
class Adding(Walk):
    def __next__(self):
        self.at += 1 + n
        return self.at
w = Adding(1)
for k in range(5):
    n += next(w)
    flor.log("n", [n, w.at])
""",
    "walk by next and through zip": """
w = Walk(1)
m = zip(w, range(50))
for k in range(4):
    n += next(m)[0]
    if k % 2: n += next(w)
    flor.log("n", [n, w.at])
""",
    "prefetching class": """
class Ahead:
    def __init__(self, items):
        self.it = iter(items)
        self.next = next(self.it)
    def __iter__(self): return self
    def __next__(self):
        out, self.next = self.next, next(self.it)
        return out
p = Ahead(L1)
for k in range(5):
    n += next(p)
    flor.log("n", n)
""",
    "endless class": """
class Endless:
    def __init__(self, items):
        self.items = items
        self.it = iter(items)
    def __iter__(self): return self
    def __next__(self):
        try:
            return next(self.it)
        except StopIteration:
            self.it = iter(self.items)
            return next(self.it)
p = Endless(L1)
for k in range(12):
    n += next(p)
    flor.log("n", n)
""",
    "map of a partial has effects later": """
import functools
seen = []
def f(kept, v): kept.append(v)
m = zip(map(functools.partial(f, seen), L1))
for k in range(5):
    next(m)
    flor.log("n", [k, seen])
""",
    "map has effects later": """
seen = []
def f(v):
    seen.append(v)
    return v
m = map(f, L1)
for k in range(5):
    if k != 2: n += next(m)
    flor.log("n", [n, len(seen)])
""",
    "iter of a function has effects later": """
def f():
    global n
    n += 2
    return n
m = iter(f, 99)
for k in range(5):
    flor.log("n", [next(m), n])
""",
    "goes through what a function gives": """
seen = []
def f():
    seen.append(n)
    return len(seen)
for z in iter(f, 6):
    n += z
    flor.log("n", [n, seen])
""",
    "gen shared": """
g = gen(L1)
for z in g:
    n += next(g, 0)
    flor.log("n", [n, z])
""",
    "gen via method, not rebound": """
class W:
    def __init__(self): self.xs = list(L1)
    def __iter__(self):
        for x in self.xs: yield x
w = W()
for z in w:
    w.xs[5] = z * 10
    n += z
    flor.log("n", [n, z, w.xs])
""",
    "param not rebound": """
def f(xs):
    n = 0
    for z in xs:
        xs[4] = 9
        n += z
        flor.log("n", [n, z])
f(list(L1))
f(list(L1))
""",
    "tensor rows not rebound": """
import torch
X = torch.arange(12.).reshape(4, 3)
for row in X:
    X[3] += row
    n += row.sum().item()
    flor.log("n", [n, X.sum().item()])
""",
}


@pytest.mark.parametrize("saturated", [0, 1, 3])
@pytest.mark.parametrize("name", [*REFUSED, *JUMPED])
def test_place(name: str, saturated: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every jump gives the true values; where nothing stands in the way, there are jumps."""
    if saturated:
        monkeypatch.setattr("florc.analysis.execute.GRAINS", (COARSE,))
        monkeypatch.setattr("florc.analysis.heap.SATURATED", saturated)
    outcome = jumping.check(HEADER + {**REFUSED, **JUMPED}[name])
    assert not outcome.wrong, outcome
    if name in JUMPED and not saturated:
        assert not outcome.refused and outcome.jumps >= outcome.heads - 1 > 3, outcome
    if name in REFUSED and not saturated:
        assert outcome.refused or outcome.restarts, outcome
