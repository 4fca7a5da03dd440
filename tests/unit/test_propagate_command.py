"""`florc propagate` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florc.cli import main
from florc.propagate.decisions import Decision, applicable, load, save, with_decision

OLD = """\
import torch


def train(model, loader, opt):
    for i, (x, y) in enumerate(loader):
        opt.zero_grad()
        total = crit(model(x), y)
        total.backward()
        opt.step()
"""
NEW = """\
import flor
import torch


def train(model, loader, opt):
    for i, (x, y) in enumerate(loader):
        opt.zero_grad()
        loss = crit(model(x), y)
        loss.backward()
        if i % 10 == 0:
            flor.log("loss", loss.item())
        opt.step()
        flor.log("rate", sched.rate)
"""
PLACED = OLD.replace("import torch\n", "import torch\nimport flor\n").replace(
    "        opt.step()\n",
    '        if i % 10 == 0:\n            flor.log("loss", total.item())\n        opt.step()\n',
)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, code in (("new", NEW), ("old", OLD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(code)
    (tmp_path / "new" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["propagate", "--from", "new", "--to", "old", *arguments])


def test_one_line_each(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("train.py:11 loss: placed before train.py:9 (confidence 0.")
    assert out[1] == "train.py:13 rate: refused, `sched` is not bound here"
    assert (folders / "old" / "train.py").read_text() == OLD
    assert not (folders / "new" / ".flor").exists()


def test_exit_codes(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--names", "loss") == 0
    assert run("--names", "loss,nothing") == 2
    assert "has the name nothing (there are: loss, rate)" in capsys.readouterr().err
    assert main(["propagate", "--from", "new", "--to", "nowhere.py"]) == 2
    (folders / "empty").mkdir()
    assert main(["propagate", "--from", "new", "--to", "empty"]) == 2


def test_the_result_is_written(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", "out", "--names", "loss") == 0
    assert (folders / "out" / "train.py").read_text() == PLACED


def test_diff_and_explain(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--diff") == 1
    captured = capsys.readouterr()
    assert '+            flor.log("loss", total.item())\n' in captured.out
    assert "FLR015 `rate` is not propagated: `sched` is not bound here" in captured.err
    run("--explain")
    assert "    renamed  loss is total there\n" in capsys.readouterr().out


def test_json(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--json")
    first, second = json.loads(capsys.readouterr().out)
    assert (first["kind"], first["old_line"], first["renames"]) == ("placed", 9, {"loss": "total"})
    assert (second["kind"], second["names"]) == ("refused", ["rate"])


def test_a_decision_is_remembered(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--at", "train.py:9+", "--names", "loss", "-o", "out") == 0
    wanted = (folders / "out" / "train.py").read_text()
    assert wanted.endswith(
        'opt.step()\n        if i % 10 == 0:\n            flor.log("loss", total.item())\n'
    )
    assert (folders / "new" / ".flor" / ".gitignore").read_text() == "*\n"
    run("-o", "again", "--names", "loss")
    assert (folders / "again" / "train.py").read_text() == wanted
    (folders / "old" / "train.py").write_text(OLD + "# another text\n")
    run("-o", "third", "--names", "loss")
    assert (folders / "third" / "train.py").read_text() == PLACED + "# another text\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "train.py:9"], "--at means one log statement"),
        (["--at", "other.py:9", "--names", "loss"], "no file other.py"),
        (["--at", "nine", "--names", "loss"], "give FILE:LINE"),
        (["--at", "train.py:900", "--names", "loss"], "train.py of the old version has"),
    ],
)  # fmt: skip
def test_misuse_of_at(
    folders: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_two_files_whatever_they_are_called(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "a.py").write_text(NEW)
    (folders / "b.py").write_text(OLD)
    assert main(["propagate", "--from", "a.py", "--to", "b.py", "--names", "loss", "-o", "o"]) == 0
    assert (folders / "o" / "b.py").read_text() == PLACED


def test_line_endings_are_written_as_they_were(folders: Path) -> None:
    (folders / "old" / "train.py").write_bytes(OLD.replace("\n", "\r\n").encode())
    run("--names", "loss", "-o", "out")
    assert (folders / "out" / "train.py").read_bytes() == PLACED.replace("\n", "\r\n").encode()


def test_a_store_that_cannot_be_read(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "bad.json").write_text('{"format": 99, "decisions": []}')
    assert run("--decisions", "bad.json") == 2
    assert "newer florc" in capsys.readouterr().err


def test_decisions_replace_each_other(tmp_path: Path) -> None:
    first, second = Decision("s", "t.py", "0", 1), Decision("s", "t.py", "0", 2, True)
    save(tmp_path / "d.json", with_decision(with_decision((), first), second))
    assert load(tmp_path / "d.json") == (second,)
    assert applicable((second,), {"t.py": "text"}) == {}
    assert load(tmp_path / "none.json") == ()
