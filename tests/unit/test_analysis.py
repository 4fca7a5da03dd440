"""The analyses by themselves: heap, graphs, liveness, gradients, loops, sets, obstacles, logs."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis.callgraph import Summaries
from florc.analysis.cfg import control_flow_graph
from florc.analysis.execute import PointsTo, points_to
from florc.analysis.liveness import liveness
from florc.analysis.program import Program, build_program
from florc.driver import compile_project
from florc.effects.model import load_effects
from florc.frontend.project import load_project
from florc.plan import LoopPlan, Plan


def plan_of(tmp_path: Path, text: str) -> Plan:
    script = tmp_path / "script.py"
    script.write_text(dedent(text))
    return compile_project(script, root=tmp_path).plan


def members(tmp_path: Path, text: str, loop: str | None = None) -> dict[str, str]:
    """Path -> how, of the named loop, or of the outermost training one."""
    found = [lp for lp in plan_of(tmp_path, text).loops if lp.training]
    chosen = next(lp for lp in found if loop in (None, lp.name))
    return {m.path: m.how for m in chosen.state}


def only_loop(tmp_path: Path, text: str) -> LoopPlan:
    (found,) = [lp for lp in plan_of(tmp_path, text).loops if lp.training]
    return found


def solved(tmp_path: Path, text: str) -> tuple[Program, PointsTo]:
    script = tmp_path / "script.py"
    script.write_text(dedent(text))
    program = build_program(load_project(script, root=tmp_path))
    return program, points_to(program, load_effects())


def held(tmp_path: Path, text: str, name: str) -> set[str]:
    """Types (or classes) of what a global may hold."""
    program, result = solved(tmp_path, text)
    scope = program.bodies["__main__"].scope
    found = result.heap.variable(scope, name)
    return {o.cls.scope.path if o.cls else o.type or o.kind for o in found}


NAMED = """
class A:
    pass
a = A()
a.z = [1]
def f(a):
    for k in ("v", "w"):
        setattr(a, k, {1})
def g(a):
    for k in ("v", "w"):
        return getattr(a, k)
