"""Runs, versions, values and checkpoints in the store."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flor.runtime.store import RunWriter, Store, StoreError
from flor.runtime.store import writer as writer_module


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path, create=True) as opened:
        yield opened


def iteration(parent, loop, index, value=None):
    return (parent, loop, index, index if value is None else value)


def test_open_without_a_store(tmp_path):
    with pytest.raises(StoreError, match="nothing is recorded here yet") as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / ".flor").exists()


def test_newer_store_is_refused_and_left_alone(tmp_path):
    Store.open(tmp_path, create=True).close()
    path = tmp_path / ".flor" / "flor.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for create in (False, True):
        with pytest.raises(StoreError, match=r"newer florc \(schema 99"):
            Store.open(tmp_path, create=create)


def test_file_that_is_no_database(tmp_path):
    (tmp_path / ".flor").mkdir()
    (tmp_path / ".flor" / "flor.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_run_keeps_what_it_was_given(store):
    run = store.begin_run(
        {
            "script": "train.py",
            "argv": ["--lr", "0.1"],
            "args": {"lr": 0.1, "seed": 10**30},
            "env": {"HOME": "/h"},
            "packages": {"torch": "2"},
            "git": {"commit": "abc", "branch": "main", "dirty_diff": "+x"},
            "budget": 0.05,
        }
    )
    store.set_args(run, {"flag": True, "lr": 0.2})
    found = store.run(run)
    assert found.argv == ("--lr", "0.1")
    assert found.args == {"lr": 0.2, "seed": 10**30, "flag": True}
    assert found.args["flag"] is True
    assert (found.commit_sha, found.branch, found.dirty) == ("abc", "main", True)
    assert (found.env, found.packages, found.budget) == ({"HOME": "/h"}, {"torch": "2"}, 0.05)
    assert found.status == "running"
    store.end_run(run, "failed", 1)
    assert (store.run("last").status, store.run("last").exit_code) == ("failed", 1)


def test_run_whose_process_is_gone_was_killed(store):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = store.begin_run({"pid": child.pid})
    assert store.run(run).status == "running"
    child.kill()
    child.wait()
    assert store.run(run).status == "killed"
    other = store.begin_run({"pid": child.pid, "host": "another-machine"})
    assert store.run(other).status == "running"


def test_run_by_prefix(store):
    for _ in range(12):
        store.begin_run({})
    assert store.run("1").run == 1  # exact, though 10, 11 and 12 begin so too
    assert store.run(12).run == 12
    with pytest.raises(StoreError, match="no run '99': runs are 1 to 12"):
        store.run("99")


def test_versions_are_content_addressed(store):
    files = {"train.py": "print(1)\n", "lib/é.py": "x = '\udcff'\n"}
    version = store.put_version(files, {"branch": "main"})
    assert store.put_version(dict(reversed(files.items()))) == version
    assert store.put_version({**files, "train.py": "print(2)\n"}) != version
    assert store.sources(version) == files
    with pytest.raises(StoreError, match="no version 'nope'"):
        store.sources("nope")


def test_values_by_position_and_ordinal(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    epoch = iteration(None, "epoch", 0, 1)
    step = iteration(epoch, "step", 0)
    writer.log("start", "now", None)
    writer.iteration(epoch, 1.0)
    writer.iteration(step, 2.0)
    writer.log("loss", 1.5, step, "s1")
    writer.log("loss", 2.5, step, "s1")
    assert writer.close()
    at = (("epoch", 0), ("step", 0))
    assert store.recorded(run) == {
        ("start", (), 0): "now",
        ("loss", at, 0): 1.5,
        ("loss", at, 1): 2.5,
    }
    assert [record.stmt for record in store.records_of(run, "loss")] == ["s1", "s1"]
    first, second = store.iterations(run)
    assert (first.position, first.coordinates, first.time) == (
        (("epoch", 0),),
        (("epoch", 0, 1),),
        1.0,
    )
    assert second.position == at


def test_loop_entered_twice_at_one_place_continues_the_ordinals(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    epoch = iteration(None, "epoch", 0)
    for value in (10, 20):
        for i in range(2):
            inner = iteration(epoch, "i", i)  # a new context: evaluate() is called once more
            writer.iteration(inner)
            writer.log("x", value + i, inner)
        writer.flush()
    writer.close()
    assert [(r.position[1][1], r.ordinal, r.value) for r in store.records_of(run)] == [
        (0, 0, 10), (1, 0, 11), (0, 1, 20), (1, 1, 21),
    ]  # fmt: skip
    assert store.sql("SELECT i, x FROM logs ORDER BY i")[1] == [(0, 20), (1, 21)]


def test_ordinals_survive_the_writer_forgetting_them(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.batches._REMEMBERED", 3)
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    contexts = [iteration(None, "step", i) for i in range(10)]
    for ctx in contexts:
        for _ in range(3):
            writer.log("x", 0, ctx)
    for ctx in contexts:
        writer.log("x", 1, ctx)
    writer.log("root", 1, None)
    writer.log("root", 2, None)
    assert writer.close()
    ordinals = [r.ordinal for r in store.records_of(run, "x") if r.position == (("step", 4),)]
    assert ordinals == [0, 1, 2, 3]
    assert [r.ordinal for r in store.records_of(run, "root")] == [0, 1]


def test_replay_is_idempotent_and_recorded_values_win(store):
    run = store.begin_run({})
    epoch = iteration(None, "epoch", 0)
    writer = RunWriter(store.root, run)
    writer.iteration(epoch)
    writer.log("acc", 1.0, epoch)
    writer.close()
    for norms in ([5.0, 6.0], [7.0, 8.0], [9.0]):
        replay = RunWriter(store.root, run, source="replay")
        again = iteration(None, "epoch", 0)
        replay.log("acc", 2.0, again)
        for norm in norms:
            replay.log("norm", norm, again)
        assert replay.close()
    assert store.sql("SELECT acc, norm FROM logs")[1] == [(1.0, 9.0)]
    at = (("epoch", 0),)
    assert store.replayed(run) == {("acc", at, 0): 2.0, ("norm", at, 0): 9.0}
    assert len(store.iterations(run)) == 1


def test_replay_that_jumps_back_counts_from_zero(store):
    run = store.begin_run({})
    replay = RunWriter(store.root, run, source="replay")
    for value in (1, 2):
        replay.reset_ordinals()
        replay.log("x", value, iteration(None, "epoch", 3))
    replay.close()
    assert store.replayed(run) == {("x", (("epoch", 3),), 0): 2}


def test_checkpoints(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    writer.checkpoint(
        SimpleNamespace(
            loop="step", position=(("epoch", 1, 2), ("step", 5, 5)), file="c/1.ckpt", nbytes=10,
            stored=7, persist_s=0.5, checksum="ff",
        )
    )  # fmt: skip
    assert writer.close(), writer.error
    (found,) = store.checkpoints(run)
    assert found.position == (("epoch", 1), ("step", 5))
    assert found.coordinates == (("epoch", 1, 2), ("step", 5, 5))
    assert (found.file, found.nbytes, found.stored, found.persist_s) == ("c/1.ckpt", 10, 7, 0.5)


def test_values_are_there_without_close(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    writer.log("x", 1, None)
    deadline = time.monotonic() + 20
    while not store.recorded(run) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.recorded(run) == {("x", (), 0): 1}
    writer.close()


def test_one_value_that_cannot_be_stored_costs_only_itself(store):
    class Bad:
        dtype = "float32"

        def tobytes(self):
            return b""

        def __array__(self, *_, **__):
            raise RuntimeError("device lost")

    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    writer.log("a", 1, None)
    writer.log("b", Bad(), None)
    writer.log("c", 3, None)
    assert not writer.close()
    assert writer.dropped == 1
    assert "device lost" in (writer.error or "")
    assert {name for name, _, _ in store.recorded(run)} == {"a", "c"}


def test_a_store_that_went_away_never_stops_the_caller(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    store.connection.execute("DROP TABLE cells")
    writer.log("x", 1, None)
    assert not writer.close()
    assert "no such table" in (writer.error or "")
    assert writer.dropped == 1
    writer.log("x", 2, None)  # after the end: kept nowhere, but harmless


def test_full_disk_degrades_and_what_was_written_stays(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.writer.RETRY_SECONDS", 0.001)
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    writer.log("before", 1, None)
    assert writer.flush(20)
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    writer.log("big", "x" * 1_000_000, None)
    assert writer.flush(20)
    assert "full" in (writer.error or "")
    assert writer.dropped == 1
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    writer.log("after", 2, None)  # there is room again
    assert not writer.close()  # but not all was kept
    assert store.recorded(run) == {("before", (), 0): 1, ("after", (), 0): 2}


def test_lock_of_another_process_is_waited_for(store, monkeypatch):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    writer._batch._connection.execute("PRAGMA busy_timeout = 1")
    with store.transaction():
        writer.log("x", 1, None)
        assert not writer.flush(0.2)
        assert writer.error is None
    assert writer.flush(20)
    assert writer.close()
    assert store.recorded(run) == {("x", (), 0): 1}


def held(writer):
    """Make the writer's transactions wait until the event is set."""
    gate, write = threading.Event(), writer._batch.write

    def slowly(entries):
        gate.wait(60)
        write(entries)

    writer._batch.write = slowly
    return gate


