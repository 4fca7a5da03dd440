"""Scripts that log by themselves: recorded they do what they did, and their values are columns."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness import FLOR, Result, environment, execute, flor, only_ours, runs

SCRIPT = """
    import csv, logging, sys
    import mlflow
    import wandb
    from mlflow import log_metrics

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(lineno)d %(message)s")
    log = logging.getLogger("train")
    weights = [1.0, 2.0]
    run = wandb.init()
    with open("metrics.csv", "w", newline="") as file:
        rows = csv.DictWriter(file, ["epoch", "loss", "lr"])
        rows.writeheader()
        plain = csv.writer(open("plain.csv", "w", newline=""))
        plain.writerow(["weight", "note"])
        for epoch in range(4):
            for step in range(3):
                weights[0] += 0.5 * weights[1]
                weights[1] *= 0.9
                wandb.log({"train": {"w0": weights[0]}, "w1": weights[1], "picture": object()})
            log.info("epoch %d loss %.3f", epoch, weights[1])
            log.debug("not shown: x=%d", 3)
            log_metrics({"total": sum(weights)}, step=epoch)
            rows.writerow({"epoch": epoch, "loss": f"{weights[1]:.4f}", "lr": 0.1})
            plain.writerows([[weights[0], f"n{epoch}"]])
            try:
                mlflow.log_metric("bad", "text")
            except ValueError as error:
                log.info("refused: code=%d %s", 7, error)
    print("done", weights, run.logged)
    sys.exit(3)
"""

WANDB = """
    from .sdk.wandb_run import Run

    run = None

    def init(**kw):
        global run, log
        run = Run()
        log = run.log
        return run
"""
RUN = """
    import functools

    def checked(function):
        @functools.wraps(function)
        def check(self, *args, **kw):
            return function(self, *args, **kw)

        return check

    class Run:
        def __init__(self):
            self.logged = 0

        @checked
        def log(self, data, step=None):
            self.logged += 1
