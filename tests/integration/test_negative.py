"""What can't work: one clear line, the right exit code, and training that nothing stops."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest

TRAIN = """\
import json
import random

import numpy as np

random.seed(1)
np.random.seed(1)
w = np.zeros(6)
history = []
for epoch in range(8):
    for i in range(5):
        x = np.random.randn(6)
        w += 0.1 * (x - w)
    loss = float((w ** 2).sum())
    history.append(loss)
    print(f"epoch {epoch} loss {loss:.6f}")
with open("history.json", "w") as out:
    json.dump(history, out)
"""

LOGGED = TRAIN.replace("import json\n", "import json\n\nimport flor\n", 1).replace(
    "        w += 0.1 * (x - w)\n",
    "        w += 0.1 * (x - w)\n        flor.log('first', float(w[0]))\n",
)

TRUTH = LOGGED.replace("float(w[0]))", "float(w[0]), at={'epoch': epoch, 'i': i})")

BIG = """\
import sys

import numpy as np

rng = np.random.default_rng(0)
weights = rng.normal(size=(256, 1024))
for epoch in range(12):
    for i in range(3):
        weights += 0.01 * rng.normal(size=weights.shape)
    print(epoch, float(weights.sum()))
sys.exit(5)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded project, its script edited afterwards; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    harness.commit_all(folder)
    # a generous budget: on a script this short the default one may leave no checkpoint at all
    result = harness.record(["train.py"], folder, "--budget", "0.9")
    assert result.code == 0, result
    (folder / "train.py").write_text(LOGGED)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of `made`."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def firsts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], float]:
    """(epoch, i) -> the value of `first`, from a plain run with the stub."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "train.py").write_text(TRUTH)
    result = harness.plain(["train.py"], folder, FLOR_STUB_OUT=str(folder / "truth.jsonl"))
    assert result.code == 0, result
    entries = harness.read_truth(folder / "truth.jsonl")["first"]
    return {(e.at["epoch"], e.at["i"]): harness.python_value(e.value) for e in entries if e.at}


def replay(folder: Path, sql: str) -> harness.Result:
    """`replay --yes --format json SQL`."""
    return harness.flor(folder, "replay", "--yes", "--format", "json", sql)


LATE = "SELECT epoch, i, first FROM logs WHERE epoch = 6 ORDER BY i"


def assert_right(result: harness.Result, firsts: dict[tuple[int, int], float]) -> None:
    """The answer to LATE, bit for bit."""
    assert result.code == 0, result
    wanted = [{"epoch": 6, "i": i, "first": firsts[6, i]} for i in range(5)]
    assert json.loads(result.out) == wanted


# ---------------------------------------------------------------- record


def test_syntax_error(tmp_path: Path) -> None:
    """Exit 2 and one line with the place; nothing runs."""
    (tmp_path / "train.py").write_text("print('ran')\nfor epoch in range(3)\n    pass\n")
    result = harness.record(["train.py"], tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "train.py:2" in harness.one_clear_line(result)


def test_syntax_error_in_a_module(tmp_path: Path) -> None:
    """A broken module of the project: one line with its place, or Python's own error."""
    (tmp_path / "train.py").write_text("import broken\nfor epoch in range(3):\n    broken.f()\n")
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n    pass\n")
    result = harness.record(["train.py"], tmp_path)
    assert result.code in (1, 2), result
    assert "broken.py" in result.err and "florc: internal" not in result.err


@pytest.mark.parametrize("kind", ["missing", "folder", "not text", "null byte"])
def test_unreadable(tmp_path: Path, kind: str) -> None:
    """A script that isn't there or isn't Python text: exit 2, one line that names it."""
    path = tmp_path / "train.py"
    if kind == "folder":
        path.mkdir()
    elif kind == "not text":
        path.write_bytes(b"x = '\xff\xfe'\n")
    elif kind == "null byte":
        path.write_bytes(b"x = 1\n\0\n")
    result = harness.record(["train.py"], tmp_path)
    assert (result.code, result.out) == (2, ""), result
    assert "train.py" in harness.one_clear_line(result)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path: Path) -> None:
    """A file without read permission: exit 2, one line."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "train.py").chmod(0)
    result = harness.record(["train.py"], tmp_path)
    assert result.code == 2
    assert "train.py" in harness.one_clear_line(result)


def test_missing_module(tmp_path: Path) -> None:
    """`-m` with a module that doesn't exist: exit 2 and one line."""
    result = harness.record(["-m", "no_such_module"], tmp_path)
    assert result.code == 2, result
    assert "no_such_module" in harness.one_clear_line(result)


