"""`florc effects`: entries shown, and suggested for scripts and recorded runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florc.cli import main
from florc.driver import compile_project
from florc.effects.entries import render
from florc.effects.model import load_effects, read_effects
from florc.effects.validate import parse
from florc.effects_command import render_type

SCRIPT = """\
import lib
import torch

net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
table, config = [0.0], {}
for epoch in range(3):
    optimizer.zero_grad()
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    lib.look(table, more=config)
    lib.Thing(table).go(config)
print(table, config)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_entry_is_rendered_as_what_it_was_read_from(tmp_path: Path) -> None:
    model = load_effects()
    effects = {**model.exact, **dict(model.patterns)}
    path = tmp_path / "all.toml"
    texts = [render(e) for e in effects.values()] + [render_type(t) for t in model.types.values()]
    path.write_text("\n".join(texts), encoding="utf-8")
    again = read_effects([path])
    assert {**again.exact, **dict(again.patterns)} == effects
    assert again.types == model.types


@pytest.mark.parametrize(
    ("name", "first", "code"),
    [
        ("torch.optim.Optimizer.step", '[effects."torch.optim.Optimizer.step"]', 0),
        ("torch.optim.SGD.step", "# torch.optim.SGD.step has the entry of torch.optim.Opt", 0),
        ("torch.nn.Linear", '[types."torch.nn.Linear"]', 0),
        ("*.backward", '[effects."*.backward"]', 0),
        ("lib.unheard.of", "", 1),
    ],
)
def test_an_entry_is_shown(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, first: str, code: int
) -> None:
    assert main(["effects", name]) == code
    printed = capsys.readouterr()
    assert printed.out.startswith(first)
    assert printed.err.startswith("florc: no entry for lib.unheard.of") == bool(code)


def test_entries_of_the_project_are_shown(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mine.toml").write_text('[effects."lib.look"]\nmutates = ["0"]\n')
    (project / "pyproject.toml").write_text('[tool.florc]\neffects = ["mine.toml"]\n')
    assert main(["effects", "lib.look"]) == 0
    assert 'mutates = ["0"]' in capsys.readouterr().out
    (project / "mine.toml").write_text("[effects.f]\nmutate = 1\n")
    assert main(["effects", "lib.look"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("florc: mine.toml:2: FLR007")


@pytest.mark.parametrize(
    "arguments",
    [[], ["torch.relu", "--suggest"], ["--suggest", "7"], ["--suggest"], ["--suggest", "no.py"]],
)
def test_misuse_is_told_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["effects", *arguments]) == 2
    printed = capsys.readouterr()
    assert not printed.out and len(printed.err.splitlines()) == 1


def state(project: Path) -> set[tuple[str, str]]:
    loop = compile_project(project / "train.py").plan.loops[0]
    return {(member.path, member.certainty) for member in loop.state}


def test_suggestions_for_a_script_say_what_is_assumed_anyway(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["effects", "--suggest", "train.py"]) == 0
    text = capsys.readouterr().out
    entries = parse(text)["effects"]
    assert entries == {
        "lib.look": {"mutates": ["0*", "more*"], "keeps": ["0", "more"]},
        "lib.Thing": {"mutates": ["0*"], "keeps": ["0"], "type": "lib.Thing"},
        "lib.Thing.go": {"mutates": ["self*", "0*"], "keeps": ["0"]},
    }
    assert "train.py:11: lib.look()" in text
    before = {
        (m.path, m.certainty) for m in compile_project(project / "train.py").plan.loops[0].state
    }
    (project / "mine.toml").write_text(text)
    (project / "pyproject.toml").write_text('[tool.florc]\neffects = ["mine.toml"]\n')
    after = {
        (m.path, m.certainty) for m in compile_project(project / "train.py").plan.loops[0].state
    }
    assert {path for path, _ in after} == {path for path, _ in before}
    assert {certainty for _, certainty in after} == {"exact"}
    assert main(["effects", "--suggest", "train.py"]) == 0
    printed = capsys.readouterr()
    assert not printed.out and printed.err.startswith("florc: nothing to suggest: train.py")


def promotion(path: str, *suspects: dict[str, object], how: str = "mutated") -> dict[str, object]:
    return {
        "loop": "epoch", "path": path, "how": how, "file": "train.py", "line": 11, "after": 2,
        "position": [["epoch", 2]], "suspects": list(suspects), "guarded": False,
    }  # fmt: skip


def suspect(call: str, entry: str) -> dict[str, object]:
    return {"call": call, "shown": call, "file": "train.py", "line": 11, "entry": entry}


def test_suggestions_for_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look = '[effects."lib.look"]\nreturns = "none"\nmutates = ["0"]'
    more = '[effects."lib.look"]\nreturns = "none"\nmutates = ["more*"]'
    two = '[effects."lib.Opt"]\nkeeps = ["0*"]\n\n[effects."lib.Opt.step"]\nmutates = ["self*"]'
    found = [
        promotion("table", suspect("lib.look", look), suspect("lib.Opt", two)),
        promotion("config", suspect("lib.look", more)),
        promotion("numpy", how="stream"),
        promotion("cache"),
        {**promotion("best"), "guarded": True},
    ]
    folder = project / ".flor" / "runs" / "3"
    folder.mkdir(parents=True)
    (folder / "check.json").write_text(json.dumps({"format": 1, "promotions": found}))
    (project / ".flor" / "runs" / "2").mkdir()
    assert main(["effects", "--suggest"]) == 0
    text = capsys.readouterr().out
    assert parse(text)["effects"] == {
        "lib.look": {"mutates": ["0", "more*"], "returns": "none"},
        "lib.Opt": {"keeps": ["0*"]},
        "lib.Opt.step": {"mutates": ["self*"]},
    }
    assert 'draws = ["numpy"]' in text and "`cache`" in text and "no call explains it" in text
    assert "best" not in text
    assert main(["effects", "--suggest", "2"]) == 0
    assert capsys.readouterr().err == (
        "florc: nothing to suggest: run 2: nothing was found changed against the analysis\n"
    )
    (folder / "check.json").write_text("{")
    assert main(["effects", "--suggest", "3"]) == 2
