"""The write overlay: a replay re-executes the user's script and touches nothing of the user's.

Every write goes to a scratch folder, copy-on-write; reads see the scratch first, then the real
file.  What could not be redirected is refused with one line, `florc: replay blocked …`.  It works
on Linux, in the process that calls `activate` and in all Python processes that it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from . import children, data, guard, libraries, patches, real
from .data import TRACKER_ENV
from .layers import Layers, Recorded
from .past import PastSources
from .past import install as install_past

__all__ = ["TRACKER_ENV", "Overlay", "PastSources", "activate", "install_past", "tracker_env"]


class Overlay:
    """An active overlay: what the script wrote, and what it read that may be stale."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    @property
    def scratch(self) -> Path:
        """The scratch folder, without symbolic links."""
        return Path(self._layers.scratch)

    @property
    def stale_inputs(self) -> tuple[str, ...]:
        """Real files that were read and had changed since the recorded run began, in order.

        The content may be another than the recorded run saw.  Child processes are included.
        """
        self._layers.journal.refresh()
        return tuple(self._layers.journal.stale)

    def where(self, path: str | os.PathLike[str]) -> str:
        """The file that stands behind `path`; one that does not exist if there is none."""
        return self._layers.locate(self._layers.canonical(path))

    def reveal(self, paths: Iterable[str]) -> None:
        """Show again what was removed of `paths` (canonical) and below, in this process."""
        gone = self._layers.journal.gone
        for path in paths:
            for name in [g for g in gone if g == path or g.startswith(path + "/")]:
                gone.discard(name)

    def written(self) -> list[str]:
        """The user's names of all files that lie in the scratch, sorted."""
        found = []
        pending = [self._layers.upper]
        while pending:
            folder = pending.pop()
            with real.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        found.append(self._layers.logical(entry.path))
        return sorted(found)


_active: Overlay | None = None


def activate(
    scratch: Path,
    *,
    allow: tuple[Path, ...] = (),
    started: float,
    allow_subprocess: bool = False,
    on_stale: Callable[[str], None] | None = None,
    inputs: Mapping[str, Recorded] | None = None,
    ended: float = 0.0,
    past: PastSources | None = None,
) -> Overlay:
    """Redirect all writes of this process into `scratch`, for the rest of its life.

    `allow`: files and folders that may be written directly.  `started`: when the recorded run
    began, seconds since the epoch; a file read that changed later is stale, and `on_stale` is
    called with its path the first time; `inputs` are what the run read, `ended` is when it ended.
    `past`: where an older version's code is, for Python children.  `allow_subprocess`: do not
    refuse unknown commands.
    Raises RuntimeError when the process has an overlay, OSError when the scratch cannot be made.
    """
    global _active
    if _active is not None:
        raise RuntimeError("florc: the overlay is active already")
    allowed = tuple(real.resolved(os.fspath(path)) for path in allow)
    layers = Layers(os.fspath(scratch), allowed, started, on_stale, inputs, ended)
    sys.dont_write_bytecode = True
    wanted = children.prepare(layers, allowed, allow_subprocess, past)
    patches.install(layers, wanted, past)
    libraries.install(layers)
    guard.install(layers, allow_subprocess)
    _active = Overlay(layers)
    return _active


def tracker_env(scratch: Path) -> dict[str, str]:
    """Environment variables for a worker, so that trackers and caches stay in `scratch`."""
    both = {**data.TRACKER_ENV, **data.WORKER_ENV}
    return {name: value.format(scratch=scratch) for name, value in both.items()}
