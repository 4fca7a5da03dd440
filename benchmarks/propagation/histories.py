"""Histories of public scripts: log statements left out of old versions, and propagated back."""

from __future__ import annotations

import ast
import difflib
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judge import (
    LOGGING,
    NAME,
    Probe,
    guard_tests,
    guards_of,
    is_probe,
    logged,
    probe_text,
    probes,
    unbound,
    verdict,
    without,
)  # fmt: skip
from lineage import folder_at, git, history, lineage, text_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
NEWEST = 3
"""At most so many versions of a script serve as the new one."""
LOGS, OTHERS, STRANGERS = 4, 3, 2
"""Probes of a pair: log statements, other calls, statements that the old one has no place for."""

Aligner = Callable[[Mapping[str, str], Mapping[str, str], str, int], "dict[str, str] | None"]
"""(new texts, old texts, file, line of the probe) -> the old texts with it.  May raise Refused."""


@dataclass(frozen=True)
class Case:
    """One probe of one pair of versions.

    `kind`: "log" or "call" (the old version has it), "changed" (it has, but what the new one reads
    isn't there: to be refused, or placed right), "stranger" (to be refused).
    """

    script: str
    distance: int
    kind: str
    file: str
    new: Mapping[str, str]
    old: Mapping[str, str]
    line: int  # in the new text
    text: str
    truth: Mapping[str, str]  # empty: to be refused
    place: str
    renamed: bool = False  # names of the true text must be got too

    @property
    def answerable(self) -> bool:
        """Whether the old version has a place for it."""
        return bool(self.truth) and self.kind != "changed"


@dataclass(frozen=True)
class Found:
    """What became of a case: the verdict, or "refused" with a reason."""

    case: Case
    verdict: str
    seconds: float
    unbound: tuple[str, ...] = ()
    note: str = ""


def configured() -> dict[str, Any]:
    """What histories.toml says."""
    return tomllib.loads((HERE / "histories.toml").read_text(encoding="utf-8"))


