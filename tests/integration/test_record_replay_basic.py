"""Record, add statements, replay: the mechanics, on scripts without torch (fast)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import pytest

SCRIPT = """\
import random
import sys

random.seed(4)
state = {"w": 0.0, "seen": []}
tag = {"alpha", "beta", "gamma", "delta"}
print("prefix", file=sys.stderr)
for epoch in range(6):
    total = 0.0
    for step in range(4):
        g = random.gauss(0, 1)
        state["w"] += 0.1 * g
        total += g
    state["seen"].append(total)
    print(epoch, total, state["w"])
print("end", sorted(state["seen"])[0], random.random(), list(tag))
"""


def answer(folder: Path, sql: str, *options: str, code: int = 0) -> list[dict[str, Any]]:
    """Rows of a replay that must end with `code`."""
    result = harness.flor(folder, "replay", "--yes", "--format", "json", *options, sql)
    assert result.code == code, result
    return list(json.loads(result.out))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded project with statements added afterwards."""
    folder = tmp_path_factory.mktemp("basic")
    (folder / "pyproject.toml").touch()
    (folder / "train.py").write_text(SCRIPT)
    result = harness.record(["train.py"], folder)
    assert result.code == 0, result
    edited = SCRIPT.replace("import random\n", "import random\nimport flor\n")
    edited = edited.replace(
        "        total += g\n", '        total += g\n        flor.log("g", g)\n'
    )
    edited = edited.replace(
        "    print(epoch",
        '    flor.log("w", state["w"])\n    flor.log("order", list(tag))\n    print(epoch',
    )
    edited += 'flor.log("low", sorted(state["seen"])[0])\n'
    edited = edited.replace(
        'print("prefix"', 'flor.log("first", random.getstate()[1][0])\nprint("prefix"'
    )
    (folder / "train.py").write_text(edited)
    return folder


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, list[Any]]:
    """What the edited script computes, without the product."""
    stub = "def log(name, value):\n    print('@', repr((name, value)))\n"
    (folder / "stub").mkdir()
    (folder / "stub" / "flor.py").write_text(stub)
    env = harness.environment()
    env["PYTHONPATH"] = str(folder / "stub")
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[Any]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("@ "):
            name, value = eval(line[2:])
            found.setdefault(name, []).append(value)
    return found


def test_one_epoch(folder: Path, truth: dict[str, list[Any]]) -> None:
    """A late epoch is reached by a jump, and its value is the true one."""
    rows = answer(folder, "SELECT epoch, w FROM logs WHERE epoch = 4")
    assert rows == [{"epoch": 4, "w": truth["w"][4]}]


def test_some_steps(folder: Path, truth: dict[str, list[Any]]) -> None:
    """Steps of two epochs."""
    rows = answer(folder, "SELECT epoch, step, g FROM logs WHERE epoch IN (1, 5) AND step >= 2")
    wanted = [(e, s) for e in (1, 5) for s in (2, 3)]
    assert [(r["epoch"], r["step"]) for r in rows] == wanted
    assert [r["g"] for r in rows] == [truth["g"][4 * e + s] for e, s in wanted]


def test_before_and_behind_the_loops(folder: Path, truth: dict[str, list[Any]]) -> None:
    """Statements outside of loops."""
    assert answer(folder, "SELECT first FROM logs") == [{"first": truth["first"][0]}]
    assert answer(folder, "SELECT low FROM logs") == [{"low": truth["low"][0]}]


def test_sets_are_in_the_recorded_order(folder: Path) -> None:
    """The hash seed is the recorded one."""
    order = answer(folder, 'SELECT "order" FROM logs WHERE epoch = 3')[0]["order"]
    again = answer(folder, 'SELECT "order" FROM logs WHERE epoch = 2', "--from-start")[0]["order"]
    assert order == again


