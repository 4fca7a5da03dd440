"""Which calls are skippable regions, and what stands in the way of others."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from florc.driver import compile_project
from florc.emit.build import assemble
from florc.explain import explain
from florc.plan import Plan, RegionPlan

TRAINING = """
import random
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = TensorDataset(torch.randn(8, 2))
loader = DataLoader(data, batch_size=4)
state = []
"""
LOOP = """
for epoch in range(3):
    for (x,) in loader:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    BODY
"""


def plan_of(folder: Path, definitions: str, body: str, before: str = TRAINING) -> Plan:
    loop = LOOP.replace("    BODY", indent(dedent(body).strip(), "    "))
    script = folder / "train.py"
    script.write_text(before + dedent(definitions) + loop)
    return compile_project(script, root=folder).plan


def only(folder: Path, definitions: str, body: str = "value = f()") -> RegionPlan:
    """The loop's own call, which is, or might have been, a region."""
    regions = plan_of(folder, definitions, body).regions
    found = [region for region in regions if region.call in ("f", "h")]
    assert len(found) == 1, regions
    return found[0]


# -- regions --------------------------------------------------------------------------------

EVALUATE = """
@torch.no_grad()
def f(net=model, batches=loader):
    net.eval()
    errors = []
    for (x,) in batches:
        errors.append(net(x).abs().mean().item())
    return sum(errors) / len(errors), {"errors": errors}
"""


def test_an_evaluation_pass(tmp_path: Path) -> None:
    found = only(tmp_path, EVALUATE, "loss, more = f(model, loader)")
    assert not found.obstacle
    assert (found.call, found.name, found.loops) == ("f", "f", ("epoch",))
    assert found.watch == ("f", "model") and not found.discarded  # a default value too
    assert "torch" in found.rng and "python" not in found.rng


@pytest.mark.parametrize(
    ("definitions", "body"),
    [
        ("def f():\n    print('x', random.random())", "f()"),
        ("def f():\n    return random.random()", "value = f()"),
        ("def f():\n    return random.random()", "state.append(1); value: float = f()"),
        ("def f():\n    return random.random()", "value = 0; value += f()"),
        ("def f(x):\n    torch.save(x.state_dict(), 'a.pt')", "f(model)"),
        ("def f():\n    random.shuffle(mine := list(range(4)))\n    return mine", "value = f()"),
        ("def f(x):\n    for name, p in x.named_parameters(): print(name)", "f(model)"),
        # what a helper does to an object of the call's own
        (
            "class M:\n    def __init__(self): self.n = 0\n    def add(self): self.n += 1\n"
            "def f():\n    m = M()\n    for _ in data: m.add()\n    return m.n\nother = M()",
            "kept = M(); kept.add(); value = f()",
        ),
        # a generator of its own, and a list that a nested function fills
        ("def g():\n    yield random.random()\ndef f():\n    return sum(g())", "value = f()"),
        (
            "def f():\n    out, n = [], 0\n    def add():\n        nonlocal n\n        n += 1\n"
            "        out.append(random.random())\n    add()\n    return out, n",
            "value = f()",
        ),
        # the result is a tensor that has no history
        ("def f():\n    with torch.no_grad():\n        return torch.randn(2).sum()", "value = f()"),
        # settings that are undone
        (
            "def f():\n    with torch.set_grad_enabled(False):\n        print(model(data[0][0]))",
            "f()",
        ),
        # an exception of its own
        (
            "def f():\n    try:\n        print(state[9])\n    except IndexError as e:\n"
            "        print(e)",
            "f()",
        ),
    ],
)  # fmt: skip
def test_regions(tmp_path: Path, definitions: str, body: str) -> None:
    assert only(tmp_path, definitions, body).obstacle == ""


def test_a_region_in_a_function_that_the_loop_calls(tmp_path: Path) -> None:
    text = EVALUATE + "def both(epoch):\n    print(epoch)\n    return f()\n"
    plan = plan_of(tmp_path, text, "value = both(epoch)")
    assert {(r.call, r.obstacle) for r in plan.regions} == {("both", ""), ("f", "")}


def test_a_method_watches_what_it_reaches_from_its_own_object(tmp_path: Path) -> None:
    text = """
    class Trainer:
        def __init__(self, net):
            self.net, self.seen = net, []
        def test(self):
            self.net.eval()
            return sum(self.net(x).sum().item() for (x,) in loader)
        def fit(self):
            for _ in range(2):
                self.net.train()
                self.net(data[0][0]).sum().backward()
                optimizer.step()
                self.score = self.test()
    trainer = Trainer(model)
    trainer.fit()
    """
    (found,) = plan_of(tmp_path, text, "pass").regions
    assert found.obstacle == ""
    assert found.call == "self.test" and found.name == "test"
    assert "self.net" in found.watch and "model" in found.watch


