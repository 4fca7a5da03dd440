"""A script that seeds nothing: a replay draws the same numbers before the first loop."""

from __future__ import annotations

import json
from pathlib import Path

import harness

SCRIPT = """\
import random

import numpy as np
import torch

target = torch.randn(4) + float(np.random.rand()) + random.random()
weight = torch.zeros(4)

for step in range(6):
    noise = torch.randn(4) * random.random() * float(np.random.normal())
    weight = weight + 0.1 * (target - weight) + 0.01 * noise
    print(weight.tolist())
"""


def test_streams_start_as_they_did(tmp_path: Path) -> None:
    """From the start and by a jump, twice recorded: every value is the one that was printed."""
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    printed = []
    for _ in range(2):
        result = harness.record(["train.py"], folder, "--budget", "0.9")
        assert result.code == 0 and not result.err, result
        printed.append([json.loads(line) for line in result.out.splitlines()])
    assert printed[0] != printed[1]
    for name, options in (("first", ["--from-start"]), ("second", [])):
        logged = SCRIPT.replace("import random\n", "import flor\nimport random\n")
        statement = f'    flor.log("{name}", weight.tolist())\n'
        logged = logged.replace("    print(", f"{statement}    print(")
        (folder / "train.py").write_text(logged)
        sql = f"SELECT run, step, {name} FROM logs WHERE step < 2 OR step > 4"
        result = harness.flor(folder, "replay", "--yes", "--format", "json", *options, sql)
        assert result.code == 0 and not harness.only_ours(result.err), result
        rows = json.loads(result.out)
        assert len(rows) == 6
        for row in rows:
            weight = row[name]
            weight = json.loads(weight) if isinstance(weight, str) else weight
            assert weight == printed[row["run"] - 1][row["step"]]