def test_workers_agree(folder: Path, truth: dict[str, list[Any]]) -> None:
    """Two processes answer like one."""
    rows = answer(folder, "SELECT epoch, w FROM logs", "--workers", "2")
    assert [r["w"] for r in rows] == truth["w"]


def test_dry_run_runs_nothing(folder: Path) -> None:
    """It says from where, and leaves no replay behind."""
    before = sorted(os.listdir(folder / ".flor"))
    sql = "SELECT step, g FROM logs WHERE epoch = 3"
    result = harness.flor(folder, "replay", "--dry-run", "--format", "json", sql)
    assert result.code == 0, result
    rows = json.loads(result.out)
    assert rows[0]["run"] == 1 and rows[0]["iterations"] >= 1
    assert sorted(os.listdir(folder / ".flor")) == before


def test_not_without_yes(folder: Path) -> None:
    """No terminal to ask on: say what to do, exit 2."""
    result = harness.flor(folder, "replay", "SELECT step, g FROM logs WHERE epoch = 2")
    assert result.code == 2, result
    assert "--yes" in result.err


def test_other_changes_are_not_asked(folder: Path, truth: dict[str, list[Any]]) -> None:
    """A run is replayed with the code that it was recorded with."""
    path = folder / "train.py"
    text = path.read_text()
    try:
        path.write_text(text.replace("0.1 * g", "0.2 * g"))
        rows = answer(folder, "SELECT epoch, w FROM logs WHERE epoch = 0")
    finally:
        path.write_text(text)
    assert rows == [{"epoch": 0, "w": truth["w"][0]}]


def test_a_corrupt_checkpoint_is_passed_over(folder: Path, truth: dict[str, list[Any]]) -> None:
    """An earlier one, or none, does; one line says so."""
    for file in (folder / ".flor" / "runs" / "1" / "checkpoints").iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    sql = "SELECT epoch, step, g FROM logs WHERE epoch = 3"
    result = harness.flor(folder, "replay", "--yes", "--format", "json", sql)
    assert result.code == 0, result
    assert [r["g"] for r in json.loads(result.out)] == truth["g"][12:16]
    assert "is not used" in result.err


