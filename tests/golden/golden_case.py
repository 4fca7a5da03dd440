"""One golden case: a small script, what the compiler makes of it, and what both do when run.

A case is a folder under cases/ with an input.py, other modules that it imports, and the expected
files record.py, replay.py, plan.json and explain.txt (record/… and replay/… for other modules
that the compiler changes).  Comment lines in input.py say how it is executed:

    # golden: add-after "loss.backward()" flor.log("probe", norm())    a statement added afterwards
    # golden: add-before "…" …        # golden: add-into "for x in xs:" …        one step deeper
    # golden: query SELECT epoch, probe FROM logs WHERE epoch IN (2, 5)          asked for by jumps
    # golden: argv --epochs 3         # golden: exit 1         # golden: jumps no
    # golden: skips evaluate()        calls that replays skip, and no others
    # golden: answered 3              iterations of which the next head's state gives what is asked
    # golden: broken why              not right yet: nothing is stored, and its tests may fail
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASES = HERE / "cases"
sys.path.insert(0, str(HERE.parent / "integration"))

import harness  # noqa: E402

from florc.compilation import Compilation  # noqa: E402
from florc.driver import compile_project  # noqa: E402
from florc.emit.build import Build, assemble, write  # noqa: E402
from florc.explain import explain  # noqa: E402
from florc.plan import Plan  # noqa: E402

EXPECTED = ("record.py", "replay.py", "plan.json", "explain.txt", "record", "replay")
EAGER = (
    "from flor.runtime.record import heads as record_heads; "
    "from flor.runtime.replay import heads as replay_heads; "
    "record_heads.Budget.due = lambda self, depth, now=None: True; "
    "record_heads.RecordHeads.head = (lambda head: lambda self, *a: "
    "(self.writer.drain(30.0), head(self, *a))[1])(record_heads.RecordHeads.head); "
    "replay_heads.CHECK_SHARE = float('inf'); "
    "from flor.runtime.record import regions as record_regions; "
    "record_regions.RecordRegions.share = record_regions.RecordRegions.grace = float('inf'); "
)
"""A checkpoint at every head, every region noted, and every state that is passed compared with the
recorded one."""
RECORD = EAGER + "import sys; from flor.runtime.cli import main; sys.exit(main(sys.argv[1:]))"


def case_names() -> list[str]:
    """The folders under cases/."""
    return sorted(path.parent.name for path in CASES.glob("*/input.py"))


def compiled(folder: Path, text: str | None = None) -> tuple[Compilation, Build]:
    """`input.py` of a folder, compiled; `text` replaces the file's."""
    compilation = compile_project(folder / "input.py", root=folder, source_override=text)
    return compilation, assemble(compilation)


def expected_files(case: str) -> dict[str, str]:
    """Relative path -> text of what the compiler makes of a case."""
    folder = CASES / case
    _, build = compiled(folder)
    files = {"plan.json": normalised(build.plan), "explain.txt": explain(build.plan)}
    source = read(folder / "input.py")
    for variant in ("record", "replay"):
        texts = build.texts(variant)
        files[f"{variant}.py"] = texts.get("input.py", source)
        files |= {f"{variant}/{rel}": text for rel, text in texts.items() if rel != "input.py"}
    return files


def normalised(plan: Plan) -> str:
    """The plan as JSON without versions and hashes of texts; source maps without plain rows."""
    data = json.loads(plan.to_json())
    del data["florc"], data["format"]
    for module in data["modules"]:
        del module["sha256"]
        rows, before = [], 0
        for emitted, (line, columns) in enumerate(module["source_map"], 1):
            if columns or line != before + 1:
                shifts = " ".join(f"{start}{delta:+}" for start, delta in columns)
                rows.append(f"{emitted} -> {line}" + (f": {shifts}" if shifts else ""))
            before = line
        module["source_map"] = rows
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def stored_files(case: str) -> dict[str, str]:
    """Relative path -> text of the expected files of a case."""
    folder = CASES / case
    found = {}
    for name in EXPECTED:
        path = folder / name
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        found |= {file.relative_to(folder).as_posix(): read(file) for file in files}
    return found


def bless(case: str) -> None:
    """Write the expected files of a case; those that are not made any more go."""
    folder = CASES / case
    files = expected_files(case)
    for stale in set(stored_files(case)) - set(files):
        (folder / stale).unlink()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write a file with the text's own line endings."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def spec(source: str) -> list[tuple[str, str]]:
    """The keys and values of the `# golden:` lines, in order."""
    return re.findall(r"^# golden: (\S+) +(.*\S)", source, re.M)


def broken(case: str) -> str:
    """Why a case isn't right yet; "" if it should be."""
    return dict(spec(read(CASES / case / "input.py"))).get("broken", "")


