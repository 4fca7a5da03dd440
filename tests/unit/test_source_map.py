"""Positions of emitted text are the user's, whatever looks at them."""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import random
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from emission import edits_for, misplaced, source
from hypothesis import given
from hypothesis import strategies as st

from florc.emit.load import code_for
from florc.emit.rewrite import Emitted, emit
from florc.emit.source_map import Insertion, apply, build, original_line, position, spliced

LIBRARY = Path(os.__file__).parent


def identity_abi() -> SimpleNamespace:
    """An abi that does nothing, for running emitted text."""

    class Loop:
        def head(self) -> bool:
            return True

        def end(self) -> None:
            pass

    return SimpleNamespace(
        loop=lambda name, iterable, state=(): iterable,
        while_loop=lambda name, state=(): Loop(),
        iterator=lambda function, *args, **kwargs: function(*args, **kwargs),
    )


def run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options) -> dict:
    """Run the emitted form of `text` under the name of a file that holds the original."""
    monkeypatch.setitem(sys.modules, "flor.runtime.abi", identity_abi())
    monkeypatch.setattr("flor.runtime.abi", sys.modules["flor.runtime.abi"], raising=False)
    path = tmp_path / "train.py"
    path.write_text(text, encoding="utf-8")
    linecache.checkcache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a compiler's, not the program's
        done = emit(source(text), edits_for(text))
    assert done.text != text
    namespace: dict = {"__name__": "train", "__file__": str(path)}
    exec(code_for(done.text, done.source_map, str(path), **options), namespace)
    return namespace


def random_edits(text: str, seed: int) -> list:
    chance = random.Random(seed)
    return edits_for(
        text,
        iterators=("iter", "len", "list", "open", "enumerate"),
        keep=lambda _: chance.random() < 0.7,
    )


@pytest.mark.parametrize(
    "name",
    ["heapq.py", "textwrap.py", "graphlib.py", "fileinput.py", "wsgiref/validate.py", "pty.py"],
)
def test_standard_library(name: str) -> None:
    text = (LIBRARY / name).read_text(encoding="utf-8")
    done = emit(source(text), random_edits(text, 1))
    assert "flor_abi." in done.text
    tree = apply(ast.parse(done.text), done.source_map)
    assert misplaced(ast.parse(text), tree) == []
    compile(tree, name, "exec")


@pytest.mark.slow
def test_whole_standard_library() -> None:
    seen = 0
    for number, path in enumerate(sorted(LIBRARY.rglob("*.py"))):
        if number % 20 or "site-packages" in path.parts:
            continue
        try:
            with open(path, encoding="utf-8", newline="") as file:
                text = file.read()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        edits = random_edits(text, number)
        if edits:
            done = emit(source(text), edits)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert misplaced(tree, apply(ast.parse(done.text), done.source_map)) == [], path
            seen += 1
    assert seen > 10


