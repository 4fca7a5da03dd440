"""Propagation into edited versions of generated programs, judged by running them.

The programs call `f`, which notes its arguments and never fails. With the log statements put in,
the old version has to note exactly the same, and no name may turn out to be unbound.
"""

from __future__ import annotations

import contextlib
import re
import sys
import types
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from florc.propagate.propagation import Propagation, propagate

NAMES = [f"v{i}" for i in range(6)]
LOG = re.compile(r"flor\.log\(")


@dataclass(frozen=True)
class Line:
    """A statement (`inner` is None) or a header with what is inside it."""

    code: str
    inner: tuple[Line, ...] | None = None


def simple() -> st.SearchStrategy[Line]:
    name = st.sampled_from(NAMES)
    number = st.integers(0, 9)
    return st.one_of(
        st.builds(lambda a, b, n: Line(f"{a} = f({b}, {n})"), name, name, number),
        st.builds(lambda a, b: Line(f"{a} += g({b})"), name, name),
        st.builds(lambda b, n: Line(f"f({b}, {n})"), name, number),
        st.builds(lambda a, b, c: Line(f"{a}, {b} = f({c}), 1"), name, name, name),
        st.builds(lambda a: Line(f"del {a}") if a == "v5" else Line(f"{a} = 0"), name),
    )


def blocks(inner: st.SearchStrategy[Line]) -> st.SearchStrategy[Line]:
    body = st.lists(inner, min_size=1, max_size=4).map(tuple)
    header = st.sampled_from(
        ["for i in range(2):", "if g(v0):", "with c():", "if True:", "for v4 in range(1, 3):",
         "while f(v0) is None:", "try:", "def h(v0, v1=1):"]
    )  # fmt: skip
    return st.builds(Line, header, body)


def programs() -> st.SearchStrategy[tuple[Line, ...]]:
    line = st.recursive(simple(), blocks, max_leaves=12)
    return st.lists(line, min_size=3, max_size=9).map(tuple)


def render(program: tuple[Line, ...], depth: int = 0) -> str:
    rows = []
    for line in program:
        indent = "    " * depth
        rows.append(f"{indent}{line.code}\n")
        if line.inner is not None:
            rows.append(render(line.inner, depth + 1))
            if line.code == "try:":
                rows.append(f"{indent}finally:\n{indent}    f(0)\n")
            if line.code.startswith("def "):
                rows.append(f"{indent}h(v0)\n")
    return "".join(rows)


def whole(program: tuple[Line, ...]) -> str:
    first = "".join(f"{name} = f({i})\n" for i, name in enumerate(NAMES[:4]))
    return f"{first}{render(program)}f('end')\n"


def run(code: str) -> tuple[list[Any], str]:
    """What the program noted, and the name of the exception that ended it."""
    notes: list[Any] = []

    def f(*values: Any) -> int:
        notes.append(values)
        return len(notes) if len(notes) < 400 else sys.exit()

    def log(name: str, value: Any) -> Any:
        return value

    space = {"f": f, "g": lambda value: 1, "c": contextlib.nullcontext}
    stub = types.ModuleType("flor")
    stub.log = log  # type: ignore[attr-defined]
    before = sys.modules.get("flor")
    sys.modules["flor"] = stub
    try:
        exec(compile(code, "p.py", "exec"), space)
    except (Exception, SystemExit) as error:
        return notes, type(error).__name__
    finally:
        sys.modules.pop("flor")
        if before is not None:
            sys.modules["flor"] = before
    return notes, ""


def with_logs(draw: st.DrawFn, code: str) -> str:
    """The program with up to three log statements between its lines."""
    rows = code.splitlines(keepends=True)
    for number in range(draw(st.integers(1, 3))):
        at = draw(st.integers(len(NAMES[:4]), len(rows) - 1))
        indent = rows[at][: len(rows[at]) - len(rows[at].lstrip())]
        if rows[at].lstrip().startswith("finally"):
            continue
        name = draw(st.sampled_from(NAMES[:5]))
        log = f'flor.log("n{number}", ({name}, {number}))\n'
        guard = draw(st.sampled_from(["", "if v1 > 1:"]))
        lines = [f"{indent}{guard}\n", f"{indent}    {log}"] if guard else [f"{indent}{log}"]
        rows[at:at] = lines
    return "import flor\n" + "".join(rows)


