"""Recording keeps the project as it is, and git's user doesn't notice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
import pytest

TRAIN = """\
import sys

import helper

weight = {weight}
data = open(sys.argv[0].replace("train.py", "data/table.csv")).read().split(",")
for epoch in range(4):
    weight = helper.step(weight) + float(data[epoch])
print(weight)
"""


def project(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "table.csv").write_text("1,2,3,4")
    (folder / "train.py").write_text(TRAIN.format(weight=1.0))
    (folder / "helper.py").write_text("def step(w):\n    return w * 0.5\n")
    (folder / ".gitignore").write_text("data/\n__pycache__/\n")
    return folder


def settled(folder: Path) -> Path:
    """A repository with an untracked file, a staged one and a stash."""
    harness.commit_all(folder)
    (folder / "helper.py").write_text("stashed\n")
    harness.git(folder, "stash")
    (folder / "staged.txt").write_text("staged\n")
    harness.git(folder, "add", "staged.txt")
    (folder / "notes.txt").write_text("untracked\n")
    return folder


def versions(folder: Path) -> list[dict[str, object]]:
    result = harness.flor(folder, "versions", "--format", "json")
    assert result.code == 0, result
    return list(json.loads(result.out))


def test_ten_runs_at_once(tmp_path: Path) -> None:
    """Each with a version of its own; nothing is lost, nothing of the user's changes."""
    folder = settled(project(tmp_path / "p"))
    for n in range(10):
        (folder / f"train_{n}.py").write_text(TRAIN.format(weight=float(n)))
    before, reflog = harness.git_state(folder), harness.git(folder, "reflog", "--all")
    started = [
        subprocess.Popen(
            [*harness.FLOR, "record", f"train_{n}.py"],
            cwd=folder,
            env=harness.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(10)
    ]
    # train_N.py reads its data by the name of train.py: it ends with an error, and is recorded.
    ended = [process.communicate(timeout=harness.TIMEOUT_S) for process in started]
    assert all("Traceback" in err and "florc" not in err for _, err in ended), ended
    assert harness.git_state(folder) == before
    assert harness.git(folder, "reflog", "--all") == reflog
    rows = versions(folder)
    assert len({row["version"] for row in rows}) == 10
    assert sorted(run for row in rows for run in row["runs"]) == list(range(1, 11))  # type: ignore
    scripts = {run["run"]: run["script"] for run in harness.runs(folder)}
    for run, script in scripts.items():
        out = tmp_path / f"out-{run}"
        result = harness.flor(folder, "checkout", str(run), str(out))
        assert result.code == 0, result
        wanted = {k: v for k, v in harness.digest(folder).items() if not k.startswith("data")}
        assert harness.digest(out) == wanted
        assert (out / script).read_text() == (folder / script).read_text()
    assert harness.git_state(folder) == before
    harness.git(folder, "fsck", "--strict")


def test_the_text_before_the_script_ran(tmp_path: Path) -> None:
    """A script that writes into its own folder, also what it was made of, at once."""
    folder = project(tmp_path / "p")
    harness.commit_all(folder)
    changing = 'open("helper.py", "a").write("# more")\nopen("new.txt", "w").write("out")\n'
    (folder / "train.py").write_text(changing + TRAIN.format(weight=2.0))
    result = harness.record(["train.py"], folder)
    assert result.code == 0, result
    assert harness.flor(folder, "checkout", "1", str(tmp_path / "out")).code == 0
    assert "more" not in (tmp_path / "out" / "helper.py").read_text()
    assert not (tmp_path / "out" / "new.txt").exists()


def test_killed_at_once(tmp_path: Path) -> None:
    """A run that is killed in its first line has its version, and what it read."""
    folder = project(tmp_path / "p")
    kill = f"import os\nopen('data/table.csv').close()\nos.kill(os.getpid(), {signal.SIGKILL})\n"
    (folder / "train.py").write_text(kill)
    assert harness.record(["train.py"], folder).code == -signal.SIGKILL
    (row,) = versions(folder)
    assert row["runs"] == [1] and row["files"] == 3 and row["snapshot"]


@pytest.mark.parametrize("way", ["no repository", "no git", "damaged"])
def test_wherever_it_is(tmp_path: Path, way: str) -> None:
    """The script's output, exit code and files are those of a plain run."""
    folder = project(tmp_path / "p")
    env = harness.environment()
    if way == "damaged":
        harness.commit_all(folder)
        (folder / ".git" / "index").write_text("damaged")
    if way == "no git":
        env["PATH"] = str(tmp_path)
    result = harness.execute([*harness.FLOR, "record", "train.py"], folder, env)
    assert result.code == 0 and not result.err, result
    assert harness.flor(folder, "checkout", "1", str(tmp_path / "out")).code == 0
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == [".gitignore", *["helper.py", "train.py"]][way == "no git" :]


def test_a_large_file_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    (folder / "pyproject.toml").write_text("[tool.florc]\nversion-file-mb = 0.001\n")
    (folder / "big.bin").write_bytes(b"b" * 2000)
    result = harness.record(["train.py"], folder)
    (line,) = result.err.splitlines()
    assert result.code == 0 and line.startswith("florc: the version leaves out big.bin"), result
    assert (tmp_path / "p" / ".flor" / "versions.git").is_dir()


def inputs(folder: Path, run: int = 1) -> dict[str, tuple[int, int, str | None]]:
    code = (
        "import json, sys; from pathlib import Path; from flor.runtime.store import Store\n"
        f"store = Store.open(Path('.')); print(json.dumps([vars(i) for i in store.inputs({run})]))"
    )
    done = harness.execute([sys.executable, "-c", code], folder)
    assert done.code == 0, done
    rows = json.loads(done.out)
    return {
        os.path.relpath(row["path"], os.path.realpath(folder)): (
            row["size"],
            row["mtime_ns"],
            row["hash"],
        )
        for row in rows
    }


READING = """\
import gzip, io, json, multiprocessing, os, pathlib, sys

def child(path):
    return open(path).read()

open("written.txt", "w").write("w")
open(b"bytes.txt").close()
json.load(open("a.json"))
io.open("io.txt").close()
pathlib.Path("path.txt").read_text()
gzip.open("z.gz").read()
try:
    open("missing.txt")
except FileNotFoundError as error:
    print(error, open.__name__, open is io.open)
try:
    open([])
except TypeError as error:
    print(error)
if sys.platform != "win32":
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        print(pool.map(child, ["c1.txt", "c2.txt"]))
open("big.bin", "rb").read(1)
with open("a.json", "a") as file:
    file.write(" ")
"""


def test_what_a_script_reads_is_noted(tmp_path: Path) -> None:
    import gzip

    folders = [tmp_path / name for name in ("plain", "recorded")]
    for folder in folders:
        folder.mkdir()
        for name in ("bytes.txt", "io.txt", "path.txt", "c1.txt", "c2.txt"):
            (folder / name).write_text(name)
        (folder / "a.json").write_text("{}")
        (folder / "z.gz").write_bytes(gzip.compress(b"z"))
        (folder / "big.bin").write_bytes(b"b" * 1_000_001)
        (folder / "read.py").write_text(READING)
    plain = harness.plain(["read.py"], folders[0])
    result = harness.record(["read.py"], folders[1])
    assert (result.code, result.out) == (plain.code, plain.out), result
    found = inputs(folders[1])
    names = {"bytes.txt", "io.txt", "path.txt", "c1.txt", "c2.txt", "a.json", "z.gz", "big.bin"}
    assert set(found) == names
    assert found["big.bin"][0] == 1_000_001 and found["big.bin"][2] is None
    assert found["io.txt"][2] and found["a.json"][:1] == (2,)
    assert found["a.json"][2] is None  # it was changed after it was read
    assert not (folders[1] / ".flor" / "runs" / "1" / "inputs").exists()


def test_recording_starts_soon(tmp_path: Path) -> None:
    """A thousand files are looked at, and not read again by the next run (no clock is judged)."""
    folder = project(tmp_path / "p")
    for n in range(1000):
        (folder / f"module_{n}.py").write_text(f"n = {n}\n" * 100)
    harness.commit_all(folder)
    time.sleep(2.1)  # else the files are too young to be trusted
    assert harness.record(["train.py"], folder).code == 0
    kept = json.loads((folder / ".flor" / "versions.json").read_text())
    assert len(kept["files"]) == 1003
