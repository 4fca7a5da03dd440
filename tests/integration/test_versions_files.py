"""A replay of an older version finds the files that its run found, and says which it can't."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import harness
import pytest

READS = """\
import json

rate = json.load(open("settings.json"))["rate"]
total = 0.0
for epoch in range(6):
    {again}
    for line in open("data/table.csv"):
        total += rate * float(line)
    kept = total * 2
    print(epoch, kept)
"""
LOG = 'flor.log("kept", kept)'


def logged(text: str, statement: str = LOG, anchor: str = "    print(epoch, kept)\n") -> str:
    assert anchor in text
    return "import flor\n" + text.replace(anchor, f"    {statement}\n{anchor}")


def project(folder: Path, text: str, *, commit: bool = True) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "table.csv").write_text("1\n2\n3\n")
    (folder / ".gitignore").write_text("data/\n__pycache__/\n")
    (folder / "settings.json").write_text('{"rate": 0.5}')
    (folder / "train.py").write_text(text)
    if commit:
        harness.commit_all(folder)
    return folder


def recorded(folder: Path, *argv: str) -> None:
    result = harness.record(list(argv) or ["train.py"], folder, "--budget", "0.9")
    assert result.code == 0 and not result.err, result


def asked(folder: Path, sql: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    before = harness.digest(folder)
    result = harness.flor(folder, "replay", "--yes", "--quiet", "--format", "json", sql)
    assert result.code == code, str(result)
    assert harness.digest(folder) == before
    assert not (folder / ".flor" / "worktrees").exists()
    return list(json.loads(result.out)), result.err


KEPT = [6.0, 12.0, 18.0, 24.0, 30.0, 36.0]


@pytest.mark.parametrize("again", ["pass", 'rate = json.load(open("settings.json"))["rate"]'])
@pytest.mark.parametrize("change", ["settings", "all", "gone"])
def test_tracked_files_are_as_they_were(tmp_path: Path, again: str, change: str) -> None:
    """Settings that were changed or removed since; also if they are read in the loop."""
    text = READS.format(again=again)
    folder = project(tmp_path / "p", text)
    recorded(folder)
    (folder / "train.py").write_text(logged(text))
    (folder / "settings.json").write_text('{"rate": 99.5}')
    if change == "all":
        (folder / "train.py").write_text(logged(text).replace("total * 2", "total * 3"))
    if change == "gone":
        (folder / "settings.json").unlink()
    rows, err = asked(folder, "SELECT epoch, kept FROM logs WHERE epoch IN (0, 4)")
    assert [row["kept"] for row in rows] == [KEPT[0], KEPT[4]] and not err


@pytest.mark.parametrize("how", ["touched", "grown", "older", "same size"])
def test_inputs_that_are_not_kept(tmp_path: Path, how: str) -> None:
    """Ignored data is used as it is; it is said if it isn't what the run read."""
    text = READS.format(again="pass")
    folder = project(tmp_path / "p", text)
    recorded(folder)
    # no checkpoint holds it, so that the file is read again
    (folder / "train.py").write_text(logged(text, 'flor.log("kept", kept + float(line))'))
    table = folder / "data" / "table.csv"
    time.sleep(0.05)
    if how == "grown":
        table.write_text("1\n2\n3\n4\n")
    elif how == "touched":
        os.utime(table)
    else:
        table.write_text("1\n2\n5\n" if how == "same size" else "7\n")
        if how == "older":
            os.utime(table, (1_000_000_000, 1_000_000_000))
    # from the start: a value that was recorded would differ, and there is none
    sql = "SELECT epoch, kept FROM logs WHERE epoch = 0"
    rows, err = asked(folder, sql, 0 if how == "touched" else 1)
    if how == "touched":
        assert [row["kept"] for row in rows] == [KEPT[0] + 3] and not err
    else:
        assert "data/table.csv was changed" in err


def test_what_the_run_wrote_is_not_mistaken_for_its_input(tmp_path: Path) -> None:
    """A file in the version that the run itself rewrites in its loop."""
    text = (
        'kept = float(open("state.txt").read())\n'
        "for epoch in range(6):\n"
        '    kept = float(open("state.txt").read()) + 1\n'
        '    with open("state.txt", "w") as file:\n'
        "        file.write(str(kept))\n"
        "    print(epoch, kept)\n"
    )
    folder = project(tmp_path / "p", text)
    (folder / "state.txt").write_text("10")
    recorded(folder)
    assert (folder / "state.txt").read_text() == "16.0"
    (folder / "train.py").write_text(logged(text))
    rows, _ = asked(folder, "SELECT epoch, kept FROM logs WHERE epoch = 4")
    assert [row["kept"] for row in rows] == [15.0]
    (folder / "train.py").write_text(logged(text).replace("range(6)", "range(7)"))
    rows, _ = asked(folder, "SELECT epoch, kept FROM logs WHERE epoch = 3")
    assert [row["kept"] for row in rows] == [14.0]


