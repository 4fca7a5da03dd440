"""Killed writers, many at once, full disks: what was acknowledged stays, training goes on."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from flor.runtime.store import Store, packing

PYTHONPATH = os.pathsep.join(filter(None, sys.path))

# Logs 0, 1, 2, …; says on standard output how many values are committed, whenever it knows.
WRITER = """
import os, sys, time
from pathlib import Path
from flor.runtime.store import RunWriter, Store

root, last, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with Store.open(root, create=True) as store:
    run = store.begin_run({"args": {"last": last}})
    path = store.path
writer = RunWriter(path, run)
os.write(1, b"%d\\n" % run)
n = 0
while n < last:
    for _ in range(50):
        ctx = (None, "step", n, n)
        writer.iteration(ctx)
        writer.log("x", n, ctx, "s")
        writer.log("half", n / 2, ctx, "s")
        n += 1
    if writer.flush(30):
        os.write(1, b"%d\\n" % n)
    time.sleep(pause)
assert writer.close(), writer.error
with Store.open(root) as store:
    store.end_run(run, "finished", 0)
os.write(1, b"%d\\n" % n)
"""


def start(root, last, pause):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(last), str(pause)],
        env={**os.environ, "PYTHONPATH": PYTHONPATH}, stdout=subprocess.PIPE,
    )  # fmt: skip


def told(child):
    """The run, None if it had not begun, and how many of its values were acknowledged."""
    out, _ = child.communicate(timeout=300)
    out = getattr(child, "said", b"") + out
    lines = out.decode().rpartition("\n")[0].split()  # the last line may be cut off
    return (int(lines[0]) if lines else None), (int(lines[-1]) if len(lines) > 1 else 0)


def assert_sound(path):
    connection = sqlite3.connect(path, timeout=60)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def assert_kept(store, run, acknowledged, exactly=False):
    """Everything acknowledged is there, and nothing is there in part."""
    records = store.recorded(run)
    kept = sorted(value for (name, _, _), value in records.items() if name == "x")
    assert kept == list(range(len(kept)))  # no hole
    assert len(kept) >= acknowledged
    if exactly:
        assert len(kept) == acknowledged
    halves = sorted(value for (name, _, _), value in records.items() if name == "half")
    assert len(halves) in (len(kept), len(kept) - 1)  # a transaction may end between the two
    rows = store.sql(f"SELECT step, x FROM logs WHERE run = {run} AND x IS NOT NULL")[1]
    assert sorted(rows) == [(n, n) for n in kept]


def kill_round(root, writers, killed, seed):
    """Run writers at once; SIGKILL some of them at random times.  Returns (run, acknowledged).

    In every other round half of the doomed have had something acknowledged before, however busy
    the machine is; else some may not even have begun.
    """
    chance = random.Random(seed)
    children = [start(root, 100_000_000 if n < killed else 2000, 0.005) for n in range(writers)]
    doomed = children[:killed]
    if seed % 2:
        for child in doomed[::2]:
            child.said = child.stdout.readline() + child.stdout.readline()
    else:
        time.sleep(0.2)
    while doomed:
        time.sleep(chance.random() * 2.0 / killed)
        child = doomed.pop(chance.randrange(len(doomed)))
        child.kill()
    return [told(child) for child in children]


def assert_all_kept(root, outcomes, killed):
    with Store.open(root, create=True) as store:
        assert_sound(store.path)
        status = {run.run: run.status for run in store.runs()}
        for index, (run, acknowledged) in enumerate(outcomes):
            if index >= killed:
                assert (status[run], acknowledged) == ("finished", 2000)
            if run is not None:
                assert_kept(store, run, acknowledged, exactly=index >= killed)
                assert status[run] == ("killed" if index < killed else "finished")


def test_sixteen_writers_of_which_eight_are_killed(tmp_path):
    outcomes = kill_round(tmp_path, writers=16, killed=8, seed=1)
    assert_all_kept(tmp_path, outcomes, killed=8)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path):
    kills = 0
    acknowledged = 0
    for seed in range(25):
        root = tmp_path / str(seed % 3)  # most rounds find the remains of others
        root.mkdir(exist_ok=True)
        outcomes = kill_round(root, writers=16, killed=8, seed=seed)
        kills += 8
        acknowledged += sum(count for _, count in outcomes)
        assert_all_kept(root, outcomes, killed=8)
    assert kills == 200
    assert acknowledged > 25 * 8 * 2000


COMPACTOR = """
import os, sys
from pathlib import Path
from flor.runtime.store import Store
os.write(1, b"begun\\n")
while True:
    with Store.open(Path(sys.argv[1])) as store:
        store.connection.execute("UPDATE packed SET pack = NULL")
        store.compact()
