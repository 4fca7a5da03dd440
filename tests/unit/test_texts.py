"""What texts an expression may give."""

from __future__ import annotations

import ast

import pytest

from florc.analysis.texts import texts
from florc.frontend.scopes import build_scopes

AB = frozenset("ab")


def found(body: str) -> frozenset[str] | None:
    """Of the argument of `use(…)` in a function with this body."""
    text = "def f(given):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    tree = ast.parse(text)
    scopes = build_scopes(tree, "m")
    uses = [
        (scope, node)
        for scope in scopes.values()
        for node in ast.walk(scope.node)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "use"
    ]
    scope, call = uses[-1]  # the innermost scope that holds it
    return texts(call.args[0], scope)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("use('a')", frozenset("a")),
        ("use('a' if given else 'b')", AB),
        ("for k in 'a', 'b': use(k)", AB),
        ("for k in ['a', 'b']: use(k)", AB),
        ("for k, v in (('a', 1), ('b', 2)): use(k)", AB),
        ("k = 'a'\nif given:\n    k = 'b'\nuse(k)", AB),
        ("k: str = 'a'\nuse(k)", frozenset("a")),
        ("[use(k) for k in ('a', 'b')]", AB),
        ("k = 'a'\ndef g():\n    k = 'b'\nuse(k)", AB),
        ("use(given)", None),
        ("given = 'a'\nuse(given)", None),
        ("use(k)", None),
        ("for k in given: use(k)", None),
        ("for k in ('a', given): use(k)", None),
        ("for k in ('a', *given): use(k)", None),
        ("for k in ('ab'): use(k)", None),
        ("for k, v in (('a', 1), given): use(k)", None),
        ("for k, v in ((*given, 'a'),): use(k)", None),
        ("for (k, l), v in ((('a', 1), 2),): use(k)", None),
        ("k = 'a'\nk += 'b'\nuse(k)", None),
        ("k = 'a'\nuse(k + 'b')", None),
        ("k, l = 'a', 'b'\nuse(k)", None),
        ("k = 'a'\ndef g():\n    nonlocal k\n    k = given\nuse(k)", None),
        ("k = 'a'\nwith given as k: use(k)", None),
        ("k = 'a'\nimport k\nuse(k)", None),
        ("k = 'a'\ntry: pass\nexcept given as k: use(k)", None),
        ("k = 'a'\nmatch given:\n    case k: use(k)", None),
        ("k = 'a'\nmatch given:\n    case {**k}: use(k)", None),
        ("k = 'a'\n(k := given)\nuse(k)", None),
        ("k = 'a'\ndef k(): pass\nuse(k)", None),
        ("global k\nk = 'a'\nuse(k)", None),
        ("def g(k='a'): use(k)", None),
        ("k = 'a'\ndel k\nuse(k)", None),
    ],
)
def test_texts(body: str, wanted: frozenset[str] | None) -> None:
    assert found(body) == wanted