def test_no_script(tmp_path: Path) -> None:
    """`record` without a script is a usage error."""
    assert harness.record([], tmp_path).code == 2
    assert harness.flor(tmp_path, "frobnicate").code == 2


def test_no_training_loop(tmp_path: Path) -> None:
    """The script runs as always, and FLR003 says what wasn't found."""
    (tmp_path / "hello.py").write_text("import sys\nprint('hello')\nsys.exit(4)\n")
    result = harness.record(["hello.py"], tmp_path)
    assert (result.code, result.out) == (4, "hello\n"), result
    assert not harness.only_ours(result.err)
    assert "FLR003" in result.err
    quiet = harness.record(["hello.py"], tmp_path, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (4, "hello\n", "")


def test_quiet(tmp_path: Path) -> None:
    """-q: not a byte on stderr."""
    (tmp_path / "train.py").write_text(TRAIN)
    wanted = harness.plain(["train.py"], tmp_path)
    result = harness.record(["train.py"], tmp_path, "-q")
    assert (result.code, result.out, result.err) == (wanted.code, wanted.out, wanted.err)


# ---------------------------------------------------------------- SQL


@pytest.mark.parametrize(
    ("sql", "mentions"),
    [
        ("SELECT epoch, nonsense FROM logs", "nonsense"),
        ("SELECT first FROM nowhere", "nowhere"),
        ("SELEKT epoch FROM logs", ""),
        ("SELECT epoch FROM logs WHERE (epoch = 1", ""),
        ("", ""),
        ("DELETE FROM runs", ""),
        ("DROP TABLE logs", ""),
        ("SELECT 1; SELECT 2", ""),
    ],
)
@pytest.mark.parametrize("command", ["replay", "query"])
def test_bad_sql(project: Path, command: str, sql: str, mentions: str) -> None:
    """Exit 2 and one line; the store stays as it was."""
    arguments = [command, "--format", "json", sql]
    if command == "replay":
        arguments.insert(1, "--yes")
    result = harness.flor(project, *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert mentions in harness.one_clear_line(result)
    assert len(harness.runs(project)) == 1


def test_no_store(tmp_path: Path) -> None:
    """A folder where nothing was recorded: exit 2, one line, and no store is made."""
    (tmp_path / "train.py").write_text(TRAIN)
    for command in (["query", "SELECT run FROM runs"], ["replay", "--yes", LATE]):
        result = harness.flor(tmp_path, *command)
        assert result.code == 2, result
        harness.one_clear_line(result)
    assert not (tmp_path / ".flor").exists()


def test_show_unknown_run(project: Path) -> None:
    """`show` of a run that isn't there: exit 2, one line."""
    result = harness.flor(project, "show", "987654")
    assert result.code == 2, result
    assert "987654" in harness.one_clear_line(result)


# ---------------------------------------------------------------- replay


def test_dry_run(project: Path) -> None:
    """--dry-run stores nothing."""
    result = harness.flor(project, "replay", "--dry-run", LATE)
    assert result.code == 0, result
    # `first` is in no run's records yet: the catalogue of `query` doesn't know it
    assert harness.flor(project, "query", "SELECT first FROM logs").code == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("w += 0.1 * (x - w)", "w += 0.2 * (x - w)"),
        ("history = []", "history = [0.0]"),
        ("for i in range(5):", "for i in range(4):"),
        ("import json\n", "import json\nimport math\n"),
    ],
)
def test_changed_otherwise(
    project: Path, firsts: dict[tuple[int, int], float], old: str, new: str
) -> None:
    """A script that differs by more than log statements: the recorded one is asked."""
    text = LOGGED.replace(old, new, 1)
    assert text != LOGGED
    (project / "train.py").write_text(text)
    before = harness.digest(project)
    assert_right(replay(project, LATE), firsts)
    assert harness.digest(project) == before
    assert not (project / ".flor" / "worktrees").exists()


