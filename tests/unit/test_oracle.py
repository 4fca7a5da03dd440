"""Def-use chains and liveness agree with beniget's, or a rule says why not."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

pytest.importorskip("beniget")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import oracle  # noqa: E402

from florc.analysis.cfg import ControlFlowGraph, control_flow_graph  # noqa: E402

OWN = sorted([*ROOT.glob("florc/emit/*.py"), *ROOT.glob("florc/frontend/*.py")])
CASES = sorted(ROOT.glob("tests/golden/cases/*/*put.py"))


@pytest.mark.parametrize(
    "files",
    [OWN, CASES, oracle.standard_library(12)],
    ids=["own modules", "golden cases", "standard library"],
)
def test_agreement(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "LIMIT", 3600.0)  # a slow machine is no disagreement
    total = oracle.Result()
    for path in files:
        total.add(oracle.compare_file(path))
    assert total.failed == []
    assert total.open == []
    explained = total.classes.total() + total.live_classes.total()
    assert total.files >= 0.9 * len(files)
    assert explained < 0.1 * (total.both + total.live_both)


EXAMPLES = {
    "past a jump": "def f(c):\n x = 1\n if c:\n  x = 2\n  return\n print(x)\n",
    "annotation": "from __future__ import annotations\nn: T = 0\nclass T: pass\n",
    "bare annotation": "def f():\n x = 1\n x: int\n return x\n",
    "shared set": "def f(k, c):\n out = []\n if k:\n  for i in c:\n   out = [i]\n"
    " elif k:\n  print(out)\n return out\n",
    "exception": "def f(g):\n try:\n  x = 1\n  g()\n  x = 2\n  g()\n except E:\n  print(x)\n",
    "short circuit": "def f(c):\n x = 1\n c or (x := 2)\n return x\n",
    "pattern": "def f(c):\n x = 1\n match c:\n  case [x, 1]:\n   pass\n return x\n",
    "closure": "def f():\n x = 1\n g = lambda: x\n x = 2\n return g\n",
    "walrus": "def f(n):\n return [y for x in n if (y := x) and y]\n",
    "empty loop": "def f(c):\n x = 1\n for x in c:\n  pass\n else:\n  print(x)\n",
    "handler": "def f(a):\n try:\n  g()\n except E:\n  if a:\n   a = 1\n  print(a)\n",
    "lambda default": "def f(a):\n return lambda *b, c=a: c\n",
    "del of a tuple": "def f():\n a = b = 1\n del (a, b)\n",
    "star import": "x = 1\nfrom m import *\nprint(x)\n",
    "class body": "x = 1\nclass A:\n x = 2\n y = x\n",
    "unreachable": "def f():\n return 1\n x = 2\n print(x)\n",
}


LIVE = {
    "past a jump": "def f(c):\n x = 1\n for i in c:\n  if i:\n   return\n"
    "  x = 2\n else:\n  x = 3\n return x\n",
    "dynamic": "def f(c):\n x = 1\n for i in c:\n  print(locals())\n",
    "exception": "def f(c):\n with c:\n  x = 0\n  for i in c:\n   x = g(i)\n  x = 2\n return x\n",
    "short circuit": "def f(c):\n x = 1\n for i in c:\n  i or (x := 2)\n  print(x)\n",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_classes(name: str) -> None:
    """An example of each class of disagreement; nothing else is wrong with it."""
    result = oracle.compare(EXAMPLES[name], "example")
    assert result.open == []
    assert set(result.classes) == {name}


def test_every_class_has_an_example() -> None:
    assert {*EXAMPLES, *LIVE} == set(oracle.CLASSES)


@pytest.mark.parametrize("name", LIVE)
def test_classes_of_liveness(name: str) -> None:
    """The same for liveness at the head of the example's loop."""
    result = oracle.compare_liveness(LIVE[name], "example")
    assert result.open == []
    assert set(result.live_classes) == {name}


def test_a_wrong_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that forget that loops loop disagree, and no rule hides it."""

    def once(body: list[ast.stmt], *rest: object) -> ControlFlowGraph:
        graph = control_flow_graph(body)
        for node in graph.nodes:
            node.successors[:] = [s for s in node.successors if s.index > node.index]
        return graph

    text = "def f(c):\n    x = 0\n    for i in c:\n        x += i\n"
    assert oracle.compare(text, "example").open == []
    monkeypatch.setattr(oracle, "control_flow_graph", once)
    assert oracle.compare(text, "example").open == ["example: theirs only: x: 4 -> 4 Name"]


def test_liveness_is_planted() -> None:
    text = (
        "def f(c):\n    a = b = 0\n    for i in c:\n        b = i\n        a += b\n    return a\n"
    )
    result = oracle.compare_liveness(text, "example")
    assert result.heads == 1
    assert result.live_both == 1
    assert result.open == [] and not result.live_classes
