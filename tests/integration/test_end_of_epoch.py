"""Values at the end of an iteration come from the next head's state: those of a plain run."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import harness
import pytest
from test_skipping import FORGETFUL, answers, replay

DIGITS = Path(__file__).parent / "scripts" / "digits_cnn" / "train.py"

EVERY_HEAD = (
    "import sys; from flor.runtime.record import heads, regions; "
    "heads.Budget.due = lambda self, depth, now=None: not depth; "
    "heads.RecordHeads.head = (lambda head: lambda self, *a: "
    "(self.writer.drain(30.0), head(self, *a))[1])(heads.RecordHeads.head); "
    "regions.RecordRegions.share = regions.RecordRegions.grace = float('inf'); "
    "from flor.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
)
"""Records with a checkpoint at every head of the outermost loop, and notes every region."""

TRAINER = """\
import sys

import numpy as np


class Model:
    def __init__(self, rng):
        self.weight = rng.normal(size=3)
        self.history = []

    def norm(self):
        return float(np.sqrt((self.weight**2).sum()))


class Trainer:
    def __init__(self, model, rng):
        self.model, self.rng = model, rng
        self.count, self.best = 0, float("inf")

    def epoch(self, xs, ys):
        for i in self.rng.permutation(len(ys)):
            error = xs[i] @ self.model.weight - ys[i]
            self.model.weight -= 0.05 * error * xs[i]
        return float(((xs @ self.model.weight - ys) ** 2).mean())

    def fit(self, xs, ys, epochs):
        for epoch in range(epochs):
            loss = self.epoch(xs, ys)
            self.best = min(self.best, loss)
            self.count += 1  # HERE
            self.model.history.append(loss)
            if loss < 1e-9:
                break
            print(epoch, loss)


