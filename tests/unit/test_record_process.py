"""The pieces of a recording that need no store: targets, tracebacks, exit codes, the file list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flor.runtime import cli, hashseed
from flor.runtime.errors import FlorError
from flor.runtime.record import tracebacks, tree
from flor.runtime.record.command import exit_code
from flor.runtime.record.target import find_module, from_script


def test_everything_behind_the_script_is_the_scripts() -> None:
    """Also options that look like ours."""
    args = cli.record_arguments(["record", "-q", "--budget", "0.1", "t.py", "-q", "--", "-m", "x"])
    assert (args.script, args.quiet, args.budget, args.module) == ("t.py", True, 0.1, False)
    assert args.args == ["-q", "--", "-m", "x"]
    args = cli.record_arguments(["record", "-m", "pkg.train", "--budget", "3"])
    assert (args.script, args.module, args.args) == ("pkg.train", True, ["--budget", "3"])


def test_unreadable_script(tmp_path: Path) -> None:
    """One line and exit code 2."""
    with pytest.raises(FlorError, match=r"can.t open .*No such file") as caught:
        from_script(str(tmp_path / "none.py"), [])
    assert caught.value.code == 2


def test_find_module_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's __init__ isn't run just to find the file."""
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "train.py").write_text("")
    (package / "__main__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_module("pkg.train") == package / "train.py"
    assert find_module("pkg") == package / "__main__.py"
    assert find_module("pkg.none") is None


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (3, 3), ("no", 1), (256, 0)])
def test_exit_code(code: object, status: int) -> None:
    """As the interpreter makes it."""
    assert exit_code(code) == status


def test_tracebacks_lose_our_frames() -> None:
    """Also those of the exceptions that led to it."""
    try:
        try:
            from_script("/nowhere/at/all.py", [])
        except FlorError as error:
            raise ValueError("mine") from error
    except ValueError as error:
        tracebacks.trim(error)
        seen = []
        for one in (error, error.__cause__):
            tb = one.__traceback__ if one is not None else None
            while tb is not None:
                seen.append(tb.tb_frame.f_code.co_filename)
                tb = tb.tb_next
        assert set(seen) == {__file__}


def test_what_came_after_the_listing(tmp_path: Path) -> None:
    """New files and the tops of new folders; code and hidden things don't count."""
    (tmp_path / "old.txt").write_text("")
    kept = tmp_path / ".flor" / "files.json"
    tree.save(kept, tmp_path, str(tmp_path))
    (tmp_path / "new.pt").write_text("")
    (tmp_path / "new.py").write_text("")
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "log").write_text("")
    fresh = tree.newer(kept, tmp_path, str(tmp_path))
    assert [Path(p).name for p in fresh] == ["new.pt", "out"]


def test_hash_seed_is_hidden_from_the_script() -> None:
    """What the user set stays; what we drew goes."""
    mine = {hashseed.MARK: "7", hashseed.VARIABLE: "7", "A": "1"}
    assert hashseed.hide(mine) == "7"
    assert mine == {"A": "1"}
    theirs = {hashseed.VARIABLE: "0"}
    assert hashseed.hide(theirs) is None
    assert theirs == {hashseed.VARIABLE: "0"}


def test_import_is_light() -> None:
    """`import flor` brings in none of the heavy modules."""
    heavy = "torch numpy libcst networkx pandas sqlite3 sqlglot rich argparse".split()
    code = f"import sys, flor; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