SIMPLE = st.sampled_from(["step()", "x = 1", "it = iter(xs)", "'é'", "yield", "a; b;"])
HEADERS = st.sampled_from(
    [
        "for x in xs:",
        "for x in 1, 2,:",
        "for x in(xs):",
        "for x in (  # c\n  xs\n  ):",
        "for é in 'éé', \"日本\":",
        "while True:",
        "while(1):",
        "while a < 日本:",
        "while (a\n  and b): # c",
        "if a:",
        "with a as b:",
        "def f():",
        "class C:",
    ]
)


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """Lines of a block of random statements."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(
            st.sampled_from(["simple", "blank", "comment", "block", "block", "try", "match"])
        )
        if kind == "blank":
            lines.append("")
        elif kind == "comment":
            lines.append("# é comment")
        elif kind == "simple" or depth >= 3:
            lines.append(draw(SIMPLE))
        elif kind == "match":
            lines += ["match a:", *_indented(["case 1:", *_indented(draw(blocks(depth + 2)))])]
        elif kind == "try":
            lines += ["try:", *_indented(draw(blocks(depth + 1)))]
            if draw(st.booleans()):
                lines += ["except E:", *_indented(draw(blocks(depth + 2)))]
            else:
                lines += ["finally:", *_indented(draw(blocks(depth + 2)))]
        else:
            header = draw(HEADERS)
            if draw(st.booleans()) and "#" not in header:
                lines.append(f"{header} step();")
                continue
            lines += [header, *_indented(draw(blocks(depth + 1)))]
            if header.startswith(("for", "while", "if")) and draw(st.booleans()):
                lines += ["else:", *_indented(draw(blocks(depth + 2)))]
    if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        lines.append("pass")
    return lines


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines if line] or ["    pass"]


@given(blocks(), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_random_programs(lines: list[str], newline: str, final: bool) -> None:
    text = ("\n".join(lines) + ("\n" if final else "")).replace("\n", newline)
    tree = ast.parse(text)
    edits = edits_for(text)
    done = emit(source(text), edits)
    emitted = ast.parse(done.text)
    assert misplaced(tree, apply(emitted, done.source_map)) == []
    assert len(edits_for(done.text)) >= len([e for e in edits if e.kind != "iterator"])
    again = emit(source(done.text), edits_for(done.text))
    assert again == Emitted(done.text, ())


def test_rows() -> None:
    text = "é = 1\nwhile é: pass\n"
    edits = edits_for(text)
    done = emit(source(text), edits)
    assert [line for line, _ in done.source_map] == [1, 1, 2, 2, 2]
    assert original_line(done.source_map, 4) == 2 and original_line(done.source_map, 99) == 2
    assert position((), 7, 3) == (7, 3)


def test_what_is_inserted_collapses_to_its_place() -> None:
    insertions = [
        Insertion(2, "XX"),
        Insertion(3, "YYY"),
        Insertion(5, "\n"),
        Insertion(5, "ZZ", (1, 4)),
    ]
    assert spliced("abcde", insertions) == "abXXcYYYde\nZZ"
    rows = build("abcde", insertions)
    assert [position(rows, 1, c)[1] for c in range(10)] == [0, 1, 2, 2, 2, 3, 3, 3, 3, 4]
    assert [position(rows, 2, c) for c in range(3)] == [(1, 0), (1, 1), (1, 4)]


def test_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '"""Doc."""\n'
        "def train(xs):\n"
        "    while True:\n"
        "        for x in xs: use(1 / x)\n"
        "        return f()\n"
        "def f():\n"
        "    for y in 1 / 0, 2:\n"
        "        pass\n"
        "use = print\n"
    )
    namespace = run(text, tmp_path, monkeypatch)
    plain: dict = {}
    exec(compile(text, str(tmp_path / "train.py"), "exec"), plain)
    assert namespace["__doc__"] == "Doc."
    for argument in ([0], [], 5):
        shown = []
        for module in (plain, namespace):
            try:
                module["train"](argument)
            except (ZeroDivisionError, TypeError) as error:
                shown.append(traceback.format_exception(error)[2:])
        assert len(shown) == 2 and shown[0] == shown[1]


def test_inspect_and_coverage_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a = 2\n\ndef train():\n    'd'\n    n = 0\n    while n < a:\n        n += 1\n"
    text += "    return n\n"
    namespace = run(text, tmp_path, monkeypatch)
    train = namespace["train"]
    assert inspect.getsource(train) == text.split("\n", 2)[2]
    assert train.__doc__ == "d"
    lines = set()

    def trace(frame, event, argument):
        if frame.f_code.co_filename.endswith("train.py"):
            if event == "line":
                lines.add(frame.f_lineno)
            return trace
        return None

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        assert train() == 2
    finally:
        sys.settrace(old)
    assert lines == {5, 6, 7, 8}


def test_future_imports_and_optimisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '"""Doc."""\nfrom __future__ import annotations\n'
        "def f(a: Unknown): 'd'\nfor i in range(2):\n    assert i < 0 or __debug__ is False\n"
    )
    namespace = run(text, tmp_path, monkeypatch, optimize=1)
    assert namespace["f"].__annotations__ == {"a": "Unknown"} and namespace["i"] == 1
    with pytest.raises(AssertionError):
        run(text, tmp_path, monkeypatch, optimize=0)
    assert run(text, tmp_path, monkeypatch, optimize=2)["f"].__doc__ is None
    plain = "for i in range(2): pass\ndef f(a: int): pass\n"
    assert run(plain, tmp_path, monkeypatch)["f"].__annotations__ == {"a": int}


def test_warnings_of_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "for i in range(2): pass\n\nx = '\\d'\ny = x is 1\n"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(text, tmp_path, monkeypatch)
    ours = {(w.lineno, Path(w.filename).name) for w in caught}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile(text, str(tmp_path / "train.py"), "exec")
    assert ours == {(w.lineno, Path(w.filename).name) for w in caught}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SyntaxError) as error:
            run(text, tmp_path, monkeypatch)
    assert error.value.lineno in (3, 4)


def test_syntax_error_is_at_the_users_line() -> None:
    done = emit(source("for i in xs: pass\n"), edits_for("for i in xs: pass\n"))
    with pytest.raises(SyntaxError) as error:
        code_for(done.text + "x = = 1\n", (*done.source_map, (2, ())), "train.py")
    assert error.value.lineno == 2
    with pytest.raises(SyntaxError) as error:
        text = "for i in xs: pass\nreturn\n"
        done = emit(source(text), edits_for(text))
        code_for(done.text, done.source_map, "train.py")
    assert error.value.lineno == 2
