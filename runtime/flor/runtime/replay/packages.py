"""Which packages of a run's code are of another version today."""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..versions import environment

if TYPE_CHECKING:
    from ..store.rows import Run


def differences(run: Run, texts: Mapping[str, str]) -> str:
    """One line about Python and the packages that a version imports, "" if all are as recorded."""
    now = environment.packages()
    found = []
    python = platform.python_version()
    if run.python and run.python != python:
        found.append(f"Python {run.python} (now {python})")
    if run.packages:
        for name in sorted(imported(texts.values())):
            then, today = run.packages.get(name), now.get(name)
            if then is not None and then != today:
                found.append(f"{name} {then} (now {today or 'not installed'})")
    return f"recorded with {', '.join(found)}: values may differ" if found else ""


def imported(texts: Iterable[str]) -> set[str]:
    """Names of distributions that modules import, as far as their names tell."""
    tops: set[str] = set()
    for text in texts:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                tops.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    return {environment.normal(name) for name in tops - sys.stdlib_module_names}
