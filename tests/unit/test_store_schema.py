"""Stores of older versions, and stores on disks that several machines share."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from flor.runtime.store import RunWriter, Store, StoreError, filesystems, schema

VERSION_1 = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    script TEXT, argv TEXT, started TEXT, ended TEXT, status TEXT, exit_code INTEGER,
    version TEXT, branch TEXT, commit_sha TEXT, dirty INTEGER, dirty_diff TEXT,
    cwd TEXT, host TEXT, pid INTEGER, process TEXT, python TEXT,
    env TEXT, packages TEXT, args TEXT, plan TEXT, budget REAL,
    dropped INTEGER NOT NULL DEFAULT 0, note TEXT
);
CREATE TABLE arguments (
    run INTEGER, name TEXT, value, kind INTEGER, exact, PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE shapes (
    shape INTEGER PRIMARY KEY, parent INTEGER, loop TEXT, depth INTEGER, UNIQUE (parent, loop)
);
CREATE TABLE nodes (
    run INTEGER, node INTEGER, parent INTEGER, shape INTEGER, idx INTEGER,
    value, kind INTEGER, exact, time REAL, PRIMARY KEY (run, node)
) WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_by_parent ON nodes (run, parent, shape, idx);
CREATE TABLE names (name_id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE statements (stmt_id INTEGER PRIMARY KEY, stmt TEXT UNIQUE);
CREATE TABLE cells (
    run INTEGER, node INTEGER, name_id INTEGER, ordinal INTEGER, source INTEGER,
    value, kind INTEGER, exact, stmt_id INTEGER, time REAL, shown INTEGER,
    PRIMARY KEY (run, node, name_id, ordinal, source)
) WITHOUT ROWID;
CREATE TABLE name_shapes (
    run INTEGER, name_id INTEGER, shape INTEGER, typed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, name_id, shape)
) WITHOUT ROWID;
CREATE TABLE loop_shapes (
    run INTEGER, shape INTEGER, typed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, shape)
) WITHOUT ROWID;
CREATE TABLE replayed (
    run INTEGER, name_id INTEGER, stmt_id INTEGER, node INTEGER,
    PRIMARY KEY (run, name_id, stmt_id, node)
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    run INTEGER, loop TEXT, position TEXT, node INTEGER, file TEXT, nbytes INTEGER,
    stored INTEGER, persist_s REAL, checksum TEXT, time REAL
);
CREATE INDEX checkpoints_by_run ON checkpoints (run, loop, node);
CREATE TABLE versions (
    version TEXT PRIMARY KEY, created TEXT, branch TEXT, commit_sha TEXT, dirty INTEGER
);
CREATE TABLE sources (version TEXT, path TEXT, blob TEXT, PRIMARY KEY (version, path))
    WITHOUT ROWID;
CREATE TABLE blobs (blob TEXT PRIMARY KEY, text BLOB) WITHOUT ROWID;
INSERT INTO shapes VALUES (0, NULL, NULL, 0);
"""

QUERY = "SELECT run, epoch, step, loss FROM logs"
ROWS = [(1, 0, 0, 0.5), (1, 0, 1, 1.5), (1, 1, 0, 2.5)]


