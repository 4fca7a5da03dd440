"""Emission: the exact text that each construct becomes."""

from __future__ import annotations

import ast

import pytest
from emission import edits_for, misplaced, source

from florc.compilation import Edit
from florc.emit.instrumented import already_instrumented, instrumented_loops
from florc.emit.rewrite import EmitError, emit
from florc.emit.source_map import apply

STATE = ', state=("model", "optimizer"))'
IMPORT = "from flor.runtime import abi as flor_abi\n"


def emitted(text: str, edits: list[Edit] | None = None, **options) -> str:
    """The emitted text, after checking that it only adds and that every position maps back."""
    done = emit(source(text), edits_for(text, **options) if edits is None else edits)
    left = iter(done.text)
    assert all(character in left for character in text)
    tree = apply(ast.parse(done.text), done.source_map)
    assert misplaced(ast.parse(text), tree) == []
    compile(tree, "train.py", "exec")
    return done.text


def body(text: str, **options) -> str:
    """The emitted text without the import line that comes first."""
    result = emitted(text, **options)
    assert result.startswith(IMPORT)
    return result.removeprefix(IMPORT)


@pytest.mark.parametrize(
    ("iterable", "wrapped"),
    [
        ("range(1, n + 1)", "range(1, n + 1)"),
        ("1, 2, 3", "(1, 2, 3)"),
        ("1,", "(1,)"),
        ("(1, 2)", "(1, 2)"),
        ("(a), b", "((a), b)"),
        ("*a, *b", "(*a, *b)"),
        ("*a,", "(*a,)"),
        ("(f(y) for y in z)", "(f(y) for y in z)"),
        ("lambda: 0", "lambda: 0"),
        ("a if b else c", "a if b else c"),
        ("(y := z)", "(y := z)"),
        ("[\n    1,  # one\n    2,\n]", "[\n    1,  # one\n    2,\n]"),
        ("(  # why\n    xs\n)", "(  # why\n    xs\n)"),
        ("\\\n    xs", None),
        ("a, \\\n    b", "(a, \\\n    b)"),
        ('f"{a}{b!r:>{w}}"', 'f"{a}{b!r:>{w}}"'),
        ("{'é': 1}['é']", "{'é': 1}['é']"),
        ("not xs", "not xs"),
    ],
)
def test_iterables(iterable: str, wrapped: str | None) -> None:
    result = body(f"for x in {iterable}:  # note\n    use(x)\n")
    if wrapped is None:
        assert result.startswith('for x in \\\n    flor_abi.loop("x", xs, state=')
        return
    assert result == f'for x in flor_abi.loop("x", {wrapped}{STATE}:  # note\n    use(x)\n'


def test_iterable_without_a_space() -> None:
    assert body("for x in(1, 2): pass\n") == f'for x in flor_abi.loop("x", (1, 2){STATE}: pass\n'
    assert body("for x in[1]: pass\n") == f'for x in flor_abi.loop("x", [1]{STATE}: pass\n'


def test_yield_and_await_as_iterables() -> None:
    text = "def f():\n    for x in (yield): pass\n"
    assert f'flor_abi.loop("x", (yield){STATE}' in body(text)
    text = "async def f():\n    for x in await g(): pass\n"
    assert f'flor_abi.loop("x", await g(){STATE}' in body(text)


def test_coordinates_only_has_no_state() -> None:
    assert body("for i in xs: pass\n", training=False) == 'for i in flor_abi.loop("i", xs): pass\n'


@pytest.mark.parametrize(
    ("state", "argument"),
    [((), ", state=()"), (("a",), ', state=("a",)'), (("a", "b.c"), ', state=("a", "b.c")')],
)
def test_state(state: tuple[str, ...], argument: str) -> None:
    assert body("for i in xs: pass\n", state=state) == (
        f'for i in flor_abi.loop("i", xs{argument}): pass\n'
    )


def test_names_are_quoted() -> None:
    edit = Edit("train.py", "for", 1, 0, 'a "b"\\', ("é",), True)
    assert 'loop("a \\"b\\"\\\\", xs, state=("é",))' in emitted("for x in xs: pass\n", [edit])
    latin = "# -*- coding: latin-1 -*-\nfor x in xs: pass\n"
    edit = Edit("train.py", "for", 2, 0, "x", ("ж",), True)
    assert 'state=("\\u0436",)' in emitted(latin, [edit])


