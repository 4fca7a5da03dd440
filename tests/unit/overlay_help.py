"""Run a script under the write overlay in its own process and look at what it left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import weakref
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parents[2] / "runtime"

PREAMBLE = """\
import sys, os, json, warnings
sys.path.insert(0, {source!r})
from pathlib import Path
{before}
if __name__ == "__main__":  # spawned children import this file too
    from flor.runtime.replay.overlay import activate
    overlay = activate(Path({scratch!r}), started={started!r}, **{options!r})
    sys.path.remove({source!r})
"""


def fingerprint(folder: Path) -> dict[str, tuple[object, ...]]:
    """Kind, bytes, mode and mtime of everything below a folder."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (content, status.st_mode, status.st_mtime_ns)
    return found


class Project:
    """A folder of the user's, and a scratch elsewhere."""

    def __init__(self, base: Path) -> None:
        self.root = base / "project"
        self.base = base
        # Sockets of worker processes lie in the scratch, and a socket's path must be short.
        short = tempfile.mkdtemp(prefix="flor-")
        weakref.finalize(self, shutil.rmtree, short, ignore_errors=True)
        self.scratch = Path(short) / "scratch"
        self.root.mkdir()
        (self.root / "data").mkdir()
        (self.root / "data" / "a.txt").write_text("alpha\n")
        (self.root / "data" / "b.txt").write_text("beta\n")
        (self.root / "data" / "deep").mkdir()
        (self.root / "data" / "deep" / "c.txt").write_text("gamma\n")
        (self.root / "log.txt").write_text("line 1\n")
        (self.root / "link").symlink_to("data")
        (self.root / "flink.txt").symlink_to("log.txt")
        past = time.time() - 10_000
        for path in [*self.root.rglob("*"), self.root]:
            os.utime(path, (past, past), follow_symlinks=False)

    def run(
        self,
        script: str,
        *,
        before: str = "",
        started: float | None = None,
        status: int = 0,
        environment: dict[str, str] | None = None,
        python: str = sys.executable,
        **options: object,
    ) -> str:
        """Run `script` under the overlay in the project's folder; its standard output.

        Asserts that the project is byte for byte, and to the mtime, what it was.
        """
        before_tree = fingerprint(self.root)
        file = self.base / "script.py"
        text = PREAMBLE.format(
            source=str(SOURCE_ROOT),
            scratch=str(self.scratch),
            before=before,
            started=time.time() - 5_000 if started is None else started,
            options=options,
        )
        file.write_text(text + textwrap.indent(textwrap.dedent(script), "    "))
        done = subprocess.run(
            [python, str(file)],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **(environment or {})},
        )
        assert done.returncode == status, done.stdout + done.stderr
        after_tree = fingerprint(self.root)
        changed = [
            name
            for name in before_tree.keys() | after_tree.keys()
            if before_tree.get(name) != after_tree.get(name)
        ]
        assert not changed, changed
        return done.stdout if status == 0 else done.stdout + done.stderr
