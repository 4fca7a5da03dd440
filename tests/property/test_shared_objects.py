"""Programs whose names change hands: a jump must give each name the very object it had."""

from __future__ import annotations

import jumping
import pytest

BAG = """
import flor
class Bag:
    def __init__(self): self.held = {}
"""

PROGRAMS = {
    "a name takes over an object that the loop does not change": """
B1 = Bag()
def main():
    mine = Bag()
    n = 0
    for k in range(6):
        n += k
        if k == 2:
            mine = B1
        flor.log("probe", n)
    B1.held["x"] = n
    flor.log("end", [sorted(map(str, mine.held)), mine is B1])
main()
""",
    "a name takes over objects that have changed attributes": """
one, two, now = Bag(), Bag(), Bag()
for k in range(6):
    if k == 2:
        now = one
    if k == 4:
        now = two
    now.held[k] = k
    flor.log("probe", [len(one.held), len(two.held), now is one, now is two])
""",
    "an object leaves the graph that another name still holds": """
root = {"m": Bag()}
root["m"].child = other = Bag()
for k in range(8):
    root["m"].child.held[k] = k
    if k == 4:
        root["m"].child = Bag()
    flor.log("probe", [len(root["m"].child.held), len(other.held)])
""",
    "two names change places": """
a, b = [1], [2]
both = [a, b]
for k in range(8):
    a, b = b, a
    a.append(k)
    flor.log("probe", [both[0], both[1], a is both[0]])
""",
    "attributes hold what two names swap": """
p = Bag()
p.x, p.y = [1], [2]
a, b = p.x, p.y
for k in range(9):
    if k % 3:
        a, b = b, a
    a.append(k)
    flor.log("probe", [p.x, p.y, a is p.x])
""",
    "a bound method is taken in a loop before": """
class Count:
    def __init__(self, n): self.n = n
    def up(self):
        self.n += 1
        return self.n
held = {"a": Count(9), "b": Bag()}
for k in range(4):
    if k % 2:
        up = held["a"].up
for k in range(4):
    held["a"].up()
flor.log("end", up())
""",
    "a captured name that every iteration binds anew": """
def main():
    first = now = Bag()
    k = 0
    while True:
        now = Bag()
        now.held = {k: k}
        flor.log("probe", k)
        k += 1
        if k > 8:
            break
    late = lambda: now.held
    flor.log("end", first.held)
main()
""",
    "a closure, or an object that holds it": """
class Twice:
    def __init__(self, inner): self.inner = inner
    def __call__(self): return self.inner() * 2
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up
a = [1]
b = counter()
a = b if len(a) > 1 else Twice(b)
for k in range(8):
    flor.log("probe", b())
flor.log("end", a())
""",
    "a buffer in memory": """
import io
log = io.StringIO()
for k in range(8):
    log.write(str(k))
    flor.log("probe", [log.getvalue(), log.tell()])
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_identity(name: str) -> None:
    """Every jump gives the true values."""
    outcome = jumping.check(BAG + PROGRAMS[name])
    assert not outcome.wrong, outcome
    assert outcome.jumps == outcome.heads > 6, outcome