def test_log_statements_of_a_region(tmp_path: Path) -> None:
    text = "import flor\ndef g():\n    flor.log('a', 1)\ndef f():\n    g()\n    print(2)"
    plan = plan_of(tmp_path, text, "f(); flor.log('b', 2)")
    found = next(r for r in plan.regions if r.call == "f")
    assert found.logs == tuple(log.id for log in plan.logs if log.name == "a")


# -- no regions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definitions", "body", "reason"),
    [
        ("def f():\n    state.append(random.random())", "f()", "state.append() mutates it"),
        ("def f(xs):\n    print(xs); xs[0] = 1", "f(state)", "xs[0] is assigned"),
        ("best = 0\ndef f():\n    global best\n    best = random.random()", "f()", "best is"),
        ("def f(x):\n    print(x); x.lr = 1", "f(optimizer)", "x.lr is assigned"),
        ("def f(x):\n    print(1); x.zero_grad()", "f(model)", "x.zero_grad() clears gradients"),
        ("import lib\ndef f():\n    print(lib.go())", "f()", "unknown call lib.go()"),
        ("def f():\n    print(eval('1'))", "f()", "eval() may bind any name"),
        ("it = iter(data)\ndef f():\n    print(next(it))", "f()", "next() advances it"),
        ("def f(it):\n    print(list(it))", "f(zip(state, state))", "list() advances it"),
        ("def f(seen=[]):\n    print(seen); seen.append(1)", "f()", "seen.append()"),
        ("class C:\n    n = 0\ndef f():\n    C.n += 1; print(C)", "f()", "C.n is assigned"),
        ("def f():\n    torch.set_default_dtype(torch.float64); print(1)", "f()", "lasting"),
        ("def f():\n    torch.backends.cudnn.benchmark = True; print(1)", "f()", "is assigned"),
        ("def f():\n    print(input())", "f()", "input() has lasting effects"),
        ("import functools\n@functools.lru_cache\ndef f():\n    return random.random()", None,
         "f is decorated by functools.lru_cache"),
        ("import functools\ndef g():\n    return random.random()\nf = functools.lru_cache(g)\n"
         "def h():\n    return f()", "value = h()", "unknown call"),
        ("def f():\n    return iter([random.random()])", None, "it returns"),
        ("def f():\n    print(1); return state", None, "which isn't its own"),
        ("class C: pass\ndef f():\n    print(1); return C()", None, "it returns C@"),
        ("log = open('a')\ndef f():\n    print(log.readline())", "f()", "may be read from"),
        ("loader = DataLoader(data, num_workers=1, persistent_workers=True)\n"
         "def f(b):\n    return [len(x) for x in b]", "value = f(loader)", "the workers of"),
        ("def f():\n    open('a.txt', 'w').write('1')\nprint(1)", "f(); open('a.txt').read()",
         "it may write files, and the run reads files later"),
        ("def f(x):\n    print(1); x.to('cpu')", "f(model)", "x.to() mutates it"),
        ("def f(g):\n    return torch.rand(1, generator=g).item()",
         "value = f(state_of)", "torch.rand() mutates it"),
    ],
)  # fmt: skip
def test_obstacles(tmp_path: Path, definitions: str, body: str | None, reason: str) -> None:
    text = f"state_of = torch.Generator()\n{definitions}"
    found = only(tmp_path, text, body or "value = f()")
    assert reason in found.obstacle
    assert found.obstacle_file == "train.py" and found.obstacle_line > 0
    assert not found.watch


@pytest.mark.parametrize(
    ("definitions", "body"),
    [
        ("def f():\n    model(data[0][0]).sum().backward(); print(1)", "f()"),  # it trains
        ("def f():\n    return 3", "value = f()"),  # nothing worth skipping
        ("class C:\n    def __init__(self): print(1)", "value = C()"),
        ("def f():\n    yield print(1)", "f()"),
        ("async def f():\n    print(1)", "f()"),
        ("def f():\n    return model(data[0][0]).mean()", "value = f()"),  # a loss
        ("def f():\n    print(1)", "value = [f()]"),  # not the statement's value
        ("def f(n):\n    print(n)\n    if n: f(n - 1)", "pass"),
        ("def f():\n    print(1)", "value = lambda: f()"),
        ("f = print if state else random.random", "f()"),
    ],
)
def test_calls_that_nobody_takes_for_regions(tmp_path: Path, definitions: str, body: str) -> None:
    assert plan_of(tmp_path, definitions, body).regions == ()


def test_only_plain_arguments_let_the_frame_be_compared(tmp_path: Path) -> None:
    """What arguments change (`__bool__` of an object) would be taken for the call's doing."""
    text = """
    class Odd:
        n = 0
        def __bool__(self):
            self.n += 1
            return True
    odd = Odd()
    def f(n):
        print(n)
    """
    assert only(tmp_path, text, "f(epoch + 1)").plain
    assert not only(tmp_path, text, "f(2 if odd else 3)").plain
    assert not only(tmp_path, text, "f(len(state))").plain


