"""Keeping the version of a run: looked at before the script begins, written beside it.

The files are listed, read and named before any code of the user's runs, so that the version is
what was there then.  Writing what git hasn't got is done at once if it is little, else in a thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..versions.snapshot import Snapshot

AT_ONCE = 4_000_000
"""Bytes; git takes some hundredths of a second for as much."""


class VersionKeeper:
    """The version of one run, from the look to the store.  Only `look` and `keep` may raise."""

    def __init__(self, root: Path, note: Callable[[str], None]) -> None:
        self.root = root
        self.note = note
        self.snapshot: Snapshot | None = None
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def looking(self, files: Iterable[Path]) -> Iterator[None]:
        """`look`, while the body does something else (waiting for git, say).  Doesn't raise."""
        thread = threading.Thread(target=self._quietly, args=(self.look, list(files)))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def look(self, files: Iterable[Path]) -> None:
        """Read the project; `files` are the modules that the script reaches."""
        from ..places import relative
        from ..versions import git
        from ..versions.settings import limits_of
        from ..versions.snapshot import left_out_message, take

        limits = limits_of(self.root)
        reached = (relative(self.root, file) for file in files)
        try:
            self.snapshot = take(self.root, [path for path in reached if path], limits)
        except git.GitError:
            return  # no git: the store has the texts of the modules
        message = left_out_message(self.snapshot.listing.left_out, limits)
        if message:
            self.note(message)

    def keep(self, run: int) -> None:
        """Write the version and tell the store; may go on in the background."""
        if self.snapshot is None:
            return
        if self.snapshot.fresh <= AT_ONCE:
            self._keep(self.snapshot, run)
            return
        self._thread = threading.Thread(
            target=self._quietly, args=(self._keep, self.snapshot, run), daemon=True
        )
        self._thread.start()

    def _keep(self, snapshot: Snapshot, run: int) -> None:
        from ..store import Store

        kept = snapshot.keep()
        with Store.open(self.root) as store:
            store.put_snapshot(run, kept)
        self.snapshot = None  # and the contents with it

    def _quietly(self, function: Callable[..., None], *args: object) -> None:
        try:
            function(*args)
        except Exception as error:
            self.note(f"keeping the version failed: {error}")

    def close(self, timeout: float) -> None:
        """Wait for the background."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                self.note("the version could not be kept in time")
