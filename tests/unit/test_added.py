"""Which changes of a script are added log statements, and which are not."""

# ruff: noqa: E501  (scripts and cases are data)
from __future__ import annotations

import textwrap

import pytest

from florc.propagate.added import Comparison, compare

BASE = textwrap.dedent(
    '''
    """A script."""
    import argparse
    import math
    import torch

    best = 0.0

    def train(model, loader, optimizer, epoch):
        model.train()
        for i, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if i % 10 == 0:
                print(epoch, i, loss.item())
        return loss

    class Trainer:
        def fit(self, epochs):
            for epoch in range(epochs):
                try:
                    self.step()
                except ValueError:
                    break

    def main():
        args = argparse.ArgumentParser().parse_args()
        for epoch in range(3):
            train(None, [], None, epoch)

    if __name__ == "__main__":
        main()
    '''
)

STEP = "        optimizer.step()\n"
TOP = "import torch\n"


def edit(*changes: tuple[str, str], base: str = BASE) -> str:
    for old, new in changes:
        assert old in base, old
        base = base.replace(old, new, 1)
    return base


def after_step(text: str, imports: str = "import flor\n") -> str:
    """The base with an import and with lines after `optimizer.step()`."""
    body = textwrap.indent(textwrap.dedent(text).strip("\n"), " " * 8)
    return edit((TOP, TOP + imports), (STEP, STEP + body + "\n"))


def check(new: str, old: str = BASE) -> Comparison:
    return compare({"train.py": old}, {"train.py": new})


SAME = {
    "nothing": BASE,
    "log": after_step('flor.log("loss", loss.item())'),
    "log imported by name": after_step('log("loss", loss)', "from flor import log\n"),
    "log under another name": after_step('record("l", loss)', "from flor import log as record\n"),
    "module under another name": after_step('fl.log("l", loss)', "import flor as fl\n"),
    "import only": edit((TOP, TOP + "import flor\nfrom flor import log, loop\n")),
    "impure value": after_step('flor.log("g", total(model, x.cuda()))'),
    "guard": after_step('if i % 100 == 0 and epoch > 2:\n    flor.log("l", loss)\nelse:\n    pass'),
    "no_grad": after_step('with torch.no_grad():\n    flor.log("w", model(x).norm())'),
    "helper variable": after_step(
        'gn = sum(p.grad.norm() for p in model.parameters())\nflor.log("gn", gn)'
    ),
    "two helper variables": after_step('a = loss.item()\nb = a * 2\nflor.log("b", b)'),
    "loop": after_step('for n, p in model.named_parameters():\n    flor.log(n, p.norm().item())'),
    "accumulator": after_step(
        "total = 0.0\nfor p in model.parameters():\n    total += p.grad.norm().item() ** 2\n"
        'flor.log("total", total ** 0.5)'
    ),
    "helper function": edit(
        (TOP, TOP + "import flor\n\ndef norm_of(m):\n    return sum(p.norm() for p in m)\n"),
        (STEP, STEP + '        flor.log("n", norm_of(model.parameters()))\n'),
    ),
    "standard library import": after_step(
        'flor.log("m", statistics.mean([1, 2]))', "import flor, math\nimport flor\nimport statistics\n"
    ).replace("import flor, math\n", ""),
    "comments and blank lines": edit(("best = 0.0", "# the best\n\n\nbest = (0.0)")),
    "docstring": edit(('"""A script."""', '"""Another."""')),
    "in a method, in a try": edit(
        (TOP, TOP + "import flor\n"),
        ("self.step()", 'self.step()\n                flor.log("e", epoch)'),
        ("break", 'flor.log("stopped", epoch)\n                break'),
    ),
    "at module level": edit((TOP, TOP + "import flor\n"), ("best = 0.0", 'best = 0.0\nflor.log("b", best)')),
    "value passed through": edit(
        (TOP, TOP + "import flor\n"),
        ("loss = torch.nn.functional.cross_entropy(model(x), y)",
         'loss = flor.log("loss", torch.nn.functional.cross_entropy(model(x), y))'),
    ),
    "import inside a function": edit((STEP, STEP + '        import flor\n        flor.log("x", 1)\n')),
}  # fmt: skip