"""
MLFLOW = """
    def log_metric(key, value, step=None):
        float(value)
        with open("mlflow.txt", "a") as file:
            print(key, value, step, file=file)

    def log_metrics(metrics, step=None):
        for key, value in metrics.items():
            log_metric(key, value, step)
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trackers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for wandb and mlflow, with the modules and classes that these have."""
    return written(
        tmp_path_factory.mktemp("site"),
        {
            "wandb/__init__.py": WANDB,
            "wandb/sdk/__init__.py": "",
            "wandb/sdk/wandb_run.py": RUN,
            "mlflow/__init__.py": "from .tracking.fluent import log_metric, log_metrics\n",
            "mlflow/tracking/__init__.py": "",
            "mlflow/tracking/fluent.py": MLFLOW,
        },
    )


class Project:
    """A folder with train.py, and stand-ins on the path."""

    def __init__(self, folder: Path, site: Path | None, script: str = SCRIPT) -> None:
        self.folder = written(folder, {"train.py": script, "pyproject.toml": ""})
        self.env = environment()
        if site is not None:
            self.env["PYTHONPATH"] += f":{site}"

    def python(self) -> Result:
        return execute([sys.executable, "train.py"], self.folder, self.env)

    def record(self, *options: str) -> Result:
        return execute([*FLOR, "record", *options, "train.py"], self.folder, self.env)

    def replay(self, sql: str) -> Result:
        command = [*FLOR, "replay", "--yes", "--format", "json", sql]
        return execute(command, self.folder, self.env)

    def query(self, sql: str) -> list[dict[str, Any]]:
        result = flor(self.folder, "query", "--format", "json", sql)
        assert result.code == 0, result
        return list(json.loads(result.out))

    def edit(self, before: str, after: str) -> None:
        path = self.folder / "train.py"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, trackers: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("recorded"), trackers)
    result = project.record()
    assert result.code == 3, result
    return project


def test_a_recorded_run_is_the_plain_run(tmp_path: Path, trackers: Path, recorded: Project) -> None:
    plain = Project(tmp_path / "plain", trackers).python()
    assert plain.code == 3 and "done" in plain.out, plain
    result = Project(tmp_path / "recorded", trackers).record()
    assert (result.code, result.out) == (plain.code, plain.out)
    assert "\n".join(only_ours(result.err)) == plain.err.strip("\n")
    assert result.files == plain.files and "metrics.csv" in plain.files


def test_values_are_columns_with_their_loop_position(recorded: Project) -> None:
    weights, steps = [1.0, 2.0], []
    for _ in range(12):
        weights[0] += 0.5 * weights[1]
        weights[1] *= 0.9
        steps.append(tuple(weights))
    rows = recorded.query('SELECT epoch, step, "train.w0", w1 FROM logs ORDER BY epoch, step')
    found = [(r["epoch"], r["step"], r["train.w0"], r["w1"]) for r in rows]
    assert found == [(i // 3, i % 3, *steps[i]) for i in range(12)]
    rows = recorded.query(
        'SELECT epoch, loss, lr, total, "logging.train", weight, note, code FROM logs'
    )
    assert [tuple(r.values()) for r in rows] == [
        (
            e, round(steps[3 * e + 2][1], 4), 0.1, sum(steps[3 * e + 2]),
            "refused: code=7 could not convert string to float: 'text'",
            steps[3 * e + 2][0], f"n{e}", 7,
        )
        for e in range(4)
    ]  # fmt: skip
    names = {r["name"] for r in recorded.query("SELECT DISTINCT name FROM records")}
    assert names == {
        "train.w0", "w1", "loss", "lr", "total", "logging.train", "weight", "note", "code",
    }  # fmt: skip
    counts = recorded.query("SELECT name, count(*) AS n FROM records GROUP BY name")
    assert {r["name"]: r["n"] for r in counts}["w1"] == 12
    messages = recorded.query("SELECT value FROM records WHERE name = 'logging.train'")
    assert len(messages) == 8 and messages[0]["value"].startswith("epoch 0 loss 1.45")


def test_no_capture_keeps_nothing_and_can_be_asked_later(tmp_path: Path, trackers: Path) -> None:
    project = Project(tmp_path, trackers)
    assert project.record("--no-capture").code == 3
    assert project.query("SELECT * FROM records") == []
    before = project.replay("SELECT epoch, total FROM logs WHERE epoch = 2")
    assert before.code == 0, before
    (row,) = json.loads(before.out)
    assert row["epoch"] == 2 and row["total"] is not None
    assert len(project.query("SELECT * FROM records")) == 1


def test_what_was_captured_is_not_replayed(recorded: Project) -> None:
    result = recorded.replay('SELECT epoch, step, "train.w0", total FROM logs')
    assert result.code == 0 and "replaying" not in result.err, result
    assert len(json.loads(result.out)) == 12


def test_replaying_another_name_logs_nothing_twice(tmp_path: Path, trackers: Path) -> None:
    project = Project(tmp_path, trackers)
    assert project.record().code == 3
    files = {f: (tmp_path / f).read_bytes() for f in ("metrics.csv", "plain.csv", "mlflow.txt")}
    before = project.query("SELECT * FROM records ORDER BY name, time, ordinal")
    project.edit("log.debug(", 'flor.log("w0", weights[0])\n        log.debug(')
    project.edit("import csv", "import flor, csv")
    result = project.replay("SELECT epoch, w0 FROM logs WHERE epoch > 1")
    assert result.code == 0, result
    assert len(json.loads(result.out)) == 2
    recorded_ = "SELECT * FROM records WHERE source = 'record' ORDER BY name, time, ordinal"
    assert project.query(recorded_) == before
    replayed = project.query("SELECT DISTINCT name FROM records WHERE source = 'replay'")
    assert replayed == [{"name": "w0"}]
    assert {f: (tmp_path / f).read_bytes() for f in files} == files


def test_a_captured_value_that_comes_out_differently_is_told(
    tmp_path: Path, trackers: Path
) -> None:
    project = Project(tmp_path, trackers)
    process = "int(open('/proc/self/stat').read().split()[0])"
    project.edit("sum(weights)}", f"{process}}}")
    assert project.record().code == 3
    project.edit("import csv", "import flor, csv")
    project.edit("log.debug(", 'flor.log("w0", weights[0])\n        log.debug(')
    result = project.replay("SELECT epoch, w0 FROM logs")
    assert result.code == 1, result
    assert "epoch 0: total was" in result.err


def test_a_call_that_is_added_today_is_answered_in_hindsight(
    tmp_path: Path, trackers: Path
) -> None:
    project = Project(tmp_path, trackers)
    assert project.record().code == 3
    project.edit('"w1": weights[1],', '"w1": weights[1], "ratio": weights[0] / weights[1],')
    result = project.replay("SELECT epoch, step, ratio, w1 FROM logs WHERE epoch = 3")
    assert result.code == 0, result
    rows = json.loads(result.out)
    assert [r["step"] for r in rows] == [0, 1, 2]
    (last,) = project.query(
        'SELECT ratio, "train.w0" / w1 AS same FROM logs ORDER BY epoch DESC, step DESC LIMIT 1'
    )
    assert last["ratio"] == last["same"]
    # A version that differs by more gets the statement, too.
    project.edit("weights[1] *= 0.9", "weights[1] *= 0.8")
    project.edit('"ratio"', '"quotient"')
    result = project.replay("SELECT epoch, step, ratio, quotient FROM logs WHERE epoch = 3")
    assert result.code == 0, result
    assert all(r["ratio"] == r["quotient"] for r in json.loads(result.out))


def test_a_call_that_would_change_the_training_is_refused(tmp_path: Path, trackers: Path) -> None:
    project = Project(tmp_path, trackers)
    assert project.record().code == 3
    project.edit("log_metrics({", "mlflow.log_metric('last', weights.pop())\n        log_metrics({")
    result = project.replay("SELECT epoch, last FROM logs")
    assert result.code == 1 and "FLR008" in result.err, result
    assert not project.query("SELECT * FROM records WHERE source = 'replay'")


def test_a_call_that_no_old_version_can_be_given_is_refused(tmp_path: Path, trackers: Path) -> None:
    project = Project(tmp_path, trackers)
    assert project.record().code == 3
    project.edit("log_metrics({", "x = log_metrics({'extra': 1, ")
    result = project.replay("SELECT epoch, extra FROM logs")
    assert result.code == 1, result
    (line,) = [line for line in result.err.splitlines() if "extra" in line]
    assert "FLR015" in line and "use flor.log" in line


def test_a_broken_file_of_the_project_ends_the_command(tmp_path: Path, trackers: Path) -> None:
    project = Project(tmp_path, trackers)
    written(
        tmp_path,
        {
            "pyproject.toml": '[tool.florc]\nlog-calls = ["calls.toml"]\n',
            "calls.toml": '[calls."x.f"]\nparameters = "v"\nvalue = "v"\n',
        },
    )
    result = project.record()
    assert result.code == 2 and "done" not in result.out, result
    (line,) = result.err.splitlines()
    assert line.startswith("florc: ") and "FLR007" in line and "calls.toml:3" in line


def test_a_library_of_the_users_own(tmp_path: Path) -> None:
    script = """
        from meters import Meter
        meter = Meter()
        total = [0]
        for epoch in range(3):
            total.append(total[-1] + epoch)
            meter.put("total", total[-1])
    """
    project = Project(tmp_path, None, script)
    written(
        tmp_path,
        {
            "pyproject.toml": '[tool.florc]\nlog-calls = ["calls.toml"]\n',
            "meters.py": """
                class Meter:
                    def put(self, key, number):
                        self.last = number
            """,
            "calls.toml": """
                [calls."meters.Meter.put"]
                parameters = ["key", "number"]
                name = "key"
                value = "number"
            """,
        },
    )
    assert project.record().code == 0
    rows = project.query("SELECT epoch, total FROM logs ORDER BY epoch")
    assert [r["total"] for r in rows] == [0, 1, 3]


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "capture.md").read_text(encoding="utf-8")
    script = page.partition("```python\n")[2].partition("```")[0]
    shown = page.partition("```console\n")[2].partition("```")[0]
    record, query = shown.split("$ flor ")[1:]
    project = Project(tmp_path, None, "")
    (tmp_path / "fit.py").write_text(script, encoding="utf-8")
    result = execute([*FLOR, *record.splitlines()[0].split()], tmp_path, project.env)
    assert result.out.splitlines() == record.splitlines()[1:]
    sql = query.splitlines()[0].removeprefix("query ").strip('"').replace('\\"', '"')
    assert flor(tmp_path, "query", sql).out.splitlines() == query.splitlines()[1:]


BOARD = """
    import logging, sys
    import torch
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    xs = torch.randn(64, 4)
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    with SummaryWriter("board") as writer:
        for epoch in range(3):
            bar = tqdm(xs.split(16), bar_format="{n} {postfix}", ascii=True, mininterval=1e9)
            for step, x in enumerate(bar):
                loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.set_postfix(batch=f"{loss.item():.3f}", refresh=False)
                writer.add_scalar("train/loss", loss, 4 * epoch + step)
            norms = {"weight": net.weight.norm(), "bias": net.bias.norm()}
            writer.add_scalars("norms", norms, epoch)
            logging.getLogger().info(f"epoch {epoch}: loss={loss.item():.4f}")
    print("done", loss.item())
