"""Replays that skip calls give what replays that execute them give, and what plain runs log."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import harness
import pytest

DIGITS = Path(__file__).parent / "scripts" / "digits_cnn" / "train.py"
ARGV = ["--epochs", "5"]
IN_TRAIN = '        flor.log("bias", model.fc2.bias.detach().norm().item() + loss.item())\n'
IN_TEST = '            flor.log("right", correct)\n'
SQL = "SELECT epoch, batch_idx, bias FROM logs WHERE epoch > 2 ORDER BY epoch, batch_idx"


def with_statements(inside: bool) -> str:
    text = DIGITS.read_text(encoding="utf-8")
    text = text.replace("import argparse\n", "import argparse\n\nimport flor\n", 1)
    text = text.replace("        optimizer.step()\n", f"        optimizer.step()\n{IN_TRAIN}", 1)
    if inside:
        place = re.search(r"            correct \+= .*\n", text)
        assert place is not None
        text = text[: place.end()] + IN_TEST + text[place.end() :]
    return text


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one recorded run of the script."""
    folder = tmp_path_factory.mktemp("digits")
    shutil.copy(DIGITS, folder / "train.py")
    (folder / "pyproject.toml").touch()
    plain = harness.plain(["train.py", *ARGV], folder)
    result = harness.flor(folder, "record", "train.py", *ARGV)
    assert (result.code, result.out, result.err) == (0, plain.out, plain.err)
    return folder


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "project"
    shutil.copytree(recorded, folder)
    return folder


def truth(folder: Path, text: str) -> dict[str, list[Any]]:
    """What a plain run of the longer script logs."""
    (folder / "plain").mkdir()
    (folder / "plain" / "train.py").write_text(text, encoding="utf-8")
    out = folder / "plain" / "truth.jsonl"
    result = harness.plain(["train.py", *ARGV], folder / "plain", FLOR_STUB_OUT=str(out))
    assert result.code == 0, result
    return {name: [e.value for e in found] for name, found in harness.read_truth(out).items()}


def answers(folder: Path) -> list[dict[str, Any]]:
    """What the workers of the latest replay answered."""
    last = max((folder / ".flor" / "replays").iterdir(), key=lambda path: int(path.name))
    return [json.loads(path.read_text()) for path in last.glob("answer-*.json")]


def replay(folder: Path, sql: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    result = harness.flor(folder, "replay", "--yes", "--format", "json", *options, sql)
    assert result.code == 0, result
    return json.loads(result.out), result.err


def test_skipping_changes_no_value(project: Path, tmp_path: Path) -> None:
    text = with_statements(inside=False)
    expected = truth(tmp_path, text)["bias"]
    (project / "train.py").write_text(text, encoding="utf-8")
    executed = tmp_path / "executed"
    shutil.copytree(project, executed)
    rows, said = replay(project, SQL)
    assert "calls skipped, as nothing from inside them is wanted: test " in said
    assert sum(answer["skipped"].get("test", 0) for answer in answers(project)) in (1, 2)
    other, said = replay(executed, SQL, "--no-skip")
    assert "skipped" not in said and not any(a["skipped"] for a in answers(executed))
    assert rows == other and len(rows) == 3 * 16
    for row, wanted in zip(rows, expected[-len(rows) :], strict=True):
        assert harness.same(wanted, row["bias"]), row
    assert not any(a["divergence_count"] for f in (project, executed) for a in answers(f))


def test_what_is_asked_of_inside_is_executed(project: Path, tmp_path: Path) -> None:
    text = with_statements(inside=True)
    expected = truth(tmp_path, text)
    (project / "train.py").write_text(text, encoding="utf-8")
    rows, _ = replay(project, "SELECT epoch, right FROM logs WHERE epoch = 5")
    for row, wanted in zip(rows, expected["right"][-len(rows) :], strict=True):
        assert harness.same(wanted, row["right"]), row
    rows, said = replay(project, SQL)  # now nothing in there is wanted
    assert "calls skipped" in said
    for row, wanted in zip(rows, expected["bias"][-len(rows) :], strict=True):
        assert harness.same(wanted, row["bias"]), row


def test_from_the_start_nothing_is_skipped(project: Path) -> None:
    (project / "train.py").write_text(with_statements(inside=False), encoding="utf-8")
    _, said = replay(project, SQL, "--from-start")
    assert "skipped" not in said
    (answer,) = answers(project)
    assert not answer["skipped"] and not answer["jumps"]


FORGETFUL = """\
import time

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
xs = torch.randn(32, 4)


@torch.no_grad()
def evaluate(net, careful):
    if careful:
        net.eval()
    time.sleep(0.1)
    value = sum(net(x).mean().item() for x in xs.split(8))
    net.train()
    return value


for epoch in range(6):
    for x in xs[torch.randperm(32)].split(8):
        optimizer.zero_grad()
        (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    value = evaluate(net, epoch % 2 == 0)
    print(epoch, value, net[1].running_mean.sum().item())
"""


def test_an_evaluation_that_forgets_eval_is_never_skipped(tmp_path: Path) -> None:
    """Its statistics are state: the analysis takes it for a region, the recording sees it isn't."""
    import sqlite3

    (tmp_path / "pyproject.toml").touch()
    script = tmp_path / "train.py"
    script.write_text(FORGETFUL)
    result = harness.flor(tmp_path, "record", "train.py")
    assert result.code == 0, result
    with sqlite3.connect(tmp_path / ".flor" / "flor.db") as store:
        kept = store.execute("SELECT node FROM regions ORDER BY node").fetchall()
        nodes = store.execute(
            "SELECT node FROM nodes JOIN shapes USING (shape) WHERE loop = 'epoch' ORDER BY idx"
        ).fetchall()
    assert kept == nodes[::2]  # those that were careful
    printed = [line.split() for line in result.out.splitlines()]
    logged = FORGETFUL.replace("import torch\n", "import flor\nimport torch\n", 1)
    logged = logged.replace(
        "    print(",
        '    flor.log("mean", [value, net[1].running_mean.sum().item()])\n    print(',
    )
    script.write_text(logged)
    rows, said = replay(tmp_path, "SELECT epoch, mean FROM logs WHERE epoch > 1 ORDER BY epoch")
    means = [
        json.loads(row["mean"]) if isinstance(row["mean"], str) else row["mean"] for row in rows
    ]
    assert [list(map(repr, mean)) for mean in means] == [line[1:] for line in printed[2:]]
    assert sum(answer["skipped"].get("evaluate", 0) for answer in answers(tmp_path)) in (2, 3)
    assert "differ" not in said