@pytest.mark.parametrize(
    ("condition", "header"),
    [
        ("while i < 9:", "while flor_n0.head() and (i < 9):"),
        ("while(i < 9):", "while flor_n0.head() and (i < 9):"),
        ("while (i < 9):", "while flor_n0.head() and (i < 9):"),
        ("while(i) < 9:", "while flor_n0.head() and ((i) < 9):"),
        ("while not done:", "while flor_n0.head() and (not done):"),
        ("while a or b:", "while flor_n0.head() and (a or b):"),
        ("while x := f():", "while flor_n0.head() and (x := f()):"),
        ("while lambda: 0:", "while flor_n0.head() and (lambda: 0):"),
        ("while a if b else c:", "while flor_n0.head() and (a if b else c):"),
        ("while 1, 2:", None),
        ("while (a  # why\n       and b):", "while flor_n0.head() and (a  # why\n       and b):"),
        ("while a \\\n    < b:", "while flor_n0.head() and (a \\\n    < b):"),
        ("while True:", "while flor_n0.head() and True:"),
        ("while(True):", "while flor_n0.head() and (True):"),
        ("while 1 :", "while flor_n0.head() and 1 :"),
        ("while 1.0:", "while flor_n0.head() and (1.0):"),
        ("while 2:", "while flor_n0.head() and (2):"),
    ],
)
def test_while_conditions(condition: str, header: str | None) -> None:
    text = f"{condition}\n    step()\n"
    if header is None:
        with pytest.raises(SyntaxError):
            ast.parse(text)
        return
    assert body(text) == (
        f'flor_n0 = flor_abi.while_loop("n0"{STATE}\n{header}\n    step()\nflor_n0.end()\n'
    )


def test_while_layout_is_kept() -> None:
    text = """\
import os

def train():
\t# lead
\twhile i < 9:  # head
\t\tif i:
\t\t\twhile True: break
\t\t# foot

\t\t# more foot

\t# after
\telse:
\t\tdone()
\t\t# last
\t# not ours
\tclose()
"""
    assert (
        emitted(text)
        == """\
from flor.runtime import abi as flor_abi
import os

def train():
\t# lead
\tflor_n0 = flor_abi.while_loop("n0", state=("model", "optimizer"))
\twhile flor_n0.head() and (i < 9):  # head
\t\tif i:
\t\t\tflor_n1 = flor_abi.while_loop("n1", state=("model", "optimizer"))
\t\t\twhile flor_n1.head() and True: break
\t\t\tflor_n1.end()
\t\t# foot

\t\t# more foot

\t# after
\telse:
\t\tdone()
\t\t# last
\tflor_n0.end()
\t# not ours
\tclose()
"""
    )


def test_while_at_the_end_of_any_block() -> None:
    text = """\
class Trainer:
    while a: b(); c();

    async def fit(self):
        try:
            while a:
                pass
        except E:
            while b: pass
        else:
            while c: pass
        finally:
            with x:
                while d: pass
        match y:
            case 1:
                while e: pass
            case _:
                for z in zs:
                    while f: pass
                else:
                    while g: pass
"""
    result = emitted(text)
    assert result.count(".end()\n") == 8
    assert "    while flor_n0.head() and (a): b(); c();\n    flor_n" in result


def test_missing_final_newline() -> None:
    assert body("while a:\n    b()").endswith("\n    b()\nflor_n0.end()")
    nested = "if x:\n    while a:\n        while b: c()"
    assert body(nested).endswith(" c()\n        flor_n1.end()\n    flor_n0.end()")
    assert body("while a: b()  # c\n# foot").endswith("b()  # c\nflor_n0.end()\n# foot")
    assert body("while a:\n    b()\n    # foot").endswith("b()\n    # foot\nflor_n0.end()")


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_endings(newline: str) -> None:
    text = newline.join(["import a", "while a:", "    b()", "for x in xs: pass", ""])
    result = emitted(text)
    assert "\n" not in result.replace(newline, "")
    assert result.count(newline) == 7


def test_form_feeds_and_odd_separators_are_no_lines() -> None:
    text = 'a = """\x0c\u2028"""\n\x0c\nfor x in xs:\n    """\x1c\x85"""\n\x0cwhile a: pass\n'
    text += "\x0cfor x in xs:\n\x0c    it = iter(xs)\n \x0c \nx = 1\n"
    assert emitted(text).count("flor_abi.") == 4


