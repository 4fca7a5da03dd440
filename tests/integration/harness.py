"""Runs one training script plain, recorded and replayed, and makes its ground truth without flor.

A case is a folder under scripts/ with ordinary training code and a spec.toml:

    argv = ["train.py", "--epochs", "4"]     what follows `python`, or `record`
    slow = true                              optional
    outputs = ["model.pt"]                   files that the run must leave
    numbered = ["train.log"]                 files that show line numbers, which an edit shifts
    mask = ['\\d+\\.\\d+s']                    what differs between any two plain runs
    columns = { step = "train.py::for x, y in loader:" }   column named by the plan, not by us
    [[log]]      name, value, at = {column = expression}, after|before = anchor, file, indent, nth
    [[mark]]     text, after|before, file, indent, nth       only in the truth's copy
    [[query]]    columns, names, where (SQL), filter (the same in Python), recorded = true|false
                 or sql + expect (a Python expression over `truth`: name -> list of Entry)

`log` statements are inserted as text lines.  In the truth's copy the same statement carries its
position (`at=`), which the stub `flor` writes down; the product's copy has name and value only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
STUB = HERE / "stub"
ROOT = HERE.parent.parent
FLOR = (sys.executable, "-m", "flor.runtime")
TIMEOUT_S = 120
IGNORED = {".flor", ".git", "__pycache__"}


# ---------------------------------------------------------------- processes


def environment(*, stub: bool = False, **extra: str) -> dict[str, str]:
    """The environment of every child: one thread, no colour; `flor` is the stub or the product."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLOR", "PYTEST", "COV_"))}
    paths = [str(STUB)] if stub else [str(ROOT / "runtime"), str(ROOT)]
    env.update(
        PYTHONPATH=os.pathsep.join(paths),
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        NO_COLOR="1",
        COLUMNS="100",
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=os.devnull,
    )
    env.update(extra)
    return env


@dataclass(frozen=True)
class Result:
    """What a finished process left: exit code, both streams, and the files below its cwd."""

    code: int
    out: str
    err: str
    files: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-5000:]}"


def execute(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> Result:
    """Run `command` to its end in `cwd`."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return Result(done.returncode, done.stdout, done.stderr, digest(cwd))


def plain(argv: list[str], cwd: Path, **extra: str) -> Result:
    """`python ARGV…`, with the stub as `flor`."""
    return execute([sys.executable, *argv], cwd, environment(stub=True, **extra))


def record(argv: list[str], cwd: Path, *options: str) -> Result:
    """`python -m flor.runtime record ARGV…`."""
    return execute([*FLOR, "record", *options, *argv], cwd)


def flor(cwd: Path, *arguments: str) -> Result:
    """`python -m flor.runtime ARGUMENTS…`."""
    return execute([*FLOR, *arguments], cwd)


def runs(cwd: Path) -> list[dict[str, Any]]:
    """The runs that the store of `cwd` holds."""
    result = flor(cwd, "runs", "--format", "json")
    assert result.code == 0, result
    return list(json.loads(result.out))


def promotions(cwd: Path, run: int = 1) -> list[dict[str, Any]]:
    """What the record-time check found changed against the analysis in a run."""
    path = cwd / ".flor" / "runs" / str(run) / "check.json"
    return list(json.loads(path.read_text())["promotions"]) if path.exists() else []


def only_ours(err: str) -> list[str]:
    """Lines of `err` that are not one of our own messages."""
    return [line for line in err.splitlines() if not line.startswith("florc:")]


def one_clear_line(result: Result) -> str:
    """The single `florc:` line that a refusal prints; no traceback, nothing else."""
    assert "Traceback" not in result.err, result
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("florc: "), result
    assert len(lines[0]) < 400, result
    return lines[0]


# ---------------------------------------------------------------- trees


def digest(folder: Path) -> dict[str, str]:
    """Relative path -> mode and hash of everything below `folder` but .flor, .git and caches."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in IGNORED]
        for name in [*folders, *names]:
            path = Path(parent, name)
            mode = oct(path.lstat().st_mode)
            if path.is_symlink():
                content = os.readlink(path)
            else:
                content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = f"{mode} {content}"
    return found


def stamps(folder: Path) -> dict[str, int]:
    """Relative path -> modification time in ns, for the files that `digest` looks at."""
    return {name: (folder / name).lstat().st_mtime_ns for name in digest(folder)}


def git(folder: Path, *arguments: str) -> str:
    """Standard output of a git command that takes no locks."""
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def commit_all(folder: Path) -> None:
    """Make `folder` a git repository with one commit."""
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "researcher@example.org")
    git(folder, "config", "user.name", "A Researcher")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "train")


