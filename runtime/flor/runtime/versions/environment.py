"""Where a run was made: environment variables, packages, machine."""

from __future__ import annotations

import functools
import os
import platform
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_SECRET = re.compile(
    r"(?i)(secret|token|passw|passphrase|credential|cookie|private|(^|_)(api_?|access_?|auth_?)?"
    r"(key|pat|pwd|dsn|auth)$)"
)
_URL_PASSWORD = re.compile(r"(\w+://[^/\s:@]*:)[^/\s@]+@")
ALIASES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Modules that go by another name than their distribution."""

_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist-info|egg-info)$")


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables, sorted; values that look secret are replaced by "***"."""
    given = os.environ if variables is None else variables
    return {
        name: "***" if _SECRET.search(name) else _URL_PASSWORD.sub(r"\1***@", given[name])
        for name in sorted(given)
    }


def packages() -> dict[str, str]:
    """Every installed distribution and its version, by normalised name.

    Read from folder names on `sys.path` (a millisecond), not from the metadata files.
    """
    return dict(_packages(tuple(sys.path)))


@functools.lru_cache(maxsize=4)
def _packages(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for folder in path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            match = _METADATA.match(name) if name.endswith("-info") else None
            if match:
                found.setdefault(_normal(match["name"]), match["version"])
    return tuple(sorted(found.items()))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def normal(top: str) -> str:
    """The distribution that a top-level module most likely belongs to, by normalised name."""
    return _normal(ALIASES.get(top, top))


def imported_packages() -> dict[str, str]:
    """The distributions of the modules imported so far, with their versions (milliseconds).

    A module that goes by another name than its distribution is looked up in `top_level.txt`.
    """
    installed = packages()
    tops = {name.partition(".")[0] for name in tuple(sys.modules)} - sys.stdlib_module_names
    found: dict[str, str] = {}
    for top in tops:
        name = normal(top)
        if name not in installed and _in_packages(top):
            name = _owners().get(top, name)
        if name in installed:
            found[name] = installed[name]
    return dict(sorted(found.items()))


def _in_packages(top: str) -> bool:
    """Whether an imported top-level module lies among installed packages."""
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


@functools.lru_cache(maxsize=1)
def _owners() -> dict[str, str]:
    """Top-level module names to normalised distribution names."""
    owners: dict[str, str] = {}
    for folder in sys.path:
        for listed in Path(folder or ".").glob("*-info/top_level.txt"):
            match = _METADATA.match(listed.parent.name)
            try:
                tops = listed.read_text(encoding="utf-8", errors="replace").split()
            except OSError:
                continue
            owners.update((top, _normal(match["name"])) for top in tops if match)
    return owners


def machine() -> dict[str, object]:
    """Interpreter and host; plain JSON-able values."""
    uname = platform.uname()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "host": socket.gethostname(),
        "platform": f"{uname.system}-{uname.release}-{uname.machine}",
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "user": os.environ.get("USER") or os.environ.get("LOGNAME"),
        "pid": os.getpid(),
        "cwd": os.getcwd(),
    }