def test_interrupting_a_replay(tmp_path: Path) -> None:
    """Exit code 130; no worker and no scratch folder stays."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "tmp").mkdir()
    text = (
        "import time\nn = [0]\nfor epoch in range(3):\n    n.append(epoch)\n    time.sleep(0.05)\n"
    )
    (tmp_path / "train.py").write_text(text)
    assert harness.record(["train.py"], tmp_path, "--no-checkpoint").code == 0
    slow = "import flor\n" + text + '    flor.log("n", len(n))\n'
    (tmp_path / "train.py").write_text(slow)
    (tmp_path / "sitecustomize.py").write_text("")
    env = harness.environment(TMPDIR=str(tmp_path / "tmp"))
    process = subprocess.Popen(
        [*harness.FLOR, "replay", "--yes", "SELECT n FROM logs"],
        cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list((tmp_path / "tmp").glob("flor-replay-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert not list((tmp_path / "tmp").glob("flor-replay-*"))


def recorded_then(folder: Path, before: str, after: str, *options: str, code: int = 0) -> None:
    """Record the script `before`, then replace it by `after`."""
    (folder / "pyproject.toml").touch()
    (folder / "train.py").write_text(before)
    result = harness.record(["train.py"], folder, *options)
    assert result.code == code, result
    (folder / "train.py").write_text(after)


HEADS = {
    "for": "for k in range(6):\n",
    "while": "k = -1\nwhile k < 5:\n    k += 1\n",
    "broken off": "for k in range(9):\n    if k == 6:\n        break\n",
}
BODY = "    total = total + 0.5\n"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("inside", [False, True])
def test_statement_that_raises(tmp_path: Path, head: str, inside: bool) -> None:
    """An exception in the last wanted iteration: the replay failed; nothing counts as done."""
    script = "import flor\ntotal = 0.0\n" + HEADS[head] + BODY
    if inside:
        lines = script.splitlines(keepends=True)
        script = lines[0] + "def train():\n" + "".join("    " + x for x in lines[1:]) + "train()\n"
    body = BODY if not inside else "    " + BODY
    indent = " " * (len(body) - len(body.lstrip()))
    edited = script.replace(body, f"{body}{indent}flor.log('probe', undefined_name)\n")
    recorded_then(tmp_path, script, edited)
    column = json.loads((tmp_path / ".flor/build/plan.json").read_text())["loops"][0]["name"]
    sql = f"SELECT {column}, probe FROM logs WHERE {column} = 4"
    for _ in range(2):
        result = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
        assert result.code == 1, result
        assert "the replay failed: the script raised NameError" in result.err


@pytest.mark.parametrize(("state", "use"), [("", ""), ("total = 0.0\n", BODY)])
def test_statement_that_raises_where_the_run_failed(tmp_path: Path, state: str, use: str) -> None:
    """The recorded run raised too, but not there."""
    script = (
        "import flor\n" + state + "for k in range(6):\n" + use + "    if k == 4:\n        1 / 0\n"
    )
    edited = script.replace("    if", "    flor.log(\n        'probe', nothing)\n    if")
    recorded_then(tmp_path, script, edited, code=1)
    sql = "SELECT k, probe FROM logs WHERE k = 4"
    result = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
    assert result.code == 1, result
    assert "the replay failed: the script raised NameError" in result.err
    (tmp_path / "train.py").write_text(edited.replace("nothing", "-k"))
    assert answer(tmp_path, sql) == [{"k": 4, "probe": -4}]


def test_exceptions_that_are_caught(tmp_path: Path) -> None:
    """A loop that is left by an exception, and the script goes on: its iterations were passed."""
    script = (
        "import flor\n"
        "def find(k):\n"
        "    for i in range(5):\n"
        "        if i == k:\n"
        "            raise LookupError\n"
        "seen = []\n"
        "for k in range(4):\n"
        "    try:\n"
        "        find(k)\n"
        "    except LookupError:\n"
        "        seen.append(k)\n"
        "print(seen)\n"
    )
    line = "        if i == k:\n"
    recorded_then(
        tmp_path, script, script.replace(line, "        flor.log('probe', 10 * k + i)\n" + line)
    )
    rows = answer(tmp_path, "SELECT k, i, probe FROM logs WHERE k = 3 AND i = 3")
    assert rows == [{"k": 3, "i": 3, "probe": 33}]


def test_restarted_worker_replaces_its_values(tmp_path: Path) -> None:
    """What a worker logged before it asked for a new process is not there twice.

    Files whose name begins with a dot aren't kept with checkpoints: what is in `.out.txt` after a
    jump nobody knows.
    """
    script = (
        "import time\nimport flor\n"
        "w = [0.0]\n"
        "for k in range(6):\n"
        "    time.sleep(0.05)\n"  # checkpoints are affordable
        "    w.append(w[-1] + k)\n"
        "    with open('.out.txt', 'a') as out:\n"
        "        out.write('x')\n"
        "    size = len(open('.out.txt').read())\n"
        "print(size)\n"
    )
    statements = "    flor.log('probe', w[-1] * out.closed)\n" * 2  # needs the iteration
    edited = script.replace("    size", statements + "    size")
    recorded_then(tmp_path, script, edited, "--budget", "0.9")
    sql = "SELECT k, probe FROM logs WHERE k IN (3, 5)"
    result = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
    assert "replayed from the start" in result.err, result
    rows = json.loads(result.out)
    assert rows == [{"k": 3, "probe": 6.0}, {"k": 5, "probe": 15.0}]
    from flor.runtime.store import Store

    with Store.open(tmp_path) as store:
        assert store.replayed(1) == {
            ("probe", (("k", k),), n): value for k, value in ((3, 6.0), (5, 15.0)) for n in (0, 1)
        }