def mutated(draw: st.DrawFn, program: tuple[Line, ...]) -> tuple[Line, ...]:
    """A few statement-level edits."""
    for _ in range(draw(st.integers(1, 4))):
        program = edit(draw, program)
    return program


def edit(draw: st.DrawFn, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    kind = draw(st.sampled_from(["delete", "insert", "swap", "wrap", "unwrap", "rename", "into"]))
    at = draw(st.integers(0, max(0, len(lines) - 1)))
    found = list(lines)
    if kind == "rename":
        old, new = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["w0", "w1", *NAMES]))
        return renamed(lines, old, new)
    if kind == "delete" and len(found) > 1:
        del found[at]
    elif kind == "insert" or not found:
        found.insert(at, draw(simple()))
    elif kind == "swap" and at + 1 < len(found):
        found[at], found[at + 1] = found[at + 1], found[at]
    elif kind == "wrap":
        header = draw(st.sampled_from(["with c():", "if True:", "for j in range(1):"]))
        found[at : at + 2] = [Line(header, tuple(found[at : at + 2]))]
    elif kind == "unwrap" and found[at].inner:
        found[at : at + 1] = found[at].inner or ()
    elif kind == "into" and found[at].inner:
        found[at] = Line(found[at].code, edit(draw, found[at].inner or ()))
    return tuple(found)


def renamed(lines: tuple[Line, ...], old: str, new: str) -> tuple[Line, ...]:
    return tuple(
        Line(
            re.sub(rf"\b{old}\b", new, line.code),
            None if line.inner is None else renamed(line.inner, old, new),
        )
        for line in lines
    )


def undone(done: Propagation, old: str) -> None:
    """Taking out what was put in gives the old text."""
    code = done.texts["p.py"]
    position, left = 0, []
    for made in done.added.get("p.py", ()):
        left.append(old[position : made.offset])
        position = made.offset
    left.append(old[position:])
    assert "".join(left) == old
    rest = code
    for part, made in zip(left, done.added.get("p.py", ())):
        assert rest.startswith(part + made.text)
        rest = rest[len(part) + len(made.text) :]
    assert rest == left[-1]
    inserted = "".join(made.text for made in done.added.get("p.py", ()))
    for row in inserted.splitlines():
        bare = row.strip().rstrip(";").strip()
        assert not bare or re.match(
            r"(import flor|if v1|if w|flor\.log|; flor|if v|else:)", bare
        ), row


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_edited_versions(data: st.DataObject) -> None:
    draw = data.draw
    program = draw(programs())
    new = draw(st.composite(with_logs)(whole(program)))
    old = whole(draw(st.composite(mutated)(program)))
    try:
        compile(new, "p.py", "exec")
        compile(old, "p.py", "exec")
    except SyntaxError:
        assume(False)
    notes, failure = run(old)
    done = propagate({"p.py": new}, {"p.py": old})
    logs = len(LOG.findall(new))
    assert len(done.outcomes) == logs  # nothing is dropped
    undone(done, old)
    placed = sum(o.kind == "placed" for o in done.outcomes)
    assert len(LOG.findall(done.texts["p.py"])) == placed
    got, end = run(done.texts["p.py"])
    if not failure:
        assert not end, (end, done.texts["p.py"])
    assert got == notes


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_same_version(data: st.DataObject) -> None:
    program = whole(data.draw(programs()))
    new = data.draw(st.composite(with_logs)(program))
    try:
        compile(new, "p.py", "exec")
    except SyntaxError:
        assume(False)
    there = propagate({"p.py": new}, {"p.py": new})
    assert {o.kind for o in there.outcomes} <= {"there"} and there.texts["p.py"] == new
