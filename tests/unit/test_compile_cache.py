"""The user's cache of builds: found by content, never in the way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from florc import driver
from florc.cli import main
from florc.emit import cache

SCRIPT = "import helper\nxs = []\nfor i in range(3):\n    xs.append(helper.f(i))\nprint(xs)\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    (folder / "helper.py").write_text("def f(i):\n    return i\n")
    (folder / "fit.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The scripts that were really compiled."""
    seen: list[Path] = []
    real = driver.compile_project

    def counting(script: Path, **options: object) -> object:
        seen.append(script)
        return real(script, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "compile_project", counting)
    return seen


def explain(folder: Path, *options: str, code: int = 0) -> None:
    assert main(["instrument", "--explain", str(folder / "fit.py"), *options]) == code


def entries() -> list[Path]:
    base = cache.cache_dir()
    assert base is not None
    return sorted(base.glob("*/*.json"))


def test_the_same_content_is_compiled_once(
    project: Path, compiled: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    explain(project)
    first = capsys.readouterr()
    explain(project)
    assert capsys.readouterr() == first
    shutil.copytree(project, project.with_name("elsewhere"))
    explain(project.with_name("elsewhere"))
    assert capsys.readouterr() == first
    assert len(compiled) == 1
    assert len(entries()) == 1


def test_what_is_read_from_the_cache_is_written(project: Path, compiled: list[Path]) -> None:
    explain(project)
    assert main(["instrument", "-q", str(project / "fit.py")]) == 0
    assert len(compiled) == 1
    assert "flor_abi.loop" in (project / ".flor/build/record/fit.py").read_text()
    assert main(["instrument", "--check", str(project / "fit.py")]) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fit.py", SCRIPT + "print(1)\n"),
        ("helper.py", "seen = []\ndef f(i):\n    seen.append(i)\n    return i\n"),
        ("helper/__init__.py", "def f(i):\n    return -i\n"),  # comes before helper.py
        ("src/helper.py", None),  # comes after it
    ],
)
def test_a_change_is_seen(project: Path, compiled: list[Path], name: str, text: str | None) -> None:
    explain(project)
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text if text is not None else "")
    explain(project)
    assert len(compiled) == (2 if text is not None else 1)
    if text is not None:
        assert main(["instrument", "-q", str(project / "fit.py")]) == 0
        path.write_text(text + "\n# more\n")
        assert main(["instrument", "--check", "-q", str(project / "fit.py")]) == 1


def test_a_module_that_appears_is_seen(project: Path, compiled: list[Path]) -> None:
    """Also by the build in the project's folder."""
    (project / "fit.py").write_text(
        "try:\n    import extra\nexcept ImportError:\n    pass\n" + SCRIPT
    )
    assert main(["instrument", "-q", str(project / "fit.py")]) == 0
    assert main(["instrument", "--check", str(project / "fit.py")]) == 0
    (project / "extra.py").write_text("state = []\n")
    assert main(["instrument", "--check", "-q", str(project / "fit.py")]) == 1
    explain(project)
    assert len(compiled) == 2


def test_a_module_that_is_mended_is_seen(project: Path, compiled: list[Path]) -> None:
    (project / "helper.py").write_text("def f(i:\n")
    explain(project)
    explain(project)
    assert len(compiled) == 1
    (project / "helper.py").write_text("def f(i): return i\n")
    explain(project)
    assert len(compiled) == 2


def test_effect_files_count(project: Path, compiled: list[Path], tmp_path: Path) -> None:
    facts = tmp_path / "facts.toml"
    facts.write_text('[effects]\n"m.f" = { returns = "none" }\n')
    explain(project)
    explain(project, "--effects", str(facts))
    facts.write_text('[effects]\n"m.f" = { returns = "none", mutates = ["0"] }\n')
    explain(project, "--effects", str(facts))
    explain(project, "--effects", str(facts))
    assert len(compiled) == 3


def test_no_cache(project: Path, compiled: list[Path]) -> None:
    explain(project, "--no-cache")
    assert entries() == []
    explain(project)
    explain(project, "--no-cache")
    assert len(compiled) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"modules": 3}'])
def test_a_broken_entry_is_compiled_over(project: Path, compiled: list[Path], content: str) -> None:
    explain(project)
    (entry,) = entries()
    good = entry.read_text()
    entry.write_text(content)
    explain(project)
    assert len(compiled) == 2
    assert entry.read_text() == good


def test_a_place_that_can_not_be_written(
    project: Path, compiled: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    explain(project)
    explain(project)
    assert len(compiled) == 2


def test_refusals_are_not_kept(project: Path, compiled: list[Path]) -> None:
    (project / "fit.py").write_text("for i in range(3:\n")
    explain(project, code=2)
    explain(project, code=2)
    assert len(compiled) == 2
    assert entries() == []


def test_the_least_recently_used_go(
    project: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [SCRIPT + f"print({n})\n" for n in range(3)]
    for text in texts[:2]:
        (project / "fit.py").write_text(text)
        explain(project)
    size = sum(path.stat().st_size for path in entries())
    monkeypatch.setattr(cache, "LIMIT", size + 10)
    for path in entries():
        os.utime(path, (1, 1))
    (project / "fit.py").write_text(texts[0])
    explain(project)  # used again
    (project / "fit.py").write_text(texts[2])
    explain(project)
    assert len(entries()) == 2
    (project / "fit.py").write_text(texts[0])
    explain(project)
    assert len(compiled) == 3
    assert len(list(entries()[0].parent.parent.iterdir())) == 2
