"""Running a command in a copy of a project, and what it leaves."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.cases import Case

IGNORED = {".flor", ".git", "__pycache__"}


def environment(case: Case, root: Path, *first: Path, **extra: str) -> dict[str, str]:
    """One thread, a known hash seed; on the path `first`, then the project, then stand-ins."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FLOR")}
    paths = (*first, *(root / name for name in case.path), *case.overlay)
    env["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths)
    env.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYTHONHASHSEED="0", COLUMNS="100")
    env.update(PYTHONDONTWRITEBYTECODE="1", **case.env)
    env.update(extra)
    return env


@dataclass(frozen=True)
class Ran:
    """A finished process."""

    code: int | str
    out: str
    err: str


def execute(command: Sequence[str], cwd: Path, env: dict[str, str], limit: float) -> Ran:
    """Run a command to its end, or for `limit` seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            code: int | str = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "timeout"
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Ran(code, *texts)


def digest(folder: Path, ignore: Sequence[str]) -> dict[str, str]:
    """Relative path -> hash of every file below `folder`, without our own and caches."""
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in IGNORED]
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if not any(re.search(pattern, relative) for pattern in ignore):
                found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