def test_who_logs_faster_than_the_database_writes_is_held_up(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.writer.MAX_WAITING", 100)
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    write, longest = writer._batch.write, 0

    def watched(entries):
        nonlocal longest
        longest = max(longest, len(entries) + len(writer._queue))
        time.sleep(0.002)
        write(entries)

    writer._batch.write = watched
    for index in range(5000):
        ctx = (None, "step", index, index)
        writer.iteration(ctx)
        writer.log("x", index, ctx)
    assert writer.close()
    assert len(store.recorded(run)) == 5000
    assert writer.dropped == 0
    assert longest <= 2 * 101


def test_what_waits_is_bounded_in_bytes(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.writer.MAX_BYTES", 100_000)
    monkeypatch.setattr("flor.runtime.store.writer.STALLED_SECONDS", 0.0)
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    gate = held(writer)
    for _ in range(50):
        writer.log("x", "t" * 10_000, None)
        writer.log("n", 1, None)
    assert len(writer._queue) < 200
    assert writer.dropped >= 30
    gate.set()
    assert not writer.close()
    kept = [value for (name, _, _), value in store.recorded(run).items() if name == "x"]
    assert len(kept) + writer.dropped == 50
    assert 9 <= len(kept) <= 20


def test_a_database_that_is_stuck_costs_the_newest_values_and_no_time(store, monkeypatch):
    monkeypatch.setattr("flor.runtime.store.writer.MAX_WAITING", 100)
    monkeypatch.setattr("flor.runtime.store.writer.STALLED_SECONDS", 0.05)
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    gate = held(writer)
    for n in range(1000):
        writer.log("x", n, None)
    assert 700 <= writer.dropped < 1000
    assert "can't be written" in writer.error
    gate.set()
    assert writer.flush(20)
    writer.log("after", 1, None)
    assert not writer.close()
    found = store.recorded(run)
    assert found["after", (), 0] == 1
    assert [found["x", (), n] for n in range(100)] == list(range(100))  # the oldest are kept
    assert len(found) + writer.dropped == 1001


def test_the_weight_of_values():
    assert writer_module.weight("x" * 1000) == 1000
    assert writer_module.weight(b"x" * 1000) == 1000
    assert writer_module.weight([1, [2, 3], {"a": "x" * 6400}]) >= 6000
    numpy = pytest.importorskip("numpy")
    assert writer_module.weight(numpy.zeros(10)) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_records_nothing(store):
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    pid = os.fork()
    if pid == 0:
        writer.log("child", 1, None)
        ok = writer.flush(1) and writer.close(1)
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    writer.log("parent", 1, None)
    assert writer.close()
    assert {name for name, _, _ in store.recorded(run)} == {"parent"}


_RECORD = """
import sys
from pathlib import Path
from flor.runtime.store import RunWriter, Store
with Store.open(Path(sys.argv[1]), create=True) as store:
    run = store.begin_run({"args": {"n": int(sys.argv[2])}})
    writer = RunWriter(store.path, run)
    for i in range(300):
        ctx = (None, "step", i, i)
        writer.iteration(ctx)
        writer.log("x", i, ctx)
    assert writer.close(), writer.error
    store.end_run(run, "finished", 0)
"""


def test_six_processes_at_once_are_all_recorded(tmp_path):
    path = os.pathsep.join(filter(None, sys.path))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _RECORD, str(tmp_path), str(n)],
            env={**os.environ, "PYTHONPATH": path},
        )
        for n in range(6)
    ]
    assert [child.wait(120) for child in children] == [0] * 6
    with Store.open(Path(tmp_path)) as store:
        _, rows = store.sql("SELECT n, count(x), sum(x) FROM logs GROUP BY run ORDER BY n")
        assert rows == [(n, 300, sum(range(300))) for n in range(6)]
        assert [run.run for run in store.runs()] == [1, 2, 3, 4, 5, 6]
        assert {run.status for run in store.runs()} == {"finished"}


def test_recording_loads_no_query_engine():
    code = (
        "import sys, flor.runtime.store.writer, flor.runtime.store.store;"
        "print([m for m in ('sqlglot', 'torch', 'numpy', 'pandas', 'rich') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_many_values_at_one_position(store):
    """Only the last is shown; a value costs the same however many came before it."""
    run = store.begin_run({})
    writer = RunWriter(store.root, run)
    begun = time.perf_counter()
    for n in range(5000):
        writer.log("x", n, None)
    assert writer.close(60), writer.error
    assert time.perf_counter() - begun < 10  # quadratic: a minute
    assert store.sql("SELECT x FROM logs")[1] == [(4999,)]
    shown = "SELECT count(*) FROM cells WHERE shown = 1"
    assert store.connection.execute(shown).fetchone() == (1,)
