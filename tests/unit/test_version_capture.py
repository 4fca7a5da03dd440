"""What is noted of a version: texts, git state, environment, packages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from overlay_help import fingerprint

from flor.runtime.project import project_root
from flor.runtime.versions import capture, environment


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "r"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("ignored\n")
    git(root, "init", "-q", "-b", "work")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    (root / "sub" / "a.py").write_text("x = 2\n")
    (root / "sub" / "n\u00e4w.py").write_text("y\n")
    (root / "ignored").write_text("")
    return root


def test_state_of_a_repository(repository: Path) -> None:
    before = fingerprint(repository)
    info = capture.snapshot(
        repository / "sub", ["a.py", repository / "sub" / "n\u00e4w.py", "no.py"]
    )
    assert fingerprint(repository) == before
    assert info.files == {"a.py": "x = 2\n", "n\u00e4w.py": "y\n"} and info.missing == ("no.py",)
    state = info.git
    assert state.available and state.branch == "work" and len(state.commit or "") == 40
    assert state.dirty and "+x = 2" in state.diff and state.untracked == ("sub/n\u00e4w.py",)
    assert state.note == "" and info.as_git_dict()["untracked"] == ["sub/n\u00e4w.py"]
    git(repository, "checkout", "-q", "--detach")
    assert capture.git_state(repository).branch is None


def test_a_large_diff_is_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "DIFF_LIMIT", 50)
    state = capture.git_state(repository)
    assert len(state.diff) == 50 and "diff is larger" in state.note and state.dirty


def test_without_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    assert capture.git_state(tmp_path / "plain").note == "not in a git repository"
    git_folder = tmp_path / "fresh"
    git_folder.mkdir()
    git(git_folder, "init", "-q")
    assert capture.git_state(git_folder).note == "no commit yet"
    assert "in time" in capture.git_state(repository, timeout=0.0).note
    monkeypatch.setenv("PATH", str(tmp_path))
    assert capture.git_state(repository).note == "git is not installed"


def test_source_encodings(tmp_path: Path) -> None:
    (tmp_path / "l.py").write_bytes(b"# -*- coding: latin-1 -*-\ns = '\xe4'\n")
    (tmp_path / "b.py").write_bytes(b"s = '\xe4'\n")
    files = capture.snapshot(tmp_path, ["l.py", "b.py"]).files
    assert "\u00e4" in files["l.py"] and files["b.py"].startswith("s = ")


def test_environment_hides_secrets() -> None:
    given = {
        "HOME": "/h",
        "WANDB_API_KEY": "k",
        "AWS_SECRET_ACCESS_KEY": "k",
        "GITHUB_TOKEN": "t",
        "DB_PASSWORD": "p",
        "PROXY": "http://me:word@host:1/",
        "KEYBOARD": "us",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    seen = environment.environment(given)
    assert seen["HOME"] == "/h" and seen["KEYBOARD"] == "us" and seen["CUDA_VISIBLE_DEVICES"] == "0"
    assert [n for n, v in seen.items() if v == "***"] == [
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "GITHUB_TOKEN",
        "WANDB_API_KEY",
    ]
    assert seen["PROXY"] == "http://me:***@host:1/"


def test_packages_are_found_quickly() -> None:
    environment._packages.cache_clear()
    start = time.perf_counter()
    found = environment.packages()
    assert "pytest" in found and found["pytest"] == pytest.__version__
    assert "pytest" in environment.imported_packages()
    assert time.perf_counter() - start < 0.5  # a few milliseconds, with room for a busy machine
    assert environment.machine()["python"] == sys.version.split()[0]


def test_project_root(tmp_path: Path) -> None:
    (tmp_path / "p" / "src").mkdir(parents=True)
    script = tmp_path / "p" / "src" / "train.py"
    assert project_root(script) == script.parent
    (tmp_path / "p" / "pyproject.toml").write_text("")
    assert project_root(script) == tmp_path / "p"
    (tmp_path / "p" / "src" / ".flor").mkdir()
    assert project_root(script) == script.parent
