"""Cases: a script, its command, its data, and the log statements to insert."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STATE = 'hash(b"".join(v.detach().cpu().numpy().tobytes() for v in {0}.values()))'
"""The value of `{ state = "model.state_dict()" }`: a hash of its tensors.  The seed is known."""


@dataclass(frozen=True)
class Insert:
    """A log statement to insert: behind which statement of which file, its name and its value."""

    file: str
    where: str  # a line's number, or its text
    expr: str
    name: str
    before: bool = False


@dataclass(frozen=True)
class Case:
    """A script, its command, and what is asked of it."""

    name: str
    folder: Path
    argv: tuple[str, ...]
    logs: tuple[Insert, ...]
    cwd: str = "."
    overlay: tuple[Path, ...] = ()
    path: tuple[str, ...] = ()  # folders of the project that go on PYTHONPATH
    env: dict[str, str] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()  # files that differ between any two runs
    data: str = ""
    data_args: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    limit: float = 120.0
    preload: tuple[str, ...] = ()  # the script has threads: replays share these imports only
    include: tuple[str, ...] = ()
    hand: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


def read_cases(
    path: Path, checkouts: Path, overlay: Sequence[Path], names: Sequence[str], limit: float
) -> list[Case]:
    """The cases of a scripts.toml."""
    cases = []
    for name, data in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if names and name not in names:
            continue
        logs = tuple(
            Insert(
                log.get("file", data["argv"][0]), str(log.get("after", log.get("before"))),
                STATE.format(log["state"]) if "state" in log else log["expr"],
                log["name"], "before" in log,
            )
            for log in data["log"]
        )  # fmt: skip
        folder = checkouts / data["repo"] / data.get("folder", "")
        cases.append(
            Case(
                name, folder, tuple(data["argv"]), logs, data.get("cwd", "."),
                tuple(overlay), tuple(data.get("path", ())), data.get("env", {}),
                tuple(data.get("mask", ())),
                tuple(data.get("ignore", ())), data.get("data", ""), data.get("data_args", {}),
                data.get("every", 1), data.get("limit", limit), tuple(data.get("preload", ())),
                include=tuple(data.get("include", ())), hand=tuple(data.get("hand", ())),
                notes=data.get("notes", {}),
            )
        )  # fmt: skip
    return cases


def with_logs(text: str, inserts: Sequence[Insert]) -> str:
    """`text` with the log statements, and with `import flor`.  Raises ValueError."""
    lines = text.splitlines(keepends=True)
    statements = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt)]
    at: dict[int, list[str]] = {}
    for each in inserts:
        if each.where.isdigit():
            number = int(each.where)
        else:
            hits = [n for n, line in enumerate(lines, 1) if line.strip() == each.where]
            if len(hits) != 1:
                raise ValueError(f"{each.file}: {len(hits)} lines read {each.where!r}")
            number = hits[0]
        node = next((s for s in statements if s.lineno == number), None)
        if node is None:
            raise ValueError(f"{each.file}:{number}: no statement begins there")
        line = lines[number - 1]
        space = line[: len(line) - len(line.lstrip())]
        place = number - 1 if each.before else (node.end_lineno or number)
        at.setdefault(place, []).append(f"{space}flor.log({each.name!r}, {each.expr})\n")
    at.setdefault(_behind_header(text), []).insert(0, "import flor\n")
    out: list[str] = []
    for number in range(len(lines) + 1):
        out += at.get(number, [])
        out += lines[number : number + 1]
    return "".join(out)


def _behind_header(text: str) -> int:
    """The line behind the docstring and the imports from __future__."""
    last = 0
    for n, node in enumerate(ast.parse(text).body):
        docstring = n == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not docstring and not future:
            break
        last = node.end_lineno or last
    return last


def insert_logs(folder: Path, logs: Sequence[Insert]) -> None:
    """Edit the files of `folder`."""
    for name in sorted({each.file for each in logs}):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        path.write_text(
            with_logs(text, [each for each in logs if each.file == name]), encoding="utf-8"
        )