"""


def needs(*modules: str) -> None:
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads from a folder of event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {}
    for place in sorted({p.parent for p in folder.rglob("events.*")}):
        events = EventAccumulator(str(place), {"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            key = f"{place.relative_to(folder)}:{tag}"
            found[key] = [(e.step, e.value) for e in events.Scalars(tag)]
    return found


def test_tensorboard_and_tqdm(tmp_path: Path) -> None:
    needs("torch", "tensorboard", "tqdm")
    plain = Project(tmp_path / "plain", None, BOARD)
    before = plain.python()
    assert before.code == 0, before
    project = Project(tmp_path / "recorded", None, BOARD)
    result = project.record()
    assert (result.code, result.out) == (0, before.out), result
    assert "\n".join(only_ours(result.err)).strip() == before.err.strip()
    board = scalars(project.folder / "board")
    assert board == scalars(plain.folder / "board") and len(board) == 3
    rows = project.query(
        'SELECT epoch, step, batch, "train/loss", "norms/weight", "norms/bias", loss FROM logs '
        "ORDER BY epoch, step"
    )
    assert [r["train/loss"] for r in rows] == [v for _, v in board[".:train/loss"]]
    assert [(r["epoch"], r["step"]) for r in rows] == [(e, s) for e in range(3) for s in range(4)]
    for row in rows:
        assert row["batch"] == round(row["train/loss"], 3)
    assert rows[-1]["norms/weight"] == board["norms_weight:norms"][-1][1]
    assert rows[-1]["loss"] == round(rows[-1]["train/loss"], 4)
    files = {p: p.read_bytes() for p in (project.folder / "board").rglob("events.*")}
    log = 'flor.log("w", net.weight.sum().item())\n        logging.getLogger()'
    project.edit("logging.getLogger()", log)
    project.edit("import logging", "import flor, logging")
    result = project.replay("SELECT epoch, w FROM logs WHERE epoch = 2")
    assert result.code == 0, result
    after = {p: p.read_bytes() for p in (project.folder / "board").rglob("events.*")}
    assert after == files
    assert len(runs(project.folder)) == 1
