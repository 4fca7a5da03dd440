"""A name that is bound at several places: what each use may see, and what is never missed."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis.execute import points_to
from florc.analysis.program import build_program
from florc.driver import compile_project
from florc.effects.model import load_effects
from florc.frontend.project import load_project


def held(tmp_path: Path, text: str, name: str, **others: str) -> set[str]:
    """Types of what the variable `name` of the script may hold."""
    for module, content in {"script": text, **others}.items():
        (tmp_path / f"{module}.py").write_text(dedent(content))
    program = build_program(load_project(tmp_path / "script.py", root=tmp_path))
    heap = points_to(program, load_effects()).heap
    scope = program.module_scope(program.project.script)
    return {obj.type for obj in heap.variable(scope, name)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = []\nx = {}\nseen = x\n", {"builtins.dict"}),
        ("x = []\nif f():\n    x = {}\nseen = x\n", {"builtins.list", "builtins.dict"}),
        ("x = []\nfor _ in range(3):\n    seen = x\n    x = {}\n",
         {"builtins.list", "builtins.dict"}),
        ("x = []\ntry:\n    x = {}\n    f()\nexcept OSError:\n    x = ()\nseen = x\n",
         {"builtins.dict", "builtins.tuple"}),
        ("x = []\ntry:\n    f()\n    x = {}\nfinally:\n    seen = x\n",
         {"builtins.list", "builtins.dict"}),
        # A function may bind it at any time, and read any of its values.
        ("x = []\ndef g():\n    global x\n    x = ()\nx = {}\ng()\nseen = x\n",
         {"builtins.dict", "builtins.tuple"}),
        ("x = []\ndef g():\n    return x\nx = {}\nseen = g()\n",
         {"builtins.list", "builtins.dict"}),
        ("x = []\nlater = (x for _ in range(2))\nx = {}\nseen = next(later)\n",
         {"builtins.list", "builtins.dict"}),
        ("x = []\nx = {}\nseen = [x for _ in range(2)][0]\n", {"builtins.dict"}),
        # Parameters are bound by calls.
        ("def g(x):\n    x = [x]\n    return x\nseen = g({})\n", {"builtins.list"}),
        ("def g(x={}):\n    if f():\n        x = [x]\n    return x\nseen = g()\n",
         {"builtins.list", "builtins.dict"}),
        ("def g(*x):\n    if f():\n        x = [x]\n    return x\nseen = g({})\n",
         {"builtins.list", "builtins.tuple"}),
        ("x = []\nx += [1]\nx = {}\nx |= {1: 2}\nseen = x\n", {"builtins.dict"}),
        ("x = []\ndel x\nx = {}\nseen = x\n", {"builtins.dict"}),
        ("x = []\nif (x := {}):\n    pass\nseen = x\n", {"builtins.dict"}),
        ("x = []\nmatch f():\n    case 1:\n        x = {}\n    case [*x]:\n        pass\n"
         "seen = x\n",
         {"builtins.list", "builtins.dict"}),
    ],
)  # fmt: skip
def test_uses_see_what_reaches_them(tmp_path: Path, text: str, expected: set[str]) -> None:
    text = "def f():\n    return len(__file__)\n\n" + text
    assert held(tmp_path, text, "seen") == expected


def test_another_module_may_bind_it(tmp_path: Path) -> None:
    other = "x = []\nx = {}\ndef get():\n    return x\nseen = x\n"
    script = "import other\nother.x = ()\nseen = other.get()\nown = other.x\n"
    every = {"builtins.list", "builtins.dict", "builtins.tuple"}
    assert held(tmp_path, script, "seen", other=other) == every
    assert held(tmp_path, script, "own", other=other) == every


def members(tmp_path: Path, text: str) -> dict[str, set[str]]:
    (tmp_path / "script.py").write_text(dedent(text))
    plan = compile_project(tmp_path / "script.py", root=tmp_path).plan
    return {loop.name: {m.path for m in loop.state} for loop in plan.loops if loop.training}


TRAINING = """
    import torch
    from torch import nn
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        model(torch.tensor([x, x])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
"""


@pytest.mark.parametrize("made", ["iter(items)", "items.__iter__()"])
def test_an_iterator_that_a_method_makes_is_state(tmp_path: Path, made: str) -> None:
    text = (
        TRAINING
        + f"""
    items = [0.1, 0.2, 0.3]
    it = {made}
    for epoch in range(3):
        step(next(it))
    """
    )
    assert "it" in members(tmp_path, text)["epoch"]


def test_an_iterator_that_a_base_class_makes_is_state(tmp_path: Path) -> None:
    text = (
        TRAINING
        + """
    class Items(list):
        def start(self):
            self.it = super().__iter__()

        def __iter__(self):
            for _ in range(2):
                yield next(self.it)

    items = Items([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    items.start()
    for epoch in range(3):
        for x in items:
            step(x)
    """
    )
    assert "items.it" in members(tmp_path, text)["epoch"]


def test_what_a_base_keeps_isnt_under_every_name(tmp_path: Path) -> None:
    text = (
        TRAINING
        + """
    from torch.utils.data import DataLoader

    class Loader(DataLoader):
        def __init__(self, data, own):
            super().__init__(data)
            self.own = own

    data, own = [torch.ones(2)], [1.0]
    loader = Loader(data, own)
    for epoch in range(3):
        step(loader.own[0])
        loader.own.append(2.0)
    """
    )
    found = members(tmp_path, text)["epoch"]
    assert "loader.own" in found and not {"data", "loader", "loader.dataset"} & found


def test_what_a_module_registers_is_under_its_name(tmp_path: Path) -> None:
    text = (
        TRAINING
        + """
    class Net(nn.Module):
        def __init__(self, seen):
            super().__init__()
            self.seen = {}
            setattr(self, "seen", seen)

    seen = []
    net = Net(seen)
    for epoch in range(3):
        step(1.0)
        net.seen.append(epoch)
    """
    )
    assert "net.seen" in members(tmp_path, text)["epoch"]
