"""The record-time check: what changes behind the analysis's back is caught, saved, and replayed.

Each case has a library outside of the project, which writes where no effect entry says so, and an
effect file of the user's with entries that are wrong.  Nothing happens in iteration 0, so that the
check has something to compare, and so that a checkpoint is taken (at head 1) that lacks what
changes later.  The truth is a plain run of the edited script with the stub as `flor`.
"""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EAGER = (
    "from flor.runtime.record import heads as record_heads; "
    "from flor.runtime.replay import heads as replay_heads; "
    "record_heads.Budget.due = lambda self, depth, now=None: True; "
    "record_heads.RecordHeads.head = (lambda head: lambda self, *a: "
    "(self.writer.drain(30.0), head(self, *a))[1])(record_heads.RecordHeads.head); "
    "replay_heads.CHECK_SHARE = float('inf'); "
)
"""A checkpoint at every head, and every state that is passed compared with the recorded one."""
RECORD = EAGER + "import sys; from flor.runtime.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Case:
    """A script, the library that it calls, and what is said of that wrongly."""

    library: str
    entries: str
    script: str  # logs `probe` where it says LOG(expression)
    promoted: tuple[tuple[str, str], ...]  # (loop, path), in any order
    says: str  # in the line on standard error
    mends: bool = True  # the suggested entries put the paths into the set


CASES = {
    "memmove into an array": Case(
        """
        import ctypes

        def scale(array):
            new = (array * 1.25).tobytes()
            ctypes.memmove(array.ctypes.data, new, len(new))
        """,
        """
        [effects."outside.scale"]
        returns = "none"
        """,
        """
        import numpy as np
        import outside

        weights = np.arange(1.0, 5.0)
        total = 0.0
        for epoch in range(8):
            total = total * 0.5 + float(weights.sum())
            if epoch:
                outside.scale(weights)
            LOG([total, float(weights[2])])
        print(total, weights)
        """,
        (("epoch", "weights"),),
        "train.py:9: FLR014 `weights` changes in loop `epoch`.*Suspected: outside.scale().*"
        'mutates = ["0"]',
    ),
    "a tensor by its pointer": Case(
        """
        import ctypes

        def nudge(tensor):
            address = tensor.data_ptr()
            cell = ctypes.c_float.from_address(address)
            cell.value = cell.value * 0.5 + 1.0
        """,
        """
        [effects."outside.nudge"]
        returns = "none"
        """,
        """
        import outside
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
        net = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        scale = torch.ones(3)
        data = torch.randn(8, 3)
        for epoch in range(7):
            optimizer.zero_grad()
            loss = (net(data * scale) ** 2).mean()
            loss.backward()
            optimizer.step()
            if epoch:
                outside.nudge(scale)
            LOG([loss.item(), scale[0].item()])
        print(loss.item(), scale)
        """,
        (("epoch", "scale"),),
        "`scale` changes in loop `epoch`",
    ),
    "a fused optimizer that is said to be pure": Case(
        """
        import torch

        class FusedSGD(torch.optim.Optimizer):
            def __init__(self, parameters, lr):
                super().__init__(parameters, {"lr": lr})

            def step(self, closure=None):
                for group in self.param_groups:
                    for p in group["params"]:
                        buffer = self.state[p].setdefault("buffer", torch.zeros_like(p.data))
                        buffer.mul_(0.9).add_(p.grad.data)
                        p.data.add_(buffer, alpha=-group["lr"])  # no version counter moves
        """,
        """
        [effects."outside.FusedSGD"]
        returns = "new"
        type = "outside.FusedSGD"

        [effects."outside.FusedSGD.step"]
        returns = "none"

        [types."outside.FusedSGD"]
        """,
        """
        import outside
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        optimizer = outside.FusedSGD(net.parameters(), 0.05)
        data = torch.randn(8, 3)
        for epoch in range(7):
            net.zero_grad()
            loss = (net(data) ** 2).mean()
            loss.backward()
            if epoch:
                optimizer.step()
            LOG([loss.item(), net[0].weight.sum().item()])
        print(loss.item())
        """,
        (("epoch", "optimizer"),),
        "`optimizer` changes in loop `epoch`",
    ),
    "an object that executed code changes": Case(
        """
        def apply(text, names):
            exec(text, {}, names)
        """,
        """
        [effects."outside.apply"]
        returns = "none"
        """,
        """
        import outside

        class Schedule:
            def __init__(self):
                self.rate = 1.0
                self.seen = []

        schedule = Schedule()
        total = 0.0
        for epoch in range(8):
            total += schedule.rate * (epoch + 1)
            if epoch:
                outside.apply("s.rate *= 0.75; s.seen.append(s.rate)", {"s": schedule})
            LOG([total, schedule.rate, len(schedule.seen)])
        print(total, schedule.rate, schedule.seen)
        """,
        (("epoch", "schedule"),),
        "`schedule` changes in loop `epoch`",
    ),
    "a write through a view": Case(
        """
        def window(array):
            return array[1:3]
        """,
        """
        [effects."outside.window"]
        returns = "new"
        type = "numpy.ndarray"
        """,
        """
        import numpy as np
        import outside

        table = np.ones(5)
        total = 0.0
        for epoch in range(8):
            if epoch:
                part = outside.window(table)
                part *= 1.5
            total = total * 0.25 + float(table.sum())
            LOG([total, float(table[1])])
        print(total, table)
        """,
        (("epoch", "table"),),
        "`table` changes in loop `epoch`",
    ),
    "an attribute of the trainer, in a nest": Case(
        """
        def remember(items, value):
            items.append(value)
            del items[:-3]
        """,
        """
        [effects."outside.remember"]
        returns = "none"
        """,
        """
        import outside

        class Trainer:
            def __init__(self):
                self.recent = [1.0]
                self.weight = 1.0

            def fit(self, epochs):
                for epoch in range(epochs):
                    for step in range(4):
                        self.weight = self.weight * 0.9 + sum(self.recent) * 0.01
                        if epoch:
                            outside.remember(self.recent, self.weight)
                        LOG([self.weight, sum(self.recent)])

        trainer = Trainer()
        trainer.fit(8)
        print(trainer.weight, trainer.recent)
        """,
        (("epoch", "self.recent"), ("step", "self.recent")),
        "`self.recent` changes in loop",
    ),
    "a global that is bound behind the back": Case(
        """
        import sys

        def cool(by):
            main = sys.modules["__main__"]
            main.temperature = main.temperature * by
        """,
        """
        [effects."outside.cool"]
        returns = "none"
        """,
        """
        import outside

        temperature = 8.0
        total = 0.0

        def energy(x):
            return x * temperature

        for epoch in range(8):
            total += energy(epoch + 1.0)
            if epoch:
                outside.cool(0.5)
            LOG([total, temperature])
        print(total, temperature)
        """,
        (("epoch", "temperature"),),
        "`temperature` changes in loop `epoch`.*No call",
        mends=False,
    ),
    "a random stream": Case(
        """
        import random

        def jitter(x):
            return x + random.random()
        """,
        """
        [effects."outside.jitter"]
        returns = "none"
        """,
        """
        import random
        import outside

        random.seed(3)
        total = 0.0
        for epoch in range(8):
            if epoch:
                total = total * 0.5 + outside.jitter(epoch)
            LOG(total)
        print(total)
        """,
        (("epoch", "python"),),
        "the random stream of python is drawn from in loop `epoch`",
        mends=False,
    ),
}


