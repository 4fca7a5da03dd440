"""Getting the emitted variants: from the cache, else from the compiler in its own process.

The compiler never runs in the user's process: libcst and networkx stay out of it, and a bug in
the compiler can't touch the training.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FlorError
from .target import Target

if TYPE_CHECKING:
    from florc.emit.build import Build

# `-c` puts the current folder on sys.path: a user's `ast.py` must not shadow the library's.
COMPILER = (
    "import sys; sys.path[:] = [p for p in sys.path if p != '']; "
    "from florc.cli import main; sys.exit(main(sys.argv[1:]))"
)


UNWRITABLE = "cannot be written"
"""In the compiler's message when it is the build folder, not the script, that is at fault."""


Compile = Callable[[Target, "Path | None"], tuple[int, list[str]]]


@dataclass(frozen=True)
class Outcome:
    """A build, or one line that says why there is none (the script then runs as it is)."""

    build: Build | None
    why: str = ""


def get_build(
    target: Target, cwd: Path | None = None, compiler: Compile | None = None
) -> Outcome:  # fmt: skip
    """The build of `target`, compiled if it is stale; `cwd`: from where a module is looked for.

    `compiler` does what compile_target does, which is the default.
    Raises FlorError (exit 2) for what the user must mend: a syntax error, an unreadable file.
    """
    from florc.emit.build import fresh_build

    build = fresh_build(target.root, target.file, module=target.module)
    if build is not None:
        return Outcome(build)
    code, lines = (compiler or compile_target)(target, cwd)
    if code == 2 and not any(UNWRITABLE in line for line in lines):
        raise FlorError(lines[0] if lines else f"{target.script} can't be compiled")
    build = fresh_build(target.root, target.file, module=target.module) if code == 0 else None
    if build is not None:
        return Outcome(build)
    detail = lines[0] if lines else f"the compiler ended with code {code}"
    return Outcome(None, detail)


def compile_target(target: Target, cwd: Path | None = None) -> tuple[int, list[str]]:
    """Run `florc instrument`; its exit code and the lines of its standard error."""
    command = [sys.executable, "-c", COMPILER, "instrument"]
    command += ["-m", target.module] if target.module else [str(target.file)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, cwd=cwd
        )
    except (OSError, subprocess.SubprocessError) as error:
        return 123, [f"the compiler could not be run ({error})"]
    lines = [line.removeprefix("florc: ") for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, lines


def module_files(root: Path, build: Build | None, target: Target) -> list[Path]:
    """The files that make up a version: every project module that the script reaches."""
    if build is None:
        return [target.file]
    return [root / module.path for module in build.plan.modules]