def test_continued_last_line() -> None:
    text = "while a: b(); \\\n\nc()\n"
    assert body(text).endswith("b(); \\\n\nflor_n0.end()\nc()\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", IMPORT),
        ('"""Doc."""\n', '"""Doc."""\n' + IMPORT),
        ('"""Doc."""\n\n', '"""Doc."""\n\n' + IMPORT),
        ("#!/usr/bin/python\n# Copyright\n\n", "#!/usr/bin/python\n# Copyright\n\n" + IMPORT),
        (
            '"""D\nd"""\nfrom __future__ import annotations\nimport os\n',
            '"""D\nd"""\nfrom __future__ import annotations\n' + IMPORT + "import os\n",
        ),
        (
            "from __future__ import division; import os; import sys\n",
            "from __future__ import division; from flor.runtime import abi as flor_abi; "
            "import os; import sys\n",
        ),
        ('"""é"""; import os\n', '"""é"""; from flor.runtime import abi as flor_abi; import os\n'),
        ("@decorate\ndef f(): pass\n", IMPORT + "@decorate\ndef f(): pass\n"),
        ("'a' 'b'\nfrom __future__ import division\n", None),
        ("b'no docstring'\n", IMPORT + "b'no docstring'\n"),
        ("f'no docstring'\n", IMPORT + "f'no docstring'\n"),
    ],
)
def test_import_line(before: str, after: str | None) -> None:
    if after is None:
        after = before + IMPORT
    loop = "for x in xs: pass\n"
    assert emitted(before + loop) == f'{after}for x in flor_abi.loop("x", xs{STATE}: pass\n'


def test_name_collisions() -> None:
    text = "flor_abi = flor_n0 = flor_n0_ = 1\nwhile a: pass\nfor x in xs: pass\n"
    assert emitted(text) == (
        "from flor.runtime import abi as flor_abi_\n"
        "flor_abi = flor_n0 = flor_n0_ = 1\n"
        f'flor_n0__ = flor_abi_.while_loop("n0"{STATE}\n'
        "while flor_n0__.head() and (a): pass\n"
        "flor_n0__.end()\n"
        f'for x in flor_abi_.loop("x", xs{STATE}: pass\n'
    )


def test_columns_that_are_no_identifiers() -> None:
    text = "while a: pass\nwhile b: pass\n"
    edits = [
        Edit("train.py", "while", 1, 0, "a-b", (), False),
        Edit("train.py", "while", 2, 0, "a.b", (), False),
    ]
    result = emitted(text, edits)
    assert 'flor_a_b = flor_abi.while_loop("a-b")' in result
    assert 'flor_a_b_ = flor_abi.while_loop("a.b")' in result


@pytest.mark.parametrize(
    ("call", "wrapped"),
    [
        ("iter (loader)", "flor_abi.iterator(iter) (loader)"),
        ("iter(loader)", "flor_abi.iterator(iter)(loader)"),
        ("iter( loader )", "flor_abi.iterator(iter)( loader )"),
        ("iter()", "flor_abi.iterator(iter)()"),
        ("iter(a, b=1, *c, **d)", "flor_abi.iterator(iter)(a, b=1, *c, **d)"),
        ("iter(x for x in y)", "flor_abi.iterator(iter)(x for x in y)"),
        ("iter((x for x in y))", "flor_abi.iterator(iter)((x for x in y))"),
        (
            "iter(\n    a,  # first\n    b,\n)",
            "flor_abi.iterator(iter)(\n    a,  # first\n    b,\n)",
        ),
        ("iter(\n    # none\n)", "flor_abi.iterator(iter)(\n    # none\n)"),
        ("(iter(x))", "(flor_abi.iterator(iter)(x))"),
        ("iter(lambda: f(0), b'')", "flor_abi.iterator(iter)(lambda: f(0), b'')"),
    ],
)
def test_iterators(call: str, wrapped: str) -> None:
    assert body(f"it = {call}\n") == f"it = {wrapped}\n"