DIFFERENT = {
    "constant": (edit(("best = 0.0", "best = 1.0")), "`best = 0.0` became `best = 1.0`"),
    "statement added": (edit((STEP, STEP + "        x = x + 1\n")), "`x = x + 1` was added"),
    "statement removed": (edit((STEP, "")), "`optimizer.step()` was removed"),
    "last removed": (edit(("    return loss\n", "")), "`return loss` was removed"),
    "loop bound": (edit(("range(3)", "range(4)")), "became"),
    "helper used elsewhere": (
        after_step('best = loss.item()\nflor.log("b", best)').replace("return loss", "return best"),
        "`best = loss.item()` was added",
    ),
    "helper shadows a local": (after_step('loss = loss.item()\nflor.log("l", loss)'), "was added"),
    "helper with an effect": (after_step('z = next(loader)\nflor.log("z", z)'), "`z = next(loader)`"),
    "guard with an effect": (after_step('if loader.advance():\n    flor.log("z", 1)'), "was added"),
    "guard around a statement": (
        edit((STEP, "        if i > 3:\n            optimizer.step()\n")), "became `if i > 3:`",
    ),
    "log and a statement in a guard": (
        after_step('if i > 3:\n    flor.log("z", 1)\n    optimizer.step()'), "was added",
    ),
    "loop over a loader": (after_step('for b in loader:\n    flor.log("z", b)'), "was added"),
    "walrus": (after_step('flor.log("z", (loss := 3))'), "was added"),
    "yield": (after_step('flor.log("z", (yield))'), "was added"),
    "loop wrapper": (
        edit((TOP, TOP + "import flor\n"), ("range(3)", 'flor.loop("epoch", range(3))')),
        "became `for epoch in flor.loop",
    ),
    "shadowed name": (
        edit((TOP, TOP + "from flor import log\n"), ("print(epoch, i", "print(log, i")),
        "became",
    ),
    "name taken by flor": (edit((TOP, TOP + "import flor as epochs\n")), "bound otherwise"),
    "builtin taken by flor": (edit((TOP, TOP + "import flor as range\n")), "one version only"),
    "print is flor's": (edit((TOP, TOP + "from flor import log as print\n")), "was removed"),
    "star import": (edit((TOP, TOP + "from flor import *\n")), "star import"),
    "other import": (edit((TOP, TOP + "import os.path\n")), "`import os.path` was added"),
    "global helper": (
        after_step('total = 1\nflor.log("t", total)').replace(
            "    model.train()\n", "    global total\n    model.train()\n"
        ), "`global total` was added",
    ),
    "in-place on an alias": (after_step('w = loss\nw += 1\nflor.log("w", w)'), "was added"),
    "exception type": (edit(("ValueError", "KeyError")), "another exception"),
    "decorated helper function": (
        edit((TOP, TOP + "import flor\n\n@torch.compile\ndef f(m):\n    return 1\n"),
             (STEP, STEP + '        flor.log("n", f(model))\n')), "was added",
    ),
    "default argument": (edit(("epoch):", "epoch=0):")), "became"),
    "syntax error": (edit(("best = 0.0", "best = = 0.0")), "cannot be parsed"),
    "random helper": (after_step('z = torch.rand(1)\nflor.log("z", z)'), "was added"),
    "with as": (after_step('with torch.no_grad() as g:\n    flor.log("z", g)'), "was added"),
    "file helper": (after_step('z = open("f").read()\nflor.log("z", z)'), "was added"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_log_statements_only(case: str) -> None:
    result = check(SAME[case])
    assert result.same, result.difference and result.difference.render()
    back = compare({"train.py": SAME[case]}, {"train.py": BASE})
    assert back.same, back.difference and back.difference.render()
    assert (back.removed, back.added) == (result.added, result.removed) or result.added


@pytest.mark.parametrize("case", DIFFERENT)
def test_other_changes(case: str) -> None:
    text, what = DIFFERENT[case]
    result = check(text)
    assert not result.same and result.difference is not None
    assert what in result.difference.what
    assert "\n" not in result.difference.render() and result.difference.render().startswith(
        "train.py"
    )


def test_line_of_the_new_text() -> None:
    text = after_step('flor.log("a", 1)\noptimizer.step()')
    result = check(text)
    assert result.difference is not None
    assert "optimizer.step()" in text.splitlines()[result.difference.line - 1]


def test_edits() -> None:
    old = after_step('flor.log("a", 1)\nflor.log("c", 1)')
    new = after_step('flor.log("b", 2)\nflor.log("c", 1)\nflor.log(name, 3)')
    result = check(new, old)
    assert result.same
    assert [(e.name, e.scope, e.text) for e in result.added] == [
        ("b", "train", "flor.log('b', 2)"),
        (None, "train", "flor.log(name, 3)"),
    ]
    assert [e.name for e in result.removed] == ["a"]
    assert [e.name for e in compare({"t": old}, {"t": new}, {"x"}).added] == [None]
    assert 'flor.log("b"' in new.splitlines()[result.added[0].line - 1]


def test_several_modules() -> None:
    old = {"train.py": BASE, "engine.py": "import train\nprint(train.best)\n"}
    new = {**old, "train.py": SAME["log"]}
    assert compare(old, new).same
    helper = edit((TOP, TOP + "import flor\nbest2 = 1\nflor.log('b', best2)\n"))
    assert compare(old, {**old, "train.py": helper}).same
    used = {**old, "engine.py": "import train\nprint(train.best2)\n"}
    assert not compare(used, {**used, "train.py": helper}).same


def test_modules_come_and_go() -> None:
    result = compare({"a.py": ""}, {"a.py": "", "b.py": ""})
    assert result.difference is not None and result.difference.file == "b.py"
    result = compare({"a.py": "", "b.py": ""}, {"a.py": ""})
    assert result.difference is not None and result.difference.file == "b.py"


def test_globals_forbid_helpers() -> None:
    config = "keys = [k for k in globals()]\n"
    old = BASE + config
    assert not check(
        edit((TOP, TOP + "import flor\nz = 1\nflor.log('z', z)\n"), base=old), old
    ).same
    assert check(edit((TOP, TOP + "import flor\nflor.log('z', 1)\n"), base=old), old).same


def test_docstrings_count_when_they_are_read() -> None:
    old = '"""Usage."""\nprint(__doc__)\n'
    assert not check('"""Other."""\nprint(__doc__)\n', old).same


def test_flor_may_be_imported_among_others() -> None:
    old = {"a.py": "import random, sys\n\nx = random.random()\n"}
    new = {"a.py": "import flor, random, sys\n\nx = random.random()\nflor.log('x', x)\n"}
    assert compare(old, new).same and compare(new, old).same
    assert compare({"a.py": "import flor, random\n\nx = random.random()\n"}, new).difference
