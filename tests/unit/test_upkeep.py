"""`status`, `compact`, `gc` and `fsck` on a project that was really recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from flor.runtime.checkpoint.reader import contents
from flor.runtime.cli import main
from flor.runtime.store import RunWriter, Store
from flor.runtime.upkeep import check, garbage
from flor.runtime.upkeep.status import Waiting, status

pytest.importorskip("numpy")

SCRIPT = """
import argparse
import os
import signal
import time

import numpy as np

import flor

parser = argparse.ArgumentParser()
parser.add_argument("--die", type=int, default=-1)
args = parser.parse_args()
weights = np.zeros(20_000)
slow = np.zeros(20_000)
for epoch in range(6):
    time.sleep(0.15)
    if epoch % 3 == 2:
        slow += 1
    for step in range(3):
        weights += 0.5 * step
        flor.log("loss", float(weights[0]))
    if epoch == args.die:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    flor.log("acc", [0.1, 0.5, 0.3, 0.9, 0.2, 0.4][epoch])
    if epoch > 100:
        flor.log("never", 1)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two runs: one finished, one killed in its fourth epoch."""
    root = tmp_path_factory.mktemp("project")
    (root / "train.py").write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "flor.runtime", "record", "--budget", "1", "train.py"]
    subprocess.run(command, cwd=root, env=env, check=True)
    killed = subprocess.run([*command, "--die", "3"], cwd=root, env=env)
    assert killed.returncode != 0
    return root


@pytest.fixture
def project(recorded, tmp_path, monkeypatch):
    root = tmp_path / "copy"
    shutil.copytree(recorded, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def store(project):
    with Store.open(project) as opened:
        yield opened


def files(project, run):
    return {path.name for path in (project / ".flor/runs" / str(run) / "checkpoints").iterdir()}


def findings(store, **options):
    return [(found.kind, found.what) for found in check.check(store, **options)]


def mend(store):
    for found in list(check.check(store)):
        assert found.mend is not None
        found.mend()
    assert findings(store) == []


def names(removals):
    return {(one.run, one.checkpoint.position[0][1]) for one in removals.gone}


# -- gc ----------------------------------------------------------------------------------------


def test_nothing_goes_without_a_rule(store):
    found = garbage.plan(store, garbage.Rules())
    assert found.gone == found.needed == ()
    assert found.kept_bytes > 100_000


def test_by_age(store, project):
    before = files(project, 2)
    day = 86400.0
    assert garbage.plan(store, garbage.Rules(older_than=day)).gone == ()
    found = garbage.plan(store, garbage.Rules(older_than=day), now=time.time() + 2 * day)
    assert {one.run for one in found.gone} == {1, 2}
    assert found.kept_bytes == 0
    only = garbage.Rules(older_than=day, runs=(1,))
    found = garbage.plan(store, only, now=time.time() + 2 * day)
    assert {one.run for one in found.gone} == {1}
    garbage.collect(store, found)
    assert store.checkpoints(1) == []
    assert files(project, 1) == set()
    assert files(project, 2) == before
    assert findings(store) == []
    assert len(store.sql("SELECT loss FROM logs WHERE run = 1")[1]) == 18  # values stay


def test_by_size_the_oldest_run_goes_first(store):
    whole = garbage.plan(store, garbage.Rules()).kept_bytes
    found = garbage.plan(store, garbage.Rules(max_bytes=whole - 1))
    assert {one.run for one in found.gone} == {1}
    assert found.kept_bytes + found.freed == whole
    found = garbage.plan(store, garbage.Rules(max_bytes=0))
    assert {one.run for one in found.gone} == {1, 2}
    assert garbage.plan(store, garbage.Rules(max_bytes=whole)).gone == ()


def test_the_best_by_metric_stay(store, project):
    found = garbage.plan(store, garbage.Rules(keep_best=("acc", 1, False), runs=(1,)))
    gone, needed = names(found), {one.checkpoint.position[0][1] for one in found.needed}
    every = {c.position[0][1] for c in store.checkpoints(1)}
    assert 3 in every  # 0.9
    assert {i for _, i in gone} | needed | {3} == every
    assert 3 not in needed and (1, 3) not in gone
    garbage.collect(store, found)
    for checkpoint in store.checkpoints(1):  # what is left can be loaded
        contents(project / ".flor/runs/1/checkpoints" / checkpoint.file)
    assert findings(store) == []
    two = garbage.plan(store, garbage.Rules(keep_best=("acc", 2, True), runs=(2,)))
    assert not {(2, 0), (2, 2)} & names(two)  # 0.1 and 0.3
    assert names(two)


def test_a_run_that_never_logged_the_metric_keeps_all(store):
    assert garbage.plan(store, garbage.Rules(keep_best=("other", 1, False))).gone == ()


def test_what_others_refer_to_stays(store, project):
    """`slow` changes every third epoch only: later checkpoints refer to earlier files."""
    folder = project / ".flor/runs/1/checkpoints"
    others = {c.file: contents(folder / c.file)[0] for c in store.checkpoints(1)}
    assert any(others.values())
    rules = garbage.Rules(keep_best=("acc", 1, False), runs=(1,))
    found = garbage.plan(store, rules)
    kept = {c.file for c in store.checkpoints(1)} - {one.checkpoint.file for one in found.gone}
    assert set().union(*(others[file] for file in kept)) <= kept
    assert {one.checkpoint.file for one in found.needed} <= kept


def test_a_run_that_goes_on_is_never_touched(store, project):
    store.connection.execute(
        "UPDATE runs SET status = 'running', host = 'elsewhere', ended = NULL WHERE run = 1"
    )
    for rules in (garbage.Rules(older_than=0.0), garbage.Rules(max_bytes=0)):
        assert {one.run for one in garbage.plan(store, rules, now=time.time() + 9).gone} == {2}
    # Not even if it was resumed between planning and collecting.
    found = garbage.plan(store, garbage.Rules(max_bytes=0))
    store.connection.execute(
        "UPDATE runs SET status = 'running', host = 'elsewhere', ended = NULL WHERE run = 2"
    )
    before = files(project, 2)
    garbage.collect(store, found)
    assert files(project, 2) == before
    assert len(store.checkpoints(2)) > 0


def test_gc_on_the_command_line(project, capsys):
    assert main(["gc"]) == 2
    assert "say which" in capsys.readouterr().err
    assert main(["gc", "--max-size", "0.1M", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "would be removed" in out and "over the size allowed" in out
    assert files(project, 1) and files(project, 2)
    assert main(["gc", "--keep-best", "acc:2", "--min"]) == 0
    assert " removed, " in capsys.readouterr().out
    assert main(["gc", "--older-than", "0s", "--run", "2"]) == 0
    assert files(project, 2) == set()
    assert main(["fsck"]) == 0
    assert "all is well: 2 runs" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--older-than", "soon"], ["--max-size", "much"]])
def test_gc_refuses_what_is_no_age_or_size(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["gc", *option])
    assert stopped.value.code == 2
    assert "is no " in capsys.readouterr().err


# -- fsck --------------------------------------------------------------------------------------


def test_all_is_well(store):
    assert findings(store) == []
    assert findings(store, quick=True) == []


def test_missing_and_damaged_checkpoints(store, project):
    folder = project / ".flor/runs/1/checkpoints"
    first, second, *_ = [checkpoint.file for checkpoint in store.checkpoints(1)]
    last = store.checkpoints(1)[-1].file
    (folder / last).unlink()
    data = bytearray((folder / second).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / second).write_bytes(data)
    found = findings(store)
    assert ("missing", f".flor/runs/1/checkpoints/{last} is missing") in found
    assert any(kind == "damaged" and second in what for kind, what in found)
    assert all(kind == "missing" for kind, _ in findings(store, quick=True))
    mend(store)
    left = {checkpoint.file for checkpoint in store.checkpoints(1)}
    assert not {second, last} & left
    assert first in left


def test_orphans_and_leftovers(store, project):
    runs = project / ".flor/runs"
    partial = runs / "1/checkpoints/.tmp-1-000009-epoch-9.ckpt.partial"
    partial.write_bytes(b"half")
    (runs / "99/checkpoints").mkdir(parents=True)
    stray = runs / "2/checkpoints/000099-epoch-99.ckpt"
    shutil.copy(next((runs / "2/checkpoints").glob("*-epoch-0*.ckpt")), stray)
    store.connection.execute(
        "INSERT INTO cells SELECT 77, node, name_id, ordinal, source, value, kind, exact, "
        "stmt_id, time, shown FROM cells WHERE run = 1"
    )
    kinds = sorted(findings(store))
    assert ("leftover", ".flor/runs/1/checkpoints/.tmp-1-000009-epoch-9.ckpt.partial: "
            "its process was killed") in kinds  # fmt: skip
    assert ("orphan", ".flor/runs/99: the store has no such run") in kinds
    assert any("000099-epoch-99.ckpt" in what for _, what in kinds)
    assert any("values of no run" in what for _, what in kinds)
    mend(store)
    assert not partial.exists() and not stray.exists() and not (runs / "99").exists()


def test_files_of_a_run_that_goes_on_are_left_alone(store, project):
    store.connection.execute("UPDATE runs SET status = 'running', host = 'elsewhere'")
    partial = project / ".flor/runs/1/checkpoints/.tmp-1-000009-epoch-9.ckpt.partial"
    partial.write_bytes(b"half")
    stray = project / ".flor/runs/1/checkpoints/000099-epoch-99.ckpt"
    stray.write_bytes(b"just published, its row isn't written yet")
    assert findings(store) == []


def test_a_pack_that_differs_from_its_rows(store):
    assert store.compact() >= 1
    assert findings(store) == []
    rows = store.sql("SELECT run, epoch, acc FROM logs")[1]
    store.connection.execute("UPDATE cells SET value = 7.5 WHERE kind = 3 AND run = 1")
    assert findings(store, quick=True) == []
    ((kind, what),) = findings(store)
    assert (kind, what) == ("damaged", "the pack of run 1 differs from its rows")
    mend(store)
    assert store.sql("SELECT run, epoch, acc FROM logs")[1] != rows
    store.compact()
    store.connection.execute("UPDATE pack_columns SET data = x'00' WHERE name_id > 0")
    assert {what for _, what in findings(store)} == {
        f"the pack of run {run} differs from its rows" for run in (1, 2)
    }
    mend(store)


def spoil(path, root_of, change):
    """Change a page of a table or an index in the file."""
    with Store.open(path.parent.parent) as store:
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = store.connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (root_of,)
        ).fetchone()
        (size,) = store.connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        page = change(bytearray(file.read(size)))
        file.seek((root - 1) * size)
        file.write(bytes(page))


def test_a_damaged_index_is_made_anew(project, capsys):
    def change(page):
        page[-2] ^= 1  # a key's last bytes
        return page

    spoil(project / ".flor/flor.db", "nodes_by_shape", change)
    assert main(["fsck"]) == 1
    assert "--repair: indexes are made anew" in capsys.readouterr().out
    assert main(["fsck", "--repair"]) == 0
    capsys.readouterr()
    assert main(["fsck"]) == 0
    assert "all is well" in capsys.readouterr().out


def test_a_damaged_table_is_named(project, capsys):
    spoil(project / ".flor/flor.db", "names", lambda page: page[::-1])
    assert main(["fsck"]) == 1
    assert ".recover" in capsys.readouterr().out
    assert main(["fsck", "--repair"]) == 1


def test_fsck_on_the_command_line(project, capsys):
    (project / ".flor/runs/55").mkdir()
    assert main(["fsck", "--format", "json"]) == 1
    assert '"outcome": "--repair: removed"' in capsys.readouterr().out
    assert main(["fsck", "--repair"]) == 0
    assert main(["fsck", "--quick"]) == 0
    assert "all is well" in capsys.readouterr().out


# -- compact, status ---------------------------------------------------------------------------


def test_a_run_is_packed_when_it_ends(store):
    query = "SELECT run FROM packed WHERE pack IS NOT NULL"
    assert store.connection.execute(query).fetchall() == [(1,)]  # the other one was killed
    store.compact()
    assert store.connection.execute(query).fetchall() == [(1,), (2,)]


def test_compact_on_the_command_line(project, capsys):
    with Store.open(project) as store:
        rows = store.sql("SELECT * FROM logs")
    assert main(["compact"]) == 0
    assert "packed; " in capsys.readouterr().out
    with Store.open(project) as store:
        assert store.sql("SELECT * FROM logs") == rows


def states(store, name, waiting=None):
    found = status(store, name, waiting) if waiting else status(store, name)
    return [(one.state, one.values, one.nulls, one.unlogged, one.replayed) for one in found]


def test_status(store):
    assert states(store, "acc") == [("recorded", 6, 0, 0, 0), ("recorded", 3, 0, 1, 0)]
    assert states(store, "loss") == [("recorded", 18, 0, 0, 0), ("recorded", 12, 0, 0, 0)]
    assert states(store, "never") == [("not reached", 0, 0, 0, 0)] * 2
    assert states(store, "other") == [("never logged", 0, 0, 0, 0)] * 2
    waiting = Waiting({1: 6}, {2: "no place"})
    assert [one[0] for one in states(store, "norm", waiting)] == ["not yet replayed", "refused"]
    replay = RunWriter(store.path, 1, "replay")
    for index, value in ((0, 1.0), (1, None), (2, float("nan"))):
        replay.log("norm", value, (None, "epoch", index, index), "s")
    assert replay.close()
    assert states(store, "norm", Waiting({1: 3}, {}))[0] == ("partly replayed", 1, 2, 0, 3)
    assert states(store, "norm")[0] == ("replayed", 1, 2, 3, 3)
    store.mark_replayed(2, [("silent", "s", (("epoch", 0),))])
    assert states(store, "silent")[1] == ("replayed", 0, 0, 0, 0)


def test_status_asks_todays_script(project, capsys):
    text = SCRIPT.replace(
        '        flor.log("loss"', '        flor.log("norm", float(abs(weights).sum()))\n'
        '        flor.log("loss"',
    )  # fmt: skip
    (project / "train.py").write_text(text)
    assert main(["status", "norm", "--format", "csv"]) == 0
    header, one, two = capsys.readouterr().out.splitlines()
    assert header == "run,state,values,nulls,unlogged,replayed,waiting"
    assert one == "1,not yet replayed,0,0,0,0,18"
    assert two == "2,not yet replayed,0,0,0,0,12"
    command = "SELECT norm FROM logs WHERE run = 1 AND epoch < 2"
    assert main(["replay", "--yes", "--quiet", command]) == 0
    capsys.readouterr()
    assert main(["status", "norm", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "1,partly replayed,6,0,0,6,12"
    import flor

    assert flor.status("norm")[0]["state"] == "partly replayed"
    assert {one["state"] for one in flor.status("other")} == {"never logged"}