def old_store(root):
    """A store of version 1 with one run."""
    path = root / ".flor" / "flor.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.execute("INSERT INTO runs (run, script, status) VALUES (1, 'train.py', 'finished')")
    connection.execute("INSERT INTO shapes VALUES (1, 0, 'epoch', 1), (2, 1, 'step', 2)")
    nodes = [(1, 0, 1, 0), (2, 1, 2, 0), (3, 1, 2, 1), (4, 0, 1, 1), (5, 4, 2, 0)]
    for node, parent, shape, index in nodes:
        connection.execute(
            "INSERT INTO nodes VALUES (1, ?, ?, ?, ?, ?, 2, NULL, 0.0)",
            (node, parent, shape, index, index),
        )
    connection.execute("INSERT INTO names VALUES (1, 'loss')")
    for n, node in enumerate((2, 3, 5)):
        connection.execute(
            "INSERT INTO cells VALUES (1, ?, 1, 0, 0, ?, 3, NULL, NULL, 0.0, 1)", (node, n + 0.5)
        )
    connection.execute("INSERT INTO name_shapes VALUES (1, 1, 2, 0)")
    connection.execute("INSERT INTO loop_shapes VALUES (1, 1, 0), (1, 2, 0)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return path


def version(path):
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def tables(connection):
    """Every table and index but for how its text is laid out."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return [(name, " ".join((sql or "").split())) for name, sql in rows]


def test_an_old_store_is_brought_up_to_date(tmp_path):
    path = old_store(tmp_path)
    with Store.open(tmp_path) as store:
        assert version(path) == schema.VERSION
        assert sorted(store.sql(QUERY)[1]) == ROWS
        store.compact()
        packed = store.connection.execute("SELECT run FROM packed WHERE pack IS NOT NULL")
        assert packed.fetchall() == [(1,)]
        assert store.sql(QUERY)[1] == ROWS
        assert schema.journal_mode(store.connection) == "wal"
        migrated = tables(store.connection)
    (tmp_path / "new").mkdir()
    with Store.open(tmp_path / "new", create=True) as new:
        assert tables(new.connection) == migrated


def test_an_old_store_that_others_use_is_used_as_it_is(tmp_path):
    path = old_store(tmp_path)
    other = sqlite3.connect(path)
    other.execute("SELECT count(*) FROM runs").fetchone()
    with Store.open(tmp_path, create=True) as store:
        assert version(path) == 1
        assert sorted(store.sql(QUERY)[1]) == ROWS
        run = store.begin_run({})
        writer = RunWriter(path, run)
        writer.log("loss", 7, (None, "epoch", 0, 0))
        assert writer.close(), writer.error
        store.end_run(run, "finished", 0)
        assert not store.pack(run)
        with pytest.raises(StoreError, match="older florc"):
            store.compact()
        assert (2, 7) in store.sql("SELECT run, loss FROM logs")[1]
        frame = pytest.importorskip("pandas") and store.dataframe(QUERY)
        assert len(frame) == 4
    other.execute("INSERT INTO names VALUES (9, 'still writing')")
    other.commit()
    other.close()
    with Store.open(tmp_path) as store:
        assert version(path) == schema.VERSION
        assert (2, 7) in store.sql("SELECT run, loss FROM logs")[1]


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    path = old_store(tmp_path)
    broken = {1: schema.MIGRATIONS[1] + "DROP TABLE absent;\n"}
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(StoreError, match="no such table"):
        Store.open(tmp_path)
    monkeypatch.undo()
    assert version(path) == 1
    with Store.open(tmp_path) as store:
        assert sorted(store.sql(QUERY)[1]) == ROWS


def test_many_processes_find_an_old_store_at_once(tmp_path):
    path = old_store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from flor.runtime.store import Store\n"
        "with Store.open(Path(sys.argv[1]), create=True) as store:\n"
        "    store.begin_run({}); print(len(store.sql(sys.argv[2])[1]))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(tmp_path), QUERY]
    children = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [child.communicate(timeout=120)[0].strip() for child in children] == ["3"] * 4
    with Store.open(tmp_path) as store:
        assert len(store.runs()) == 5
    assert version(path) == schema.VERSION


# -- file systems ------------------------------------------------------------------------------

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:5 / /home rw shared:2 master:3 - nfs4 server:/home rw
31 30 8:2 / /home/me/scratch rw - xfs /dev/sdb1 rw
32 22 0:6 / /mnt/my\\040data rw - fuse.sshfs me@host:/ rw
33 22 0:7 / /mnt/over rw - nfs server:/x rw
34 22 8:3 / /mnt/over rw - ext4 /dev/sdc1 rw
35 22 0:9 / /lustre rw - lustre mgs:/fs rw
garbage
"""


@pytest.mark.parametrize(
    ("place", "kind", "network"),
    [
        ("/project", "ext4", False),
        ("/home/me/project", "nfs4", True),
        ("/homework", "ext4", False),
        ("/home/me/scratch/project", "xfs", False),
        ("/mnt/my data/project", "fuse.sshfs", True),
        ("/mnt/over/project", "ext4", False),
        ("/lustre", "lustre", True),
    ],
)
def test_kinds_of_file_systems(tmp_path, monkeypatch, place, kind, network):
    monkeypatch.setattr(filesystems.os.path, "realpath", lambda path: str(path))
    monkeypatch.delenv(filesystems.OVERRIDE, raising=False)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert filesystems.kind(place, mounts) == kind
    assert filesystems.on_network(place, mounts) is network
    assert filesystems.on_network(place, tmp_path / "missing") is False


def test_on_a_network_there_is_no_wal(tmp_path, monkeypatch):
    monkeypatch.setenv(filesystems.OVERRIDE, "1")
    with Store.open(tmp_path, create=True) as store:
        assert schema.journal_mode(store.connection) == "delete"
        run = store.begin_run({})
        writers = [RunWriter(store.path, run if n == 0 else store.begin_run({})) for n in range(3)]
        for n in range(200):
            for writer in writers:
                ctx = (None, "step", n, n)
                writer.iteration(ctx)
                writer.log("x", n, ctx)
        for writer in writers:
            assert writer.close(60), writer.error
        assert store.sql("SELECT run, count(x), sum(x) FROM logs GROUP BY run")[1] == [
            (n, 200, sum(range(200))) for n in (1, 2, 3)
        ]
    folder = {file.name for file in (tmp_path / ".flor").iterdir()}
    assert not any(name.endswith(("-wal", "-shm")) for name in folder)


def test_a_store_that_moves_between_disks(tmp_path, monkeypatch):
    with Store.open(tmp_path, create=True) as store:
        assert schema.journal_mode(store.connection) == "wal"
        monkeypatch.setenv(filesystems.OVERRIDE, "1")
        with pytest.raises(StoreError, match="network file system") as caught:
            Store.open(tmp_path)  # the other connection still uses WAL
        assert "\n" not in str(caught.value)
    with Store.open(tmp_path) as store:
        assert schema.journal_mode(store.connection) == "delete"
    monkeypatch.setenv(filesystems.OVERRIDE, "0")
    with Store.open(tmp_path) as store:
        assert schema.journal_mode(store.connection) == "wal"
