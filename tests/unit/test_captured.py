"""Hands-free capture: names and values of calls that log, which stay what they were."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib
import inspect
import io
import logging
import math
import sys
import textwrap
import threading
import traceback
import types
import warnings
from pathlib import Path

import pytest

from flor.runtime import session as sessions
from flor.runtime.captured import attach as attaching
from flor.runtime.captured.keep import LIMIT, Keeper
from flor.runtime.captured.messages import formatted, numbers
from flor.runtime.captured.values import MISSING, Reader, number, plain
from flor.runtime.session import Session
from florc.effects.validate import EffectsError
from florc.logcalls.model import LogCall, load_log_calls
from florc.plan import LogStatement
from florc.propagate.captured import as_log_statements

OURS = load_log_calls()


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments", "found"),
    [
        ("epoch %d loss %.4f", (3, 0.25), {"epoch": 3, "loss": 0.25}),
        (
            "Epoch: %d, loss: %.4f, val/acc=%g",
            (3, 0.25, 1),
            {"Epoch": 3, "loss": 0.25, "val/acc": 1},
        ),
        ("loss %s acc %5.2f%%", (0.5, 90.0), {"acc": 90.0}),  # %s is no number's directive
        ("[%d/%d] loss %f (%f)", (1, 9, 0.5, 0.6), {"loss": 0.5}),
        ("epoch %d/%d", (1, 9), {}),
        ("at %d:%d", (1, 9), {}),
        ("loss %f then loss %f", (1.0, 2.0), {}),  # which one?
        ("%(loss)f of %(name)s", ({"loss": 0.5, "name": "x"},), {"loss": 0.5}),
        ("width %*d loss %f", (5, 3, 0.5), {"width": 3, "loss": 0.5}),
        ("100%% of %d", (3,), {"of": 3}),
        ("loss %f", (), {}),
        ("loss %f acc %f", (0.5,), {"loss": 0.5}),  # too few: logging complains by itself
        ("loss=0.25 acc: 0.5", (), {"loss": 0.25, "acc": 0.5}),
        ("loss 0.25", (), {}),  # perhaps a name, perhaps not
        ("lr = 1e-3, n=12.", (), {"lr": 1e-3, "n": 12}),
        ("time: 12:30:05 step: 3/10 took: 5s v=1.2.3", (), {}),
        ("a=1 a=2", (), {}),
        ("Epoch 3: loss=-0.5", (), {"loss": -0.5}),
        ("url http://x:80", (), {}),
        ("loss=nothing", (), {}),
    ],
)
def test_numbers_of_messages(text, arguments, found):
    assert dict(numbers(text, arguments)) == found
    assert all(type(v) is type(found[k]) for k, v in numbers(text, arguments))


def test_messages_are_formatted_as_logging_does():
    for text, arguments in [("a %d", (1,)), ("a %(x)s", ({"x": 2},)), ("100%", ()), (3, ())]:
        record = logging.LogRecord("n", 10, "f", 1, text, arguments, None)
        assert formatted(text, arguments) == record.getMessage()
    assert formatted("a %d", ("no number",)) == "a %d"


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-0.5", -0.5), ("1e-3", 1e-3), (" 2 ", 2), (".5", 0.5), ("5.", 5.0), ("0", 0),
        ("inf", math.inf), ("-inf", -math.inf), ("007", "007"), ("1_000", "1_000"), ("", ""),
        ("3/4", "3/4"), ("0x10", "0x10"), ("12%", "12%"), ("9" * 50, "9" * 50), ("١", "١"),
    ],
)  # fmt: skip
def test_texts_that_are_numbers(text, value):
    found = number(text)
    assert found == value and type(found) is type(value)


def test_nan_text_is_a_number():
    assert math.isnan(number("nan")) and math.isnan(number("NaN"))


def test_plain_values():
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    kept = [1, 0.5, True, "x", numpy.float32(0.5), numpy.array([2]), numpy.bool_(True)]
    assert [plain(v) for v in kept] == [1, 0.5, True, "x", 0.5, 2, True]
    one = torch.tensor([[0.5]], requires_grad=True)
    assert plain(one).shape == () and not plain(one).requires_grad
    for value in (None, [1], {}, numpy.zeros(2), torch.zeros(2), object(), b"x"):
        assert plain(value) is MISSING


def read(name, *args, **kw):
    return dict(Reader(OURS[name], 0).read(args, kw))


def test_the_calls_that_come_with_florc():
    board = "torch.utils.tensorboard.SummaryWriter"
    for prefix in (board, "tensorboardX.SummaryWriter"):
        assert read(f"{prefix}.add_scalar", "a/b", 0.5, 3) == {"a/b": 0.5}
        assert read(f"{prefix}.add_scalar", scalar_value=0.5, tag="t") == {"t": 0.5}
        assert read(f"{prefix}.add_scalars", "m", {"a": 1, "b": 2.0}) == {"m/a": 1, "m/b": 2.0}
        assert read(f"{prefix}.add_text", "note", "hello") == {"note": "hello"}
    nested = {"loss": 1, "train": {"acc": 0.5, "by": {"class": 2}}, "image": object(), 3: 4}
    assert read("wandb.log", nested, step=3) == {"loss": 1, "train.acc": 0.5, "train.by.class": 2}
    assert read("mlflow.log_metric", "loss", 0.5, step=3) == {"loss": 0.5}
    assert read("mlflow.log_metrics", {"a": 1}) == {"a": 1}
    assert read("mlflow.MlflowClient.log_metric", "run", "a", 1) == {"a": 1}
    bar = read("tqdm.tqdm.set_postfix", {"a": "0.5", "b": "x"}, refresh=False, loss=2)
    assert bar == {"a": 0.5, "b": "x", "loss": 2}
    assert read("tqdm.tqdm.set_postfix", loss=2) == {"loss": 2}
    assert read("tqdm.tqdm.set_description", f"loss: {0.5:.3f}") == {"loss": 0.5}
    record = ("train", 20, "f.py", 3, "epoch %d loss %f", (1, 0.5), None)
    assert read("logging.Logger.makeRecord", *record) == {
        "logging.train": "epoch 1 loss 0.500000", "epoch": 1, "loss": 0.5,
    }  # fmt: skip
    record = ("train", 20, "f.py", 3, "loss %d", ("no number",), None)
    assert read("logging.Logger.makeRecord", *record) == {"logging.train": "loss %d"}
    row = "csv.DictWriter._dict_to_list"
    assert read(row, {"epoch": 1, "loss": "0.5"}) == {"epoch": 1, "loss": 0.5}
    assert read(row, {"epoch": "epoch", "loss": "loss"}) == {}  # writeheader()


# -- files that describe calls -------------------------------------------------------------------


def loaded(tmp_path, text):
    file = tmp_path / "calls.toml"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_log_calls([file])


def test_a_file_of_the_project_adds_changes_and_forgets(tmp_path):
    calls = loaded(
        tmp_path,
        """
        [calls]
        "csv.writer" = false
        [calls."mylib.sub.Meter.put"]
        parameters = ["key", "number"]
        name = "key"
        value = "number"
        [calls."mylib.report"]
        values = "numbers"
        parameters = ["numbers"]
        """,
    )
    assert "csv.writer" not in calls and "wandb.log" in calls
    assert calls["mylib.sub.Meter.put"].at == ("mylib.sub:Meter.put",)
    assert calls["mylib.report"].at == ("mylib:report",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[call.x]", 1, "unknown table [call]"),
        ('[calls."a.b"]\nvalue = "v"\nparameters = ["v"]', 2, "value needs a name"),
        ('[calls."a.b"]\nvalues = "v"', 2, "'v' is not among the parameters"),
        ('[calls."a.b"]\nparameters = ["v"]', 1, "says of no value where it is"),
        ('[calls."a.b"]\nkeywords = 1', 2, "keywords must be true or false"),
        ('[calls."a.b"]\nparameter = ["v"]', 2, "did you mean parameters?"),
        ('[calls."a.b"]\nat = "a.b"', 2, 'of the form "module:Class.method"'),
        ('[calls."a.b"]\nrows = { x = "all" }', 2, '"one" or "many"'),
        ('[calls."a.b"]\ncallers = "us"', 2, 'must be "any" or "project"'),
        ('[calls."a.b"]\nplace = ["f"]\nparameters = ["f"]', 2, "a file and a line"),
        ('[calls]\n"a.b" = 3', 2, "must be a table, or false"),
        ("[calls", 0, "Expected"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, text, line, words):
    with pytest.raises(EffectsError) as caught:
        loaded(tmp_path, text)
    assert words in caught.value.message and caught.value.line == line
    assert "\n" not in str(caught.value)


def test_every_field_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "capture.md").read_text(encoding="utf-8")
    table = text.partition("## More calls")[2]
    fields = [field.name for field in dataclasses.fields(LogCall) if field.name != "call"]
    assert [name for name in fields if f"`{name}`" not in table] == []


def test_our_own_calls_that_are_there_are_found():
    """Where a library is installed, it has what our file says, with these parameters."""
    seen = 0
    for call in OURS.values():
        for place in call.at:
            module, _, target = place.partition(":")
            if module.partition(".")[0] not in ("logging", "csv"):
                if module.partition(".")[0] not in sys.modules:
                    continue
            with contextlib.suppress(ImportError):
                found = importlib.import_module(module)
                for part in target.split("."):
                    found = getattr(found, part)
                if not call.rows:
                    found = [p for p in inspect.signature(found).parameters if p != "self"]
                    assert tuple(found[: len(call.parameters)]) == call.parameters, call.call
                seen += 1
    assert seen >= 3


# -- attached ------------------------------------------------------------------------------------


class Sink:
    def __init__(self):
        self.rows = []

    def log(self, name, value, ctx, stmt):
        self.rows.append((name, value, ctx, stmt))

    def iteration(self, ctx, t):
        pass


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """An active session whose project is the folder of this file; afterwards all is as before."""
    monkeypatch.setattr(logging.Logger, "makeRecord", logging.Logger.makeRecord)
    monkeypatch.setattr(csv, "writer", csv.writer)
    monkeypatch.setattr(csv.DictWriter, "_dict_to_list", csv.DictWriter._dict_to_list)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    session = Session("record", None, Sink(), quiet=True)
    session.project = __file__.rpartition("/")[0]
    session.activate()
    yield session
    session.deactivate()


def library(monkeypatch, text, name="somelib"):
    """A module outside of the project."""
    module = types.ModuleType(name)
    exec(compile(textwrap.dedent(text), f"/elsewhere/{name}.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, name, module)
    return module


LIBRARY = """
    import warnings

    class Tracker:
        def log(self, name, value, step=None):
            "Logs."
            if value is None:
                raise ValueError("no value")
            if value == "warn":
                warnings.warn("careful", stacklevel=2)
            return (self, name, value)

        def log_all(self, values):
            for name, value in values.items():
                self.log(name, value)

        @staticmethod
        def note(name, value):
            return name

        @classmethod
        def put(cls, name, value):
            return cls
