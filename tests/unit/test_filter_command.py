"""`florc filter`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flor.runtime.store import RunWriter, Store
from florc.cli import main
from florc.plan import LogStatement, Plan

SCRIPT = """\
import flor

total = 0
for epoch in range(3):
    for step in range(4):
        total += step
        flor.log("loss", total)
    flor.log("acc", total)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that logs `loss` and `acc`, of which a run logged `loss` only."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    had = LogStatement("s:loss", "loss", "train.py", 1, "", ("epoch", "step"))
    with Store.open(tmp_path, create=True) as store:
        plan = Plan("train.py", (), (), (had,)).to_json()
        run = store.begin_run({"script": "train.py", "plan": plan, "args": {"lr": 0.1}})
        writer = RunWriter(store.path, run)
        epoch = (None, "epoch", 0, 0)
        writer.iteration(epoch)
        writer.log("loss", 1.0, (epoch, "step", 0, 0))
        assert writer.close()
        store.end_run(run, "finished", 0)
    return tmp_path


def test_what_the_script_logs_and_the_run_did_not(project: Path, capsys) -> None:
    sql = "SELECT epoch, acc FROM logs WHERE loss < 1 AND acc > 2 AND lr = 0.1"
    assert main(["filter", "--script", "train.py", sql]) == 0
    assert capsys.readouterr() == ("acc of logs: ((loss < 1) AND (lr = 0.1))\n", "")
    assert main(["filter", "--script", "train.py", "SELECT loss FROM logs"]) == 0
    assert capsys.readouterr().out == "nothing is needed\n"
    # Without a script, what is in the store and not in all versions.
    assert main(["filter", sql.replace("acc", "step")]) == 0
    assert capsys.readouterr().out == "nothing is needed\n"


def test_named_columns_need_no_store(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--hindsight", "h,g", "--recorded", "acc", "--loops", "epoch"]
    sql = (
        "SELECT DISTINCT r.run FROM runs r WHERE EXISTS "
        "(SELECT 1 FROM logs l WHERE l.run = r.run AND l.h > 1 AND l.epoch > 3)"
    )
    assert main(["filter", *options, sql]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        'h of logs AS l: ((epoch > 3) AND (run IN (SELECT s1."run" FROM runs AS s1) IS TRUE))'
    )
    assert second == "    few of these rows may be enough: those that settle it come first"
    assert main(["filter", *options, "--json", "SELECT g FROM logs WHERE acc > 1"]) == 0
    (need,) = json.loads(capsys.readouterr().out)
    assert need["columns"] == ["g"] and need["where"] == "(acc > 1)"
    assert need["sql"].endswith('FROM logs AS s1 WHERE ((s1."acc" > 1) IS TRUE)')
    assert main(["filter", *options, "--sql", "SELECT g FROM logs"]) == 0
    assert "SELECT s1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["SELEC 1"], "florc: invalid SQL at line 1"),
        (["SELECT k FROM logs"], "florc: unknown column 'k': columns are: "),
        (["DELETE FROM logs"], "florc: only SELECT queries are answered"),
        (["--script", "none.py", "SELECT 1"], "florc: none.py: FLR002 "),
    ],
)
def test_one_line_and_exit_2(project: Path, capsys, arguments: list[str], line: str) -> None:
    assert main(["filter", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and err.count("\n") == 1


def test_without_a_store(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["filter", "SELECT h FROM logs"]) == 2
    assert capsys.readouterr().err.startswith("florc: no store in ")


def test_torch_is_not_imported(project: Path) -> None:
    code = (
        "import sys\nfrom florc.cli import main\n"
        "assert main(['filter', '--script', 'train.py', 'SELECT acc FROM logs']) == 0\n"
        "assert not {'torch', 'numpy', 'flor'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "acc of logs: all rows\n"