def git_state(folder: Path) -> dict[str, str]:
    """What a replay has to leave alone: status, HEAD, branches, stash, and the index's bytes."""
    return {
        "status": git(folder, "status", "--porcelain", "--untracked-files=all"),
        "HEAD": (folder / ".git" / "HEAD").read_text(),
        "heads": git(folder, "for-each-ref", "refs/heads", "refs/tags", "refs/stash"),
        "index": hashlib.sha256((folder / ".git" / "index").read_bytes()).hexdigest(),
        "worktrees": git(folder, "worktree", "list", "--porcelain"),
        "config": (folder / ".git" / "config").read_text(),
    }


# ---------------------------------------------------------------- edits


@dataclass(frozen=True)
class Insert:
    """One line of text put after or before an anchor line of a file."""

    file: str
    anchor: str
    text: str
    before: bool
    indent: int
    nth: int


def insert(source: str, wanted: list[Insert]) -> str:
    """`source` with each line of `wanted` at its anchor; several at one anchor in their order."""
    lines = source.splitlines(keepends=True)
    at: dict[int, list[str]] = {}
    for each in wanted:
        hits = [n for n, line in enumerate(lines) if line.strip() == each.anchor]
        if each.nth >= len(hits) or (len(hits) > 1 and each.nth < 0):
            raise ValueError(f"{each.file}: {len(hits)} lines read {each.anchor!r}")
        here = hits[max(each.nth, 0)]
        width = len(lines[here]) - len(lines[here].lstrip()) + 4 * each.indent
        at.setdefault(here if each.before else here + 1, []).append(" " * width + each.text + "\n")
    if not re.search(r"^import flor$", source, re.M):
        first = next(
            n
            for n, line in enumerate(lines)
            if re.match(r"(import|from) ", line) and not line.startswith("from __future__")
        )
        at.setdefault(first, []).insert(0, "import flor\n")
    out: list[str] = []
    for n in range(len(lines) + 1):
        out += at.get(n, [])
        out += lines[n : n + 1]
    return "".join(out)


def apply(folder: Path, wanted: list[Insert]) -> None:
    """Edit the files of `folder` in place."""
    for name in sorted({each.file for each in wanted}):
        path = folder / name
        text = insert(path.read_text(), [each for each in wanted if each.file == name])
        path.write_text(text)


# ---------------------------------------------------------------- truth


@dataclass(frozen=True)
class Entry:
    """One logged value of the ground truth; `at` is None for statements the script had itself."""

    name: str
    at: dict[str, Any] | None
    value: Any


def read_truth(path: Path) -> dict[str, list[Entry]]:
    """Name -> entries in the order of execution."""
    truth: dict[str, list[Entry]] = {}
    for line in path.read_text().splitlines():
        entry = Entry(**json.loads(line))
        truth.setdefault(entry.name, []).append(entry)
    return truth


def same(wanted: Any, got: Any) -> bool:
    """Whether the JSON value `got` is the stub's exact value `wanted`, type and bits."""
    if wanted is None:
        return got is None
    kind, content = wanted[0], wanted[1]
    if kind == "array":
        return same(wanted[4], got)
    if kind == "NoneType":
        return got is None
    if kind in ("bool", "str"):
        return bool(type(got).__name__ == kind and got == content)
    if kind == "int":
        return type(got) is int and got == int(content)
    if kind == "float":
        return type(got) is float and got.hex() == content
    if isinstance(got, str) and kind in ("list", "dict"):  # JSON text in a column
        got = json.loads(got)
    if kind == "list":
        return (
            isinstance(got, list)
            and len(got) == len(content)
            and all(same(w, g) for w, g in zip(content, got, strict=True))
        )
    return (
        isinstance(got, dict)
        and list(got) == [key for key, _ in content]
        and all(same(w, got[key]) for key, w in content)
    )


