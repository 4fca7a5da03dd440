"""The compiler process that all versions of a command share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flor.runtime.errors import FlorError
from flor.runtime.record.build import get_build
from flor.runtime.record.target import Target
from flor.runtime.replay import compiler
from flor.runtime.replay.compiler import Compiler

LOOP = "total = 0\nfor epoch in range(3):\n    total += epoch\n"


def target(folder: Path, text: str) -> Target:
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    script = folder / "train.py"
    script.write_text(text)
    return Target("train.py", None, (), script, folder)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[subprocess.Popen[str]]:
    """The processes that were started; nobody's cache is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found: list[subprocess.Popen[str]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[call-overload]
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return found


def test_one_process_compiles_many(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:  # fmt: skip
    shared = Compiler()
    for number in range(3):
        text = LOOP + f"print({number})\n"
        outcome = get_build(target(tmp_path / str(number), text), None, shared.compile)
        assert outcome.build is not None and outcome.build.plan.loops[0].name == "epoch"
    with pytest.raises(FlorError, match="FLR001"):
        get_build(target(tmp_path / "broken", "for"), None, shared.compile)
    (tmp_path / "package").mkdir()
    module = target(tmp_path / "package" / "project", LOOP)
    module = Target("train.py", "train", (), module.file, module.root)
    assert get_build(module, module.root, shared.compile).build is not None
    assert len(started) == 1
    shared.close()
    assert started[0].poll() is not None


def test_it_ends_with_its_object(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    shared = Compiler()
    assert shared.compile(target(tmp_path / "one", LOOP))[0] == 0
    del shared
    assert started[0].poll() is not None


def test_without_an_answer_another_is_started(
    tmp_path: Path, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Compiler()
    assert shared.compile(target(tmp_path / "one", LOOP))[0] == 0
    started[0].kill()
    assert shared.compile(target(tmp_path / "two", LOOP))[0] == 0
    assert len(started) == 2  # the one that records use
    monkeypatch.setattr(compiler, "SERVER", "print('nonsense')")
    assert shared.compile(target(tmp_path / "three", LOOP))[0] == 0


def test_what_it_keeps_is_let_go_of(
    tmp_path: Path, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "MANY", 2)
    shared = Compiler()
    for number in range(3):
        assert shared.compile(target(tmp_path / str(number), LOOP))[0] == 0
    assert len(started) == 2
    shared.close()
