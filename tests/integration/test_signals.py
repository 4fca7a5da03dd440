"""How a recorded run ends: signals, exceptions, exit codes; what was logged before is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import pytest

SLOW_LOOP = """\
import sys
import time

import flor

weight = 1.0
for step in range(400):
    weight = weight * 0.99
    flor.log("loss", weight * weight)
    print("step", step, flush=True)
    time.sleep(0.05)
"""

POLITE_LOOP = """\
import time

import flor

weight = 1.0
try:
    for step in range(400):
        weight = weight * 0.99
        flor.log("loss", weight * weight)
        print("step", step, flush=True)
        time.sleep(0.05)
except KeyboardInterrupt:
    print("stopped by hand", flush=True)
print("saved", flush=True)
"""

OWN_HANDLER = """\
import signal
import sys
import time

import flor


def leave(number, frame):
    print("leaving on", number, flush=True)
    sys.exit(7)


signal.signal(signal.SIGTERM, leave)
weight = 1.0
for step in range(400):
    weight = weight * 0.99
    flor.log("loss", weight * weight)
    print("step", step, flush=True)
    time.sleep(0.05)
"""

FAILING = """\
import flor


def update(weight, step):
    if step == 6:
        raise ValueError(f"diverged at {step}")
    return weight * 0.99


weight = 1.0
for step in range(20):
    weight = update(weight, step)
    flor.log("loss", weight * weight)
"""

EXITING = """\
import sys

import flor

weight = 1.0
for step in range(20):
    weight = weight * 0.99
    flor.log("loss", weight * weight)
    if step == 6:
        sys.exit({argument})
"""


def signalled(
    command: list[str], folder: Path, stub: bool, number: int, steps: int = 6
) -> tuple[int, list[str], str]:
    """Run `command`, send `number` after `steps` lines; exit code, stdout lines, stderr."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=harness.environment(stub=stub),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stderr
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == steps:
                if number == signal.SIGKILL:
                    time.sleep(0.02)
                process.send_signal(number)
        err = process.stderr.read()
        return process.wait(timeout=harness.TIMEOUT_S), lines, err


def both(folder: Path, script: str, number: int) -> tuple[Any, Any]:
    """The plain and the recorded run of `script`, each ended by the signal `number`."""
    (folder / "train.py").write_text(script)
    wanted = signalled([sys.executable, "train.py"], folder, True, number)
    assert wanted[0] != 0 or script is POLITE_LOOP, wanted
    got = signalled([*harness.FLOR, "record", "train.py"], folder, False, number)
    return wanted, got


def losses(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) of everything that the store kept."""
    sql = "SELECT step, loss FROM logs WHERE loss IS NOT NULL ORDER BY step"
    result = harness.flor(folder, "query", "--format", "json", sql)
    assert result.code == 0, result
    return [(row["step"], row["loss"]) for row in json.loads(result.out)]


def right_losses(n: int) -> list[tuple[int, float]]:
    """What the scripts above log in their first `n` steps."""
    weight, rows = 1.0, []
    for step in range(n):
        weight = weight * 0.99
        rows.append((step, weight * weight))
    return rows


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGKILL, "killed")],
)
def test_signal(tmp_path: Path, number: int, status: str) -> None:
    """The process dies as a plain one would; the status says so; the values are there."""
    wanted, got = both(tmp_path, SLOW_LOOP, number)
    assert got[0] == wanted[0], got
    (run,) = harness.runs(tmp_path)
    assert run["status"] == status, run
    kept = losses(tmp_path)
    lost = 2 if number == signal.SIGKILL else 0  # 50 ms a step, committed every 50 ms
    assert len(kept) >= len(got[1]) - lost
    assert kept == right_losses(len(kept))
    if number == signal.SIGINT:
        assert [line for line in got[2].splitlines() if line][-1].startswith(
            ("KeyboardInterrupt", "florc:")
        )
        assert harness.only_ours(got[2])[-1] == "KeyboardInterrupt"
        assert "flor/runtime" not in got[2]
    else:
        assert not harness.only_ours(got[2]), got[2]


def test_interrupt_that_the_script_catches(tmp_path: Path) -> None:
    """`except KeyboardInterrupt` round the loop works and the run has finished."""
    wanted, got = both(tmp_path, POLITE_LOOP, signal.SIGINT)
    assert got[0] == wanted[0] == 0, got
    assert got[1][-2:] == wanted[1][-2:] == ["stopped by hand", "saved"]
    (run,) = harness.runs(tmp_path)
    assert (run["status"], run["exit_code"]) == ("finished", 0)
    assert len(losses(tmp_path)) >= 6


def test_the_scripts_own_handler(tmp_path: Path) -> None:
    """A SIGTERM handler of the script runs, and its exit code passes."""
    wanted, got = both(tmp_path, OWN_HANDLER, signal.SIGTERM)
    assert got[0] == wanted[0] == 7, got
    assert got[1][-1] == wanted[1][-1]
    (run,) = harness.runs(tmp_path)
    assert run["exit_code"] == 7
    assert len(losses(tmp_path)) >= 6


def test_exception(tmp_path: Path) -> None:
    """An exception in the loop: the plain traceback, exit code 1, status failed."""
    (tmp_path / "train.py").write_text(FAILING)
    wanted = harness.plain(["train.py"], tmp_path)
    got = harness.record(["train.py"], tmp_path)
    assert got.code == wanted.code == 1
    assert harness.only_ours(got.err) == wanted.err.splitlines()
    (run,) = harness.runs(tmp_path)
    assert (run["status"], run["exit_code"]) == ("failed", 1)
    assert losses(tmp_path) == right_losses(6)


@pytest.mark.parametrize("argument", ["3", "", "None", "'out of patience'"])
def test_exit_code(tmp_path: Path, argument: str) -> None:
    """sys.exit in the loop with a number, nothing, None and a message."""
    (tmp_path / "train.py").write_text(EXITING.format(argument=argument))
    wanted = harness.plain(["train.py"], tmp_path)
    got = harness.record(["train.py"], tmp_path)
    assert got.code == wanted.code
    assert got.out == wanted.out
    assert harness.only_ours(got.err) == wanted.err.splitlines()
    (run,) = harness.runs(tmp_path)
    assert run["exit_code"] == wanted.code
    assert run["status"] == ("finished" if wanted.code == 0 else "failed")
    assert losses(tmp_path) == right_losses(7)


def test_show(tmp_path: Path) -> None:
    """`show RUN` knows what `runs` knows, and the arguments."""
    (tmp_path / "train.py").write_text(EXITING.format(argument="3"))
    harness.record(["train.py", "--lr", "0.5", "a b"], tmp_path)
    (run,) = harness.runs(tmp_path)
    result = harness.flor(tmp_path, "show", str(run["run"]), "--format", "json")
    assert result.code == 0, result
    shown = json.loads(result.out)
    if isinstance(shown, list):
        (shown,) = shown
    assert (shown["run"], shown["exit_code"]) == (run["run"], 3)
    assert "a b" in json.dumps(shown)