def test_formatting_is_no_change(project: Path, firsts: dict[tuple[int, int], float]) -> None:
    """Comments, blank lines and quotes don't count."""
    text = LOGGED.replace("history = []", "# the losses\n\n\nhistory = [ ]").replace('"w"', "'w'")
    (project / "train.py").write_text(text)
    assert_right(replay(project, LATE), firsts)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files of every run."""
    found = [path for path in (folder / ".flor" / "runs").rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix not in {".log", ".json", ".txt", ".py"})


@pytest.mark.parametrize("which", ["all", "last"])
@pytest.mark.parametrize("how", ["flip", "truncate", "delete"])
def test_damaged_checkpoint(
    project: Path, firsts: dict[tuple[int, int], float], which: str, how: str
) -> None:
    """Noticed, said in one line, and answered from elsewhere or refused; never answered wrongly."""
    files = checkpoints(project)
    assert files, "the run left checkpoints"
    for path in files if which == "all" else files[-1:]:
        content = bytearray(path.read_bytes())
        if how == "flip":
            for at in range(len(content) // 2, len(content), 13):
                content[at] ^= 0x10
            path.write_bytes(content)
        elif how == "truncate":
            path.write_bytes(content[: len(content) // 2])
        else:
            path.unlink()
    result = replay(project, LATE)
    assert not harness.only_ours(result.err), result
    assert "Traceback" not in result.err + result.out
    if result.code == 0:
        assert_right(result, firsts)
    else:
        assert result.code == 1 and result.out == "", result
    if which == "all":
        assert "checkpoint" in result.err, result


def test_replay_without_checkpoints(tmp_path: Path, firsts: dict[tuple[int, int], float]) -> None:
    """No checkpoint: the answer comes from the start of the script."""
    (tmp_path / "train.py").write_text(TRAIN)
    assert harness.record(["train.py"], tmp_path, "--no-checkpoint").code == 0
    (tmp_path / "train.py").write_text(LOGGED)
    assert_right(replay(tmp_path, LATE), firsts)


# ---------------------------------------------------------------- the recorder in trouble


def test_newer_store(project: Path) -> None:
    """Reading commands refuse it with one line, exit 2; `record` still trains and leaves it be."""
    path = project / ".flor" / "flor.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = path.read_bytes()
    for command in (["query", "SELECT run FROM runs"], ["replay", "--yes", LATE], ["runs"]):
        result = harness.flor(project, *command)
        assert (result.code, result.out) == (2, ""), result
        assert "newer" in harness.one_clear_line(result)
    (project / "train.py").write_text(TRAIN)
    wanted = harness.plain(["train.py"], project)
    result = harness.record(["train.py"], project)
    assert (result.code, result.out) == (wanted.code, wanted.out), result
    assert not harness.only_ours(result.err)
    assert "newer" in result.err
    assert path.read_bytes() == before


def test_store_that_is_no_database(project: Path) -> None:
    """A flor.db full of something else: one line; `record` still trains."""
    for path in (project / ".flor").glob("flor.db*"):
        path.unlink()
    (project / ".flor" / "flor.db").write_bytes(b"not a database at all\n" * 400)
    result = harness.flor(project, "query", "SELECT run FROM runs")
    assert (result.code, result.out) == (2, ""), result
    harness.one_clear_line(result)
    (project / "train.py").write_text(TRAIN)
    wanted = harness.plain(["train.py"], project)
    result = harness.record(["train.py"], project)
    assert (result.code, result.out) == (wanted.code, wanted.out), result
    assert not harness.only_ours(result.err)
    assert result.err, "it says that nothing is recorded"


def test_read_only_store(tmp_path: Path) -> None:
    """`.flor` can't be made (a file is in the way): training runs, one of our lines says so."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / ".flor").write_text("in the way\n")
    wanted = harness.plain(["train.py"], tmp_path)
    result = harness.record(["train.py"], tmp_path)
    assert (result.code, result.out) == (wanted.code, wanted.out), result
    assert not harness.only_ours(result.err)
    assert result.err
    assert (tmp_path / ".flor").read_text() == "in the way\n"


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A project whose .flor is a tmpfs of `request.param` kB."""
    store = tmp_path / ".flor"
    store.mkdir()
    size = f"size={request.param}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(store)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting a tmpfs isn't permitted here: {done.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(store)], check=True)


@pytest.mark.parametrize("small_disk", [8, 400, 3000], indirect=True)
def test_full_disk(small_disk: Path) -> None:
    """Full from the start, full with the store, full after a checkpoint: training is as always."""
    (small_disk / "train.py").write_text(BIG)
    wanted = harness.plain(["train.py"], small_disk)
    result = harness.record(["train.py"], small_disk, "--budget", "0.9")
    assert (result.code, result.out) == (wanted.code, wanted.out) == (5, wanted.out), result
    assert not harness.only_ours(result.err), result
    said = result.err.lower()
    assert "disk" in said or "space" in said, result
    assert len(result.err.splitlines()) <= 6, "said once, not at every iteration"
    assert result.files == wanted.files


def test_full_disk_keeps_what_it_has(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stops every large file: values are kept though no checkpoint can be."""
    text = BIG.replace("import sys\n", "import sys\n\nimport flor\n", 1).replace(
        "    print(", "    flor.log('total', float(weights.sum()))\n    print("
    )
    (tmp_path / "train.py").write_text(text)
    wanted = harness.plain(["train.py"], tmp_path)
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000,) * 2);"
    )
    limited += "sys.argv[0] = 'flor.runtime'; runpy.run_module('flor.runtime', run_name='__main__')"
    command = [harness.sys.executable, "-c", limited, "record", "--budget", "0.9", "train.py"]
    result = harness.execute(command, tmp_path)
    assert (result.code, result.out) == (wanted.code, wanted.out), result
    assert not harness.only_ours(result.err), result
    sql = "SELECT epoch, total FROM logs ORDER BY epoch"
    rows = json.loads(harness.flor(tmp_path, "query", "--format", "json", sql).out)
    totals = [float(line.split()[1]) for line in wanted.out.splitlines()]
    assert [row["total"] for row in rows] == totals