rng = np.random.default_rng(3)
xs = rng.normal(size=(20, 3))
ys = xs @ np.array([1.0, -2.0, 0.5])
trainer = Trainer(Model(rng), rng)
trainer.fit(xs, ys, int(sys.argv[1]))
print(trainer.count, trainer.model.norm())
"""


def truth(folder: Path, text: str, *argv: str) -> dict[str, list[Any]]:
    """What a plain run of the longer script logs."""
    folder.mkdir()
    (folder / "train.py").write_text(text, encoding="utf-8")
    out = folder / "truth.jsonl"
    result = harness.plain(["train.py", *argv], folder, FLOR_STUB_OUT=str(out))
    assert result.code == 0, result
    return {name: [e.value for e in found] for name, found in harness.read_truth(out).items()}


def recorded(folder: Path, text: str, *argv: str) -> None:
    (folder / "pyproject.toml").touch()
    (folder / "train.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", EVERY_HEAD, "record", "train.py", *argv]
    result = harness.execute(command, folder)
    assert result.code == 0, result


NORM = 'flor.log("norm", self.model.norm())'


def asked_later(
    tmp_path: Path, script: str, place: str, logs: str, *argv: str
) -> tuple[Path, dict[str, list[Any]]]:
    """`script` recorded, then with `logs` before the line `place`; and what that one logs."""
    project = tmp_path / "project"
    project.mkdir()
    recorded(project, script, *argv)
    found = re.search(rf"^( *){re.escape(place)}", script, re.MULTILINE)
    assert found, place
    added = textwrap.indent(logs + "\n", found[1])
    text = "import flor\n" + script[: found.start()] + added + script[found.start() :]
    wanted = truth(tmp_path / "plain", text, *argv)
    (project / "train.py").write_text(text, encoding="utf-8")
    return project, wanted


def numbers(found: list[dict[str, Any]]) -> tuple[int, int]:
    """(iterations that slices answered, iterations executed)."""
    return sum(a["answered"] for a in found), sum(a["executed"] for a in found)


def equal(rows: list[dict[str, Any]], name: str, wanted: list[Any]) -> bool:
    values = [row[name] for row in rows]
    return len(values) == len(wanted) and all(map(harness.same, wanted, values))


LOGS = """\
norm = self.model.norm()
flor.log("norm", norm)
if epoch % 2:
    flor.log("odd", [epoch, self.best, len(self.model.history)])"""


def test_attributes_helpers_and_guards(tmp_path: Path) -> None:
    project, wanted = asked_later(tmp_path, TRAINER, "self.count +=", LOGS, "6")
    rows, said = replay(project, "SELECT epoch, norm FROM logs ORDER BY epoch")
    assert equal(rows, "norm", wanted["norm"]) and "differ" not in said
    assert numbers(answers(project)) == (6, 0)
    # What is changed behind it (the history grows) needs the iterations.
    rows, _ = replay(project, "SELECT epoch, odd FROM logs WHERE odd IS NOT NULL ORDER BY epoch")
    assert equal(rows, "odd", wanted["odd"])
    assert numbers(answers(project))[0] == 0


def test_an_iteration_that_breaks_has_no_next_head(tmp_path: Path) -> None:
    script = TRAINER.replace("loss < 1e-9", "epoch == 3")
    project, wanted = asked_later(tmp_path, script, "self.count +=", NORM, "9")
    rows, said = replay(project, "SELECT epoch, norm FROM logs ORDER BY epoch")
    assert equal(rows, "norm", wanted["norm"]) and len(rows) == 4
    assert numbers(answers(project))[0] == 3 and "differ" not in said


def test_a_head_without_a_checkpoint_is_reached_by_executing(tmp_path: Path) -> None:
    project, wanted = asked_later(tmp_path, TRAINER, "print(epoch", NORM, "8")
    for index in (2, 3, 6):  # as if time had not sufficed
        for file in (project / ".flor" / "runs" / "1" / "checkpoints").glob(
            f"*-epoch-{index}.ckpt"
        ):
            file.unlink()
    rows, _ = replay(project, "SELECT epoch, norm FROM logs ORDER BY epoch")
    assert equal(rows, "norm", wanted["norm"])
    answered, executed = numbers(answers(project))
    assert answered == 5 and executed == 3


def test_from_the_start_everything_is_executed(tmp_path: Path) -> None:
    project, wanted = asked_later(tmp_path, TRAINER, "print(epoch", NORM, "5")
    for option in ("--from-start", "--no-skip"):
        other = tmp_path / option
        shutil.copytree(project, other)
        rows, _ = replay(other, "SELECT epoch, norm FROM logs ORDER BY epoch", option)
        assert equal(rows, "norm", wanted["norm"])
        assert numbers(answers(other)) == (0, 5)


def test_the_dry_run_tells(tmp_path: Path) -> None:
    project, _ = asked_later(tmp_path, TRAINER, "print(epoch", NORM, "5")
    sql = "SELECT epoch, norm FROM logs WHERE epoch > 1"
    result = harness.flor(project, "replay", "--dry-run", "--format", "json", sql)
    assert [(row["from"], row["iterations"]) for row in json.loads(result.out)] == [("epoch 3", 0)]


def test_evaluations_behind_it_must_have_been_watched(tmp_path: Path) -> None:
    """Where `evaluate` has moved the statistics, the next head's are others."""
    log = 'flor.log("mean", net[1].running_mean.sum().item())'
    project, wanted = asked_later(tmp_path, FORGETFUL, "value = evaluate", log)
    rows, said = replay(project, "SELECT epoch, mean FROM logs ORDER BY epoch")
    assert equal(rows, "mean", wanted["mean"]) and "differ" not in said
    assert numbers(answers(project))[0] == 3  # the careful ones


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_convolutional_network(tmp_path: Path, workers: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = DIGITS.read_text(encoding="utf-8")
    recorded(project, script, "--epochs", "4")
    text = script.replace("import argparse\n", "import argparse\n\nimport flor\n", 1)
    place = "        test(model, device, test_loader)\n"
    assert text.count(place) == 1
    text = text.replace(
        place,
        f'{place}        flor.log("norm", sum(p.norm() for p in model.parameters()).item())\n',
    )
    wanted = truth(tmp_path / "plain", text, "--epochs", "4")
    (project / "train.py").write_text(text, encoding="utf-8")
    rows, said = replay(
        project, "SELECT epoch, norm FROM logs ORDER BY epoch", "--workers", workers
    )
    assert equal(rows, "norm", wanted["norm"]) and "differ" not in said
    assert numbers(answers(project)) == (4, 0)