def cases(mirrors: Path, only: str = "", seed: int = 1) -> Iterator[Case]:
    """Every case, in a fixed order."""
    config = configured()
    for entry in config["history"]:
        script = f"{entry['repository']}/{entry['path']}"
        if only not in script:
            continue
        repository = mirrors / entry["repository"].replace("/", "+") / "repo"
        head = entry.get("head") or git(repository, "rev-parse", "HEAD").strip()
        versions = history(repository, head, entry["path"])
        for distance in config["distances"]:
            starts = [i for i in range(len(versions)) if i + distance < len(versions)]
            step = max(1, len(starts) // NEWEST)
            for start in starts[::step][:NEWEST]:
                chosen = random.Random(f"{seed} {script} {distance} {start}")
                yield from _pair(
                    repository, script, versions[start : start + distance + 1], distance,
                    bool(entry.get("folder")), chosen,
                )  # fmt: skip


def _pair(
    repository: Path, script: str, versions: list[tuple[str, str]], distance: int, folder: bool,
    chosen: random.Random,
) -> Iterator[Case]:  # fmt: skip
    texts = [text_at(repository, *version) for version in versions]
    texts = [text.replace("\r\n", "\n") for text in texts]
    try:
        mine, theirs = probes(texts[0]), probes(texts[-1])
    except (SyntaxError, ValueError):
        return
    file = versions[0][1].rpartition("/")[2]
    other = versions[-1][1].rpartition("/")[2]
    new = folder_at(repository, *versions[0]) if folder else {}
    old = folder_at(repository, *versions[-1]) if folder else {}
    lines = lineage(texts)
    by_line = {p.line: p for p in theirs}
    groups: dict[str, list[tuple[Probe, Probe | None]]] = {"log": [], "call": [], "stranger": []}
    for probe in mine:
        counterpart = by_line.get(lines.get(probe.line, 0))
        if counterpart is not None and _alike(probe, counterpart):
            groups["log" if probe.logging else "call"].append((probe, counterpart))
        elif (
            counterpart is None
            and _stranger(texts[0], probe, lines)
            and not _echoed(texts[0], probe.line, texts[-1])
        ):
            groups["stranger"].append((probe, None))
    for kind, most in (("log", LOGS), ("call", OTHERS), ("stranger", STRANGERS)):
        group = groups[kind]
        for probe, counterpart in chosen.sample(group, min(most, len(group))):
            removed, truth = (texts[-1], "")
            tests: list[ast.expr] = []
            if counterpart is not None:
                guards, tests = guards_of(texts[0], probe), guard_tests(texts[0], probe)
                removed, truth = without(texts[-1], counterpart, guards)
            made = logged(texts[0], probe)
            shown = (
                "changed"
                if counterpart and _changed(probe, counterpart, texts[0], removed, truth, tests)
                else kind
            )
            yield Case(
                script, distance, shown, other,
                {**new, file: made}, {**old, other: removed}, probe.line + 1, probe.text,
                {other: truth} if truth else {},
                f"{versions[0][0][:8]}..{versions[-1][0][:8]} line {probe.line}",
            )  # fmt: skip


def _alike(new: Probe, old: Probe) -> bool:
    if bool(LOGGING.match(new.text)) != bool(LOGGING.match(old.text)):
        return False
    return difflib.SequenceMatcher(None, new.text, old.text, autojunk=False).ratio() >= 0.6


def _changed(
    new: Probe, old: Probe, text: str, removed: str, truth: str, tests: list[ast.expr]
) -> bool:  # fmt: skip
    """Whether the statement, or its own guard, reads something that the old version hasn't got."""
    if unbound(truth) or _others(new.node, old.node, text):
        return True
    values: list[ast.expr] = [new.node.value, *tests]
    if _shape(new) == _shape(old):
        values = tests  # the same but for names
    words = {n.attr for n in ast.walk(ast.parse(removed)) if isinstance(n, ast.Attribute)}
    words |= {n.attr for n in ast.walk(old.node) if isinstance(n, ast.Attribute)}
    if {n.attr for v in values for n in ast.walk(v) if isinstance(n, ast.Attribute)} - words:
        return True
    tree = ast.parse(truth)
    for node in ast.walk(tree):
        if is_probe(node):
            node.value.args[1:] = values  # type: ignore[attr-defined]
    return bool(unbound(ast.unparse(tree)))


def _others(new: ast.AST, old: ast.AST, text: str) -> bool:
    """Whether the old statement reads another variable, which the new version has too."""
    names = [[n.id for n in ast.walk(part) if isinstance(n, ast.Name)] for part in (new, old)]
    mentioned = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    differing = {b for a, b in zip(*names) if a != b} if len(names[0]) == len(names[1]) else set()
    return bool(differing & mentioned)


def _echoed(text: str, line: int, old: str) -> bool:
    """Whether a line of the block that holds a statement is in the old version, wherever."""
    known = {row.strip() for row in old.splitlines()}
    rows = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and any(s.lineno == line for s in block):
                spans = [rows[s.lineno - 1 : s.end_lineno] for s in block]
                return any(len(r.strip()) > 8 and r.strip() in known for g in spans for r in g)
    return False


def _shape(probe: Probe) -> str:
    return re.sub(r"Name\(id='\w+'", "Name(", ast.dump(probe.node))


def _stranger(text: str, probe: Probe, lines: dict[int, int]) -> bool:
    """Whether nothing of the block that holds a probe, nor its header, is in the old version."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if not isinstance(block, list) or isinstance(node, ast.Module):
                continue
            if any(isinstance(s, ast.Expr) and s.lineno == probe.line for s in block):
                inside = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                return len(block) > 1 and not any(line in lines for line in inside)
    return False


def judge(case: Case, aligner: Aligner) -> Found:
    """Run one case."""
    before = time.process_time()
    result: dict[str, str] | None = None
    note = ""
    try:
        result = aligner(case.new, case.old, case.file, case.line)
    except Refused as refusal:
        note = str(refusal)
    seconds = time.process_time() - before
    if result is None:
        return Found(case, "refused", seconds, note=note)
    where = next((path for path, text in result.items() if NAME in text), "")
    if not where:
        return Found(case, "absent", seconds)
    wanted = next((path for path, text in case.truth.items() if NAME in text), None)
    if wanted is None or where != wanted:
        found = "wrong"
    else:
        found = verdict(result[where], case.truth[where])
        if found in ("exact", "equivalent") and case.renamed:
            if probe_text(result[where]) != probe_text(case.truth[where]):
                found = "wrong"
    missing = () if found == "broken" else tuple(sorted(unbound(result[where])))
    return Found(case, found, seconds, missing, note)


class Refused(Exception):
    """An aligner's reason to place nothing."""