class Project:
    """One case in a scratch folder: truth, recording, replays."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.outside = folder / "library"
        self.root = folder / "project"
        self.outside.mkdir()
        self.root.mkdir()
        (self.outside / "outside.py").write_text(textwrap.dedent(case.library))
        (self.root / "mine.toml").write_text(textwrap.dedent(case.entries))
        (self.root / "pyproject.toml").write_text('[tool.florc]\neffects = ["mine.toml"]\n')
        self.truth_file = folder / "truth.jsonl"
        text = textwrap.dedent(case.script).lstrip()
        lines = text.splitlines(keepends=True)
        self.plain = "".join(line for line in lines if "LOG(" not in line)
        self.logging = "import flor\n" + text.replace("LOG(", 'flor.log("probe", ')

    def write(self, text: str) -> None:
        (self.root / "train.py").write_text(text)

    def environment(self, **extra: str) -> dict[str, str]:
        env = harness.environment(stub=bool(extra), PYTHONHASHSEED="0", **extra)
        env["PYTHONPATH"] += f":{self.outside}"
        return env

    def truth(self) -> tuple[harness.Result, list[Any]]:
        self.write(self.logging)
        env = self.environment(FLOR_STUB_OUT=str(self.truth_file))
        result = harness.execute([sys.executable, "train.py"], self.root, env)
        return result, [entry.value for entry in harness.read_truth(self.truth_file)["probe"]]

    def record(self) -> harness.Result:
        self.write(self.plain)
        command = [sys.executable, "-c", RECORD, "record", "train.py"]
        return harness.execute(command, self.root, self.environment())

    def replay(self, sql: str, *options: str) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
        """Rows, standard error, the worker's answer."""
        self.write(self.logging)
        command = ["-m", "flor.runtime", "replay", "--yes", "--format", "json", *options, sql]
        result = harness.execute([sys.executable, *command], self.root, self.environment())
        assert result.code == 0, result
        folder = max((self.root / ".flor" / "replays").iterdir(), key=lambda p: int(p.name))
        answers = list(folder.glob("answer-*.json"))
        return json.loads(result.out), result.err, json.loads(answers[0].read_text())

    def florc(self, *arguments: str) -> harness.Result:
        return harness.execute(
            [sys.executable, "-m", "florc", *arguments], self.root, self.environment()
        )