f(a)
"""

# -- the heap -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pair = ([1], {2})\nx = pair[1]", {"builtins.set"}),
        ("a, b = [1], {}\nx = b", {"builtins.dict"}),
        ("d = {'a': [1], 'b': {}}\nx = d['a']", {"builtins.list"}),
        ("d = {}\nd['k'] = [1]\nx = d['k']", {"builtins.list"}),
        ("xs = [[1], [2]]\nfor x in xs:\n    pass", {"builtins.list"}),
        ("first, *rest = [{1}, [2], [3]]\nx = rest", {"builtins.list"}),
        ("def f(*args):\n    return args\nx = f([1])[0]", {"builtins.list"}),
        ("def f(**kw):\n    return kw['a']\nx = f(a={1})", {"builtins.set"}),
        ("def make():\n    kept = {}\n    def get():\n        return kept\n    return get\n"
         "x = make()()", {"builtins.dict"}),
        ("class A:\n    pass\na = A()\na.v = [1]\nx = a.v", {"builtins.list"}),
        ("class A:\n    v = {}\nx = A().v", {"builtins.dict"}),
        (f"{NAMED}x = a.v", {"builtins.set"}),
        (f"{NAMED}x = a.z", {"builtins.list"}),
        (f"{NAMED}x = g(a)", {"builtins.set"}),
        ("from torch.utils.data import DataLoader\nx = DataLoader([1], 4, collate_fn={1}).dataset",
         {"builtins.list"}),
        ("from torch.utils.data import DataLoader\nx = DataLoader([1], sampler={1}).sampler",
         {"builtins.set", "torch.utils.data.LoadersSampler"}),
        ("import itertools\nfor x in itertools.repeat({1}):\n    pass", {"builtins.set"}),
        ("import copy\nclass A:\n    pass\na = A()\na.v = [{1}]\nx = copy.deepcopy(a).v",
         {"builtins.list"}),
        ("import torch\nz = torch.nn.ModuleList()\nz += [torch.nn.ReLU()]\nx = list(z)[0]",
         {"torch.nn.ReLU", "torch.nn.ModuleList"}),
        ("import torch\nz = torch.nn.ModuleList() + [torch.nn.ReLU()]\nx = list(z)[0]",
         {"torch.nn.ReLU", "torch.nn.ModuleList"}),
        ("import torch\nz = torch.nn.ModuleList()\nz += [torch.nn.ReLU()]\nx = z",
         {"torch.nn.ModuleList", "builtins.list"}),
        ("import json\nz = json.load(open('a'))\nz += [1]\nx = z", {"json.Data", "builtins.list"}),
        ("import json\nz = json.load(open('a')) + [{1}]\nx = z[0]", {"builtins.set", "json.Data"}),
        ("import json\nz = [{1}] + json.load(open('a'))\nx = z[0]", {"builtins.set", "json.Data"}),
        ("class A:\n    pass\nz = [1] if len('a') else A()\nz += [2]\nx = z", {"builtins.list"}),
        ("class A:\n    @property\n    def v(self):\n        return {1}\nx = A().v",
         {"builtins.set"}),
        ("x = (lambda kept=[]: kept)()", {"builtins.list"}),
        ("import copy\nclass A:\n    pass\nx = copy.deepcopy(A())", {"A"}),
        ("class A:\n    def __add__(self, other):\n        return [1]\nx = A() + 1",
         {"builtins.list"}),
        ("class A:\n    def __rmod__(self, other):\n        return [1]\nx = 3 % A()",
         {"builtins.list"}),
    ],
)  # fmt: skip
def test_points_to(tmp_path: Path, text: str, expected: set[str]) -> None:
    """What `x` may hold after the program."""
    assert held(tmp_path, text, "x") == expected


def test_a_deep_copy_holds_copies(tmp_path: Path) -> None:
    """A deep copy shares nothing with its original, a shallow one what it holds."""
    program, result = solved(
        tmp_path,
        """
        import copy
        a = [[1]]
        deep = copy.deepcopy(a)
        shallow = copy.copy(a)
        """,
    )
    heap, scope = result.heap, program.bodies["__main__"].scope
    (a,), (deep,) = heap.variable(scope, "a"), heap.variable(scope, "deep")
    (shallow,) = heap.variable(scope, "shallow")
    assert not heap.reach({a}) & heap.reach({deep})
    assert heap.elements(a) == heap.elements(shallow)


def test_a_part_belongs_to_its_lump(tmp_path: Path) -> None:
    """Who mutates a layer's weight mutates the layer."""
    found = members(
        tmp_path,
        """
        import torch
        layer = torch.nn.Linear(2, 2)
        other = torch.nn.Linear(2, 2)
        for step in range(3):
            layer.weight.data.mul_(0.5)
            print(other(torch.ones(2)))
        print(layer)
        """,
    )
    assert "layer" in found
    assert "other" not in found


# -- control flow and liveness --------------------------------------------------------------------


def live_at_loop(text: str, tmp_path: Path) -> frozenset[str]:
    """Names live at the head of the first loop of the script."""
    program, _ = solved(tmp_path, text)
    body = program.bodies["__main__"]
    assert isinstance(body.node, ast.Module)
    graph = control_flow_graph(body.node.body)
    head = next(iter(graph.heads.values()))
    return liveness(graph, body.scope, program.scopes).before[head]