PACKAGE = {
    "pkg/__init__.py": "NAME = 'old package'\n",
    "pkg/helper.py": "def scaled(x):\n    return x * 3\n",
    "pkg/sub/late.py": "WORD = 'late'\n",  # a folder without __init__
    "pkg/words.txt": "old words",
    "pkg/job.py": """\
import importlib
import inspect
import multiprocessing
import pkgutil
import runpy
import subprocess
import sys

from pkg import NAME, helper


def child(x):
    from pkg import helper

    return helper.scaled(x)


def main():
    facts = [NAME, pkgutil.get_data("pkg", "words.txt").decode()]
    for epoch in range(3):
        module = importlib.import_module("pkg.sub.late")
        facts.append(module.WORD)
        facts.append(inspect.getsource(helper.scaled).split()[-1])
        facts.append(runpy.run_path("tools/other.py")["VALUE"])
        command = [sys.executable, "-B", "tools/other.py", "word"]
        facts.append(subprocess.run(command, capture_output=True, text=True).stdout)
        facts.append("3" in open(helper.__file__).read())
        facts.append(helper.__file__.endswith("/pkg/helper.py"))
        try:
            import newcomer

            facts.append("found")
        except ImportError:
            facts.append("no newcomer")
        with multiprocessing.get_context(METHOD).Pool(1) as pool:
            facts.append(pool.map(child, [epoch])[0])
        print(epoch, len(facts))


METHOD = "spawn"
if __name__ == "__main__":
    main()
""",
    "tools/other.py": "import sys\n\nVALUE = 'other'\nprint(VALUE, *sys.argv[1:], end='')\n",
}
FACTS = ["old package", "old words"]
for _epoch in range(3):
    FACTS += ["late", "3", "other", "other word", True, True, "no newcomer", _epoch * 3]


@pytest.mark.parametrize("git", ["repository", "none"])
def test_everything_comes_from_the_old_version(tmp_path: Path, git: str) -> None:
    """Late imports, sources, package data and children; run as a module, from another folder."""
    folder = tmp_path / "p"
    (folder / "work").mkdir(parents=True)
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "pyproject.toml").write_text("")
    if git == "repository":
        harness.commit_all(folder)
    recorded(folder, "-m", "pkg.job")
    job = PACKAGE["pkg/job.py"].replace(
        "        print(", '        log("facts", list(facts))\n        print('
    )
    job = "from flor import log\n" + job.replace(
        "    facts = [NAME", "    unused = 1\n    facts = [NAME"
    )
    (folder / "pkg" / "job.py").write_text(job)
    (folder / "pkg" / "__init__.py").write_text("NAME = 'new package'\n")
    (folder / "pkg" / "helper.py").write_text("def scaled(x):\n    return x * 4\n")
    (folder / "pkg" / "words.txt").write_text("new words")
    (folder / "newcomer.py").write_text("")
    shutil.rmtree(folder / "pkg" / "sub")
    shutil.rmtree(folder / "tools")
    rows, err = asked(folder, "SELECT epoch, facts FROM logs WHERE epoch = 2")
    assert [json.loads(row["facts"]) if isinstance(row["facts"], str) else row["facts"]
            for row in rows] == [FACTS], (rows, err)  # fmt: skip


def test_from_a_folder_that_is_gone(tmp_path: Path) -> None:
    """The current folder of the run lay in the version."""
    folder = project(tmp_path / "p", "")
    (folder / "jobs").mkdir()
    text = READS.format(again="pass").replace('"data/', '"../data/')
    (folder / "jobs" / "train.py").write_text(text)
    shutil.move(folder / "settings.json", folder / "jobs")
    result = harness.execute(
        [*harness.FLOR, "record", "--budget", "0.9", "train.py"], folder / "jobs"
    )
    assert result.code == 0 and not result.err, result
    shutil.rmtree(folder / "jobs")
    (folder / "train.py").write_text(logged(text).replace("total * 2", "2 * total"))
    rows, err = asked(folder, "SELECT epoch, kept FROM logs WHERE epoch = 5")
    assert [row["kept"] for row in rows] == KEPT[5:] and not err


