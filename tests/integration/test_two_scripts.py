"""A project with several scripts: what only one of them logs can be asked in hindsight."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import flor

total = 0
for epoch in range(3):
    total += epoch
    flor.log("{name}", total)
"""


def flor(root, *arguments):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "flor.runtime", *arguments], cwd=root, env=env, text=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_name_that_only_one_script_logs_today(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(name=name))
        flor(tmp_path, "record", f"{name}.py")
    text = SCRIPT.format(name="one") + '    flor.log("square", total**2)\n'
    (tmp_path / "one.py").write_text(text)
    query = "SELECT run, epoch, square FROM logs WHERE square IS NOT NULL"
    answer = flor(tmp_path, "replay", "--yes", "--quiet", "--format", "csv", query)
    assert answer.split() == ["run,epoch,square", "1,0,0", "1,1,1", "1,2,9"]
