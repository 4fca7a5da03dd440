"""Effect files of a project: named in pyproject.toml, checked, part of what identifies a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from florc.cli import main
from florc.driver import compile_project
from florc.effects.configured import configured_effects
from florc.effects.model import EffectsError, read_effects
from florc.emit.build import fresh_build, is_stale

SCRIPT = """\
import helper_lib
import torch

net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
table = [0.0, 0.0]
for epoch in range(3):
    optimizer.zero_grad()
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    helper_lib.look(table)
print(table)
"""
PURE = '[effects."helper_lib.look"]\nreturns = "none"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "pyproject.toml").write_text('[tool.florc]\neffects = ["mine.toml"]\n')
    (tmp_path / "mine.toml").write_text(PURE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def members(folder: Path) -> list[str]:
    plan = compile_project(folder / "train.py").plan
    return [member.path for member in plan.loops[0].state]


def test_the_files_that_pyproject_names_are_read(project: Path) -> None:
    assert "table" not in members(project)
    (project / "pyproject.toml").write_text("[tool.other]\nx = 1  # florc\n")
    assert "table" in members(project)


def test_files_of_the_command_line_win_over_the_projects(project: Path) -> None:
    more = project / "more.toml"
    more.write_text('[effects."helper_lib.look"]\nmutates = ["0"]\n')
    plan = compile_project(project / "train.py", effects=(more,)).plan
    assert "table" in [member.path for member in plan.loops[0].state]


def test_a_later_file_of_the_list_wins(project: Path) -> None:
    (project / "two.toml").write_text('[effects."helper_lib.look"]\nmutates = ["0"]\n')
    (project / "pyproject.toml").write_text('[tool.florc]\neffects = ["two.toml", "mine.toml"]\n')
    assert "table" not in members(project)
    assert main(["instrument", "-q", "train.py"]) == 0
    (project / "pyproject.toml").write_text('[tool.florc]\neffects = ["mine.toml", "two.toml"]\n')
    assert is_stale(project, project / "train.py")
    assert "table" in members(project)


def test_a_build_is_stale_when_an_effects_file_changes(project: Path) -> None:
    script = project / "train.py"
    assert main(["instrument", "-q", "train.py"]) == 0
    assert fresh_build(project, script) is not None and not is_stale(project, script)
    (project / "mine.toml").write_text(PURE + "# a remark\n")
    assert fresh_build(project, script) is None and is_stale(project, script)
    assert main(["instrument", "-q", "train.py"]) == 0
    assert fresh_build(project, script) is not None
    (project / "pyproject.toml").write_text("[tool.florc]\neffects = []\n")
    assert fresh_build(project, script) is None and is_stale(project, script)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            '[tool.florc]\neffects = ["none.toml"]\n',
            "pyproject.toml:2: FLR007 [tool.florc] effects",
        ),
        ('[tool.florc]\neffects = "mine.toml"\n', "pyproject.toml:2: FLR007 [tool.florc]"),
        ("[tool.florc]\n\neffect = []\n", "pyproject.toml:3: FLR007 [tool.florc] effect isn't"),
        ("[tool]\nflorc = 3\n", "pyproject.toml: FLR007 [tool.florc] must be a table"),
        ("[tool.florc]\neffects = [\n", "pyproject.toml"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], settings: str, says: str
) -> None:
    (project / "pyproject.toml").write_text(settings)
    assert main(["instrument", "train.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"florc: {says}") and "FLR007" in line


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (PURE + "\n[effects.f]\nmutate = ['0']\n", 5, "did you mean mutates?"),
        ('[effects]\n"a.b" = { sink = true }\n"c.d" = { sink = 3 }\n', 3, "true or false"),
        ("[effects]\nf = { mutates = ['not a place'] }\n", 2, "isn't a location"),
        ("[effects.f]\nreturns = 'elem:'\n", 2, "isn't a result"),
        ("[effects.f]\ncalls = '0.step.go'\n", 2, "isn't a location"),
        ("[effects.f]\nkeeps = 'deepcopy:0'\n", 2, "isn't a location"),
        ("[effects.'x.y'] # ours\nclock = true\n\ndraws = ['mt']\n", 4, "stream 'mt'"),
        ("[types.'x.Y']\nimmutable = 'yes'\n", 2, "true or false"),
        ("[types]\nT = 3\n", 2, "must be a table"),
        ("\n\n[effect.f]\n", 3, "unknown table"),
        ("effects = 3\n", 1, "must be a table"),
        ("[effects.f]\nmutates = [\n'0'\n", 0, ""),
    ],
)
def test_a_bad_entry_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(EffectsError) as refused:
        read_effects([path])
    error = refused.value
    assert says in error.message and error.file == str(path)
    assert error.line == line or not line


def test_the_command_line_names_file_and_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mine.toml").write_text(PURE + "mutated = ['0']\n")
    assert main(["instrument", "train.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("florc: mine.toml:3: FLR007 [effects.'helper_lib.look'] mutated is not")


def test_a_project_without_settings_has_none(tmp_path: Path) -> None:
    assert configured_effects(tmp_path) == ()
    (tmp_path / "pyproject.toml").write_text("[broken\n")
    assert configured_effects(tmp_path) == ()