def test_a_callee_that_holds_a_training_loop(tmp_path: Path) -> None:
    text = (
        "def run():\n    print(1)\n    for _ in range(2):\n        optimizer.step(model(data[0][0])"
    )
    text += ".sum().backward())\n"
    assert plan_of(tmp_path, text, "run()").regions == ()


def test_a_call_outside_of_training_loops(tmp_path: Path) -> None:
    assert (
        plan_of(tmp_path, "def f():\n    print(1)\nf()\nfor _ in range(2): f()", "pass").regions
        == ()
    )


def test_an_import_may_run_a_module(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("print('loaded')\n")
    found = only(tmp_path, "def f():\n    import helper\n    print(helper)", "f()")
    assert found.obstacle == "it may import helper.py"


def test_a_module_that_no_name_leads_to_cannot_be_watched(tmp_path: Path) -> None:
    text = "def make(): return nn.BatchNorm1d(2)\ndef f(net):\n    print(net(data[0][0]))"
    assert only(tmp_path, text + "\nother = make()", "f(other)").watch == ("other",)
    assert "can't be watched" in only(tmp_path, text, "f(make())").obstacle


def test_a_closure_from_outside_is_not_the_calls_own(tmp_path: Path) -> None:
    text = """
    def make():
        n = 0
        def add():
            nonlocal n
            n += 1
            print(n)
        return add
    add = make()
    def f():
        make()
        add()
    """
    assert "n is assigned" in only(tmp_path, text, "f()").obstacle


def test_an_object_of_the_same_place_from_outside(tmp_path: Path) -> None:
    text = "def make(): return []\nkept = make()\ndef f():\n"
    text += "    xs = make(); xs.append(random.random())"
    assert only(tmp_path, text, "f()").obstacle == ""
    text += "; kept.append(1)"
    assert "append" in only(tmp_path, text, "f()").obstacle
    text = text.replace("kept.append(1)", "print(kept)")  # one object for the analysis
    assert "append" in only(tmp_path, text, "f()").obstacle


# -- what is made of them ------------------------------------------------------------------------


def test_explain_lists_them_by_loop(tmp_path: Path) -> None:
    text = EVALUATE + "def g():\n    state.append(random.random())\n"
    report = explain(plan_of(tmp_path, text, "value = f()\ng()"))
    skippable, _, executed = report.partition("  not skippable\n")
    assert (
        "  skippable\n    f()  train.py:28  leaves its result, random states, modes of" in skippable
    )
    assert executed.startswith("    g()  train.py:29  state.append() mutates it (line 21)\n")


def test_the_plan_survives_json_and_older_ones_have_none(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, EVALUATE, "value = f(model)")
    assert plan.regions and Plan.from_json(plan.to_json()) == plan
    plain = plan_of(tmp_path, "", "pass")
    assert '"regions"' not in plain.to_json()


def test_ids_and_names(tmp_path: Path) -> None:
    """Added log statements don't change the ids; what isn't skippable counts too."""
    text = EVALUATE + "def g():\n    print(random.random())\n"
    before = plan_of(tmp_path, text, "a = f()\ng()\ng()")
    text = "import flor\n" + text.replace("    print(", "    flor.log('x', 1)\n    print(")
    after = plan_of(tmp_path, text, "flor.log('y', 1)\na = f()\ng()\nflor.log('z', 2)\ng()")
    assert [r.id for r in before.regions] == [r.id for r in after.regions]
    assert [r.name for r in before.regions] == ["f", "g", "g_2"]


def test_emission_wraps_the_call_where_it_is(tmp_path: Path) -> None:
    body = """
    value = f(
        model,  # a comment
        batches=loader,
    )
    g( x for x in state )
    (g)(); value=g( *state )
    """
    text = EVALUATE + "def g(*a):\n    print(random.random())\n"
    plan_of(tmp_path, text, body)
    build = assemble(compile_project(tmp_path / "train.py", root=tmp_path))
    emitted = build.record["train.py"]
    shown = [line.strip() for line in emitted.splitlines() if "flor_abi.after" in line]
    assert shown == [
        'value = flor_abi.after(flor_abi.region("f", f)(',
        'flor_abi.after(flor_abi.region("g", g)( x for x in state ))',
        'flor_abi.after(flor_abi.region("g_2", (g))()); '
        'value=flor_abi.after(flor_abi.region("g_3", g)( *state ))',
    ]
    (tmp_path / "train.py").write_text(emitted)
    again = compile_project(tmp_path / "train.py", root=tmp_path)
    assert again.edits == () and again.plan.regions == ()