def test_iterator_of_a_method_and_in_a_loop_header() -> None:
    text = "it = self.data.batches(a)\nfor x in zip(iter(a), b): pass\n"
    edits = [
        Edit("train.py", "iterator", 1, 5, "", (), False),
        Edit("train.py", "for", 2, 0, "x", (), False),
        Edit("train.py", "iterator", 2, 13, "", (), False),
    ]
    assert emitted(text, edits) == (
        IMPORT + "it = flor_abi.iterator(self.data.batches)(a)\n"
        'for x in flor_abi.loop("x", zip(flor_abi.iterator(iter)(a), b)): pass\n'
    )


@pytest.mark.parametrize(
    ("end", "wrapped"),
    [
        (None, "flor_abi.iterator(make(a))(b)"),
        ((1, 15), "flor_abi.iterator(make(a))(b)"),
        ((1, 12), "flor_abi.iterator(make)(a)(b)"),
    ],
)
def test_calls_that_begin_at_one_place(end: tuple[int, int] | None, wrapped: str) -> None:
    edits = [Edit("train.py", "iterator", 1, 5, "", (), False, end)]
    assert emit(source("it = make(a)(b)\n"), edits).text == f"{IMPORT}it = {wrapped}\n"


def test_iterator_that_is_the_iterable_itself() -> None:
    edits = [
        Edit("train.py", "for", 1, 0, "x", (), False),
        Edit("train.py", "iterator", 1, 9, "", (), False),
    ]
    assert emitted("for x in iter(a): pass\n", edits) == (
        IMPORT + 'for x in flor_abi.loop("x", flor_abi.iterator(iter)(a)): pass\n'
    )


def test_only_the_edits_given_and_only_of_this_module() -> None:
    text = "for x in xs:\n    for y in x: pass\n"
    edits = edits_for(text)
    assert "for y in x: pass" in emitted(text, edits[:1])
    assert emit(source(text, "other.py"), edits) == emit(source(text, "other.py"), [])
    assert emit(source(text, "other.py"), edits).text == text


@pytest.mark.parametrize("variant", ["record", "replay"])
def test_instrumenting_twice_changes_nothing(variant: str) -> None:
    text = "it = iter(xs)\nfor x in xs:\n    while a:\n        while True: pass\n"
    once = emit(source(text), edits_for(text), variant)
    assert already_instrumented(once.text) and not already_instrumented(text)
    again = edits_for(once.text, iterators=("iter",))
    again.append(Edit("train.py", "iterator", 2, 5, "", (), False))
    twice = emit(source(once.text), again, variant)
    assert twice.text == once.text and twice.source_map == ()
    assert len(instrumented_loops(ast.parse(once.text))) == 4


def test_a_loop_added_to_instrumented_text() -> None:
    text = emitted("for x in xs: pass\n") + "for y in ys: pass\n"
    result = emit(source(text), edits_for(text)).text
    assert result.count("import abi") == 1 and f'flor_abi.loop("y", ys{STATE}' in result


def test_a_flor_loop_of_the_users_is_not_instrumented() -> None:
    text = 'import flor\nfor x in flor.loop("x", xs): pass\nwhile a.head(): pass\n'
    assert not already_instrumented(text)
    assert not already_instrumented("from flor.runtime import abi\nfor x in xs: pass\n")
    assert not already_instrumented("flor.runtime (")


@pytest.mark.parametrize(
    "edit",
    [
        Edit("train.py", "for", 1, 0, "x", (), True),
        Edit("train.py", "while", 2, 0, "x", (), True),
        Edit("train.py", "for", 9, 0, "x", (), True),
        Edit("train.py", "iterator", 2, 0, "", (), True),
        Edit("train.py", "for", 4, 4, "x", (), True),
    ],
)
def test_an_edit_that_fits_nothing(edit: Edit) -> None:
    text = "a = 1\nfor x in xs: pass\nasync def f():\n    async for x in y: pass\n"
    with pytest.raises(EmitError) as error:
        emit(source(text), [edit])
    assert error.value.line == edit.line


def test_too_deep_is_an_error_of_ours() -> None:
    text = "for x in xs: pass\ny = " + "+".join(["1"] * 20000) + "\n"
    try:
        ast.parse(text)
    except RecursionError:
        pytest.skip("Python itself gives up")
    with pytest.raises(EmitError):
        emit(source(text), [Edit("train.py", "for", 1, 0, "x", (), True)])
