"""Export and import: what goes out comes back; files of others are read as they are written."""

from __future__ import annotations

import json
import math
import struct
import sys
import types
import zlib
from pathlib import Path

import pytest

import flor
from flor.runtime.cli import main
from flor.runtime.exchange import wire
from flor.runtime.exchange.framing import Damaged, crc32c, event_records, framed, wandb_records
from flor.runtime.exchange.runs import _steps
from flor.runtime.store import RunWriter, Store

VALUES = [0.1, 1.5, 3, True, False, 10**30, -7, math.inf, -math.inf, "text", "é\n☃", 1e300, 2**60]


def project(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").touch()
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two runs: nested loops with values of all types, an epoch without values; replayed ones."""
    folder = project(tmp_path / "from")
    with Store.open(folder, create=True) as store:
        for number in (1, 2):
            info = {
                "script": "train.py",
                "args": {"lr": 0.1, "name": "ü"},
                "started": 1.7e9 + number,
            }
            run = store.begin_run(info)
            writer = RunWriter(store.path, run)
            writer.log("before", 1, None)
            for epoch in range(1, 4):
                ctx = (None, "epoch", epoch - 1, epoch)
                writer.iteration(ctx, 1.7e9 + 10 * epoch)
                for step in range(3 if epoch != 2 else 0):
                    inner = (ctx, "step", step, step)
                    writer.iteration(inner, 1.7e9 + 10 * epoch + step)
                    writer.log("loss", VALUES[epoch * step], inner)
                    writer.log("twice", step, inner)
                    writer.log("twice", step + 0.5, inner)
            writer.log("array", [1, 2], ctx)
            for i, value in enumerate(VALUES):
                writer.log(f"value {i}", value, ctx)
            writer.close()
            store.end_run(run, "finished", 0, ended=1.7e9 + 60)
        writer = RunWriter(store.path, run, "replay")
        writer.log("late", 0.25, (None, "epoch", 0, 1))
        writer.close()
    monkeypatch.chdir(folder)
    return folder


def rows(folder, columns="*"):
    with Store.open(folder) as store:
        found = store.sql(f"SELECT {columns} FROM logs ORDER BY run, epoch, step")
    return [repr(row) for row in found[1]]


def names(folder):
    with Store.open(folder) as store:
        listed = store.sql("SELECT DISTINCT name FROM records WHERE type <> 'json'")[1]
    return sorted(name for (name,) in listed)


def test_tensorboard_round_trip_gives_the_same_rows(root, tmp_path, monkeypatch, capsys):
    assert main(["export", "tensorboard", str(tmp_path / "board")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in out[2:]] == ["1", "1"]  # the lists
    other = project(tmp_path / "to")
    monkeypatch.chdir(other)
    assert main(["import", "tensorboard", str(tmp_path / "board")]) == 0
    columns = ["run", "started", "status", "lr", "epoch", "step", *names(root)]
    listed = ", ".join(f'"{name}"' for name in columns)
    assert rows(other, listed) == rows(root, listed)
    assert "late" in columns and "array" not in columns and len(rows(root, listed)) == 14
    records = "SELECT run, name, value, path, ordinal, time FROM records WHERE type <> 'json' "
    records += "ORDER BY run, time, name, ordinal"
    with Store.open(other) as new, Store.open(root) as old:
        assert repr(new.sql(records)[1]) == repr(old.sql(records)[1])
        times = "SELECT path, idx, time FROM iterations ORDER BY run, time"
        assert new.sql(times) == old.sql(times)
        (run, _) = new.runs()
        assert run.script is None and run.args["run_name"] == "run-1"
        assert run.note == f"imported from tensorboard {tmp_path / 'board' / 'run-1'}"


def test_nothing_is_imported_twice(root, tmp_path, monkeypatch, capsys):
    main(["export", "tensorboard", str(tmp_path / "board"), "--run", "last", "--name", "loss"])
    monkeypatch.chdir(project(tmp_path / "to"))
    for outcome in ("imported", "there already"):
        capsys.readouterr()
        assert main(["import", "tensorboard", str(tmp_path / "board")]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3 and lines[2].endswith(outcome)
    assert names(tmp_path / "to") == ["loss"]


def test_exporting_again_replaces(root, tmp_path):
    for _ in range(2):
        assert main(["export", "tensorboard", str(tmp_path / "board")]) == 0
    files = [p for p in (tmp_path / "board").rglob("*") if p.is_file()]
    assert len(files) == 2


def test_tensorboard_itself_reads_what_is_exported(root, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    main(["export", "tensorboard", str(tmp_path / "board")])
    events = accumulator.EventAccumulator(
        str(tmp_path / "board" / "run-1"), {"scalars": 0, "tensors": 0}
    )
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("twice")] == [
        (i, float(i % 3) + half) for i in range(6) for half in (0, 0.5)
    ]
    assert [e.step for e in events.Scalars("value 0")] == [3]  # the epoch's own counter
    assert events.Scalars("value 5")[0].value == pytest.approx(1e30)
    assert events.Scalars("value 11")[0].value == math.inf  # float32 holds no 1e300
    (text,) = events.Tensors("value 10")
    assert text.tensor_proto.string_val[0].decode() == "é\n☃"


def test_event_files_of_tensorboard_are_imported(tmp_path, monkeypatch):
    writer_of = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.util.tensor_util import make_tensor_proto

    numpy = pytest.importorskip("numpy")

    def add(writer, step, tag, plugin="scalars", simple=None, tensor=None):
        value = summary_pb2.Summary.Value(tag=tag)
        if simple is not None:
            value.simple_value = simple
        else:
            value.tensor.CopyFrom(tensor)
            value.metadata.plugin_data.plugin_name = plugin
        event = event_pb2.Event(wall_time=1.7e9 + step, step=step)
        event.summary.value.append(value)
        writer.add_event(event)

    for run in ("a", "a/deeper"):
        writer = writer_of.EventFileWriter(str(tmp_path / "board" / run))
        for step in (0, 100, 50):
            add(writer, step, "loss", simple=step / 4)
            for kind in ("float32", "float64", "int64", "int32", "float16", "bool", "uint8"):
                tensor = make_tensor_proto(numpy.array(step // 50, dtype=kind))
                add(writer, step, kind, tensor=tensor)
        add(writer, 50, "note", "text", tensor=make_tensor_proto(numpy.array([b"hello"], object)))
        add(writer, 50, "histogram", "histograms", tensor=make_tensor_proto(numpy.zeros((2, 3))))
        writer.close()
    monkeypatch.chdir(project(tmp_path / "to"))
    assert main(["import", "tensorboard", str(tmp_path / "board")]) == 0
    with Store.open(tmp_path / "to") as store:
        kinds = "float32, float64, int64, int32, float16, bool, uint8"
        found = store.sql(f"SELECT run_name, step, loss, {kinds}, note FROM logs WHERE run = 1")[1]
    assert [repr(row) for row in found] == [
        "('a', 0, 0.0, 0.0, 0.0, 0, 0, 0.0, False, 0, None)",
        "('a', 50, 12.5, 1.0, 1.0, 1, 1, 1.0, True, 1, 'hello')",
        "('a', 100, 25.0, 2.0, 2.0, 2, 2, 2.0, True, 2, None)",
    ]


def foreign(path, events):
    """An event file as others write it: scalars only."""
    data = [wire.double(1, 1.7e9) + wire.chunk(3, "brain.Event:2")]
    for step, value in events:
        scalar = wire.chunk(1, wire.chunk(1, "loss") + wire.single(2, value))
        data.append(wire.double(1, 1.7e9 + step) + wire.integer(2, step) + wire.chunk(5, scalar))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(framed, data)))


def test_a_damaged_file_is_read_up_to_the_damage_and_told(tmp_path, monkeypatch, capsys):
    file = tmp_path / "board" / "events.out.tfevents.1"
    foreign(file, [(i, i / 2) for i in range(5)])
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(bytes(data))
    monkeypatch.chdir(project(tmp_path / "to"))
    assert main(["import", "tensorboard", str(tmp_path / "board")]) == 1
    assert "damaged at byte" in capsys.readouterr().err
    before = flor.query("SELECT step, loss FROM logs")
    assert before == [{"step": i, "loss": i / 2} for i in range(4)]
    file.write_bytes(bytes(data[:-12]))  # the last record was being written
    monkeypatch.chdir(project(tmp_path / "to2"))
    assert main(["import", "tensorboard", str(tmp_path / "board")]) == 0
    assert flor.query("SELECT step, loss FROM logs") == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["import", "tensorboard", "nowhere"], "there is no nowhere"),
        (["import", "tensorboard", "."], "no event files"),
        (["import", "wandb", "nowhere"], "there is no nowhere"),
        (["import", "wandb", "."], "no offline runs of wandb"),
        (["import", "mlflow", "nowhere"], "there is no folder nowhere"),
        (["export", "tensorboard", "x", "--run", "9"], "no run '9'"),
        (["export", "tensorboard", "pyproject.toml"], "can't write to pyproject.toml/run-1"),
    ],
)
def test_bad_input_is_one_line(root, capsys, argv, words):
    assert main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("florc: ") and words in line


def test_without_mlflow(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    (root / "mlruns").mkdir()
    for argv in (["export", "mlflow", "mlruns"], ["import", "mlflow", "mlruns"]):
        assert main(argv) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == "florc: mlflow needs mlflow: pip install mlflow-skinny"


def test_importing_where_nothing_was_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path / "empty"))
    assert main(["import", "tensorboard", "."]) == 2
    assert not (tmp_path / "empty" / ".flor").exists()


# -- steps ---------------------------------------------------------------------------------------


def test_steps():
    epochs = [(("epoch", i, i + 1),) for i in range(3)]
    steps = [(*epochs[i // 2], ("step", i % 2, i % 2)) for i in range(6)]
    found = _steps([(), *epochs, *steps])
    assert [found[at] for at in epochs] == [1, 2, 3] and found[()] == 0
    assert [found[at] for at in steps] == list(range(6))
    odd = [(("epoch", i, value),) for i, value in enumerate((3, 3, "x"))]
    assert list(_steps(odd).values()) == [0, 1, 2]


# -- the wire ------------------------------------------------------------------------------------


def test_crc():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def test_messages_survive():
    data = wire.integer(1, 5) + wire.integer(2, -1) + wire.double(3, 0.1) + wire.single(4, 0.5)
    data += wire.chunk(2000, "é") + wire.integer(5, 2**63 - 1)
    found = [(n, v) for n, _, v in wire.fields(data)]
    assert found[0] == (1, 5) and wire.signed(found[1][1]) == -1
    assert struct.unpack("<d", found[2][1]) == (0.1,) and struct.unpack("<f", found[3][1]) == (0.5,)
    assert found[4] == (2000, "é".encode()) and found[5] == (5, 2**63 - 1)


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x0a\x05ab", b"\x0b", b"\x09\x01", b"\x08" + b"\xff" * 11]
)
def test_what_is_no_message_is_said(data):
    with pytest.raises(wire.Malformed):
        list(wire.fields(data))


def test_event_records():
    data = framed(b"one") + framed(b"") + framed(b"three")
    assert list(event_records(data)) == [b"one", b"", b"three"]
    for cut in range(1, 6):
        assert list(event_records(data[:-cut])) == [b"one", b""]
    with pytest.raises(Damaged, match="byte 0"):
        list(event_records(b"x" * 40))


# -- wandb ---------------------------------------------------------------------------------------


def wandb_file(records: list[bytes]) -> bytes:
    """A file as wandb writes it."""
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for record in records:
        first = True
        while first or record:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += bytes(left)
                continue
            body, record = record[: left - 7], record[left - 7 :]
            kind = (1 if not record else 2) if first else (4 if not record else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + body), len(body), kind) + body
            first = False
    return bytes(out)


def item(name, value, nested=False):
    keys = (
        b"".join(wire.chunk(2, part) for part in name.split(".")) if nested else wire.chunk(1, name)
    )
    return wire.chunk(1, keys + wire.chunk(16, json.dumps(value)))


def history(step, **values):
    items = b"".join(item(k, v, "." in k) for k, v in values.items())
    return wire.integer(1, step) + wire.chunk(2, items + wire.chunk(2, wire.integer(1, step)))


def test_wandb_offline_folders(tmp_path, monkeypatch, capsys):
    config = wire.chunk(4, item("lr", 0.1) + item("_wandb", {}) + item("model", {"width": 3}))
    start = wire.chunk(17, wire.integer(1, 1_700_000_000) + wire.integer(2, 500_000_000))
    records = [wire.chunk(17, wire.chunk(1, "abc") + config + wire.chunk(8, "bold-run") + start)]
    for step in range(5):
        values = {"loss": step / 2, "train.acc": step, "_timestamp": 1.7e9 + step, "_step": step}
        values |= {"note": "x" * 30_000, "image": {"_type": "image"}, "bad": "NaN"}
        records.append(history(step, **values))
    records.append(wire.chunk(18, wire.integer(1, 3)))
    place = tmp_path / "wandb" / "offline-run-1-abc"
    place.mkdir(parents=True)
    (place / "run-abc.wandb").write_bytes(wandb_file(records))
    (tmp_path / "wandb" / "latest-run").symlink_to(place)
    monkeypatch.chdir(project(tmp_path / "to"))
    assert main(["import", "wandb", str(tmp_path / "wandb")]) == 0
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert line.split() == ["1", "bold-run", "20", "5", "imported"]
    with Store.open(tmp_path / "to") as store:
        query = 'SELECT run_name, lr, status, step, loss, "train.acc", bad, length(note) FROM logs'
        found = store.sql(query)[1]
        (run,) = store.runs()
    assert [repr(row) for row in found] == [
        f"('bold-run', 0.1, 'failed', {i}, {i / 2}, {i}, nan, 30000)" for i in range(5)
    ]
    assert run.exit_code == 3 and run.started == "2023-11-14 22:13:20.500"
    assert run.args["model"] == {"width": 3} and "_wandb" not in run.args


def test_damaged_files_of_wandb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path))
    good = wandb_file([history(i, loss=i) for i in range(3)])
    (tmp_path / "run-cut.wandb").write_bytes(good[:-5])
    (tmp_path / "run-none.wandb").write_bytes(b"nothing of the kind")
    assert main(["import", "wandb", "."]) == 1
    captured = capsys.readouterr()
    assert "run-none.wandb is no file of wandb's" in captured.err
    assert [line.split()[2] for line in captured.out.splitlines()[2:]] == ["2", "0"]
    assert list(wandb_records(good + bytes(100))) == list(wandb_records(good))


# -- MLflow --------------------------------------------------------------------------------------


class Entity(types.SimpleNamespace):
    pass


class FakeClient:
    """What we use of MlflowClient, in memory."""

    runs: dict[str, Entity] = {}

    def __init__(self, tracking_uri):
        self.uri = tracking_uri

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return name

    def search_experiments(self):
        return [Entity(experiment_id="from")]

    def search_runs(self, experiments, filter="", max_results=0, order_by=None, page_token=None):
        found = [r for r in self.runs.values() if r.experiment in experiments]
        if filter:
            found = [r for r in found if r.data.tags["flor.run"] in filter]
        return found

    def create_run(self, experiment, start_time, tags):
        number = f"id{len(self.runs)}"
        info = Entity(run_id=number, start_time=start_time, end_time=None, status="RUNNING")
        data = Entity(tags=tags, params={}, metrics={})
        self.runs[number] = Entity(info=info, data=data, experiment=experiment, history={})
        return self.runs[number]

    def log_batch(self, number, metrics=(), params=()):
        assert len(metrics) <= 1000 and len(params) <= 100
        run = self.runs[number]
        run.data.params |= {p.key: p.value for p in params}
        for metric in metrics:
            run.history.setdefault(metric.key, []).append(metric)
            run.data.metrics[metric.key] = metric.value

    def set_terminated(self, number, status, end_time):
        self.runs[number].info.status, self.runs[number].info.end_time = status, end_time

    def get_metric_history(self, number, name):
        return self.runs[number].history[name]


@pytest.fixture
def mlflow(monkeypatch):
    FakeClient.runs = {}
    entities = types.ModuleType("mlflow.entities")
    entities.Param = lambda key, value: Entity(key=key, value=value)
    entities.Metric = lambda key, value, timestamp, step: Entity(
        key=key, value=value, timestamp=timestamp, step=step
    )
    tracking = types.ModuleType("mlflow.tracking")
    tracking.MlflowClient = FakeClient
    monkeypatch.setitem(sys.modules, "mlflow", types.ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)


def test_mlflow_out_and_in(root, tmp_path, monkeypatch, capsys, mlflow):
    for outcome in ("exported", "there already"):
        assert main(["export", "mlflow", "http://server"]) == 0
        assert capsys.readouterr().out.splitlines()[2].endswith(outcome)
    first = FakeClient.runs["id0"]
    assert first.data.params == {"lr": "0.1", "name": "ü"}
    assert [m.step for m in first.history["value 0"]] == [3]
    assert [(m.step, m.value) for m in first.history["twice"]][-2:] == [(5, 2.0), (5, 2.5)]
    assert "value 9" not in first.history  # a text
    monkeypatch.chdir(project(tmp_path / "to"))
    assert main(["import", "mlflow", "http://server"]) == 0
    with Store.open(tmp_path / "to") as store:
        found = store.sql("SELECT run_name, lr, status, step, twice FROM logs WHERE run = 1")[1]
        assert store.runs()[0].started == "2023-11-14 22:13:21.000"
    assert [repr(row) for row in found[:2]] == [
        "('run 1', '0.1', 'finished', 0, 0.5)", "('run 1', '0.1', 'finished', 1, 1.5)",
    ]  # fmt: skip
