"""One compiler process for all versions that a command looks at.

Starting the compiler takes several times as long as compiling a script, so it isn't started for
each version.  It runs no user code and nothing of the user's, like the one that is started for a
recording; if it doesn't answer, that one is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

from ..record.build import compile_target
from ..record.target import Target

SERVER = (
    "import sys; sys.path[:] = [p for p in sys.path if p != '']; "
    "from florc.serve import serve; serve(sys.stdin, sys.stdout)"
)
SECONDS = 600.0
"""For one compilation."""
MANY = 40
"""Compilations of one process; then what it has kept of them is let go of."""


class Compiler:
    """Compiles targets; the process is started when first needed, and ends with this object."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._end: weakref.finalize[..., Compiler] | None = None
        self._done = 0

    def compile(self, target: Target, cwd: Path | None = None) -> tuple[int, list[str]]:
        """As compile_target."""
        what = ["-m", target.module] if target.module else [str(target.file)]
        folder = str(cwd) if cwd is not None else os.getcwd()
        answer = self._ask({"argv": ["instrument", *what], "cwd": folder})
        if answer is None:
            self.close()
            return compile_target(target, cwd)
        code, lines = answer
        lines = [line.removeprefix("florc: ") for line in lines if line.strip()]
        return code, lines

    def _ask(self, command: dict[str, object]) -> tuple[int, list[str]] | None:
        """The answer of the process; None if there is none."""
        process = self._started()
        if process is None or process.stdin is None or process.stdout is None:
            return None
        late = threading.Timer(SECONDS, process.kill)
        late.daemon = True
        late.start()
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            return int(answer["code"]), [str(line) for line in answer["lines"]]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        finally:
            late.cancel()

    def _started(self) -> subprocess.Popen[str] | None:
        if self._process is not None and self._done >= MANY:
            self.close()
        self._done += 1
        if self._process is None:
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    [sys.executable, "-c", SERVER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                )
                self._end = weakref.finalize(self, _end, self._process)
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._end is not None:
            self._end()
        self._process, self._end, self._done = None, None, 0


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
