"""Occurrences, reaching definitions and liveness of names, on small functions."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis.cfg import control_flow_graph
from florc.analysis.liveness import liveness
from florc.analysis.occurrences import eager_builtins
from florc.analysis.reaching import reaching_definitions
from florc.driver import compile_project
from florc.effects.model import load_effects
from florc.frontend.scopes import build_scopes

EAGER = eager_builtins(load_effects(()))


def chains(text: str) -> list[str]:
    """The chains of the last statement of a text, or of the function that it defines."""
    tree = ast.parse(dedent(text))
    scopes = build_scopes(tree, "m")
    node = tree.body[-1] if isinstance(tree.body[-1], ast.FunctionDef) else tree
    graph = control_flow_graph(node.body)
    return reaching_definitions(graph, scopes[node], scopes, EAGER).text().splitlines()


def live_at_heads(text: str) -> list[list[str]]:
    """Names of the only function live at the heads of its loops."""
    tree = ast.parse(dedent(text))
    scopes = build_scopes(tree, "m")
    (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef))
    graph = control_flow_graph(function.body)
    live = liveness(graph, scopes[function], scopes, EAGER)
    return [sorted(live.before[head]) for head in graph.heads.values()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\nif x:\n    x = 2\nprint(x)\n", ["x@2:3 <- 1", "x@4:6 <- 1 3"]),
        ("x = 0\nfor i in (1, 2):\n    x += i\n", ["x@3:4 <- 1 3", "i@3:9 <- 2"]),
        ("x = 1\ndel x\nx = 2\nprint(x)\n", ["x@2:4 <- 1", "x@4:6 <- 3"]),
        ("x = 1\nx: int\nprint(x)\n", ["x@3:6 <- 1"]),
        ("x = 1\nm() or (x := 2)\nprint(x)\n", ["x@3:6 <- 1 2"]),
        ("x = 1\nif (x := m()) and x:\n    pass\n", ["x@2:18 <- 2"]),
        ("x = 1\ng = (x for _ in m)\nx = 2\n", ["x@2:5 <- 1 3"]),
        ("x = 1\ng = sum(x for _ in m)\nx = 2\n", ["x@2:8 <- 1"]),
        ("x = 1\ng = ','.join(x for _ in m)\nx = 2\n", ["x@2:13 <- 1"]),
        ("x = 1\nsum = m\ng = sum(x for _ in m)\nx = 2\n", ["sum@3:4 <- 2", "x@3:8 <- 1 4"]),
        ("t = 0\ns = [t := t + v for v in m]\n", ["t@2:10 <- 1 2"]),
        ("x = 1\nfrom m import *\nprint(x)\n", ["x@3:6 <- 1 2"]),
        ("x = 1\nclass A:\n    x = x\n", ["x@3:8 <- 1"]),
        ("x = 1\ndef f():\n global x\n x = 2\nf()\nprint(x)\n", ["f@5:0 <- 2", "x@6:6 <- 1 4"]),
        ("x = 1\nf = lambda: x\nx = 2\n", ["x@2:12 <- 1 3"]),
        (
            "match m:\n    case [a, 0]:\n        print(a)\n    case a if a:\n        pass\n",
            ["a@3:14 <- 2", "a@4:14 <- 4"],
        ),
        (
            "def f(a, *b, c=0, **d):\n    return a, b, c, d\n",
            ["a@2:11 <- 1", "b@2:14 <- 1", "c@2:17 <- 1", "d@2:20 <- 1"],
        ),
        ("import a.b as c, d.e\nprint(c, d)\n", ["c@2:6 <- 1", "d@2:9 <- 1"]),
        (
            "try:\n    x = 1\n    m()\n    x = 2\nexcept E as e:\n    print(x, e)\n",
            ["x@6:10 <- 2 4", "e@6:13 <- 5"],
        ),
    ],
)  # fmt: skip
def test_chains(text: str, expected: list[str]) -> None:
    assert chains(text) == expected


def test_an_exception_leaves_a_swallowing_block_anywhere() -> None:
    """What was assigned before the loop is read after the block if an iteration fails."""
    text = """
        def f(xs):
            with quiet():
                w = 0
                for x in xs:
                    use(x)
                    w = x
                w = 9
            return w
    """
    assert live_at_heads(text) == [["w"]]


def test_an_exception_in_finally_reaches_the_handler_outside() -> None:
    text = """
        def f(xs):
            x = 0
            for y in xs:
                try:
                    try:
                        x = 1
                    finally:
                        x = use(y)
                except E:
                    print(x)
    """
    assert chains(text)[-1] == "x@11:18 <- 3 7 9"


def test_a_walrus_answers_the_reads_behind_it() -> None:
    text = """
        def f(xs):
            n = 0
            for x in xs:
                if (n := use(x)) and n > 3:
                    print(n)
    """
    assert live_at_heads(text) == [[]]


def test_a_lazy_generator_reads_when_it_is_advanced(tmp_path: Path) -> None:
    """`scale` is bound at an iteration's end and read by the next one's `next`."""
    script = tmp_path / "script.py"
    script.write_text(dedent("""
        def main():
            scale = 1.0
            scaled = (scale * v for v in range(100))
            for epoch in range(5):
                print(next(scaled))
                scale = epoch + 2
        main()
    """))  # fmt: skip
    (loop,) = compile_project(script, root=tmp_path).plan.loops
    assert {m.path for m in loop.state} == {"scale", "scaled"}


def test_definitions_at_a_node() -> None:
    tree = ast.parse("a = 1\nif a:\n    a = 2\nb = a\n")
    scopes = build_scopes(tree, "m")
    graph = control_flow_graph(tree.body)
    solved = reaching_definitions(graph, scopes[tree], scopes)
    last = next(n for n in graph.nodes if n.statement is tree.body[-1])
    assert sorted(d.line for d in solved.at(last, "a")) == [1, 3]
    assert solved.at(last, "b") == frozenset()
    assert solved.at(graph.entry, "a") == frozenset()
