"""The documentation names what exists, and shows what the program prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flor.runtime.cli import parser as runtime_parser
from florc import codes, plan
from florc.cli import parser as compiler_parser
from florc.effects import model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INTERNALS = ROOT / "docs" / "internals.md"
EFFECTS = ROOT / "docs" / "effects.md"
PROPAGATION = ROOT / "docs" / "propagation.md"


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def sections(text: str) -> dict[str, str]:
    """Heading (without arguments) -> text, for `## program command` headings."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        for name in heading.split(", "):
            found[" ".join(name.split()[:2])] = body
    return found


ALL = [("florc", name, sub) for name, sub in commands(compiler_parser()).items()]
ALL += [("flor", name, sub) for name, sub in commands(runtime_parser()).items()]


@pytest.mark.parametrize(("program", "name", "parser"), ALL, ids=[f"{p} {n}" for p, n, _ in ALL])
def test_every_option_is_documented(
    program: str, name: str, parser: argparse.ArgumentParser
) -> None:
    documented = sections((ROOT / "docs" / "cli.md").read_text(encoding="utf-8"))
    assert f"{program} {name}" in documented
    text = documented[f"{program} {name}"]
    options = [o for a in parser._actions for o in a.option_strings if o not in ("-h", "--help")]
    if name == "show":  # "as above"
        text += documented["flor query"]
    missing = [option for option in options if not re.search(rf"(?<![\w-]){option}\b", text)]
    assert not missing


def test_options_that_the_pages_name_exist() -> None:
    known = {"--bless", "--help", "--version"}
    for _, _, parser in ALL:
        known |= {option for action in parser._actions for option in action.option_strings}
    ours = {"--epochs", "--width", "--lr"}  # of the example
    ours |= {"--all", "--exclude", "--mirror", "--stdin"}  # git's
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text))
        assert named <= known | ours, page.name


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_linked_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:florc|runtime|tests|examples|benchmarks|docs)/[\w./-]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_names_make_targets_that_exist() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake (\w+)\b", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named and set(named) <= set(targets)


def test_effect_fields_are_documented() -> None:
    text = EFFECTS.read_text(encoding="utf-8")
    for kind in (model.Effect, model.LibraryType):
        fields = [f.name for f in dataclasses.fields(kind) if f.name != "name"]
        assert [name for name in fields if f"`{name}`" not in text] == []


def test_plan_fields_are_documented() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    kinds = (plan.Plan, plan.ModulePlan, plan.LoopPlan, plan.LogStatement, plan.Member)
    kinds += (plan.RegionPlan, plan.SlicePlan)
    for kind in (*kinds, plan.Diagnostic):
        fields = [f.name for f in dataclasses.fields(kind)]
        assert [name for name in fields if not re.search(rf"`{name}`", text)] == []


def test_every_code_has_a_section() -> None:
    text = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    assert [code for code in codes.CODES if f"## {code}" not in text] == []


def shown(page: Path, text: str, today: str, bless: bool) -> None:
    """A page says what is printed today; or, with --bless, will."""
    if bless:
        page.write_text(today, encoding="utf-8")
    else:
        assert text == today


def with_outputs(text: str, folder: Path) -> str:
    """The page with the outputs of its `$ florc instrument …` blocks as they are today."""
    script = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert script is not None
    (folder / "pyproject.toml").touch()
    (folder / "fit.py").write_text(script[1], encoding="utf-8")
    for name, body in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.DOTALL | re.M):
        (folder / name).write_text(body, encoding="utf-8")

    def block(found: re.Match[str]) -> str:
        arguments = found[1].split()
        done = subprocess.run(
            [sys.executable, "-m", "florc", *arguments],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
        return "\n".join(["```console", f"$ florc {found[1]}", *lines, "```"])

    pattern = r"^```console\n\$ florc (instrument [^\n]*)\n.*?^```"
    return re.sub(pattern, block, text, flags=re.DOTALL | re.MULTILINE)


def test_internals_shows_what_is_printed(tmp_path: Path, bless: bool) -> None:
    text = INTERNALS.read_text(encoding="utf-8")
    today = with_outputs(text, tmp_path)
    shown(INTERNALS, text, today, bless)


def run_through(text: str, folder: Path) -> str:
    """The page's example from top to bottom: its files are written, its commands are run."""

    def block(found: re.Match[str]) -> str:
        language, body = found[1], found[2]
        named = re.match(r"# (\w+\.(?:py|toml))\n", body)
        if language == "console":
            command = body.partition("\n")[0].removeprefix("$ florc ")
            done = subprocess.run(
                [sys.executable, "-m", "florc", *command.split()],
                cwd=folder / "project", capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode in (0, 1), done  # 1: the page shows a refusal
            body = f"$ florc {command}\n{done.stdout.rstrip()}\n"
        elif named is not None:
            place = "library" if named[1] == "fastlib.py" else "project"
            (folder / place / named[1]).write_text(body, encoding="utf-8")
        return f"```{language}\n{body}```"

    for name in ("project", "library"):
        (folder / name).mkdir()
    (folder / "project" / "pyproject.toml").touch()
    return re.sub(r"^```(\w+)\n(.*?)^```", block, text, flags=re.DOTALL | re.MULTILINE)


def test_the_propagation_example_works(tmp_path: Path, bless: bool) -> None:
    """What is printed is what the page shows."""
    text = PROPAGATION.read_text(encoding="utf-8")
    today = run_through(text, tmp_path)
    shown(PROPAGATION, text, today, bless)


def test_the_effects_example_works(tmp_path: Path, bless: bool) -> None:
    """What it prints is what the page shows; recording it finds nothing wrong with the entries."""
    text = EFFECTS.read_text(encoding="utf-8")
    today = run_through(text, tmp_path)
    shown(EFFECTS, text, today, bless)
    path = [str(ROOT / "runtime"), str(ROOT), str(tmp_path / "library")]
    done = subprocess.run(
        [sys.executable, "-m", "flor.runtime", "record", "train.py"],
        cwd=tmp_path / "project", capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    assert done.stdout.startswith("0 ") and not done.stderr, done
    report = tmp_path / "project" / ".flor" / "runs" / "1" / "check.json"
    assert json.loads(report.read_text())["promotions"] == []
