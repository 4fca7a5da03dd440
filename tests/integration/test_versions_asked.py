"""One query asks every recorded version: renamed, moved, split, with other loops and settings.

The ground truth of a version is that version with the statements inserted by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest

LOAD = """\
def load(path):
    with open(path) as file:
        table = np.array([[float(x) for x in line] for line in csv.reader(file)])
    return table[:, :-1], table[:, -1]
"""
NET = """\
class Net:
    def __init__(self, width, rng):
        self.weight = rng.normal(size=width)
        self.bias = 0.0

    def predict(self, x):
        return x @ self.weight + self.bias

    def gradient(self, x, y):
        error = self.predict(x) - y
        return x.T @ error / len(y), error.mean()
"""
STEP = """\
def train_step(net, x, y, lr):
    grad, slope = net.gradient(x, y)
    net.weight -= lr * grad
    net.bias -= lr * slope
    return float(((net.predict(x) - y) ** 2).mean())
"""
MAIN = """\
def main():
    rng = np.random.default_rng(0)
    inputs, targets = load("data/table.csv")
    net = Net(inputs.shape[1], rng)
    lr = 0.1
    for epoch in range(4):
        order = rng.permutation(len(targets))
        for step in range(3):
            batch = order[step * 8 : step * 8 + 8]
            loss = train_step(net, inputs[batch], targets[batch], lr)
        print(epoch, loss)


main()
"""
IMPORTS = "import csv\n\nimport numpy as np\n"


def script(*parts: str) -> str:
    return "\n\n".join(parts)


def edited(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


GRAD, WEIGHT = "grad, slope = net.gradient(x, y)", "print(epoch, loss)"
LOG_GRAD = 'flor.log("grad_norm", float(np.abs(grad).sum()))'
LOG_WEIGHT = 'flor.log("weight_norm", float(np.linalg.norm(net.weight)))'


@dataclass(frozen=True)
class Version:
    """A state of the project; `truth`: (file, anchor line, statement, whether before it)."""

    name: str
    files: dict[str, str]
    truth: tuple[tuple[str, str, str, bool], ...]
    script: str = "train.py"
    refused: str = ""  # what the line about the name that isn't there must say


def both(file: str = "train.py", other: str | None = None) -> tuple[Any, ...]:
    return (
        (other or file, GRAD, LOG_GRAD, False),
        (file, WEIGHT, LOG_WEIGHT, True),
    )


RENAMED = edited(
    script(IMPORTS, LOAD, NET, STEP, MAIN),
    ("grad, slope", "g, s"), ("lr * grad", "lr * g"), ("lr * slope", "lr * s"),
    ("net = Net(", "model = Net("), ("train_step(net, inputs", "train_step(model, inputs"),
    ("batch", "chosen"),
)  # fmt: skip
NEW_LOOP = edited(
    script(IMPORTS, LOAD, NET, STEP, MAIN),
    (
        MAIN[MAIN.index("    for epoch") : MAIN.index("\n\nmain()")],
        "    for restart in range(2):\n"
        + "".join(
            f"    {line}\n"
            for line in MAIN[MAIN.index("    for epoch") : MAIN.index("\n\nmain()")].splitlines()
        )
        + "        net.weight += rng.normal(size=net.weight.shape)\n",
    ),
)
DEEPER = edited(
    NET,
    ("        self.bias = 0", "        self.scale = rng.normal(size=width)\n        self.bias = 0"),
    ("x @ self.weight + self.bias", "(x * self.scale) @ self.weight + self.bias"),
    ("return x.T @ error", "return (x * self.scale).T @ error"),
)  # fmt: skip
SEARCH = """\
def train_step(net, x, y, lr):
    before = ((net.predict(x) - y) ** 2).mean()
    trial = lr * np.sin(np.arange(len(net.weight)) + before)
    net.weight += trial
    after = ((net.predict(x) - y) ** 2).mean()
    if after > before:
        net.weight -= trial
    return float(min(before, after))