def read(path: Path) -> str:
    """A file's text with its own line endings."""
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


# ---------------------------------------------------------------- execution


class Execution:
    """The runs of one case in a scratch folder: plain, with the stub as `flor`, and recorded."""

    def __init__(self, case: str, scratch: Path) -> None:
        self.case = case
        self.scratch = scratch
        self.source = read(CASES / case / "input.py")
        self.argv = shlex.split(" ".join(self.values("argv")))
        self.exit = int((self.values("exit") or ["0"])[0])
        self.may_jump = "no" not in self.values("jumps")

    def values(self, key: str) -> list[str]:
        """The values of a key of the spec, in order."""
        return [value for name, value in spec(self.source) if name == key]

    @cached_property
    def variant(self) -> str:
        """The script with the log statements added."""
        lines = self.source.splitlines(keepends=True)
        for key, rest in spec(self.source):
            if not key.startswith("add-"):
                continue
            match = re.match(r'"(.*?)" (flor\.log\(.*\))$', rest)
            assert match, f"{self.case}: {rest}"
            hits = [n for n, line in enumerate(lines) if line.strip() == match[1]]
            assert len(hits) == 1, f"{self.case}: {len(hits)} lines read {match[1]!r}"
            line = lines[hits[0]]
            indent = line[: len(line) - len(line.lstrip())]
            if key == "add-into":
                indent += "\t" if indent.startswith("\t") else "    "
            ending = line[len(line.rstrip("\r\n")) :]
            lines.insert(hits[0] + (key != "add-before"), f"{indent}{match[2]}{ending}")
        return "".join(lines)

    def copy(self, name: str, text: str) -> Path:
        """The case's own files in a fresh folder, with `text` as input.py."""
        folder = self.scratch / name
        shutil.copytree(
            CASES / self.case, folder, ignore=shutil.ignore_patterns(*EXPECTED, "__pycache__")
        )
        write_text(folder / "input.py", text)
        return folder

    def run(self) -> None:
        """The truth's run, which is a plain one of the longer script, and the recorded one."""
        script = ["input.py", *self.argv]
        fixed = {"PYTHONHASHSEED": "0"}
        out = str(self.scratch / "truth.jsonl")
        truth = self.copy("truth", self.variant)
        self.plain = harness.plain(script, truth, FLOR_STUB_OUT=out, **fixed)
        self.truth = harness.read_truth(Path(out)) if os.path.exists(out) else {}
        self.folder = self.copy("recorded", self.source)
        write(compiled(self.folder)[1], self.folder, self.folder / "input.py")
        command = [sys.executable, "-c", RECORD, "record", *script]
        self.recorded = harness.execute(command, self.folder, harness.environment(**fixed))

    def add_statements(self) -> None:
        """The edit that the user makes after the run; built, so that no worker has to."""
        write_text(self.folder / "input.py", self.variant)
        write(compiled(self.folder)[1], self.folder, self.folder / "input.py")

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """`query`: columns and rows of what is stored."""
        from flor.runtime.store import Store

        with Store.open(self.folder) as store:
            return store.sql(sql)

    def replay(self, sql: str, *, from_start: bool) -> Replayed:
        """`replay` of a query on the script with the statements added."""
        from flor.runtime.replay import command, work
        from flor.runtime.store import Store
        from flor.runtime.versions.worktrees import Workplace

        with Store.open(self.folder) as store, Workplace(self.folder) as place:
            asked = work.request(store, place, sql, None, not from_start)
            report = command.answer(store, place, asked, jumps=not from_start, workers=1)
        answers = []
        if asked.work:
            last = max((self.folder / ".flor" / "replays").iterdir(), key=lambda p: int(p.name))
            answers = [json.loads(path.read_text()) for path in last.glob("answer-*.json")]
        return Replayed(report.columns, report.rows, report.problems, asked.warnings, answers)


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A replay's answer, what it complained of, and what its workers did."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    problems: list[str]
    warnings: tuple[str, ...]
    answers: list[dict[str, Any]]

    @property
    def jumps(self) -> list[Any]:
        """Where the workers jumped to."""
        return [jump for answer in self.answers for jump in answer["jumps"]]

    @property
    def skipped(self) -> set[str]:
        """Calls that the workers skipped."""
        return {f"{call}()" for answer in self.answers for call in answer["skipped"]}

    @property
    def answered(self) -> int:
        """Iterations that weren't executed for what was wanted of them."""
        return sum(int(answer["answered"]) for answer in self.answers)

    @property
    def notes(self) -> list[str]:
        """What the workers noted."""
        return [note for answer in self.answers for note in answer["notes"]]