def python_value(wanted: Any) -> Any:
    """The Python value of a stub's exact value, for filters and expectations."""
    if wanted is None:
        return None
    kind, content = wanted[0], wanted[1]
    if kind == "int":
        return int(content)
    if kind == "float":
        return float.fromhex(content)
    if kind == "list":
        return [python_value(item) for item in content]
    if kind == "dict":
        return {key: python_value(item) for key, item in content}
    return python_value(wanted[4]) if kind == "array" else content


def exact(value: Any) -> list[Any] | None:
    """The stub's exact form of a scalar (a position, or an expectation computed in Python)."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return ["int", str(value)]
    return [type(value).__name__, value.hex() if isinstance(value, float) else value]


# ---------------------------------------------------------------- cases


@dataclass(frozen=True)
class Query:
    """One SQL query and how the truth answers it."""

    columns: tuple[str, ...]
    names: tuple[str, ...]
    where: str
    filter: str
    recorded: bool
    sql: str
    expect: str


class Case:
    """One script folder: its spec, and the runs that the tests of it share."""

    def __init__(self, name: str, scratch: Path) -> None:
        self.name = name
        self.scratch = scratch
        self.spec = read_spec(name)
        self.argv: list[str] = self.spec["argv"]
        self.masks: list[str] = self.spec.get("mask", [])
        self.script: str = self.spec.get("script", self.argv[0])

    # -- runs, each made once

    def copy(self, name: str) -> Path:
        """A fresh copy of the script's folder under the scratch folder."""
        target = self.scratch / name
        shutil.copytree(
            SCRIPTS / self.name, target, ignore=shutil.ignore_patterns("spec.toml", "__pycache__")
        )
        return target

    @cached_property
    def plain(self) -> Result:
        """The script as its author runs it."""
        return plain(self.argv, self.copy("plain"))

    @cached_property
    def truth_run(self) -> Result:
        """The edited script, run plain with the stub."""
        folder = self.copy("truth")
        apply(folder, self.inserts(truth=True))
        return plain(self.argv, folder, FLOR_STUB_OUT=str(self.scratch / "truth.jsonl"))

    @cached_property
    def truth(self) -> dict[str, list[Entry]]:
        """What the edited script logs, with positions."""
        assert self.truth_run.code == self.plain.code, self.truth_run
        return read_truth(self.scratch / "truth.jsonl")

    @cached_property
    def recorded(self) -> Result:
        """The unedited script under `record`, in a git repository with one commit."""
        folder = self.copy("recorded")
        commit_all(folder)
        return record(self.argv, folder)

    @cached_property
    def edited(self) -> Path:
        """The recorded folder after the log statements were added."""
        assert self.recorded.code == self.plain.code, self.recorded
        folder = self.scratch / "recorded"
        self.renamed  # noqa: B018  the plan of the recorded text, before a replay builds another
        apply(folder, self.inserts(truth=False))
        return folder

    @cached_property
    def renamed(self) -> dict[str, str]:
        """Our column name -> the plan's, for the loops that the spec leaves to the plan."""
        wanted: dict[str, str] = self.spec.get("columns", {})
        if not wanted:
            return {}
        folder = self.scratch / "recorded"
        plan = json.loads((folder / ".flor" / "build" / "plan.json").read_text())
        names = {}
        for column, place in wanted.items():
            file, anchor = place.split("::")
            lines = (SCRIPTS / self.name / file).read_text().splitlines()
            numbers = [n for n, line in enumerate(lines, 1) if line.strip() == anchor]
            assert len(numbers) == 1, f"{place}: {numbers}"
            found = [
                loop["name"]
                for loop in plan["loops"]
                if loop["file"] == file and loop["line"] == numbers[0]
            ]
            assert len(found) == 1, f"{place}: the plan has {found}"
            names[column] = found[0]
        return names

    # -- the spec, read

    def inserts(self, *, truth: bool) -> list[Insert]:
        """The lines to add: log statements, and in the truth's copy the marks too."""
        found = []
        for kind in ("mark", "log"):
            for each in self.spec.get(kind, []):
                if kind == "mark" and not truth:
                    continue
                before = "before" in each
                found.append(
                    Insert(
                        file=each.get("file", self.script),
                        anchor=each["before" if before else "after"],
                        text=each["text"] if kind == "mark" else statement(each, truth),
                        before=before,
                        indent=each.get("indent", 0),
                        nth=each.get("nth", -1),
                    )
                )
        return found

    @property
    def queries(self) -> list[Query]:
        """The queries, in the order they are asked."""
        return [
            Query(
                columns=tuple(q.get("columns", ())),
                names=tuple(q.get("names", ())),
                where=q.get("where", ""),
                filter=q.get("filter", "True"),
                recorded=q.get("recorded", False),
                sql=q.get("sql", ""),
                expect=q.get("expect", ""),
            )
            for q in self.spec["query"]
        ]

    def sql(self, query: Query) -> str:
        """The SQL text, with the plan's column names."""
        names = [self.renamed.get(c, c) for c in query.columns]
        if query.sql:
            return re.sub(r"\{(\w+)\}", lambda m: self.renamed.get(m[1], m[1]), query.sql)
        where = query.where
        for ours, theirs in self.renamed.items():
            where = re.sub(rf"\b{ours}\b", theirs, where)
        text = f"SELECT {', '.join([*names, *query.names])} FROM logs"
        text += f" WHERE {where}" if where else ""
        return text + (f" ORDER BY {', '.join(names)}" if names else "")

    def finest(self, query: Query) -> str:
        """The name of a query that is logged in the innermost loops."""
        return max(query.names, key=lambda n: len(self.truth[n][0].at or {}))

    def expected(self, query: Query) -> list[dict[str, Any]]:
        """The rows at the finest granularity, coarser names broadcast; values in exact form."""
        truth = self.truth
        if query.expect:
            values = {n: [python_value(e.value) for e in es] for n, es in truth.items()}
            scope = {"truth": truth, "values": values, "at": places(truth)}
            return [{k: exact(v) for k, v in row.items()} for row in eval(query.expect, scope)]
        finest = self.finest(query)
        rows: list[tuple[list[Any], dict[str, Any]]] = []
        for entry in truth[finest]:
            at = entry.at or {}
            row: dict[str, Any] = {}
            for name in query.names:
                hits = [
                    e.value
                    for e in truth[name]
                    if e is entry
                    or (name != finest and all(at.get(k) == v for k, v in (e.at or {}).items()))
                ]
                assert len(hits) <= 1, f"{name} has several values at {at}"
                row[name] = hits[0] if hits else None
            scope = {**at, **{n: python_value(v) for n, v in row.items()}}
            if eval(query.filter, scope):
                names = {self.renamed.get(c, c): exact(at[c]) for c in query.columns}
                rows.append(([at[c] for c in query.columns], {**names, **row}))
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def masked(self, text: str) -> str:
        """`text` without what differs between any two plain runs."""
        for mask in self.masks:
            text = re.sub(mask, "<masked>", text)
        return text