"""
SETTINGS = edited(
    script("import csv\nimport json\n\nimport numpy as np\n", LOAD, NET, STEP, MAIN),
    (
        "    lr = 0.1\n",
        '    settings = json.load(open("settings.json"))\n    lr = settings["lr"]\n',
    ),
    ("range(4)", 'range(settings["epochs"])'),
)
SPLIT_MAIN = "import csv\n\nimport numpy as np\n\nfrom engine.model import Net\n"
SPLIT_STEP = SPLIT_MAIN + "from engine.steps import train_step\n"
SPLIT = {
    "engine/__init__.py": "",
    "engine/model.py": NET,
    "engine/steps.py": script("import numpy as np\n", STEP),
    "train.py": script(SPLIT_STEP, LOAD, MAIN),
}

VERSIONS = (
    Version("first", {"train.py": script(IMPORTS, LOAD, NET, STEP, MAIN)}, both()),
    Version(
        "renamed variables",
        {"train.py": RENAMED},
        (
            ("train.py", "g, s = net.gradient(x, y)", LOG_GRAD.replace("grad)", "g)"), False),
            ("train.py", WEIGHT, LOG_WEIGHT.replace("net.weight", "model.weight"), True),
        ),
    ),
    Version("moved function", {"train.py": script(IMPORTS, STEP, NET, LOAD, MAIN)}, both()),
    Version("new loop", {"train.py": NEW_LOOP}, both()),
    Version(
        "half split",
        {
            "engine/__init__.py": "",
            "engine/model.py": NET,
            "train.py": script(SPLIT_MAIN, LOAD, STEP, MAIN),
        },
        both(),
    ),
    Version("split", SPLIT, both(other="engine/steps.py")),
    Version(
        "another architecture",
        {**SPLIT, "engine/model.py": DEEPER},
        both(other="engine/steps.py"),
    ),
    Version(
        "other hyper-parameters",
        {**SPLIT, "train.py": edited(SPLIT["train.py"], ("lr = 0.1", "lr = 0.05"), ("(4)", "(6)"))},
        both(other="engine/steps.py"),
    ),
    Version(
        "settings in a file",
        {"train.py": SETTINGS, "settings.json": '{"lr": 0.2, "epochs": 3}'},
        both(),
    ),
    Version(
        "without gradients",
        {**SPLIT, "engine/steps.py": script("import numpy as np\n", SEARCH)},
        ((*both()[1],),),
        refused="grad",
    ),
    Version(
        "another name",
        {"fit.py": script(IMPORTS, LOAD, NET, STEP, MAIN)},
        both("fit.py"),
        script="fit.py",
    ),
    Version(
        "in a folder",
        {
            "jobs/train.py": script(
                "import os\n" + edited(SPLIT_STEP, ("engine.", "parts.")),
                "HERE = os.path.dirname(os.path.abspath(__file__))\n",
                edited(LOAD, ("open(path)", 'open(os.path.join(HERE, "..", path))')),
                MAIN,
            ),
            "jobs/parts/__init__.py": "",
            "jobs/parts/model.py": NET,
            "jobs/parts/steps.py": script("import numpy as np\n", STEP),
        },
        both("jobs/train.py", "jobs/parts/steps.py"),
        script="jobs/train.py",
    ),
)  # fmt: skip

TODAY = {
    **SPLIT,
    "engine/steps.py": edited(
        script("import numpy as np\nfrom flor import log\n", STEP),
        (GRAD, f"{GRAD}\n    {LOG_GRAD.replace('flor.', '')}"),
    ),
    "train.py": edited(
        SPLIT["train.py"],
        ("import numpy as np\n", "import flor\nimport numpy as np\n"),
        (f"        {WEIGHT}", f"        {LOG_WEIGHT}\n        {WEIGHT}"),
    ),
}
QUERY = "SELECT run, restart, epoch, step, grad_norm, weight_norm FROM logs"
ORDER = " ORDER BY run, restart, epoch, step"


def write(folder: Path, files: dict[str, str]) -> None:
    """Make these the project's files; data and `.flor` stay."""
    for path in folder.iterdir():
        if path.name in (".flor", ".git", "data", ".gitignore"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def data(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    rows = [[(i * 7 + j * 3) % 11 / 5 - 1 for j in range(5)] for i in range(24)]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (folder / "data" / "table.csv").write_text(text)
    (folder / ".gitignore").write_text("data/\n__pycache__/\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recorded versions, and today's with log statements; nothing of it is committed."""
    folder = tmp_path_factory.mktemp("twelve") / "p"
    data(folder)
    harness.commit_all(folder)
    for version in VERSIONS:
        write(folder, version.files)
        result = harness.record([version.script], folder, "--budget", "0.9")
        assert result.code == 0 and not result.err, (version.name, result)
    write(folder, TODAY)
    return folder


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, list[Any]]]:
    """Run -> name -> values in the order of execution, from the versions edited by hand."""
    found = {}
    for run, version in enumerate(VERSIONS, 1):
        folder = tmp_path_factory.mktemp("truth") / "p"
        data(folder)
        write(folder, version.files)
        inserts = [
            harness.Insert(file, anchor, text, before, 0, -1)
            for file, anchor, text, before in version.truth
        ]
        harness.apply(folder, inserts)
        out = folder / "truth.jsonl"
        result = harness.plain([version.script], folder, FLOR_STUB_OUT=str(out))
        assert result.code == 0, (version.name, result)
        entries = harness.read_truth(out)
        found[run] = {name: [e.value for e in each] for name, each in entries.items()}
    return found


def copied(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project, tmp_path / "p", symlinks=True))