"""


def test_compaction_that_is_killed(tmp_path):
    """Rows are never touched by it, and a pack is there whole or not at all."""
    for _ in range(3):
        assert told(start(tmp_path, 2000, 0.0))[1] == 2000
    chance = random.Random(0)
    expected = None
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", COMPACTOR, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": PYTHONPATH}, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout.readline() == b"begun\n"
        time.sleep(chance.random() * 0.3)
        child.kill()
        child.communicate()
        with Store.open(tmp_path) as store:
            assert_sound(store.path)
            rows = store.sql("SELECT run, step, x, half FROM logs")[1]
            expected = expected or rows
            assert rows == expected
            packing.merge_small(store.connection)
            assert store.sql("SELECT run, step, x, half FROM logs")[1] == expected
    assert len(expected) == 6000


# -- full disks --------------------------------------------------------------------------------

TRAINING = """
import sys
import time

import flor

weights = [0.0] * 4
for epoch in range(4):
    for step in range(400):
        weights[step % 4] += 0.5 * step
        flor.log("loss", weights[0])
        flor.log("note", "t" * 400)
        time.sleep(0.0005)
    print(epoch, sum(weights), file=sys.stderr if epoch == 2 else sys.stdout)
    flor.log("total", sum(weights))
sys.exit(3)
"""


def train(root, command=(), limit=None):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    (root / "train.py").write_text(TRAINING)
    return subprocess.run(
        [sys.executable, *command, "train.py"], cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": PYTHONPATH}, timeout=300,
        preexec_fn=limited if limit is not None else None,
    )  # fmt: skip


def lines_of(done):
    """Its output without our lines."""
    return [line for line in done.stderr.splitlines() if not line.startswith("florc:")]


@pytest.mark.parametrize(
    "kilobytes",
    [0, pytest.param(16, marks=pytest.mark.slow), 150, pytest.param(400, marks=pytest.mark.slow)],
)
def test_training_on_a_full_disk(tmp_path, kilobytes):
    """No file may grow beyond the limit, so that writes of the database fail at some point."""
    plain = train(tmp_path)
    recorded = train(tmp_path, ["-m", "flor.runtime", "record"], limit=kilobytes * 1024)
    assert recorded.returncode == plain.returncode == 3
    assert recorded.stdout == plain.stdout
    assert lines_of(recorded) == lines_of(plain)
    assert "florc: " in recorded.stderr  # the user is told
    path = tmp_path / ".flor" / "flor.db"
    if kilobytes >= 150:
        assert_sound(path)
        with Store.open(tmp_path) as store:
            kept = [v for (name, _, _), v in store.recorded(1).items() if name == "loss"]
            whole = []
            weights = [0.0] * 4
            for step in list(range(400)) * 4:
                weights[step % 4] += 0.5 * step
                whole.append(weights[0])
            # What didn't fit is lost; something smaller that came later may have fitted.
            assert kept and Counter(kept) <= Counter(whole)
    # There is room again: the same project records as ever.
    again = train(tmp_path, ["-m", "flor.runtime", "record"])
    assert again.returncode == 3
    with Store.open(tmp_path) as store:
        run = store.run("last").run
        counts = store.sql(f"SELECT count(loss), count(note) FROM logs WHERE run = {run}")[1]
        assert counts == [(1600, 1600)]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of two megabytes, where it can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_training_on_a_disk_that_gets_full(tiny_disk):
    plain = train(tiny_disk)
    free = shutil.disk_usage(tiny_disk).free
    (tiny_disk / "ballast").write_bytes(b"x" * (free - 600_000))
    recorded = train(tiny_disk, ["-m", "flor.runtime", "record"])
    assert (recorded.returncode, recorded.stdout) == (plain.returncode, plain.stdout)
    assert lines_of(recorded) == lines_of(plain)
    assert "florc: " in recorded.stderr
    (tiny_disk / "ballast").unlink()
    assert_sound(tiny_disk / ".flor" / "flor.db")
    with Store.open(tiny_disk) as store:
        kept = len(store.recorded(1, "loss"))
        assert 0 < kept < 1600
        assert store.runs()[0].status in ("failed", "killed")


def test_everything_can_be_read_from_a_disk_that_is_read_only(tmp_path):
    assert told(start(tmp_path, 100, 0.0))[1] == 100
    path = Path(tmp_path) / ".flor" / "flor.db"
    with Store.open(tmp_path) as store:
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.connection.execute("PRAGMA query_only = ON")  # what a read-only mount refuses
        assert len(store.sql("SELECT step, x FROM logs")[1]) == 100
        pytest.importorskip("pandas")
        assert len(store.dataframe("SELECT step, x FROM logs")) == 100
    assert path.exists()
