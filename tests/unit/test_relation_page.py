"""docs/relation.md: its scripts are recorded, its questions asked, its answers compared.

`pytest tests/unit/test_relation_page.py --bless` writes today's answers into the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flor.runtime.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "relation.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(line: str, folder: Path) -> str:
    """What a command of the page prints."""
    variables = {}
    words = shlex.split(line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    assert words[0] == "flor"
    if words[1] in ("query", "status"):
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            main(words[1:])
        return out.getvalue() + errors.getvalue()
    done = subprocess.run(
        [sys.executable, "-m", "flor.runtime", *words[1:]], cwd=folder, text=True,
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    lines = done.stdout.replace(str(folder) + os.sep, "").splitlines(keepends=True)
    if words[1] == "record":  # of a traceback, its last line
        lines = [line for line in lines if not line.startswith(("Traceback", "  "))]
    return "".join(lines)


def performed(page: str, folder: Path) -> str:
    """The page with the output of its commands as it is today."""

    def block(match: re.Match[str]) -> str:
        kind, body = match.groups()
        if kind == "python":
            name = re.match(r"# (\w+\.py)\n", body)
            assert name is not None, body
            (folder / name[1]).write_text(body)
            return match[0]
        assert kind == "console", kind
        commands = [line[2:] for line in body.splitlines() if line.startswith("$ ")]
        parts = [f"$ {command}\n{run(command, folder)}" for command in commands]
        return f"```console\n{''.join(parts)}```"

    return BLOCK.sub(block, page)


def test_the_page_tells_what_happens(tmp_path, monkeypatch, bless):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    (tmp_path / "pyproject.toml").touch()
    told = PAGE.read_text(encoding="utf-8")
    found = performed(told, tmp_path)
    if bless:
        PAGE.write_text(found, encoding="utf-8")
    for was, now in zip(BLOCK.finditer(told), BLOCK.finditer(found)):
        assert now[0] == was[0]
    assert found == told


def test_every_rule_has_an_example():
    """A bold rule is followed by a block before the next heading."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ruled = [section for section in sections if re.search(r"^\*\*", section, re.MULTILINE)]
    assert len(ruled) >= 4
    for section in ruled:
        last = max(match.start() for match in re.finditer(r"^\*\*", section, re.MULTILINE))
        if "none, without `ORDER BY`" not in section[last:]:
            assert "```console" in section[last:], section[last : last + 80]


@pytest.mark.parametrize("word", ["never logged", "not yet replayed", "not reached", "refused"])
def test_states_are_told(word):
    assert f"`{word}`" in PAGE.read_text(encoding="utf-8")