@pytest.mark.parametrize("name", list(CASES))
def test_a_change_is_caught_saved_and_replayed(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    project = Project(case, tmp_path)
    plain, truth = project.truth()
    assert plain.code == 0, plain
    recorded = project.record()

    # Nothing is disturbed; the user is told once for each root.
    assert (recorded.code, recorded.out) == (0, plain.out), recorded
    assert not harness.only_ours(recorded.err), recorded
    told = [line for line in recorded.err.splitlines() if "FLR014" in line]
    assert len(told) == len({path for _, path in case.promoted}), recorded
    for part in case.says.split(".*"):
        assert part in told[0], told

    found = harness.promotions(project.root)
    assert {(p["loop"], p["path"]) for p in found} == set(case.promoted), found
    outer = [p for p in found if p["loop"] == "epoch"]
    first = max(p["position"][0][1] for p in outer)
    assert first == 2, "changed in iteration 1, noticed at the third head"

    # What comes late is replayed from a checkpoint that holds the root.
    rows, err, answer = project.replay("SELECT epoch, probe FROM logs WHERE epoch >= 6")
    late = len(rows)
    assert late, err
    check(rows, truth[-late:], err)
    assert answer["jumps"], err
    assert all(jump[0][1] == 0 or jump[0][1] >= first for jump in answer["jumps"]), answer
    assert answer["jumps"][-1][0][1] >= first, "a checkpoint with the root in it is used"

    # What came before that is replayed from the loop's start, not from a marked checkpoint.
    rows, err, answer = project.replay("SELECT epoch, probe FROM logs WHERE epoch = 1")
    check(rows, truth[len(rows) : 2 * len(rows)], err)
    if outer[0]["how"] != "stream":
        assert all(jump[0][1] == 0 for jump in answer["jumps"]), answer

    rows, err, _ = project.replay("SELECT epoch, probe FROM logs", "--from-start")
    check(rows, truth, err)

    if case.mends:
        mended(project)


def check(rows: list[dict[str, Any]], truth: list[Any], err: str) -> None:
    """Bit for bit, and no complaint."""
    assert len(rows) == len(truth), (rows, err)
    wrong = [(w, row) for w, row in zip(truth, rows) if not harness.same(w, row["probe"])]
    assert not wrong, wrong[:3]
    assert not any(word in err for word in ("differ", "not the recorded", "failed")), err


def mended(project: Project) -> None:
    """The suggested entries, pasted in place of the wrong ones, make the analysis right."""
    project.write(project.plain)
    suggested = project.florc("effects", "--suggest")
    assert suggested.code == 0 and not suggested.err, suggested
    tables = tomllib.loads(suggested.out)["effects"]
    wrong = tomllib.loads((project.root / "mine.toml").read_text())["effects"]
    assert set(tables) <= set(wrong), "the entries that are wrong are the ones that are mended"
    rest = textwrap.dedent(project.case.entries)
    for name in tables:
        block = rest[rest.index(f'[effects."{name}"]') :]
        rest = rest.replace(block.split("\n\n")[0], "")
    (project.root / "mine.toml").write_text(rest + "\n" + suggested.out)
    shown = project.florc("instrument", "--output-format", "json", "--explain", "train.py")
    assert shown.code == 0, shown
    members = {
        (loop["name"], member["path"])
        for loop in json.loads(shown.out)["loops"]
        for member in loop["state"]
    }
    assert set(project.case.promoted) <= members, members


def test_a_script_without_surprises_has_a_clean_report(tmp_path: Path) -> None:
    """The right entry: nothing is promoted, nothing said, the roots were looked at."""
    case = CASES["memmove into an array"]
    project = Project(case, tmp_path)
    (project.root / "mine.toml").write_text('[effects."outside.scale"]\nmutates = ["0"]\n')
    recorded = project.record()
    assert recorded.code == 0 and not recorded.err, recorded
    report = json.loads((project.root / ".flor" / "runs" / "1" / "check.json").read_text())
    assert report["promotions"] == [] and report["looks"] > 3
    assert project.florc("effects", "--suggest").err.startswith("florc: nothing to suggest: run 1")


def test_a_failing_check_disturbs_nothing(tmp_path: Path) -> None:
    """An exception of ours in the middle of a look: told once, the recording goes on."""
    project = Project(CASES["memmove into an array"], tmp_path)
    plain, _ = project.truth()
    project.write(project.plain)
    broken = RECORD.replace(
        "import sys; ",
        "import sys; from flor.runtime.record import check; check.fingerprint = lambda *a: 1 / 0; ",
        1,
    )
    command = [sys.executable, "-c", broken, "record", "train.py"]
    recorded = harness.execute(command, project.root, project.environment())
    assert (recorded.code, recorded.out) == (0, plain.out), recorded
    assert recorded.err.count("checking the analysis failed") == 1, recorded
    assert len(list((project.root / ".flor" / "runs" / "1" / "checkpoints").iterdir())) > 5