def by_run(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["run"], []).append(row)
    return found


def assert_true(rows: list[dict[str, Any]], truth: dict[int, dict[str, list[Any]]]) -> None:
    """Each row's values are the truth's; what is refused is null."""
    runs = by_run(rows)
    assert set(runs) == set(truth)
    for run, found in runs.items():
        wanted = truth[run]
        grads = wanted.get("grad_norm")
        if grads is None:
            assert all(row["grad_norm"] is None for row in found), run
        else:
            assert len(found) == len(grads), run
            for row, value in zip(found, grads, strict=True):
                assert harness.same(value, row["grad_norm"]), (run, row, value)
        weights = wanted["weight_norm"]
        seen = list({(row["restart"], row["epoch"]): row["weight_norm"] for row in found}.values())
        assert len(seen) == len(weights), run
        for got, value in zip(seen, weights, strict=True):
            assert harness.same(value, got), (run, got, value)


def untouched(folder: Path) -> dict[str, Any]:
    return {"git": harness.git_state(folder), "files": harness.digest(folder)}


def test_one_query_asks_all(
    project: Path, tmp_path: Path, truth: dict[int, dict[str, list[Any]]]
) -> None:
    """Every value is true, the refusal names its version and reason; nothing is touched."""
    folder = copied(project, tmp_path)
    before = untouched(folder)
    result = harness.flor(folder, "replay", "--yes", "--format", "json", QUERY + ORDER)
    assert result.code == 1, result
    lines = [line for line in result.err.splitlines() if "can't be asked" in line]
    (refused,) = [n for n, version in enumerate(VERSIONS, 1) if version.refused]
    assert len(lines) == 1 and f"run {refused} " in lines[0], result
    assert "grad_norm: FLR015" in lines[0] and VERSIONS[refused - 1].refused in lines[0]
    assert not harness.only_ours(result.err), result
    assert_true(json.loads(result.out), truth)
    assert untouched(folder) == before
    assert not (folder / ".flor" / "worktrees").exists()
    again = harness.flor(folder, "query", "--format", "json", QUERY + ORDER)
    assert json.loads(again.out) == json.loads(result.out)
    # Asking again propagates and compiles nothing.
    code = (
        "import sys\nfrom flor.runtime.replay.prepare import Preparer\nPreparer.ready = None\n"
        "from flor.runtime.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    asked = [sys.executable, "-c", code, "replay", "--format", "json", QUERY + ORDER]
    third = harness.execute(asked, folder)
    assert third.code == 1 and json.loads(third.out) == json.loads(result.out), third
    assert [line for line in third.err.splitlines() if "can't be asked" in line] == lines


def test_what_can_be_answered_is_no_failure(
    project: Path, tmp_path: Path, truth: dict[int, dict[str, list[Any]]]
) -> None:
    """A query that doesn't see the version without gradients succeeds; two workers agree."""
    folder = copied(project, tmp_path)
    sql = "SELECT run, epoch, grad_norm FROM logs WHERE run IN (2, 7, 11) AND epoch = 2"
    result = harness.flor(
        folder, "replay", "--yes", "--workers", "2", "--format", "json", sql
    )  # fmt: skip
    assert result.code == 0 and "can't" not in result.err, result
    rows = by_run(json.loads(result.out))
    assert set(rows) == {2, 7, 11}
    for run, found in rows.items():
        for row, value in zip(found, truth[run]["grad_norm"][6:9], strict=True):
            assert harness.same(value, row["grad_norm"])


def test_dry_run_says_where(project: Path, tmp_path: Path) -> None:
    """A line for each version and statement, the diffs, and nothing is run or left."""
    folder = copied(project, tmp_path)
    before, left = untouched(folder), sorted(os.listdir(folder / ".flor"))
    result = harness.flor(folder, "replay", "--dry-run", QUERY)
    assert result.code == 0, result
    table = result.out.partition("\n\n")[0]
    assert table.count("weight_norm") == 11 and table.count("grad_norm") == 11, table
    assert table.count("refused") == 1 and table.count("placed") == 21
    assert '+        flor.log("weight_norm", float(np.linalg.norm(model.weight)))' in result.out
    some = QUERY + " WHERE run IN (2, 6, 10, 11)"
    result = harness.flor(folder, "replay", "--dry-run", "--format", "json", some)
    rows = {row["run"]: row for row in json.loads(result.out)}
    assert set(rows) == {2, 6, 10, 11}
    for run, row in rows.items():
        if VERSIONS[run - 1].name == "split":  # as today's but for the statements
            assert row["statements"] == [] and row["diff"] is None
            continue
        kinds = {each["statement"]: each["outcome"] for each in row["statements"]}
        wanted = "refused" if VERSIONS[run - 1].refused else "placed"
        assert kinds == {"grad_norm": wanted, "weight_norm": "placed"}, row
        for each in row["statements"]:
            if each["outcome"] == "placed":
                assert 0 < each["confidence"] <= 1 and each["line"] > 0
                assert each["file"] in VERSIONS[run - 1].files
        assert "flor.log" in row["diff"] or "log(" in row["diff"]
    assert untouched(folder) == before
    assert sorted(os.listdir(folder / ".flor")) == left


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    env = harness.environment(TMPDIR=str(folder.parent / "tmp"))
    (folder.parent / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [*harness.FLOR, *arguments], cwd=folder, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def until(condition: Any) -> None:
    deadline = time.monotonic() + harness.TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(project: Path, tmp_path: Path, number: int) -> None:
    """Worktrees, scratch folders and workers go, or the next command removes them."""
    folder = copied(project, tmp_path)
    before = untouched(folder)
    temporary = folder.parent / "tmp"
    process = started(folder, "replay", "--yes", f"{QUERY} WHERE run IN (2, 4, 12)")
    trees = folder / ".flor" / "worktrees"
    until(lambda: list(temporary.glob("flor-replay-*/files")) or process.poll() is not None)
    workers = children(process.pid)
    assert trees.exists() and workers
    process.send_signal(number)
    process.communicate(timeout=harness.TIMEOUT_S)
    until(lambda: not any(alive(pid) for pid in workers))
    if number == signal.SIGKILL:
        assert process.returncode == -number and trees.exists()
        assert harness.flor(folder, "runs").code == 0
    else:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert not trees.exists() and not list(temporary.glob("flor-replay-*"))
    assert untouched(folder) == before