@pytest.mark.parametrize(
    ("body", "live"),
    [
        ("x = 1\nprint(x)", False),  # assigned before it is read
        ("print(x)\nx = 1", True),
        ("if c:\n    x = 1\nprint(x)", True),  # on some paths only
        ("if c:\n    x = 1\nelse:\n    x = 2\nprint(x)", False),
        ("try:\n    x = f()\nexcept ValueError:\n    pass\nprint(x)", True),
        ("try:\n    x = f()\nexcept ValueError:\n    x = 0\nprint(x)", False),
        ("try:\n    x = f()\nfinally:\n    print(x)", True),
        ("try:\n    f()\nfinally:\n    x = 1\nprint(x)", False),
        ("while c:\n    x = 1\n    break\nelse:\n    x = 2\nprint(x)", False),
        ("while c:\n    x = 1\nelse:\n    pass\nprint(x)", True),
        ("for y in []:\n    x = 1\nprint(x)", True),
        ("match c:\n    case 1:\n        x = 1\n    case _:\n        x = 2\nprint(x)", None),
        ("match c:\n    case [x]:\n        print(x)", False),
        ("c and (x := 1)\nprint(x)", True),  # perhaps not evaluated
        ("(x := 1)\nprint(x)", False),
        ("x += 1", True),
        ("del x", True),
        ("if c:\n    continue\nx = 1\nprint(x)", False),
        ("print([x for x in range(3)])", False),  # its own scope
        ("print([x for y in range(3)])", True),
    ],
)
def test_liveness(tmp_path: Path, body: str, live: bool | None) -> None:
    """Whether `x` is live at the head of a loop with this body; None: either will do."""
    indented = "\n".join("    " + line for line in body.splitlines())
    names = live_at_loop(f"x, c = 0, 1\nfor i in range(3):\n{indented}\n", tmp_path)
    assert live is None or ("x" in names) is live


def test_graph_of_nested_finally() -> None:
    """A `return` inside `try … finally` passes through the `finally` block."""
    text = "try:\n    return_here = 1\n    raise ValueError\nfinally:\n    last = 1\nafter = 2"
    graph = control_flow_graph(ast.parse(text).body)
    last = next(n for n in graph.nodes if n.statement is not None and n.statement.lineno == 5)
    raised = next(n for n in graph.nodes if isinstance(n.statement, ast.Raise))
    reached, stack = set(), [raised]
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += node.successors
    assert last in reached


# -- checkpoint sets ------------------------------------------------------------------------------


def test_function_attributes_are_state(tmp_path: Path) -> None:
    """`f.calls += 1` is saved with the function's name."""
    text = """
        def f():
            f.calls = getattr(f, "calls", 0) + 1
        for i in range(3):
            f()
        print(f.calls)
        """
    assert "f.calls" in members(tmp_path, text)


def test_mutable_defaults_are_state(tmp_path: Path) -> None:
    """Functions, methods, lambdas, and functions that only a partial object leads to."""
    text = """
        import functools
        def f(x, kept=[]):
            kept.append(x)
        def g(x, *, kept=[]):
            kept.append(x)
        h = lambda x, kept=[]: kept.append(x)
        class A:
            def add(self, x, kept=[]):
                kept.append(x)
        def hidden(x, kept=[]):
            kept.append(x)
        p = functools.partial(hidden, 1)
        a = A()
        for i in range(3):
            f(i), g(i), h(i), a.add(i), p()
        """
    found = members(tmp_path, text)
    assert {"f.__defaults__", "g.__kwdefaults__", "h.__defaults__"} <= set(found)
    assert {"A.add.__defaults__", "hidden.__defaults__"} <= set(found)


def test_objects_of_a_factory_are_many(tmp_path: Path) -> None:
    """One allocation site, several objects: each name of one is saved."""
    text = """
        class Box:
            def __init__(self):
                self.items = []
            @classmethod
            def fresh(cls):
                return cls()
        a, b = Box.fresh(), Box.fresh()
        def make():
            return []
        pair = []
        for k in "xy":
            pair.append(make())
        c, d = pair
        e, f = make(), make()
        for i in range(3):
            a.items.append(i), b.items.append(i)
            c.append(i), d.append(i), e.append(i), f.append(i)
        print(a, b, c, d, e, f)
        """
    found = {m.path for m in plan_of(tmp_path, text).loops[-1].state}
    assert {"a.items", "b.items", "c", "d", "e", "f"} <= found


def test_a_call_back_makes_many(tmp_path: Path) -> None:
    """What `map` or a default factory makes is not one object."""
    text = """
        from dataclasses import dataclass, field
        @dataclass
        class Data:
            items: list = field(default_factory=list)
        def make(_):
            return []
        a, b = Data(), Data()
        c, d = map(make, "xy")
        for i in range(3):
            a.items.append(i), b.items.append(i), c.append(i), d.append(i)
        print(a, b, c, d)
        """
    assert {"a.items", "b.items", "c", "d"} <= set(members(tmp_path, text))


