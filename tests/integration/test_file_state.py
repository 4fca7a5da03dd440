"""Files that a loop writes and later code reads are a part of its state."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest

SCRIPT = """\
import json
import random
import time

random.seed(11)
weights = [0.0, 0.0]
best = 1e9
for epoch in range(10):
    for i in range(2):
        weights[i] += random.gauss(0, 1)
    loss = abs(sum(weights) - 1.0)
    time.sleep(0.05)
    if loss < best:
        best = loss
        with open("best.json", "w") as file:
            json.dump(weights, file)
    with open("last.txt", "w") as file:
        file.write(str(weights))
with open("best.json") as file:
    chosen = json.load(file)
print(chosen, open("last.txt").read())
"""
ADDED = SCRIPT.replace("import time\n", "import time\n\nimport flor\n").replace(
    "print(chosen", 'flor.log("chosen", str(chosen))\nflor.log("w", weights[0])\nprint(chosen'
)
IN_LOOP = SCRIPT.replace("import time\n", "import time\n\nimport flor\n").replace(
    "    time.sleep(0.05)\n", '    time.sleep(0.05)\n    flor.log("w", weights[1])\n'
)


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, str]:
    """A recorded project, and what the run printed."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "train.py").write_text(SCRIPT)
    result = harness.flor(tmp_path, "record", "--budget", "1", "train.py")
    assert result.code == 0, result
    return tmp_path, result.out


def rows(folder: Path, sql: str) -> tuple[list[dict[str, object]], str]:
    result = harness.flor(folder, "replay", "--yes", "--format", "json", sql)
    assert result.code == 0, result
    return json.loads(result.out), result.err


def test_a_file_that_was_written_in_skipped_iterations_is_there_again(
    recorded: tuple[Path, str],
) -> None:
    folder, printed = recorded
    (folder / "best.json").unlink()  # the user has cleared away what the run had left
    (folder / "last.txt").write_text("not the run's")
    (folder / "train.py").write_text(ADDED)
    found, said = rows(folder, "SELECT chosen, w FROM logs")
    assert len(found) == 1
    assert printed.startswith(str(found[0]["chosen"]))
    assert "from the start" not in said  # it did jump
    assert (folder / "last.txt").read_text() == "not the run's"
    assert not (folder / "best.json").exists()


def test_checkpoints_share_what_they_keep(recorded: tuple[Path, str]) -> None:
    folder, _ = recorded
    kept = list((folder / ".flor" / "runs" / "1" / "files").iterdir())
    assert 2 <= len(kept) <= 2 * 10


def test_iterations_replayed_read_and_write_as_recorded(recorded: tuple[Path, str]) -> None:
    folder, _ = recorded
    (folder / "train.py").write_text(IN_LOOP)
    found, _ = rows(folder, "SELECT epoch, w FROM logs WHERE epoch >= 8")
    assert [row["epoch"] for row in found] == [8, 9]
