"""What `florc instrument` reports: --explain, with recorded sizes and colours, and --emit."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from textwrap import dedent

import pytest

from florc.cli import PASSES, main
from florc.colours import coloured
from florc.driver import compile_project
from florc.explain import Recorded, explain, recorded_sizes

SCRIPT = dedent("""
    import flor
    from library import mystery

    def note(i, xs):
        xs.append(i)
        flor.log("size", len(xs))
        print(xs)

    xs, ys = [], []
    for i in range(3):
        note(i, xs)
    for i in range(3):
        note(i, xs)
        mystery(ys)
        flor.log("last", i)
    flor.log("after", len(ys))
""")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "fit.py").write_text(SCRIPT)
    return tmp_path


def test_a_log_in_a_callee_is_placed_in_the_loops_that_call_it(project: Path) -> None:
    text = explain(compile_project(project / "fit.py").plan)
    first, second = re.findall(r"training loop `(\w+)`", text)
    assert f"fit.py:7: `size`  {first} or {second}\n" in text
    assert "fit.py:17: `after`  outside the loops\n" in text


def test_what_answers_a_log_statement(project: Path) -> None:
    text = explain(compile_project(project / "fit.py").plan)
    (line,) = re.findall(r"fit.py:16: `last`  (.*)", text)
    assert re.fullmatch(r"(\w+); the state at the next head of `\1` answers it", line)


def test_sinks_and_assumptions(project: Path) -> None:
    text = explain(compile_project(project / "fit.py").plan)
    assert text.count("  sinks        print() at fit.py:8\n") == 2
    assert re.search(r"\nassumptions\n  fit.py:15  mystery\(\)  no entry for `\S+`", text)
    assert "`florc effects --suggest fit.py`" in text


def store(root: Path, hashes: dict[str, str]) -> None:
    """A store of the layout that the run time writes, with one run and its checkpoints."""
    from flor.runtime.store.schema import TABLES

    (root / ".flor").mkdir(exist_ok=True)
    with sqlite3.connect(root / ".flor" / "flor.db") as connection:
        connection.executescript(TABLES)
        connection.execute("INSERT INTO runs (run, version) VALUES (7, 'v')")
        connection.executemany("INSERT INTO sources VALUES ('v', ?, ?)", hashes.items())
        rows = [(7, "i", 1000, 1.0), (7, "i", 1234567, 2.0)]
        connection.executemany(
            "INSERT INTO checkpoints (run, loop, nbytes, time) VALUES (?, ?, ?, ?)", rows
        )


def test_recorded_sizes(project: Path) -> None:
    plan = compile_project(project / "fit.py").plan
    assert recorded_sizes(plan, project) == {}
    store(project, {m.path: m.sha256 for m in plan.modules})
    assert recorded_sizes(plan, project) == {"i": Recorded(7, 1234567, 0)}
    assert "member, 1.23 MB of tensors (run 7)" in explain(plan, recorded_sizes(plan, project))


def test_sizes_of_other_content_are_not_shown(project: Path) -> None:
    plan = compile_project(project / "fit.py").plan
    store(project, {m.path: "0" * 64 for m in plan.modules})
    assert recorded_sizes(plan, project) == {}
    (project / ".flor" / "flor.db").write_bytes(b"no database")
    assert recorded_sizes(plan, project) == {}


def test_colours_change_nothing_else(project: Path) -> None:
    text = explain(compile_project(project / "fit.py").plan)
    shown = coloured(text)
    assert shown != text
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == text


def emitted(project: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["instrument", "-q", str(project / "fit.py"), *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_is_shown(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = emitted(project, capsys, "--emit", name)
    assert text == emitted(project, capsys, "--emit", name)
    data = json.loads(emitted(project, capsys, "--emit", name, "--output-format", "json"))
    if name == "plan":
        assert json.loads(text) == data
        return
    assert data["pass"] == name
    assert data["sections"]
    for heading, lines in data["sections"].items():
        assert name in ("record", "replay") or heading in text
        assert all(line in text for line in lines)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("scopes", "function note@5: i xs"),
        ("defuse", "i@6:14 <- 5"),
        ("callgraph", "line 12: fit.py:note"),
        ("heap", "builtins.list@10"),
        ("loops", "counter i"),
        ("record", "import flor"),
        ("ast", "Module("),
    ],
)
def test_what_a_pass_shows(
    name: str, line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in emitted(project, capsys, "--emit", name)


def test_the_emitted_text_is_what_would_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = emitted(project, capsys, "--emit", "record")
    assert main(["instrument", "-q", str(project / "fit.py")]) == 0
    assert text == (project / ".flor/build/record/fit.py").read_text()