def test_every_closure_of_a_function_is_named(tmp_path: Path) -> None:
    """Two closures of one nested function have cells of their own."""
    text = """
        def counter(n):
            def up():
                nonlocal n
                n += 1
                return n
            return up
        a, b = counter(1), counter(2)
        for i in range(3):
            print(a(), b())
        """
    assert {"a.__closure__.n", "b.__closure__.n"} <= set(members(tmp_path, text))


def test_closures_in_containers_prevent_jumps(tmp_path: Path) -> None:
    """No access path leads to their cells."""
    text = """
        def counter(n):
            def up():
                nonlocal n
                n += 1
                return n
            return up
        several = [counter(1), counter(2)]
        for i in range(3):
            print(several[0]())
        """
    loop = only_loop(tmp_path, text)
    assert not loop.jump
    assert "n of counter.up" in loop.jump_reason


def test_an_assigned_attribute_is_rebound(tmp_path: Path) -> None:
    """Its old value may live on elsewhere: it must not be overwritten in place."""
    text = """
        class A:
            items = []
        old = A.items
        for i in range(3):
            A.items = [*A.items, i]
        print(old, A.items)
        """
    found = members(tmp_path, text)
    assert found["A.items"] == "rebound"
    assert not any(path.startswith("A.items.") for path in found)


def test_what_a_member_shares_is_saved_with_it(tmp_path: Path) -> None:
    """`kept` may hold `box` by the end of the loop; a later change must show in both."""
    text = """
        class Box:
            def __init__(self):
                self.n = 0
        box, kept = Box(), [Box()]
        for i in range(3):
            kept[0] = box
        for i in range(3):
            kept[0].n += 1
        print(box.n)
        """
    plan = plan_of(tmp_path, text)
    assert "box" in {m.path for m in plan.loops[0].state}


def test_what_is_shared_but_constant_is_not_saved(tmp_path: Path) -> None:
    """Data that nothing changes may be shared with a member."""
    text = """
        data = [[1], [2], [3]]
        total = 0
        row = data[0]
        for i in range(3):
            row = data[i]
            total += len(row)
        print(total, row)
        """
    assert set(members(tmp_path, text)) == {"row", "total"}


@pytest.mark.parametrize(
    "use",
    ["3 in a", "a == 3", "a < a", "-a", "a % 2", "2 % a", "f'{a}'", "repr(a)", "str(a)", "len(a)",
     "a[0]", "a @ a", "print(a)", "hash(a)"],
)  # fmt: skip
def test_special_methods_may_change_their_object(tmp_path: Path, use: str) -> None:
    """Operators and built-in functions call methods of the project."""
    methods = ("contains eq lt neg mod rmod format repr str len getitem matmul hash").split()
    definitions = "\n".join(f"    def __{m}__(self, *o):\n        self.{m} = 1" for m in methods)
    text = f"class A:\n{definitions}\na = A()\nfor i in range(3):\n    {use}\nprint(vars(a))\n"
    assert any(path.startswith("a.") for path in members(tmp_path, text))


def test_reading_a_default_dict_may_change_it(tmp_path: Path) -> None:
    """A missing key makes an entry."""
    text = """
        from collections import defaultdict
        seen = defaultdict(list)
        for i in range(3):
            len(seen[i])
        print(seen)
        """
    assert "seen" in members(tmp_path, text)


# -- jumps ----------------------------------------------------------------------------------------


def test_a_loop_that_yields_is_not_jumped(tmp_path: Path) -> None:
    """Its consumer would stay behind."""
    text = """
        def train():
            total = [0]
            for epoch in range(5):
                total.append(epoch)
                yield total
        for result in train():
            print(result)
        """
    loops = {lp.scope: lp for lp in plan_of(tmp_path, text).loops}
    assert not any(lp.jump for scope, lp in loops.items() if scope == "train" and lp.training)