def test_packages_of_another_version_are_told(tmp_path: Path) -> None:
    text = "import numpy\n" + READS.format(again="pass")
    folder = project(tmp_path / "p", text)
    recorded(folder)
    import sqlite3

    with sqlite3.connect(folder / ".flor" / "flor.db") as connection:
        (packages,) = connection.execute("SELECT packages FROM runs").fetchone()
        changed = json.dumps({**json.loads(packages), "numpy": "0.1", "pytest": "0.2"})
        connection.execute("UPDATE runs SET packages = ?, python = '3.1.4'", (changed,))
    connection.close()
    (folder / "train.py").write_text(logged(text))
    rows, err = asked(folder, "SELECT epoch, kept FROM logs WHERE epoch = 1")
    assert [row["kept"] for row in rows] == [KEPT[1]]
    (line,) = err.splitlines()
    assert "run 1: recorded with Python 3.1.4 (now 3." in line and "numpy 0.1 (now " in line
    assert "pytest" not in line


def test_a_version_that_cannot_be_compiled_stops_no_other(tmp_path: Path) -> None:
    """Its code is damaged in the store: one line, and the other version is answered."""
    text = READS.format(again="pass")
    folder = project(tmp_path / "p", text)
    recorded(folder)
    (folder / "train.py").write_text(text.replace("total * 2", "total * 4"))
    recorded(folder)
    import sqlite3
    import zlib

    with sqlite3.connect(folder / ".flor" / "flor.db") as connection:
        connection.execute(
            "UPDATE blobs SET text = ? WHERE blob = (SELECT blob FROM sources JOIN runs "
            "USING (version) WHERE run = 1)",
            (zlib.compress(b"for for\n"),),
        )
    connection.close()
    (folder / "train.py").write_text(logged(text).replace("total * 2", "total * 5"))
    rows, err = asked(folder, "SELECT run, kept FROM logs WHERE epoch = 0", code=1)
    assert {row["run"]: row["kept"] for row in rows} == {1: None, 2: 12.0}
    (line,) = [line for line in err.splitlines() if "run 1" in line]
    assert "kept" in line


def test_a_script_that_is_gone(tmp_path: Path) -> None:
    """Its runs aren't asked, which is said; another script's are."""
    text = READS.format(again="pass")
    folder = project(tmp_path / "p", text)
    (folder / "other.py").write_text("words = []\nfor turn in range(3):\n    words.append(turn)\n")
    recorded(folder, "other.py")
    recorded(folder)
    (folder / "other.py").unlink()
    (folder / "train.py").write_text(logged(text))
    rows, err = asked(folder, "SELECT run, kept FROM logs WHERE epoch = 1 AND run = 2")
    assert rows == [{"run": 2, "kept": KEPT[1]}] and not err
    rows, err = asked(folder, "SELECT run, max(kept) AS kept FROM logs GROUP BY run")
    assert {row["run"]: row["kept"] for row in rows}[2] == KEPT[5]
    assert "run 1: not asked for kept: can't open" in err and "other.py" in err


def test_a_statement_goes_where_the_user_wants_it(tmp_path: Path) -> None:
    """Refused, as its function isn't there; then decided by hand, which is remembered."""
    text = READS.format(again="pass")
    folder = project(tmp_path / "p", text)
    recorded(folder)
    shown = "def show(kept):\n    print(len(str(kept)))\n    flor.log('kept', kept)\n\n\n"
    today = "import flor\n" + text.replace("rate = json", f"{shown}rate = json", 1)
    (folder / "train.py").write_text(today.replace("print(epoch, kept)", "show(kept)"))
    sql = "SELECT epoch, kept FROM logs WHERE epoch = 3"
    rows, err = asked(folder, sql, code=1)
    assert [row["kept"] for row in rows] == [None] and "`show` has no counterpart" in err
    old = tmp_path / "old"
    assert harness.flor(folder, "checkout", "1", str(old)).code == 0
    line = 1 + text.splitlines().index("    print(epoch, kept)")
    decide = ["propagate", "--from", ".", "--to", str(old), "--at", f"train.py:{line}"]
    result = harness.execute([sys.executable, "-m", "florc", *decide, "--names", "kept"], folder)
    assert result.code == 0, str(result)
    rows, err = asked(folder, sql)
    assert [row["kept"] for row in rows] == [KEPT[3]] and not err