@pytest.mark.parametrize(
    "bad",
    ["lambda: 0", "open(__file__)", "(i for i in range(3))", "__import__('threading').Lock()"],
)
def test_state_that_cannot_be_saved(tmp_path: Path, bad: str) -> None:
    """State with an unpicklable part: training goes on, and a replay is right or refuses."""
    text = TRAIN.replace("history = []", f"history = []\nkeep = {{'thing': {bad}}}").replace(
        "    history.append(loss)", "    history.append(loss)\n    keep['last'] = loss"
    )
    text += "print(keep['last'])\n"
    (tmp_path / "train.py").write_text(text)
    wanted = harness.plain(["train.py"], tmp_path)
    result = harness.record(["train.py"], tmp_path, "--budget", "0.9")
    assert (result.code, result.out) == (wanted.code, wanted.out), result
    assert not harness.only_ours(result.err), result
    logged = text.replace("import json\n", "import flor\nimport json\n", 1).replace(
        "    keep['last'] = loss", "    keep['last'] = loss\n    flor.log('hist', len(history))"
    )
    (tmp_path / "train.py").write_text(logged)
    result = replay(tmp_path, "SELECT epoch, hist FROM logs WHERE epoch = 5")
    if result.code == 0:
        assert json.loads(result.out) == [{"epoch": 5, "hist": 6}]
    else:
        assert result.code == 1 and harness.one_clear_line(result)