def test_a_generator_that_reads_the_state_prevents_jumps(tmp_path: Path) -> None:
    """Winding it forward would read the wrong state."""
    text = """
        state = [0]
        def batches():
            while True:
                yield state[-1]
        stream = batches()
        for step in range(5):
            state.append(next(stream) + 1)
        """
    loop = next(lp for lp in plan_of(tmp_path, text).loops if lp.scope == "" and lp.training)
    assert not loop.jump
    assert "batches" in loop.jump_reason


@pytest.mark.parametrize("old", [False, True])
def test_a_generator_of_one_iteration_needs_no_position(tmp_path: Path, old: bool) -> None:
    """Made by what an iteration calls, it is gone at the next head; an older one isn't."""
    text = """
        import torch

        class Log:
            def __init__(self):
                self.seen = []

            def every(self, items):
                total = 0
                for x in items:
                    total += len(self.seen)
                    yield x + total

        def begin(log):
            return log.every([1.0, 2.0, 3.0])

        def train(net, log):
            for x in begin(log):
                net(torch.tensor([x])).sum().backward()
                log.seen.append(x)

        net = torch.nn.Linear(1, 1)
        log = Log()
        steps = begin(log)
        for epoch in range(4):
            train(net, log)
            {old}
    """.replace("{old}", "print(next(steps, None))" if old else "pass")
    loops = {loop.name: loop for loop in plan_of(tmp_path, text).loops}
    assert loops["epoch"].jump is not old


def test_what_a_cache_holds_cannot_be_saved(tmp_path: Path) -> None:
    """A cached function that draws gives what it drew first; a pure one may be asked again."""
    text = """
        import functools, random
        @functools.lru_cache(maxsize=None)
        def square(v):
            return v * v
        def noisy(v):
            return v + random.random()
        cached = functools.cache(noisy)
        state = []
        for i in range(3):
            state.append({call}(i // 2))
        print(state)
        """
    assert only_loop(tmp_path, text.replace("{call}", "square")).jump
    loop = only_loop(tmp_path, text.replace("{call}", "cached"))
    assert not loop.jump
    assert "noisy" in loop.jump_reason


def test_an_iterator_advanced_in_two_ways_prevents_jumps(tmp_path: Path) -> None:
    """Winding one of them forward moves the other."""
    text = """
        source = iter(range(50))
        pairs = enumerate(source)
        state = []
        for i in range(3):
            state.append(next(pairs))
            state.append(next(source))
        print(state)
        """
    loop = only_loop(tmp_path, text)
    assert not loop.jump
    assert "no one position" in loop.jump_reason


def test_an_autograd_function_is_run_backward(tmp_path: Path) -> None:
    """`apply` stands for both of its methods."""
    text = """
        import torch
        class Clip(torch.autograd.Function):
            count = 0
            @staticmethod
            def forward(ctx, x):
                return x.clone()
            @staticmethod
            def backward(ctx, g):
                Clip.count += 1
                return g
        w = torch.ones(2, requires_grad=True)
        for step in range(3):
            Clip.apply(w).sum().backward()
        print(w.grad)
        """
    assert "Clip.count" in members(tmp_path, text)


def test_a_name_that_is_assigned_does_not_stand_for_its_object(tmp_path: Path) -> None:
    """`b` is made anew when restored: `a`, which may be the same object, is needed too."""
    text = """
        class Bag:
            def __init__(self):
                self.held = []
            def __iadd__(self, value):
                self.held.append(value)
                return self
        a = Bag()
        b = a
        for i in range(3):
            b += i
        a.held.append(1)
        print(b.held)
        """
    found = members(tmp_path, text)
    assert "b" in found
    assert "a" in {path.partition(".")[0] for path in found}


