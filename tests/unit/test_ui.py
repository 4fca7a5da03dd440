"""Formats and the commands that only read."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math

import pytest

from flor.runtime.store import RunWriter, Store, StoreError
from flor.runtime.ui.cli_query import add_parsers
from flor.runtime.ui.render import render
from florc.queries import QueryError

ROW = (1, 0.1 + 0.2, None, True, 'a,\n"b', math.nan, [1, "x"], 10**30)
COLUMNS = tuple("abcdefgh")


def rendered(format, rows=(ROW,), columns=COLUMNS):
    out = io.StringIO()
    render(columns, rows, format, file=out)
    return out.getvalue()


def test_csv():
    header, row = csv.reader(io.StringIO(rendered("csv")))
    assert tuple(header) == COLUMNS
    assert row == [
        "1", "0.30000000000000004", "", "true", 'a,\n"b', "nan", '[1, "x"]', str(10**30),
    ]  # fmt: skip


def test_json():
    (row,) = json.loads(rendered("json"))
    assert math.isnan(row.pop("f"))
    assert tuple(row.values()) == (*ROW[:5], *ROW[6:])
    assert json.loads(rendered("json", [])) == []
    assert json.loads(rendered("json", [(1, 2)], ("x", "x"))) == [{"x": 1, "x_2": 2}]


def test_table_is_plain_and_exact_when_it_is_no_terminal():
    header, rule, row = rendered("table").splitlines()
    assert header.split() == list(COLUMNS)
    assert set(rule) == {"-", " "}
    assert "0.30000000000000004" in row
    assert "\\n" in row
    assert "\x1b" not in row
    assert rendered("table", []).splitlines()[0].split() == list(COLUMNS)


def test_table_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    render(("loss", "[red]"), [(0.123456789, "[bold]x")], file=out)
    assert "0.123457" in out.getvalue()
    assert "[bold]x" in out.getvalue()


@pytest.fixture
def root(tmp_path):
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run({"script": "train.py", "args": {"lr": 0.1}, "argv": ["--lr", "0.1"]})
        writer = RunWriter(store.path, run)
        for i in range(3):
            ctx = (None, "epoch", i, i)
            writer.iteration(ctx)
            writer.log("loss", i / 2, ctx)
        writer.close()
        store.end_run(run, "finished", 0)
    return tmp_path


def command(*argv):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    args = parser.parse_args(argv)
    return args.func(args)


def test_query(root, capsys, monkeypatch):
    sql = "SELECT epoch, loss FROM logs WHERE loss > 0"
    assert command("query", "--root", str(root), "--format", "csv", sql) == 0
    assert capsys.readouterr().out == "epoch,loss\n1,0.5\n2,1.0\n"
    (root / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(root / "deep" / "er")  # the store is found from inside the project
    monkeypatch.setattr("sys.stdin", io.StringIO(sql))
    assert command("query", "--format", "json", "-") == 0
    assert json.loads(capsys.readouterr().out)[1] == {"epoch": 2, "loss": 1.0}


def test_runs_and_show(root, capsys):
    assert command("runs", "--root", str(root), "--format", "json") == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["run"], run["status"], run["args"]) == (1, "finished", {"lr": 0.1})
    assert command("runs", "--root", str(root)) == 0
    assert "lr=0.1" in capsys.readouterr().out
    assert command("show", "last", "--root", str(root), "--format", "json") == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["loops"] == {"epoch": 3}
    assert facts["logged"] == {"loss": 3}
    assert facts["argv"] == ["--lr", "0.1"]
    assert command("show", "1", "--root", str(root)) == 0
    assert "loss=3" in capsys.readouterr().out


def test_errors_pass_through(root, tmp_path):
    with pytest.raises(QueryError):
        command("query", "--root", str(root), "SELECT nope FROM logs")
    with pytest.raises(StoreError):
        command("show", "7", "--root", str(root))
    with pytest.raises(StoreError):
        command("runs", "--root", str(tmp_path / "elsewhere"))
