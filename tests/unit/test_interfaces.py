"""flor.query, flor.replay, flor.dataframe; formats; what happens without optional packages."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys

import pytest

import flor
from flor.runtime.cli import main
from flor.runtime.errors import FlorError
from flor.runtime.store import RunWriter, Store
from flor.runtime.ui.answers import Answer
from flor.runtime.ui.extras import MissingPackage
from florc.queries import QueryError

pandas = pytest.importorskip("pandas")
numpy = pytest.importorskip("numpy")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A run of two epochs of two steps: `loss` in all steps but one, `val_acc` once an epoch."""
    (tmp_path / "pyproject.toml").touch()
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run({"script": "train.py", "args": {"lr": 0.1, "name": "é"}})
        writer = RunWriter(store.path, run)
        writer.log("n_params", 10, None)
        for epoch in range(2):
            ctx = (None, "epoch", epoch, epoch)
            writer.iteration(ctx)
            for step in range(2):
                inner = (ctx, "step", step, step)
                writer.iteration(inner)
                if (epoch, step) != (1, 1):
                    writer.log("loss", 1 / (1 + epoch + step), inner)
                    writer.log("hits", epoch + step, inner)
                    writer.log("good", step == 0, inner)
            writer.log("val_acc", 0.5 + epoch / 4, ctx)
        writer.close()
        store.end_run(run, "finished", 0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- query ---------------------------------------------------------------------------------------


def test_an_answer_is_a_sequence_of_dicts(root):
    answer = flor.query("SELECT epoch, val_acc FROM logs ORDER BY epoch")
    assert isinstance(answer, Answer)
    assert answer == [{"epoch": 0, "val_acc": 0.5}, {"epoch": 1, "val_acc": 0.75}]
    assert answer != [{"epoch": 0, "val_acc": 0.5}]
    assert answer[-1]["val_acc"] == 0.75
    assert answer[1:] == [answer[1]]
    assert [row["epoch"] for row in answer] == [0, 1]
    assert len(answer) == 2 and answer.columns == ["epoch", "val_acc"]
    assert str(answer).splitlines()[0].split() == ["epoch", "val_acc"]
    assert "2 rows" in repr(answer)
    assert json.loads(answer.to("json")) == list(answer)


def test_two_columns_of_one_name_are_kept_apart(root):
    answer = flor.query("SELECT epoch, epoch FROM logs WHERE epoch = 1")
    assert list(answer) == [{"epoch": 1, "epoch_2": 1}]
    assert list(answer.df().columns) == ["epoch", "epoch_2"]


def test_root_is_any_folder_of_the_project(root, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (root / "sub").mkdir()
    for place in (root, root / "sub"):
        assert len(flor.query("SELECT run FROM runs", root=str(place))) == 1


# -- typed frames --------------------------------------------------------------------------------


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_numbers_have_numeric_types_where_nulls_are_too(root):
    frame = flor.query("SELECT epoch, step, loss, hits, good FROM logs").df()
    assert dtypes(frame) == {
        "epoch": "int64", "step": "int64", "loss": "float64", "hits": "Int64", "good": "boolean",
    }  # fmt: skip
    assert frame["hits"].isna().sum() == 1 and frame["hits"].sum() == 2
    assert math.isnan(frame["loss"].iloc[3])
    assert frame["good"].iloc[3] is pandas.NA
    full = flor.query("SELECT hits, good FROM logs WHERE hits IS NOT NULL").df()
    assert dtypes(full) == {"hits": "int64", "good": "bool"}


def test_types_of_mixed_columns():
    rows = [
        (1, 2**70, None, [1, 2], numpy.zeros(2), "a", True),
        (0.5, 3, None, [3, 4], numpy.ones(2), None, 2),
    ]
    frame = Answer("abcdefg", rows).df()
    assert dtypes(frame) | {"f": ""} == {
        "a": "float64", "b": "object", "c": "float64", "d": "object", "e": "object", "f": "",
        "g": "int64",
    }  # fmt: skip
    assert frame["b"].tolist() == [2**70, 3]
    assert frame["d"].tolist() == [[1, 2], [3, 4]]
    assert frame["e"].iloc[1].tolist() == [1.0, 1.0]
    assert frame["f"].isna().tolist() == [False, True]


def test_an_empty_answer_keeps_its_columns():
    frame = Answer(("a", "b"), []).df()
    assert list(frame.columns) == ["a", "b"] and len(frame) == 0


# -- dataframe -----------------------------------------------------------------------------------


def test_dataframe_has_coordinates_in_front(root):
    frame = flor.dataframe("loss", "val_acc")
    assert list(frame.columns) == ["run", "epoch", "step", "loss", "val_acc"]
    assert len(frame) == 4
    assert list(flor.dataframe("val_acc").columns) == ["run", "epoch", "val_acc"]
    assert len(flor.dataframe("val_acc")) == 2
    assert list(flor.dataframe("n_params", "lr").columns) == ["run", "n_params", "lr"]
    assert list(flor.dataframe("epoch", "loss").columns) == ["run", "step", "epoch", "loss"]
    assert list(flor.dataframe("loss", coordinates=False).columns) == ["loss"]
    assert {"run", "lr", "epoch", "loss", "val_acc"} <= set(flor.dataframe().columns)


def test_dataframe_where(root):
    assert flor.dataframe("loss", where="epoch = 1 AND loss IS NOT NULL")["loss"].tolist() == [0.5]
    assert len(flor.dataframe("loss", where="epoch = 0 OR 0 -- all of epoch 0")) == 2
    with pytest.raises(QueryError, match=r"unknown column 'epok': did you mean epoch"):
        flor.dataframe("loss", where="epok = 1")
    with pytest.raises(QueryError):
        flor.dataframe("loss", where="epoch = 1) --")
    with pytest.raises(QueryError):
        flor.dataframe("loss", where="1; DROP TABLE runs")


def test_a_loop_named_like_a_column_of_every_run(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run({"script": "train.py"})
        writer = RunWriter(store.path, run)
        ctx = (None, "version", 7, 7)
        writer.iteration(ctx)
        writer.log("loss", 1.5, ctx)
        writer.close()
    monkeypatch.chdir(tmp_path)
    frame = flor.dataframe("loss")
    assert frame["loop.version"].tolist() == [7]


# -- HTML ----------------------------------------------------------------------------------------


def test_html_escapes_and_says_the_size():
    rows = [(i, "<b>&", None, 0.123456789) for i in range(1000)]
    text = Answer(("n", "<i>", "none", "x"), rows)._repr_html_()
    assert "1,000 rows × 4 columns" in text
    assert "&lt;i&gt;" in text and "<i>" not in text and "&lt;b&gt;&amp;" in text
    assert text.count("<tr>") < 70 and ">999<" in text and ">500<" not in text
    assert "NULL" in text and "0.123457" in text
    assert "1 row × 1 column<" in Answer(("a",), [(1,)])._repr_html_()


# -- formats of the command line -----------------------------------------------------------------


def output(capsys, *argv):
    assert main(list(argv)) == 0
    return capsys.readouterr().out


QUERY = "SELECT epoch, loss, hits, good FROM logs ORDER BY epoch, step"


def test_formats_agree(root, capsys):
    rows = [dict(row) for row in flor.query(QUERY)]
    assert json.loads(output(capsys, "query", QUERY, "--format", "json")) == rows
    lines = output(capsys, "query", QUERY, "--format", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = list(csv.DictReader(io.StringIO(output(capsys, "query", QUERY, "--format", "csv"))))
    assert [row["hits"] for row in table] == ["0", "1", "1", ""]


def test_output_goes_to_a_file(root, capsys):
    assert output(capsys, "query", QUERY, "--format", "jsonl", "-o", "a.jsonl") == ""
    assert len((root / "a.jsonl").read_text().splitlines()) == 4
    assert main(["query", QUERY, "-o", "no/such/folder"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("florc: can't write no/such/folder: ")
    (root / "dir").mkdir()
    assert main(["query", QUERY, "-o", "dir"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("florc: can't write dir: ")


def test_parquet_keeps_types(root, capsysbinary):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["query", QUERY, "--format", "parquet", "-o", "a.parquet"]) == 0
    table = parquet.read_table(root / "a.parquet")
    assert [str(t) for t in table.schema.types] == ["int64", "double", "int64", "bool"]
    assert table.to_pylist() == list(flor.query(QUERY))
    capsysbinary.readouterr()
    assert main(["query", QUERY, "--format", "parquet"]) == 0
    assert parquet.read_table(io.BytesIO(capsysbinary.readouterr().out)).equals(table)


def test_arrow_of_all_kinds(root):
    pyarrow = pytest.importorskip("pyarrow")
    rows = [
        (1, 0.5, True, "a\ud800", None, [1, 2], numpy.ones(2), 2**70, {"k": 1}, True),
        (None, 1, None, None, None, [3], "text", 1, None, 0.5),
    ]
    table = Answer("abcdefghij", rows).arrow()
    assert [str(t) for t in table.schema.types] == [
        "int64", "double", "bool", "string", "null", "list<item: int64>", "string", "string",
        "struct<k: int64>", "double",
    ]  # fmt: skip
    assert table.column("d").to_pylist() == ["a?", None]
    assert table.column("g").to_pylist() == ["[1.0, 1.0]", "text"]
    assert isinstance(table, pyarrow.Table)


# -- without the optional packages ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "ask"),
    [
        ("pandas", lambda: flor.dataframe("loss")),
        ("pandas", lambda: flor.query(QUERY).df()),
        ("pyarrow", lambda: flor.query(QUERY).arrow()),
    ],
)
def test_a_missing_package_is_named_in_one_line(root, monkeypatch, package, ask):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=f"needs {package}: pip install {package}") as caught:
        ask()
    assert isinstance(caught.value, ImportError) and isinstance(caught.value, FlorError)
    assert "\n" not in str(caught.value)


def test_the_command_line_names_it_before_anything_is_done(root, monkeypatch, capsys):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["query", "SELECT nothing", "--format", "parquet", "-o", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "florc: the format parquet needs pyarrow: pip install pyarrow"


def test_a_query_imports_nothing_heavy(root):
    code = (
        "import sys; from flor.runtime.cli import main; "
        f"main(['query', {QUERY!r}, '--format', 'csv']); "
        "print([m for m in ('torch', 'pandas', 'numpy', 'pyarrow', 'libcst') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