def test_what_a_rebound_name_holds_is_saved_with_it(tmp_path: Path) -> None:
    """All but attributes of classes, which are saved by their names."""
    text = """
        import torch

        class Inner:
            def __init__(self):
                self.count = 0

        def local():
            class Counted:
                count = 0
            return Counted

        class Outer:
            def __init__(self):
                self.inner = Inner()
                self.kind = local()

        net = torch.nn.Linear(1, 1)
        best = Outer()
        other = best
        for epoch in range(3):
            net(torch.ones(1)).backward()
            best.inner.count += 1
            best.kind.count += 1
            if epoch == 1:
                best = Outer()
        print(best.inner.count, best.kind.count)
    """
    found = members(tmp_path, text)
    assert "best" in found and "best.inner.count" not in found
    assert "best.kind.count" in found


def test_a_path_that_comes_round_is_saved_whole(tmp_path: Path) -> None:
    text = """
        import torch

        class Node:
            def __init__(self, then):
                self.then = then
                self.value = 0.0

        nodes = None
        for _ in range(4):
            nodes = Node(nodes)
        net = torch.nn.Linear(1, 1)
        for epoch in range(3):
            net(torch.ones(1)).backward()
            node = nodes
            while node is not None:
                node.value += 1.0
                node = node.then
        print(nodes.then.then.then.value)
    """
    found = members(tmp_path, text, "epoch")
    assert {"nodes.value", "nodes.then"} <= found.keys() or "nodes" in found
    assert not any(path.startswith("nodes.then.then") for path in found)


def test_a_dead_name_leads_nowhere(tmp_path: Path) -> None:
    """`f` holds another object by now: nothing is reached over it."""
    text = """
        class Box:
            def __init__(self):
                self.n = 0
        def g():
            pass
        box = Box()
        f = box
        for i in range(3):
            f = g
            box.n += 1
        print(box.n)
        """
    assert set(members(tmp_path, text)) == {"box.n"}


# -- gradients ------------------------------------------------------------------------------------

TRAIN = """
    import torch
    model = torch.nn.Linear(2, 1)
    other = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    second = torch.optim.SGD(other.parameters(), lr=0.1)
    x = torch.ones(4, 2)
    for step in range(5):
{body}
    """


@pytest.mark.parametrize(
    ("body", "dead"),
    [
        (["optimizer.zero_grad()", "model(x).sum().backward()", "optimizer.step()"], True),
        (["model(x).sum().backward()", "optimizer.step()", "optimizer.zero_grad()"], False),
        (["model(x).sum().backward()", "if step % 2:", "    optimizer.step()",
          "    optimizer.zero_grad()"], False),  # accumulated
        (["optimizer.zero_grad()", "other(x).sum().backward()", "optimizer.step()",
          "second.step()"], False),  # the other one's add up
        (["optimizer.zero_grad()", "second.zero_grad()", "(model(x) + other(x)).sum().backward()",
          "optimizer.step()", "second.step()"], True),
    ],
)  # fmt: skip
def test_dead_gradients(tmp_path: Path, body: list[str], dead: bool) -> None:
    """Gradients need no saving where they are cleared before anything reads or adds to them."""
    text = TRAIN.format(body="\n".join(" " * 8 + line for line in body))
    loop = only_loop(tmp_path, text)
    if dead:
        assert loop.dead_grads in (True, False)  # saving them is never wrong
    else:
        assert not loop.dead_grads


def test_gradients_are_dead_in_the_usual_loop(tmp_path: Path) -> None:
    """Most scripts: clear, backward, step."""
    body = ["optimizer.zero_grad()", "model(x).sum().backward()", "optimizer.step()"]
    text = TRAIN.format(body="\n".join(" " * 8 + line for line in body))
    assert only_loop(tmp_path, text.replace("other", "unused")).dead_grads


# -- names of loops, log statements ---------------------------------------------------------------


def test_loop_names(tmp_path: Path) -> None:
    """By counter, by place, by hand; unique without regard to case."""
    text = """
        import flor
        state = []
        for epoch in range(3):
            for batch in [1, 2]:
                state.append(batch)
        for Epoch in range(3):
            state.append(Epoch)
        for x in flor.loop("phase", range(2)):
            state.append(x)
        n = 0
        while n < 3:
            n += 1
            state.append(n)
        """
    names = [lp.name for lp in plan_of(tmp_path, text).loops]
    assert {"epoch", "step", "phase", "n"} <= set(names)
    assert len({name.lower() for name in names}) == len(names) == 5


