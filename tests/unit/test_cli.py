"""The command line of the compiler: output, files, exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from emission import compilation

from florc import __version__
from florc.cli import main
from florc.codes import CODES
from florc.compilation import Compilation, CompileError, Edit
from florc.explain import explain
from florc.plan import Diagnostic, Excluded, LogStatement, LoopPlan, Member, Plan

TEXT = "for epoch in range(3):\n    step()\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one script, compiled by a stand-in for the analysis."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "train.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    driver = ModuleType("florc.driver")
    driver.calls = []  # type: ignore[attr-defined]

    def compile_project(script: Path, **options) -> Compilation:
        driver.calls.append((script, options))  # type: ignore[attr-defined]
        text = options["source_override"]
        if text is None:
            try:
                text = script.read_text()
            except OSError as error:
                raise CompileError(
                    Diagnostic(
                        "FLR002", "error", f"cannot be read: {error.strerror}", str(script), 0
                    )
                ) from None
        try:
            return compilation(text, options["root"], str(script), **plan)
        except SyntaxError as error:
            raise CompileError(
                Diagnostic("FLR001", "error", "syntax error", str(script), error.lineno or 0)
            ) from None

    plan: dict = {}
    driver.compile_project = compile_project  # type: ignore[attr-defined]
    driver.plan = plan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "florc.driver", driver)
    return tmp_path


def driver() -> ModuleType:
    return sys.modules["florc.driver"]


def test_help_and_version_are_light() -> None:
    code = (
        "import sys\nfrom florc.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'libcst', 'networkx', 'numpy', 'rich', 'sqlglot', 'astor'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for arguments in (["--help"], ["--version"], ["instrument", "--help"], ["codes"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout and not done.stderr
    assert (
        __version__
        in subprocess.run(
            [sys.executable, "-m", "florc", "--version"], capture_output=True, text=True, check=True
        ).stdout
    )


def test_instrument_writes_and_says_so_in_one_line(project: Path, capsys) -> None:
    assert main(["instrument", "train.py"]) == 0
    out, err = capsys.readouterr()
    assert (
        out == "" and err.startswith("florc: train.py: training loops: epoch") and err[-1] == "\n"
    )
    assert err.count("\n") == 1
    assert "flor_abi.loop" in (project / ".flor/build/record/train.py").read_text()
    assert main(["instrument", "-q", "train.py"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(driver().calls) == 1, "the second time comes from the cache"


def test_check(project: Path, capsys) -> None:
    assert main(["instrument", "--check", "train.py"]) == 1
    assert capsys.readouterr().err == "florc: train.py: the build is stale\n"
    assert not (project / ".flor").exists()
    main(["instrument", "train.py"])
    assert main(["instrument", "--check", "train.py"]) == 0
    (project / "train.py").write_text(TEXT + "pass\n")
    assert main(["instrument", "--check", "-q", "train.py"]) == 1
    assert main(["instrument", "--check", "missing.py"]) == 2
    assert main(["instrument", "--check", "."]) == 2
    assert main(["instrument", "--check", "-"]) == 2


def test_diff(project: Path, capsys) -> None:
    assert main(["instrument", "--diff", "train.py"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and not (project / ".flor").exists()
    assert out == (
        "--- train.py\n+++ record/train.py\n@@ -1,2 +1,3 @@\n"
        "-for epoch in range(3):\n"
        "+from flor.runtime import abi as flor_abi\n"
        '+for epoch in flor_abi.loop("epoch", range(3), state=("model", "optimizer")):\n'
        "     step()\n"
    )
    assert main(["instrument", "--diff", "--check", "train.py"]) == 1
    (project / "train.py").write_text(TEXT.rstrip("\n"))
    main(["instrument", "--diff", "train.py"])
    assert "\\ No newline at end of file\n" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["cfg", "effects", "liveness", "plan"])
def test_emit(project: Path, capsys, what: str) -> None:
    assert main(["instrument", f"--emit={what}", "train.py"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\n") and not (project / ".flor").exists()
    if what == "plan":
        assert Plan.from_json(out).loops[0].name == "epoch"


def test_explain_and_json(project: Path, capsys) -> None:
    assert main(["instrument", "--explain", "train.py"]) == 0
    out, _ = capsys.readouterr()
    assert "train.py:1: training loop `epoch` (for)" in out and not (project / ".flor").exists()
    assert main(["instrument", "--explain", "--output-format=json", "train.py"]) == 0
    plan = Plan.from_json(capsys.readouterr().out)
    assert plan.script == "train.py" and plan.modules[0].emitted
    assert main(["instrument", "--output-format=json", "train.py"]) == 0
    out, err = capsys.readouterr()
    assert Plan.from_json(out) == plan and err == ""
    assert (project / ".flor/build/plan.json").read_text() == out


def test_stdin(project: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    feed(TEXT.encode("utf-8-sig"))
    assert main(["instrument", "-"]) == 0
    assert capsys.readouterr().out.startswith("from flor.runtime import abi as flor_abi\nfor epoch")
    assert not (project / ".flor").exists()
    feed(b"a = 1\r\n")
    assert main(["instrument", "-"]) == 0
    assert capsys.readouterr().out == "a = 1\r\n"
    feed(b"a = (\n")
    assert main(["instrument", "-"]) == 2
    assert capsys.readouterr().err == "florc: <stdin>:1: FLR001 syntax error\n"
    feed(b"\xff")
    assert main(["instrument", "-"]) == 2
    assert "FLR002" in capsys.readouterr().err
    feed(TEXT.encode())
    assert main(["instrument", "--out", "made", "-"]) == 0
    assert (project / "made/record").is_dir()


def test_module(project: Path, capsys) -> None:
    (project / "pkg").mkdir()
    (project / "pkg/__main__.py").write_text(TEXT)
    (project / "pkg/fit.py").write_text(TEXT)
    for module, path in (("pkg", "pkg/__main__.py"), ("pkg.fit", "pkg/fit.py")):
        assert main(["instrument", "-m", module]) == 0
        script, options = driver().calls[-1]
        assert script == Path(path) and options["module"] == module
        assert main(["instrument", "--check", "-m", module]) == 0
    capsys.readouterr()
    assert main(["instrument", "-m", "pkg.none"]) == 2
    assert capsys.readouterr().err == (
        "florc: FLR002 no module 'pkg.none' below the current folder\n"
    )
    assert main(["instrument", "-m", "pkg", "train.py"]) == 2
    assert main(["instrument"]) == 2


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("none.py", None, "florc: none.py: FLR002 cannot be read: No such file or directory\n"),
        (".", None, "florc: .: FLR002 cannot be read: it is a folder\n"),
        ("bad.py", "a\nb = (\n", "florc: bad.py:2: FLR001 syntax error\n"),
    ],
)
def test_bad_input(project: Path, capsys, name: str, content: str | None, line: str) -> None:
    if content is not None:
        (project / name).write_text(content)
    assert main(["instrument", "-q", name]) == 2
    assert capsys.readouterr() == ("", line)
    assert main(["instrument", "--output-format=json", name]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["diagnostics"][0]["code"] in line and err == line


def test_usage_errors_are_one_line(capsys) -> None:
    for arguments in (
        [],
        ["nope"],
        ["instrument", "--emit=tokens", "x.py"],
        ["instrument", "--wat"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        err = capsys.readouterr().err
        assert stop.value.code == 2 and err.startswith("florc: ") and err.count("\n") == 1


def test_strict(project: Path, capsys) -> None:
    member = Member("model", "mutated", "assumed", "helper() isn't known", 2)
    driver().plan.update(loops=(loop(state=(member,)),))
    assert main(["instrument", "--strict", "train.py"]) == 1
    assert capsys.readouterr().err == (
        "florc: train.py:2: FLR005 `model` is in the checkpoint set of loop `epoch` by assumption: "
        "helper() isn't known\n"
    )
    assert not (project / ".flor").exists()
    assert main(["instrument", "train.py"]) == 0
    assert main(["instrument", "--strict", "train.py"]) == 1, "from the cache too"
    driver().plan.update(loops=(loop(),))
    (project / "train.py").write_text(TEXT + "\n")
    assert main(["instrument", "--strict", "train.py"]) == 0


def test_warnings_are_one_line_each_and_quiet_drops_them(project: Path, capsys) -> None:
    note = Diagnostic("FLR003", "warning", "no training loop found", "train.py", 0, "see docs")
    driver().plan.update(loops=(), diagnostics=(note,))
    assert main(["instrument", "train.py"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == (
        "florc: train.py: FLR003 no training loop found (see docs)"
    )
    assert main(["instrument", "-q", "train.py"]) == 0
    assert capsys.readouterr().err == ""


def test_what_cannot_be_rewritten(project: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    original = driver().compile_project

    def broken(script: Path, **options) -> Compilation:
        done = original(script, **options)
        edits = (Edit("train.py", "for", 2, 0, "x", (), True),)
        return Compilation(done.plan, done.modules, edits, done.dumps)

    monkeypatch.setattr(driver(), "compile_project", broken)
    assert main(["instrument", "train.py"]) == 2
    assert capsys.readouterr().err == "florc: train.py:2: FLR011 no `for` loop begins here\n"


def test_our_own_fault(project: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(script: Path, **options) -> Compilation:
        raise KeyError("some\nthing")

    monkeypatch.setattr(driver(), "compile_project", fail)
    monkeypatch.delenv("FLORC_DEBUG", raising=False)
    assert main(["instrument", "train.py"]) == 123
    err = capsys.readouterr().err
    assert err.startswith("florc: internal error: KeyError") and err.count("\n") == 1
    assert "report" in err and "FLORC_DEBUG=1" in err
    monkeypatch.setenv("FLORC_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["instrument", "train.py"])


def test_a_folder_that_cannot_be_written(project: Path, capsys) -> None:
    (project / "file").touch()
    assert main(["instrument", "--out", "file", "train.py"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("florc: file: cannot be written") and err.count("\n") == 1


def test_codes(capsys) -> None:
    assert main(["codes"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CODES)
    assert main(["codes", "flr003"]) == 0
    assert CODES["FLR003"].explanation in capsys.readouterr().out
    assert main(["codes", "--output-format=json"]) == 0
    assert [code["code"] for code in json.loads(capsys.readouterr().out)] == list(CODES)
    assert main(["codes", "FLR999"]) == 2


def loop(**changes) -> LoopPlan:
    fields: dict = {
        "id": "train.py::for:1",
        "name": "epoch",
        "file": "train.py",
        "line": 1,
        "scope": "",
        "kind": "for",
        "training": True,
        "lexical_parent": None,
        "parents": (),
        "counter": "item",
        "counter_name": None,
    }
    return LoopPlan(**{**fields, **changes})


def test_report() -> None:
    plan = Plan(
        "train.py",
        (),
        (
            loop(
                scope="main",
                state=(
                    Member("model", "mutated", "exact", "optimizer.step() mutates it", 9),
                    Member("n", "rebound", "assumed", "assigned in line 9", 9),
                ),
                excluded=(Excluded("loss", "dead at the head", 8), Excluded("x", "constant", 0)),
                rng=("torch", "python"),
                dead_grads=True,
            ),
            loop(
                name="step",
                line=4,
                kind="while",
                counter="variable",
                counter_name="i",
                parents=("epoch",),
                jump=False,
                jump_reason="its iterator can't be fast-forwarded",
            ),
            loop(name="i", line=7, training=False, lexical_parent="step", parents=("step",)),
        ),
        (
            LogStatement("1", "loss", "train.py", 8, "main", ("epoch", "step")),
            LogStatement("2", None, "train.py", 9, "", (), volatile=True, impure="it draws"),
        ),
        (Diagnostic("FLR009", "warning", "iterator", "train.py", 4),),
    )
    assert (
        explain(plan)
        == """\
train.py: 0 modules, 2 training loops, 1 other loop, 2 members (1 assumed), 2 log statements

train.py:1: training loop `epoch` (for in main)
  coordinate   the loop's item
  saved        2 members
    model  mutated, exact    optimizer.step() mutates it (line 9)
    n      rebound, assumed  assigned in line 9
  not saved
    loss  dead at the head (line 8)
    x     constant
  random       torch (CPU), random
  gradients    dead at the head, not saved
  jump         yes

train.py:4: training loop `step` (while)
  inside       `epoch` (over calls)
  coordinate   the variable `i`
  saved        nothing
  random       none drawn
  jump         no: its iterator can't be fast-forwarded

train.py:7: loop `i` (for)
  inside       `step`
  coordinate   the loop's item

log statements
  train.py:8: `loss`  epoch > step
  train.py:9: (name not literal)  outside the loops; volatile: depends on the clock, never \
compared; may change training state: it draws

diagnostics
  train.py:4: FLR009 iterator
"""
    )
