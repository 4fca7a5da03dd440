"""Large values that follow from small ones are computed again after a jump, not saved."""

from __future__ import annotations

import json
import re
from pathlib import Path

import harness

SCRIPT = """\
import time

import numpy as np

rng = np.random.default_rng(0)
points = rng.normal(size=(300, 3))


def spread(table):
    return float(table.max() - table.min())


def fit(rounds):
    centers = points[:4].copy()
    table = None
    for step in range(rounds):
        if table is not None:
            print(step, spread(table), nearest[:5].tolist(), total)
        centers = centers + 0.01 * rng.normal(size=centers.shape)
        table = ((points[:, None] - centers[None]) ** 2).sum(-1)
        nearest = table.argmin(1)
        total = int(nearest.sum())
        time.sleep(0.05)
    return table, nearest


table, nearest = fit(8)
print(table.sum(), nearest.sum())
"""
LOGGED = SCRIPT.replace("import numpy as np\n", "import numpy as np\n\nimport flor\n").replace(
    "            print(step",
    '            flor.log("spread", spread(table))\n            print(step',
)


def test_what_follows_from_saved_values_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    result = harness.flor(tmp_path, "record", "--budget", "1", "train.py")
    assert result.code == 0, result
    plan = json.loads((tmp_path / ".flor" / "build" / "plan.json").read_text())
    (loop,) = [each for each in plan["loops"] if each["training"]]
    assert {"table", "nearest"} <= {each["path"] for each in loop["recomputed"]}
    assert not {"table", "nearest"} & {each["path"] for each in loop["state"]}
    checkpoints = tmp_path / ".flor" / "runs" / "1" / "checkpoints"
    assert len(list(checkpoints.iterdir())) > 4
    truth = {int(m[1]): m[2] for m in re.finditer(r"^(\d) ([\d.]+) \[", result.out, re.M)}
    script.write_text(LOGGED)
    for first in (3, 7):
        sql = f"SELECT step, spread FROM logs WHERE step = {first}"
        replayed = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
        assert replayed.code == 0, replayed
        (row,) = json.loads(replayed.out)
        assert repr(row["spread"]) == truth[first]
        assert "differ" not in replayed.err
        assert "not used" not in replayed.err and "from the start" not in replayed.err