def places(truth: dict[str, list[Entry]]) -> dict[str, list[dict[str, Any]]]:
    """Name -> the positions of its values."""
    return {name: [entry.at or {} for entry in entries] for name, entries in truth.items()}


def statement(log: dict[str, Any], truth: bool) -> str:
    """The log statement of a spec, in the truth's copy with its position."""
    text = f'flor.log("{log["name"]}", {log["value"]}'
    if truth:
        text += ", at={" + ", ".join(f'"{k}": {v}' for k, v in log["at"].items()) + "}"
    return text + ")"


def differences(wanted: list[dict[str, Any]], got: list[dict[str, Any]]) -> list[str]:
    """One line for each row or value that is not the truth's, bit for bit."""
    found = []
    if len(wanted) != len(got):
        found.append(f"{len(wanted)} rows in the truth, {len(got)} in the answer")
    for n, (w, g) in enumerate(zip(wanted, got, strict=False)):
        if list(w) != list(g):
            found.append(f"row {n}: columns {list(g)}, not {list(w)}")
            continue
        for key, value in w.items():
            if not same(value, g[key]):
                found.append(f"row {n} {key}: {g[key]!r}, not {value!r}")
    return found


def read_spec(name: str) -> dict[str, Any]:
    """The spec.toml of a case."""
    return dict(tomllib.loads((SCRIPTS / name / "spec.toml").read_text()))


def case_names() -> list[str]:
    """The folders under scripts/ that have a spec."""
    return sorted(path.parent.name for path in SCRIPTS.glob("*/spec.toml"))
