"""Which callees a call's arguments fit, against what Python itself says of the same call."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis.arity import Arguments, accepts
from florc.analysis.objects import Function
from florc.analysis.program import build_program
from florc.driver import compile_project
from florc.frontend.project import load_project

SIGNATURES = (
    "",
    "a",
    "a, b",
    "a, b=1",
    "a, /",
    "a, /, b",
    "a=1, /, b=2",
    "*, a",
    "*, a=1",
    "a, *, b",
    "a, *rest",
    "*rest, a",
    "**named",
    "a, **named",
    "a, /, **named",
    "a, b=1, *rest, c, d=2, **named",
)
CALLS = ("", "1", "1, 2", "1, 2, 3", "a=1", "b=1", "1, a=1", "1, b=1", "a=1, b=2", "c=1", "1, c=1")


def both(tmp_path: Path, signature: str) -> tuple[Function, dict[str, object]]:
    """A function of that signature: as the analysis knows it, and Python's, under its name."""
    text = f"def f({signature}):\n    return None\n"
    names: dict[str, object] = {}
    exec(text, names)
    (tmp_path / "script.py").write_text(text)
    program = build_program(load_project(tmp_path / "script.py", root=tmp_path))
    functions = program.functions.values()
    return next(f for f in functions if isinstance(f.node, ast.FunctionDef)), names


@pytest.mark.parametrize("signature", SIGNATURES)
def test_arguments_fit_as_python_says(tmp_path: Path, signature: str) -> None:
    function, names = both(tmp_path, signature)
    for call in CALLS:
        node = ast.parse(f"f({call})", mode="eval").body
        assert isinstance(node, ast.Call)
        try:
            eval(f"f({call})", names)
        except TypeError:
            fits = False
        else:
            fits = True
        assert accepts(function, Arguments.of(node)) == fits, (signature, call)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_stars_rule_out_only_what_no_value_mends(tmp_path: Path, signature: str) -> None:
    """What is passed by stars isn't known: if any of it fits, the call does."""
    function, names = both(tmp_path, signature)
    items = list(zip("abcd", range(4)))
    subsets = [dict(c) for n in range(5) for c in itertools.combinations(items, n)]
    for call in CALLS:
        for form in (f"f({call}{', ' * bool(call)}**k)", f"f({call}{', ' * bool(call)}*p)"):
            node = ast.parse(form, mode="eval").body
            assert isinstance(node, ast.Call)
            possible = False
            for k in subsets:
                for n in range(4):
                    try:
                        eval(form, {**names, "k": k, "p": range(n)})
                    except TypeError:
                        continue
                    possible = True
            if possible:
                assert accepts(function, Arguments.of(node)), (signature, form)


MODELS = """
    import math
    import torch

    class Small(torch.nn.Module):
        made = []

        def __init__(self, depth):
            super().__init__()
            self.layer = torch.nn.Linear(2, depth)

    class Block(torch.nn.Module):
        made = []

        def __init__(self, planes, stride=1):
            super().__init__()
            Block.made.append(planes)

    def {name}({signature}):
        Block.made.append(0)
        return Small(1)
"""


@pytest.mark.parametrize(
    ("signature", "called"), [("width", False), ("*rest", False), ("depth", True), ("**any", True)]
)
def test_a_model_by_its_name(tmp_path: Path, signature: str, called: bool) -> None:
    """`models.__dict__[name](depth=3)` calls what takes a depth, and no module or block."""
    (tmp_path / "models.py").write_text(dedent(MODELS.format(name="make", signature=signature)))
    script = dedent(
        """
        import sys
        import torch
        import models

        model = models.__dict__[sys.argv[1]](depth=3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for epoch in range(3):
            loss = model.layer(torch.ones(2)).sum()
            loss.backward()
            optimizer.step()
            model = models.__dict__[sys.argv[1]](depth=3)
        print(models.Block.made)
        """
    )
    (tmp_path / "script.py").write_text(script)
    plan = compile_project(tmp_path / "script.py", root=tmp_path).plan
    (loop,) = plan.loops
    assert ("models:Block.made" in {m.path for m in loop.state}) == called
