"""`florc effects`: show entries, and suggest those that are missing or wrong."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from florc.cli import BAD_INPUT, DONE, REFUSED, Quit, report, say
from florc.effects.configured import configured_effects
from florc.effects.entries import render, unknown
from florc.effects.model import Effect, Effects, EffectsError, LibraryType, load_effects
from florc.effects.validate import parse
from florc.frontend.project import project_root

CHECK_FORMAT = 1
"""The newest layout of a run's check.json that is understood."""


def effects(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code.  Raises cli.Quit."""
    if (arguments.name is None) == (arguments.suggest is None):
        raise Quit(BAD_INPUT, "give the NAME of a call or a type, or --suggest")
    if arguments.name is not None:
        return _show(arguments)
    what = arguments.suggest
    if what == "last" or what.isdigit():
        return _suggest_for_run(what)
    return _suggest_for_script(Path(what), arguments)


# -- showing -------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    root = project_root(Path("script"))
    try:
        model = load_effects((*configured_effects(root), *arguments.effects))
    except EffectsError as error:
        place = os.path.relpath(error.file) + (f":{error.line}" if error.line else "")
        raise Quit(BAD_INPUT, f"{place}: FLR007 {error.message}") from None
    texts = list(entries_of(model, arguments.name))
    if not texts:
        say(f"no entry for {arguments.name}: it is taken to change all that it is given")
        return REFUSED
    print("\n\n".join(texts))
    return DONE


def entries_of(model: Effects, name: str) -> Iterator[str]:
    """What is known of a call or a type: TOML, with a comment where another name's entry counts."""
    declared = model.types.get(name)
    if declared is not None:
        yield render_type(declared)
    of_type, _, method = name.rpartition(".")
    found = model.exact.get(name) or model.method(of_type, method) or model.call(name)
    if found is None and of_type == "*":
        found = model.by_method_name(method)
    if found is None:
        return
    note = f"# {name} has the entry of {found.name}:\n" if found.name != name else ""
    yield note + render(found)


def render_type(declared: LibraryType) -> str:
    """A declared type as a TOML table."""
    lines = [f"[types.{json.dumps(declared.name)}]"]
    empty = LibraryType(declared.name)
    for field in fields(declared):
        value: Any = getattr(declared, field.name)
        if field.name == "name" or value == getattr(empty, field.name):
            continue
        if isinstance(value, frozenset):
            value = " ".join(sorted(value))
        text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
        lines.append(f"{field.name} = {text}")
    return "\n".join(lines)


# -- suggesting ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Suggestion:
    """An entry with the remarks that stand above it."""

    effect: Effect
    remarks: tuple[str, ...]


def _suggest_for_run(run: str) -> int:
    root = project_root(Path("script"))
    folder = root / ".flor" / "runs"
    numbers = sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())
    if run == "last":
        if not numbers:
            raise Quit(BAD_INPUT, f"{folder}: nothing is recorded yet")
        run = str(numbers[-1])
    if int(run) not in numbers:
        raise Quit(BAD_INPUT, f"{folder}: there is no run {run}")
    file = folder / run / "check.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if data.get("format", 0) > CHECK_FORMAT:
            raise Quit(BAD_INPUT, f"{file} was written by a newer florc")
        text = for_promotions(run, data.get("promotions", []))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise Quit(BAD_INPUT, f"{file} can't be read: {error}") from None
    return _print(text, f"run {run}: nothing was found changed against the analysis")


def for_promotions(run: str, promotions: Iterable[dict[str, Any]]) -> str:
    """The entries that a run's promotions ask for, as TOML ("" if none)."""
    suggestions: list[_Suggestion] = []
    remarks: list[str] = []
    for found in promotions:
        if found.get("guarded"):
            continue
        place = f"{found['file']}:{found['line']}"
        if found["how"] == "stream":
            remarks.append(
                f"# {place}: the random stream of {found['path']} is drawn from in loop "
                f"`{found['loop']}`: add\n"
                f'#     draws = ["{found["path"]}"]\n# to the entry of the call that does it.'
            )
            continue
        what = f"`{found['path']}` was found changed in loop `{found['loop']}` of run {run}"
        if not found["suspects"]:
            remarks.append(f"# {place}: {what}, and no call explains it.")
        for number, suspect in enumerate(found["suspects"]):
            where = f"{suspect['file']}:{suspect['line']}: {suspect['shown']}()"
            remark = f"# {what}" if not number else f"# or else, if the one above isn't it: {what}"
            for effect in _parsed(suspect["entry"]):
                suggestions.append(_Suggestion(effect, (remark, f"# {where}")))
    return "\n\n".join([*remarks, *_merged(suggestions)])


def _parsed(entry: str) -> list[Effect]:
    from florc.effects.model import read_table

    tables = parse(entry)["effects"]
    return [read_table(name, table) for name, table in tables.items()]


def _merged(suggestions: Iterable[_Suggestion]) -> list[str]:
    """Each call once: entries of one call are joined."""
    by_name: dict[str, _Suggestion] = {}
    for new in suggestions:
        old = by_name.get(new.effect.name)
        if old is not None:
            joined = replace(
                old.effect,
                mutates=tuple(dict.fromkeys((*old.effect.mutates, *new.effect.mutates))),
                keeps=tuple(dict.fromkeys((*old.effect.keeps, *new.effect.keeps))),
                returns=new.effect.returns if old.effect.returns == ("new",)
                else old.effect.returns,
            )  # fmt: skip
            new = _Suggestion(joined, tuple(dict.fromkeys((*old.remarks, *new.remarks))))
        by_name[new.effect.name] = new
    return ["\n".join([*s.remarks, render(s.effect)]) for s in by_name.values()]


def _suggest_for_script(script: Path, arguments: argparse.Namespace) -> int:
    import warnings

    from florc.compilation import CompileError
    from florc.driver import compile_project

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compilation = compile_project(script, effects=tuple(arguments.effects))
    except CompileError as error:
        report(error.diagnostics, quiet=False)
        return BAD_INPUT
    text = compilation.dumps["suggestions"].rstrip("\n")
    return _print(text, f"{script}: no member is saved for an unknown call's sake")


def for_unknown(calls: Iterable[Any]) -> str:
    """Entries that say of undescribed calls what is assumed of them anyway, as TOML."""
    texts = []
    for call in calls:
        members = ", ".join(f"`{path}` (loop `{loop}`)" for loop, path in call.members)
        saved = f"; {members} saved for its sake" if members else ""
        remarks = [f"# {call.file}:{call.line}: {call.shown}() is not described{saved}."]
        if call.name.startswith("*."):
            remarks.append("# The receiver's type isn't known: this is for any method of the name.")
        remarks.append("# Take out of mutates and keeps what the call leaves alone.")
        texts.append("\n".join([*remarks, render(unknown(call.name, call.given, call.makes))]))
    return "\n\n".join(texts)


def _print(text: str, nothing: str) -> int:
    if text:
        print(text)
    else:
        say(f"nothing to suggest: {nothing}")
    return DONE
