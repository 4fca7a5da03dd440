"""Python processes that the script starts join the overlay of the script.

They find it through their environment: `PYTHONPATH` leads to a `sitecustomize` in the scratch,
which calls `rejoin` before anything of the user's runs.  This covers multiprocessing's start
methods, loky and `python other.py`; forked workers have the overlay anyway.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import data, real

if TYPE_CHECKING:
    from .layers import Layers
    from .past import PastSources

VARIABLE = "FLOR_REPLAY_OVERLAY"
MORE = "/more.json"
"""In the scratch: what is too large for a variable."""

_SITECUSTOMIZE = """\
import os, sys
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _here]
_self = sys.modules.pop("sitecustomize", None)
_flor = {root!r}
try:
    sys.path.append(_flor)
    from flor.runtime.replay.overlay.children import rejoin
    rejoin()
    sys.path.remove(_flor)
except BaseException as error:
    os.write(2, ("florc: replay cannot shield a child process: %s\\n" % error).encode())
    os._exit(123)
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = _self  # the import in progress expects one
"""


def prepare(
    layers: Layers,
    allow: tuple[str, ...],
    allow_subprocess: bool,
    past: PastSources | None = None,
) -> dict[str, str]:
    """Write the `sitecustomize`; the environment variables that lead a child to it."""
    folder = layers.scratch + "/python"
    real.make_folders(folder)
    root = os.path.abspath(__file__)
    for _ in range(5):  # overlay, replay, runtime, flor, the source root
        root = os.path.dirname(root)
    file = folder + "/sitecustomize.py"
    part = f"{file}.{os.getpid()}"
    with real.open_file(part, "w", encoding="utf-8") as stream:
        stream.write(_SITECUSTOMIZE.format(root=root))
    real.replace(part, file)
    more = {"inputs": layers.inputs, "ended": layers.ended, "past": None}
    if past is not None:
        more["past"] = {"root": past.root, "folder": past.folder, "hidden": sorted(past.hidden)}
    with real.open_file(layers.scratch + MORE + f".{os.getpid()}", "w", encoding="utf-8") as stream:
        json.dump(more, stream)
    real.replace(layers.scratch + MORE + f".{os.getpid()}", layers.scratch + MORE)
    settings = {
        "scratch": layers.scratch,
        "allow": allow,
        "started": layers.started,
        "allow_subprocess": allow_subprocess,
    }
    return {VARIABLE: json.dumps(settings), "PYTHONPATH": folder}


def joined(environment: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """`environment` with what a child needs; its own PYTHONPATH stays, behind ours."""
    result = dict(environment)
    folder = wanted["PYTHONPATH"]
    path = [part for part in result.get("PYTHONPATH", "").split(os.pathsep) if part]
    if folder not in path:
        path.insert(0, folder)
    result["PYTHONPATH"] = os.pathsep.join(path)
    result[VARIABLE] = wanted[VARIABLE]
    for name, value in data.WORKER_ENV.items():
        result.setdefault(name, value.format(scratch=os.path.dirname(folder)))
    return result


def rejoin() -> None:
    """Activate the overlay that the environment names (called at a child's start)."""
    settings = json.loads(os.environ[VARIABLE])
    from pathlib import Path

    from . import activate
    from .past import PastSources, install

    with open(settings["scratch"] + MORE, encoding="utf-8") as stream:
        more = json.load(stream)
    past = PastSources(**more["past"]) if more["past"] else None
    activate(
        Path(settings["scratch"]),
        allow=tuple(Path(path) for path in settings["allow"]),
        started=settings["started"],
        allow_subprocess=settings["allow_subprocess"],
        inputs={path: tuple(known) for path, known in more["inputs"].items()},
        ended=more["ended"],
        past=past,
    )
    if past is not None:
        install(past)
    sys.dont_write_bytecode = True