"""
CALLS = {
    f"somelib.Tracker.{method}": LogCall(
        f"somelib.Tracker.{method}", (f"somelib:Tracker.{method}",),
        parameters=("name", "value"), name="name", value="value",
    )
    for method in ("log", "note", "put")
}  # fmt: skip
CALLS["somelib.Tracker.log_all"] = LogCall(
    "somelib.Tracker.log_all", ("somelib:Tracker.log_all",), parameters=("values",), values="values"
)


@pytest.fixture
def tracker(recording, monkeypatch):
    module = library(monkeypatch, LIBRARY)
    attaching.attach(CALLS, Keeper(recording))
    return module.Tracker()


def names(session):
    return [(name, value) for name, value, _, _ in session.sink.rows]


def test_calls_are_captured_with_their_place(recording, tracker):
    recording.ctx = ctx = (None, "epoch", 3, 3)
    line = sys._getframe().f_lineno + 1
    assert tracker.log("loss", 0.5) == (tracker, "loss", 0.5)
    assert tracker.log(value=2, name="acc", step=1)[2] == 2
    assert tracker.note("note", 1) == "note" and type(tracker).note("note", 2) == "note"
    assert tracker.put("put", 1) is type(tracker)
    assert names(recording) == [("loss", 0.5), ("acc", 2), ("note", 1), ("note", 2), ("put", 1)]
    assert recording.sink.rows[0][2] is ctx
    assert recording.sink.rows[0][3] == f"test_captured.py:capture:{line}"


def test_the_statement_of_the_plan_is_known(recording, tracker):
    line = sys._getframe().f_lineno + 2
    recording._captures[("test_captured.py", line, "loss")] = "the id"
    tracker.log("loss", 0.5)
    assert recording.sink.rows[-1][3] == "the id"


def test_calls_within_calls_count_once(recording, tracker):
    tracker.log_all({"a": 1, "b": 2})
    assert names(recording) == [("a", 1), ("b", 2)]


def test_the_loops_own_counter_is_left_out(recording, tracker):
    recording.ctx = ((None, "epoch", 0, 0), "step", 1, 1)
    for name in ("epoch", "Step", "loss"):
        tracker.log(name, 1)
    assert names(recording) == [("loss", 1)]


def test_a_call_that_raises_logs_nothing_and_raises_the_same(recording, tracker):
    with pytest.raises(ValueError, match="no value") as caught:
        tracker.log("loss", None)
    files = [f.filename for f in traceback.extract_tb(caught.value.__traceback__)]
    assert files == [__file__, "/elsewhere/somelib.py"]
    tracker.log("after", 1)
    assert names(recording) == [("after", 1)]


def test_wrong_arguments_raise_what_they_raised(recording, tracker):
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'value'"):
        tracker.log("loss")
    assert names(recording) == []


def test_warnings_point_to_the_users_line(recording, tracker):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tracker.log("loss", "warn")
    assert caught[0].filename == __file__


def test_a_wrapped_call_looks_like_itself(recording, tracker):
    function = type(tracker).log
    assert function.__name__ == "log" and function.__doc__ == "Logs."
    assert list(inspect.signature(function).parameters) == ["self", "name", "value", "step"]
    attaching.attach(CALLS, Keeper(recording))  # once more: nothing is wrapped twice
    assert type(tracker).log is function


def test_other_threads_and_ended_recordings_are_left_alone(recording, tracker):
    thread = threading.Thread(target=tracker.log, args=("thread", 1))
    thread.start()
    thread.join()
    sink = recording.sink
    recording.deactivate()
    assert tracker.log("ended", 1)[1] == "ended"
    assert sink.rows == []


def test_a_flood_is_cut_and_said(recording, monkeypatch):
    tracker = library(monkeypatch, LIBRARY).Tracker()
    call = dataclasses.replace(CALLS["somelib.Tracker.log"], callers="project")
    attaching.attach({call.call: call}, Keeper(recording))
    recording.ctx = (None, "epoch", 0, 0)
    for i in range(LIMIT + 50):
        tracker.log("many", i)
    assert len(recording.sink.rows) == LIMIT
    (note,) = recording.notes
    assert f"over {LIMIT} times at one loop position" in note
    recording.ctx = (None, "epoch", 1, 1)
    for i in range(3):
        tracker.log("many", i)
    assert len(recording.sink.rows) == LIMIT + 3


def test_trackers_may_log_more(recording, tracker):
    for i in range(LIMIT + 50):
        tracker.log("many", i)
    assert len(recording.sink.rows) == LIMIT + 50 and recording.notes == []


def test_a_failure_of_ours_stays_ours(recording, tracker):
    class Bad(dict):
        def items(self):
            if sys._getframe(1).f_code.co_filename != "/elsewhere/somelib.py":
                raise RuntimeError("broken mapping")
            return super().items()

    tracker.log_all(Bad(a=1))
    tracker.log("fine", 1)
    assert names(recording) == [("fine", 1)]
    assert "capturing what somelib.Tracker.log_all logs failed" in recording.notes[0]
    recording.sink = None
    tracker.log("sink", 1)
    assert recording.notes[1].startswith("capturing what somelib.Tracker.log logs failed")


def test_a_place_that_is_not_there_is_said(recording, monkeypatch):
    library(monkeypatch, "x = 1")
    attaching.attach({"somelib.f": LogCall("somelib.f", ("somelib:f",))}, Keeper(recording))
    assert recording.notes == ["somelib.f isn't at somelib:f: what it logs isn't captured"]


def test_a_library_that_is_imported_later(recording, tmp_path, monkeypatch):
    (tmp_path / "laterlib").mkdir()
    (tmp_path / "laterlib" / "__init__.py").write_text("from .core import report\n")
    (tmp_path / "laterlib" / "core.py").write_text("def report(values): return len(values)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    call = LogCall("laterlib.report", ("laterlib.core:report",), (), ("values",), values="values")
    attaching.attach({call.call: call}, Keeper(recording))
    assert "laterlib" not in sys.modules
    try:
        from laterlib import report

        assert report({"a": 1}) == 1
        assert names(recording) == [("a", 1)]
        importlib.reload(sys.modules["laterlib.core"]).report({"b": 1})
        assert names(recording)[1:] == [("b", 1)]
    finally:
        for name in ("laterlib", "laterlib.core"):
            sys.modules.pop(name, None)


def test_modules_that_are_not_there_stay_away(recording):
    calls = {"nosuchlib.f": LogCall("nosuchlib.f", ("nosuchlib:f",))}
    attaching.attach(calls, Keeper(recording))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nosuchlib")


# -- logging, csv --------------------------------------------------------------------------------


def test_logging(recording, monkeypatch):
    attaching.attach(OURS, Keeper(recording))
    stream = io.StringIO()
    logger = logging.getLogger("captured.test")
    logger.propagate = False
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(filename)s %(funcName)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.info("epoch %d loss %.2f", 3, 0.25)
    logger.debug("not enabled: n=%d", 3)
    logging.LoggerAdapter(logger, {}).warning("acc=0.5")
    assert stream.getvalue() == (
        "test_captured.py test_logging epoch 3 loss 0.25\ntest_captured.py test_logging acc=0.5\n"
    )
    assert names(recording) == [
        ("logging.captured.test", "epoch 3 loss 0.25"), ("epoch", 3), ("loss", 0.25),
        ("logging.captured.test", "acc=0.5"), ("acc", 0.5),
    ]  # fmt: skip
    other = library(
        monkeypatch, "import logging\ndef f(): logging.getLogger('captured.test').info('x=%d', 1)"
    )
    other.f()  # a package's own chatter
    assert len(recording.sink.rows) == 5


def test_csv_writers(recording):
    attaching.attach(OURS, Keeper(recording))
    recording.ctx = (None, "epoch", 0, 0)
    plain_, seen = io.StringIO(), io.StringIO()
    sys.modules["csv"].writer.__wrapped__(plain_).writerows([("a", "b"), (1, "x"), (2.5, "3")])
    writer = csv.writer(seen)
    writer.writerow(("a", "b"))
    assert writer.writerow((1, "x")) == len("1,x\r\n")
    writer.writerows(iter([(2.5, "3")]))
    assert seen.getvalue() == plain_.getvalue()
    assert writer.dialect.delimiter == ","
    assert type(writer) is not type(csv.writer.__wrapped__(io.StringIO()))
    assert names(recording) == [("a", 1), ("b", "x"), ("a", 2.5), ("b", 3)]
    with pytest.raises(csv.Error, match="iterable expected"):
        writer.writerow(3)
    with pytest.raises(TypeError, match="not iterable"):
        csv.writer(io.StringIO()).writerows(3)


def test_writers_of_packages_are_left_alone(recording, monkeypatch):
    attaching.attach(OURS, Keeper(recording))
    other = library(monkeypatch, "import csv\ndef f(file): return csv.writer(file)")
    made = other.f(io.StringIO())
    assert type(made) is type(csv.writer.__wrapped__(io.StringIO()))


def test_csv_without_header_or_outside_of_loops_is_not_metrics(recording):
    attaching.attach(OURS, Keeper(recording))
    csv.writer(io.StringIO()).writerows([("a", "b"), (1, 2)])
    recording.ctx = (None, "epoch", 0, 0)
    csv.writer(io.StringIO()).writerows([(1, 2), (3, 4)])
    csv.writer(io.StringIO()).writerows([("a", "a"), (3, 4)])
    assert names(recording) == []


def test_csv_dict_writer(recording):
    attaching.attach(OURS, Keeper(recording))
    recording.ctx = (None, "epoch", 0, 0)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["epoch", "loss"])
    writer.writeheader()
    writer.writerow({"epoch": 0, "loss": "0.50"})
    writer.writerows([{"epoch": 0, "loss": 0.25}])
    assert stream.getvalue() == "epoch,loss\r\n0,0.50\r\n0,0.25\r\n"
    assert names(recording) == [("loss", 0.5), ("loss", 0.25)]
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        writer.writerow({"more": 1})


def test_no_session_survives():
    assert sessions.current is None


# -- hindsight: today's calls as log statements --------------------------------------------------


def statement(line, name, file="train.py"):
    return LogStatement(f"{file}::capture:1:{line}{name}", name, file, line, "", ())


def test_new_calls_become_log_statements_in_place():
    old = "import lib\nw = lib.W()\nfor i in range(3):\n    w.add_scalar('old', i, i)\n"
    new = (
        "'''é'''\nfrom __future__ import annotations\nimport lib\nw = lib.W()\n"
        "for i in range(3):\n    w.add_scalar('old', i, i)\n    if i: w.add_scalar('é', f(i), i)\n"
        "    w.add_scalar(\n        'new',\n        i + 1,  # why\n        i)\n    g(i)\n"
        "    run.log({'a': i, 'b': (i,\n      2), **rest}); g(2)\n    w.add_scalar(name, i)\n"
    )
    logs = [statement(6, "old"), statement(7, "é"), statement(8, "new")]
    logs += [statement(13, "a"), statement(13, "b")]
    made = as_log_statements({"train.py": old}, {"train.py": new}, logs, OURS)["train.py"]
    assert made == (
        "'''é'''\nfrom __future__ import annotations\nimport flor; import lib\nw = lib.W()\n"
        "for i in range(3):\n    w.add_scalar('old', i, i)\n    if i: flor.log('é', f(i))\n"
        "    flor.log('new', i + 1)\n\n\n  # why\n    g(i)\n"
    ).replace("\n\n\n  # why\n", "\n\n\n\n") + (
        "    flor.log('a', i); flor.log('b', (i,\n      2)); g(2)\n    w.add_scalar(name, i)\n"
    )
    compile(made, "train.py", "exec")


def test_nothing_new_changes_nothing():
    text = "import lib\nlib.w.add_scalar('a', 1)\n"
    logs = [statement(2, "a")]
    assert as_log_statements({"train.py": text}, {"train.py": text}, logs, OURS)["train.py"] == text
    moved = text + "\n\n"
    assert (
        as_log_statements({"train.py": text}, {"train.py": moved}, logs, OURS)["train.py"] == moved
    )
    broken = {"train.py": "import lib\nlib.w.add_scalar('a', 1\n"}
    assert as_log_statements({}, broken, logs, OURS) == broken


def test_a_module_that_knows_flor_by_another_name():
    new = {"train.py": "import flor as f\nw.add_scalar('a', 1)\n"}
    made = as_log_statements({"train.py": ""}, new, [statement(2, "a")], OURS)
    assert made["train.py"] == "import flor as f\nf.log('a', 1)\n"