@pytest.mark.parametrize(
    ("value", "impure"),
    [
        ("len(state)", False),
        ("state.pop()", True),
        ("random.random()", True),
        ("next(stream)", True),
        ("sorted(state)", False),
        ("[s for s in state]", False),
        ("bump()", True),
    ],
)
def test_impure_log_statements(tmp_path: Path, value: str, impure: bool) -> None:
    """A log statement that draws, advances or mutates changes training."""
    text = f"""
        import random, flor
        state, count = [], 0
        stream = iter([1, 2, 3, 4, 5, 6, 7])
        def bump():
            global count
            count += 1
        for i in range(3):
            state.append(i)
            flor.log("x", {value})
            random.random(), next(stream)
        """
    (log,) = plan_of(tmp_path, text).logs
    assert bool(log.impure) is impure


def test_volatile_log_statements(tmp_path: Path) -> None:
    """What depends on the clock is never compared."""
    text = """
        import time, flor
        state = []
        for i in range(3):
            begun = time.time()
            state.append(i)
            took = time.time() - begun
            flor.log("took", took)
            flor.log("n", len(state))
        """
    logs = {log.name: log.volatile for log in plan_of(tmp_path, text).logs}
    assert logs == {"took": True, "n": False}


def test_summaries_follow_calls(tmp_path: Path) -> None:
    """A statement's effects include its callees'."""
    program, result = solved(
        tmp_path,
        """
        kept = []
        def inner():
            kept.append(1)
        def outer():
            inner()
        outer()
        """,
    )
    body = program.bodies["__main__"].node
    assert isinstance(body, ast.Module)
    accesses = Summaries(result).of_statements([body.body[-1]])
    assert any(a.kind == "mutate" and a.function.path == "inner" for a in accesses)


@pytest.mark.parametrize(
    "head",
    [
        "if net is None:\n    pass\nelse:",
        "try:\n    raise ValueError\nexcept ValueError:",
        "try:\n    pass\nfinally:",
        "match net:\n    case _:\n        pass\nif net is None:\n    pass\nelif net:",
    ],
)
def test_a_loop_in_another_branch_is_found(tmp_path: Path, head: str) -> None:
    text = f"""
import torch
net = torch.nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
{head}
    for epoch in range(3):
        opt.zero_grad()
        net(torch.ones(4, 2)).sum().backward()
        opt.step()
"""
    assert members(tmp_path, text) == {"net": "mutated", "opt": "mutated"}


def test_what_another_branch_changes_later_is_not_recomputed(tmp_path: Path) -> None:
    text = """
        best, total = 1.0, 0.0
        table = [best]
        for epoch in range(9):
            total += table[0]
            table = [best] * 100000
            if epoch % 2:
                pass
            else:
                CHANGE
        """
    same = only_loop(tmp_path, text.replace("CHANGE", "total -= 0.1"))
    assert [each.path for each in same.recomputed] == ["table"]
    assert not only_loop(tmp_path, text.replace("CHANGE", "best -= 0.1")).recomputed


@pytest.mark.parametrize(
    ("call", "reads"),
    [
        ('os.path.exists("a")', True),
        ('open("w").read()', True),
        ('open("log", "w")', False),
        ('open("log", mode="ab")', False),
        ('pathlib.Path("log").open("w")', False),
        ('log = pathlib.Path("log"); log.read_text()', True),
        ('log = pathlib.Path("log"); log.exists()', True),
        ('log = pathlib.Path("log") / "a"; log.read_bytes()', True),
        ('log = pathlib.Path("log"); log.write_text("a")', False),
        ('open("log", "w+")', True),
    ],
)
def test_a_name_is_no_mode(tmp_path: Path, call: str, reads: bool) -> None:
    text = f"""
import os, pathlib
best = 0
for epoch in range(3):
    best += 1
    {call}
"""
    assert only_loop(tmp_path, text).rereads is reads
