"""Which log statements the next head's state answers, and where a replay executes them."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from flor.runtime.replay.state_only import answered
from florc.driver import compile_project
from florc.plan import LogStatement, Plan, SlicePlan

HEAD = """\
import functools
import os
import random
import time
import flor
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
sched = torch.optim.lr_scheduler.StepLR(opt, 2)
xs, best, seen, last = torch.ones(4, 2), 0.0, [], None
writer = open(os.devnull, "w")


class Run:
    def __init__(self):
        self.net, self.count, self.seen = net, 0, []

    def norm(self):
        return sum(p.norm() for p in self.net.parameters())

    def tick(self):
        self.count += 1


def norm_of(module):
    total = torch.zeros(())
    for p in module.parameters():
        total += p.norm()
    return total


@functools.lru_cache
def cached(n):
    return n


def shuffled(values):
    random.shuffle(values)
    return values


@torch.no_grad()
def evaluate(module):
    module.eval()
    return module(xs).sum().item()


run = Run()
"""
STEP = """\
    opt.zero_grad()
    loss = net(xs).square().mean()
    loss.backward()
    opt.step()
"""
NEXT = "the next head"
"""It answers."""


def slices(tmp_path: Path, body: str, header: str = "for epoch in range(4):") -> list[SlicePlan]:
    script = tmp_path / "script.py"
    script.write_text(f"{HEAD}{header}\n{STEP}{indent(body, '    ')}\n")
    plan = compile_project(script, root=tmp_path).plan
    assert Plan.from_json(plan.to_json()) == plan
    return list(plan.slices)


def said(one: SlicePlan) -> str:
    return one.obstacle or NEXT


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("L(net[0].weight.norm().item())", NEXT),
        ("L(norm_of(net).item())", NEXT),
        ("L(run.norm().item())", NEXT),
        ("L([epoch, best])", NEXT),
        ("L(net[0].weight.norm().item())\nsched.step()", NEXT),
        ("L(net[0].weight.norm().item())\nrun.tick()\nrun.count = 0", NEXT),
        ("L(run.net[0].weight.norm().item())\nrun.tick()", NEXT),
        ("L(run.count)\nrun.tick()", "self.count is assigned afterwards"),
        ("L(run.count)\nrun.seen.append(1)", NEXT),
        ("L(len(run.seen))\nrun.seen.append(1)", "run.seen.append() mutates it afterwards"),
        ("w = net[0].weight.norm()\nL(w.item())", NEXT),
        ("w = net[0].weight.norm()\nv = w * 2\nL(v.item())\nprint(epoch)", NEXT),
        ("w = [1]\nw.append(2)\nL(w)", "w.append() mutates it afterwards"),
        ("w = best\nbest = 2.0\nL(w)", "best is assigned afterwards"),
        ("if epoch % 2:\n    L(net[0].weight.norm().item())", NEXT),
        ("with torch.no_grad():\n    L(net[0].weight.norm().item())", NEXT),
        ("for i, p in enumerate(net.parameters()):\n    L(p.norm().item())", NEXT),
        ("L(opt.param_groups[0]['lr'])\nsched.step()", "sched.step() mutates it afterwards"),
        ("L(net[0].weight.norm().item())\nopt.step()", "opt.step() mutates it afterwards"),
        ("L(net[0].weight.norm().item())\nnet.eval()", NEXT),
        ("L(net.training)\nnet.eval()", "net.eval() mutates it afterwards"),
        ("L(net[1].running_mean.tolist())\nvalue = evaluate(net)", NEXT),
        ("L(net[1].running_mean.tolist())\nnet(xs)", "net() mutates it afterwards"),
        ("L(loss.item())", "loss isn't there any more at the next head"),
        ("value = evaluate(net)\nL(value)", "value isn't there any more at the next head"),
        ("L(net(xs).sum().item())", "it draws random numbers"),
        ("L(random.random())", "it draws random numbers"),
        ("L(shuffled([1, 2]))", "it draws random numbers"),
        ("L(torch.initial_seed())", "torch.initial_seed() tells of the process, not of values"),
        ("L(os.path.isdir('a'))", "os.path.isdir() tells of the process, not of values"),
        ("L(time.time())", "it depends on the clock"),
        ("L(os.path.exists('a'))", "it may read a file"),
        ("L(net[0].weight.grad.norm().item())",
         "it reads gradients, which the next head's checkpoint may lack"),
        ("L(getattr(net[0].weight, 'grad').norm().item())",
         "it may read gradients, which the next head's checkpoint may lack"),
        ("L(writer.name)", "builtins.file@14 belongs to the outside and is never saved"),
        ("L(best)\nbest = max(best, 1.0)", "best is assigned afterwards"),
        ("L(best)\nif epoch:\n    pass\nelse:\n    best = 1.0", "best is assigned afterwards"),
        ("L(best)\nfor best in [1.0]:\n    pass", "best is assigned afterwards"),
        ("L(len(seen))\nseen.append(epoch)", "seen.append() mutates it afterwards"),
        ("L(seen.append(1))", "it isn't pure: seen.append() mutates it"),
        ("L(len(seen))\nunheard_of(epoch)", "unheard_of() comes afterwards"),
        ("if best:\n    continue\nL(1)", "an iteration may come to the next head without it"),
        ("try:\n    L(1)\nfinally:\n    pass", "a try statement belongs to it"),
        ("try:\n    if best:\n        raise KeyError\nexcept KeyError:\n    continue\nL(1)",
         "an iteration may come to the next head without it"),
        ("if best:\n    break\nL(1)", NEXT),
        ("torch.set_default_dtype(torch.float64)\nL(best)",
         "torch.set_default_dtype() has lasting effects"),
        ("torch.backends.cudnn.benchmark = True\nL(best)",
         "torch.backends.cudnn.benchmark is assigned"),
        ("L((n := 3))", "it suspends, or binds names within expressions"),
        ("if best:\n    last = 1\n    L(2)", NEXT),
        ("if best > 0:\n    best = best * 2\n    L(best)", "it assigns best"),
        ("if epoch:\n    best += 1\n    L(best)", "it assigns best"),
        ("for best in [best]:\n    L(best)", "it assigns best"),
        ("L(cached(3))", "cached is decorated by functools.lru_cache"),
        ("for _ in range(2):\n    opt.step()\n    L(1)", "it isn't pure: opt.step() mutates it"),
    ],
)  # fmt: skip
def test_what_the_next_head_answers(tmp_path: Path, body: str, expected: str) -> None:
    (one,) = slices(tmp_path, body.replace("L(", 'flor.log("v", '))
    assert said(one) == expected


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        ("for epoch in range(4):", 'flor.log("v", epoch)', NEXT),
        ("for epoch, _ in enumerate(range(4)):", 'flor.log("v", epoch)', NEXT),
        ("for epoch, seen[0] in enumerate([1, 2]):", 'flor.log("v", epoch)',
         "the loop's item isn't bound to names"),
        ("for x in [torch.ones(1), torch.ones(2)]:", 'flor.log("v", x.sum().item())',
         "x may be an object that the iteration changes"),
        ("rows = [1, 2, 3]\nfor x in rows:", 'flor.log("v", x)\nrows[0] = 5',
         "what the loop goes through is changed by it"),
        ("rows = [1, 2, 3]\nfor x in rows:", 'flor.log("v", x)', NEXT),
        ("while best < 3:", 'best += 1\nflor.log("v", best)', NEXT),
    ],
)  # fmt: skip
def test_what_the_loop_goes_through(
    tmp_path: Path, header: str, body: str, expected: str
) -> None:  # fmt: skip
    (one,) = slices(tmp_path, body, header)
    assert said(one) == expected


def test_where_what_is_executed_stands(tmp_path: Path) -> None:
    body = 'w = net[0].weight\nprint(1)\nif epoch:\n    flor.log("v", w)\nevaluate(net)'
    (one,) = slices(tmp_path, body)
    line = (HEAD + STEP).count("\n") + 2
    assert (one.statements, one.target) == (((line, 4), (line + 2, 4)), "epoch")
    assert [region.rpartition(":region:")[0] for region in one.watched] == ["script.py:"]


# -- which iterations need not be executed ----------------------------------------------------


def log(name: str | None, *path: str, id: str = "") -> LogStatement:
    return LogStatement(id or f"id:{name}", name, "s.py", 1, "", path, paths=(path,))


def plan(logs: list[LogStatement], *answered_by: SlicePlan) -> Plan:
    return Plan("s.py", (), (), tuple(logs), slices=answered_by)


E3, E4 = (("epoch", 3),), (("epoch", 4),)
BY_EPOCH = SlicePlan("epoch", "s.py", ("id:a", "id:b"))
LATER = SlicePlan("epoch", "s.py", ("id:c",))


def test_an_iteration_that_slices_answer() -> None:
    three = plan([log("a", "epoch"), log("b", "epoch"), log("c", "epoch")], BY_EPOCH, LATER)
    assert answered(three, {E3: ["a"], E4: ["c", "b"]}, ()) == {
        E3: (BY_EPOCH,),
        E4: (BY_EPOCH, LATER),
    }


def test_one_statement_that_needs_the_iteration_is_enough() -> None:
    two = [log("a", "epoch"), log("b", "epoch"), log("d", "epoch")]
    assert not answered(plan(two, BY_EPOCH), {E3: ["a", "d"]}, ())
    needs = SlicePlan("epoch", "s.py", ("id:d",), obstacle="why")
    assert not answered(plan(two, BY_EPOCH, needs), {E3: ["a", "d"]}, ())
    again = [*two, log("a", "epoch", id="elsewhere")]
    assert not answered(plan(again, BY_EPOCH), {E3: ["a"]}, ())
    assert answered(plan(again, BY_EPOCH), {E3: ["a"]}, {"elsewhere"})
    unnamed = [*two, log(None, "epoch")]
    assert not answered(plan(unnamed, BY_EPOCH), {E3: ["a"]}, ())


def test_what_is_wanted_inside_needs_the_iteration() -> None:
    both = plan([log("a", "epoch"), log("s", "epoch", "step")], BY_EPOCH)
    wanted = {E3: ["a"], E4: ["a"], (*E4, ("step", 0)): ["s"]}
    assert answered(both, wanted, ()) == {E3: (BY_EPOCH,)}


def test_loops_in_a_slice() -> None:
    """A log statement in a loop of its own, which the run noted (a) or not (b)."""
    one = plan([log("a", "fold", "epoch", "layer"), log("b", "fold", "epoch", "new")], BY_EPOCH)
    here = (("fold", 1), ("epoch", 3))
    wanted = {(*here, ("layer", 0)): ["a"], (*here, ("layer", 1)): ["a"], here: ["b"]}
    assert answered(one, wanted, ()) == {here: (BY_EPOCH,)}


def test_a_loop_within_itself_is_executed() -> None:
    twice = LogStatement("id:a", "a", "s.py", 1, "", (), paths=(("epoch", "epoch"),))
    wanted = {(("epoch", 1), ("epoch", 3)): ["a"]}
    assert not answered(plan([twice], BY_EPOCH), wanted, ())
