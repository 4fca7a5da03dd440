"""A hash seed that a replay can use again.

The order of a set of strings depends on the interpreter's hash seed, which is random and can't be
read.  A recording starts itself again with a seed that it drew, unless the user has set one; the
script sees an environment without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

MARK = "FLOR_HASH_SEED"
VARIABLE = "PYTHONHASHSEED"
LIMIT = 2**32


def ensure() -> None:
    """Restart the interpreter with a known hash seed if it has an unknown one.  May not return."""
    if os.name != "posix" or MARK in os.environ or VARIABLE in os.environ:
        return
    if not sys.flags.hash_randomization or sys.flags.ignore_environment:
        return
    seed = str(int.from_bytes(os.urandom(4), "little") % LIMIT or 1)
    try:
        os.execve(
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**os.environ, MARK: seed, VARIABLE: seed},
        )
    except OSError:
        pass  # then the order of such sets can't be repeated


def hide(environ: MutableMapping[str, str]) -> str | None:
    """Take the seed that `ensure` drew out of the environment; returns it."""
    seed = environ.pop(MARK, None)
    if seed is not None:
        environ.pop(VARIABLE, None)
    return seed
