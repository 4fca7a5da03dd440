"""Checkpoint files: whole, verified, nothing twice, and never the training's problem."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.errors import CheckpointCorrupt
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import CheckpointWriter, load

np = pytest.importorskip("numpy")


def write(folder: Path, *roots: dict[str, Any]) -> tuple[CheckpointWriter, list[Any]]:
    published: list[Any] = []
    writer = CheckpointWriter(folder, "run", published.append)
    for number, each in enumerate(roots):
        writer.submit(capture(each), "epoch", (None, "epoch", number, number + 1))
        writer.drain()
    return writer, published


def test_published_and_deduplicated(tmp_path: Path) -> None:
    frozen, moving = np.arange(100_000.0), np.zeros(1000)
    writer = CheckpointWriter(tmp_path, "run", (published := []).append)
    for number in range(3):
        moving += 1
        shot = capture({"frozen": frozen, "moving": moving, "again": frozen.copy()})
        assert writer.submit(shot, "step", ((None, "epoch", 0, 1), "step", number, None))
        assert writer.drain(10)
    assert writer.close(10)
    assert writer.error is None
    assert [p.position for p in published][2] == (("epoch", 0, 1), ("step", 2, None))
    assert published[0].stored < 830_000
    assert published[2].stored < 20_000
    assert published[2].nbytes == 1_608_000
    assert all(len(p.checksum) == 32 for p in published)
    assert writer.stored == sum(p.stored for p in published)
    back = restore(load(tmp_path / published[2].file), {})
    assert (back["moving"] == 3).all()
    assert (back["frozen"] == frozen).all()
    assert sorted(os.listdir(tmp_path)) == sorted(p.file for p in published)
    (tmp_path / published[0].file).unlink()
    with pytest.raises(CheckpointCorrupt, match="missing"):
        load(tmp_path / published[2].file)


def test_damage_is_found(tmp_path: Path) -> None:
    _, published = write(tmp_path, {"x": np.arange(10_000.0), "y": ["text"]})
    file = tmp_path / published[0].file
    good = file.read_bytes()
    for at in (0, 9, 13, 20, 50, 70, len(good) - 2500, len(good) // 2):
        bad = bytearray(good)
        bad[at] ^= 0x40
        file.write_bytes(bad)
        with pytest.raises(CheckpointCorrupt) as caught:
            load(file)
        assert file.name in str(caught.value)
        assert "\n" not in str(caught.value)
    for size in (0, 10, 64, 200, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:size])
        with pytest.raises(CheckpointCorrupt, match=file.name):
            load(file)
    newer = bytearray(good)
    newer[8:12] = struct.pack("<I", 99)
    file.write_bytes(newer)
    with pytest.raises(CheckpointCorrupt, match="newer"):
        load(file)
    with pytest.raises(CheckpointCorrupt, match="missing"):
        load(tmp_path / "nothing.ckpt")
    file.write_bytes(good)
    load(file)


def test_unwritable_folder_degrades(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer, published = write(tmp_path / "file" / "sub", {"x": [1]}, {"x": [2]})
    assert not published
    assert writer.error
    assert "\n" not in writer.error
    assert not writer.busy
    assert writer.close(5)


def test_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    writer, published = write(tmp_path, {"x": np.zeros(10)})

    def full(fd: int, data: Any, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    shot = capture({"x": np.ones(10)})
    assert writer.submit(shot, "epoch", None)
    assert writer.drain(10)
    assert writer.error is not None
    assert "No space left" in writer.error
    assert not writer.submit(capture({"x": [1]}), "epoch", None)
    assert os.listdir(tmp_path) == [published[0].file]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs mount")
def test_full_disk(tmp_path: Path) -> None:
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("cannot mount")
    try:
        writer, published = write(
            tmp_path, {"x": np.random.rand(50_000)}, {"x": np.random.rand(100_000)}, {"x": [1]}
        )
        assert len(published) == 1
        assert "No space left" in (writer.error or "")
        assert os.listdir(tmp_path) == [published[0].file]
        load(tmp_path / published[0].file)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_killed_process_leaves_whole_checkpoints(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, numpy as np
        from pathlib import Path
        from flor.runtime.checkpoint.capture import capture
        from flor.runtime.checkpoint.store import CheckpointWriter
        w = CheckpointWriter(Path(sys.argv[1]), "run", lambda p: print(p.file, flush=True))
        for i in range(100000):
            w.submit(capture({"x": np.random.rand(200_000), "i": i}), "step", (None, "step", i, i))
            w.drain()
        """
    )
    for delay in (0.02, 0.05, 0.11):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    files = list(tmp_path.glob("*.ckpt"))
    assert len(files) >= 3
    for file in files:
        load(file)
    CheckpointWriter(tmp_path, "run", lambda p: None)
    assert not list(tmp_path.glob(".tmp*"))


def test_busy_and_recycled(tmp_path: Path) -> None:
    import threading

    gate = threading.Event()
    writer = CheckpointWriter(tmp_path, "run", lambda p: gate.wait(10) and None)
    shot = capture({"x": np.zeros(100)})
    arena = shot.buffers[0]
    writer.submit(shot, "epoch", None)
    assert writer.busy
    assert not writer.drain(0.05)
    gate.set()
    assert writer.drain(5)
    assert not writer.busy
    assert capture({"x": np.zeros(100)}).buffers[0] is arena


def test_failing_callback_is_not_fatal(tmp_path: Path) -> None:
    def fail(published: Any) -> None:
        raise RuntimeError("database is gone")

    writer = CheckpointWriter(tmp_path, "run", fail)
    writer.submit(capture({"x": [1]}), "epoch", None)
    assert writer.drain(5)
    assert "database is gone" in (writer.error or "")


def test_without_torch_and_numpy(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, random
        from pathlib import Path
        from flor.runtime.checkpoint.capture import capture
        from flor.runtime.checkpoint.restore import restore
        from flor.runtime.checkpoint.compare import differences
        from flor.runtime.checkpoint.store import CheckpointWriter, load
        out = []
        w = CheckpointWriter(Path(sys.argv[1]), "run", out.append)
        box = {"a": [1, (2, ...)], "r": random.Random(3), "c": range(2), "z": 1j}
        w.submit(capture({"box": box}), "epoch", None)
        assert w.close(10), w.error
        assert not w.error, w.error
        shot = load(Path(sys.argv[1]) / out[0].file)
        box["a"].append(3)
        want = random.Random(3).random()
        box["r"].random()
        back = restore(shot, {"box": box})["box"]
        assert back["a"] == [1, (2, ...)] and back["r"].random() == want
        assert differences(shot, shot) == []
        assert "torch" not in sys.modules and "numpy" not in sys.modules
        """
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
