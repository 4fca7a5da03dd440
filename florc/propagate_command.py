"""`florc propagate`: put today's log statements into another version of the code."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from florc.cli import BAD_INPUT, DONE, REFUSED, Quit, report
from florc.frontend.project import SourceError, is_project_file, project_root, read_source
from florc.plan import Diagnostic
from florc.propagate.decisions import (
    NAME,
    Decision,
    applicable,
    digest,
    load,
    save,
    with_decision,
)
from florc.propagate.propagation import Outcome, Propagation, propagate
from florc.propagate.slices import Slice, slices


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code.  Raises cli.Quit."""
    new, old = Path(arguments.source), Path(arguments.target)
    texts, there = _texts(new), _texts(old)
    for path, text in texts.items():
        _check(path, text)
    names = _names(arguments.names)
    _known(names, texts)
    root = project_root(new / "script" if new.is_dir() else new)
    store: Path = arguments.decisions or root / ".flor" / NAME
    try:
        decisions = load(store)
    except ValueError as error:
        raise Quit(BAD_INPUT, str(error)) from None
    if arguments.at:
        made = _decision(arguments.at, slices(texts, names), there)
        decisions = with_decision(decisions, made)
        save(store, decisions)
    done = propagate(texts, there, names, applicable(decisions, there))
    if arguments.json:
        print(json.dumps(as_json(done), indent=1))
    elif arguments.diff:
        print(diff(there, done.texts), end="")
    else:
        for outcome in done.outcomes:
            print(line_of(outcome))
            if arguments.explain:
                print("".join(f"    {row}\n" for row in explained(outcome)), end="")
        if not done.outcomes:
            print("no log statements")
    if arguments.out is not None:
        _write(arguments.out, done.texts)
    if not arguments.json:
        report([_diagnostic(outcome) for outcome in done.refused], quiet=not arguments.diff)
    return REFUSED if done.refused else DONE


def _names(given: list[str] | None) -> frozenset[str] | None:
    if given is None:
        return None
    return frozenset(name for part in given for name in part.split(",") if name)


def _known(names: frozenset[str] | None, texts: Mapping[str, str]) -> None:
    """Refuse names that no log statement has."""
    found = slices(texts)
    there = {name for each in found for name in each.names}
    missing = sorted((names or frozenset()) - there)
    if missing and all(each.names for each in found):
        shown = ", ".join(sorted(there)) or "none"
        raise Quit(
            BAD_INPUT, f"--names: no log statement has the name {missing[0]} (there are: {shown})"
        )


# -- files ----------------------------------------------------------------------------------------


def _texts(path: Path) -> dict[str, str]:
    """The Python files of a folder (or the one file), by path relative to it."""
    if path.is_dir():
        files = {
            file.relative_to(path).as_posix(): file
            for file in sorted(path.rglob("*.py"))
            if is_project_file(file, path.resolve()) and not _hidden(file.relative_to(path))
        }
    else:
        files = {path.name: path}
    found = {}
    for name, file in files.items():
        try:
            found[name] = read_source(file, os.path.relpath(file))
        except SourceError as error:
            if path.is_dir():
                report([error.diagnostic], quiet=False)
                continue
            raise Quit(BAD_INPUT, error.diagnostic.render()) from None
    if not found:
        raise Quit(BAD_INPUT, f"{path}: no Python files")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check(path: str, text: str) -> None:
    """Say which file of the new version can't be parsed; its statements are refused."""
    try:
        compile(text, path, "exec", dont_inherit=True, flags=0x400)  # ast only
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 0
        reason = getattr(error, "msg", None) or str(error)
        report([Diagnostic("FLR001", "warning", reason, path, line)], quiet=False)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        for name, text in texts.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
    except OSError as error:
        raise Quit(BAD_INPUT, f"{folder} can't be written: {error}") from None


# -- deciding -------------------------------------------------------------------------------------


def _decision(at: str, found: list[Slice], old: Mapping[str, str]) -> Decision:
    match = re.fullmatch(r"(?:(.*):)?(\d+)(\+?)", at)
    if match is None:
        raise Quit(BAD_INPUT, f"--at {at}: give FILE:LINE, or FILE:LINE+ for behind it")
    file, line = match[1], int(match[2])
    if file is None and len(old) == 1:
        file = next(iter(old))
    if file not in old:
        raise Quit(BAD_INPUT, f"--at {at}: the old version has no file {file or ''}".rstrip())
    count = len(old[file].splitlines())
    if not 1 <= line <= count:
        raise Quit(BAD_INPUT, f"--at {at}: {file} of the old version has {count} lines")
    if len({s.id for s in found}) != 1:
        shown = ", ".join("/".join(s.names) or s.text for s in found) or "none"
        raise Quit(
            BAD_INPUT, f"--at means one log statement; narrow them by --names (now: {shown})"
        )
    return Decision(found[0].id, file, digest(old[file]), line, bool(match[3]))


# -- showing --------------------------------------------------------------------------------------


def line_of(outcome: Outcome) -> str:
    """One outcome on one line."""
    log = outcome.slice
    name = "/".join(log.names) or log.text or "?"
    key = f"[{log.key}]" if log.key is not None else ""
    place = f"{log.file}:{log.line} {name}{key}: "
    if outcome.kind == "refused":
        return f"{place}refused, {outcome.reason}"
    where = f"{outcome.file}:{outcome.line}"
    if outcome.kind == "there":
        return f"{place}there already, {where}" + (f" ({outcome.reason})" if outcome.reason else "")
    return f"{place}placed before {where} (confidence {outcome.confidence:.2f})"


def explained(outcome: Outcome) -> list[str]:
    """What else there is to say of an outcome."""
    rows = []
    log = outcome.slice
    if log.guard:
        rows.append(f"guard    {log.guard}")
    rows += [f"helper   {text.splitlines()[0]}" for text in log.helpers]
    rows += [f"renamed  {new} is {old} there" for new, old in outcome.renames.items()]
    rows += [f"text     {row}" for row in outcome.text.splitlines()]
    return rows


def diff(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What was put in, as a unified diff."""
    rows: list[str] = []
    for path, text in new.items():
        before = old.get(path, "")
        for row in difflib.unified_diff(
            before.splitlines(keepends=True), text.splitlines(keepends=True),
            f"a/{path}", f"b/{path}",
        ):  # fmt: skip
            rows.append(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n")
    return "".join(rows)


def as_json(done: Propagation) -> list[dict[str, object]]:
    """The outcomes for programs."""
    return [
        {
            "file": o.slice.file, "line": o.slice.line, "scope": o.slice.scope,
            "names": list(o.slice.names), "key": o.slice.key, "text": o.slice.text,
            "id": o.slice.id, "kind": o.kind, "confidence": o.confidence,
            "old_file": o.file, "old_line": o.line, "reason": o.reason,
            "renames": dict(o.renames), "placed": o.text,
        }
        for o in done.outcomes
    ]  # fmt: skip


def _diagnostic(outcome: Outcome) -> Diagnostic:
    name = "/".join(outcome.slice.names) or outcome.slice.text
    message = f"`{name}` is not propagated: {outcome.reason}"
    return Diagnostic("FLR015", "warning", message, outcome.slice.file, outcome.slice.line)
