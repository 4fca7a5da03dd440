"""Where captured values go: to the session, with the place of the call in the user's code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..places import relative

if TYPE_CHECKING:
    from florc.logcalls.model import LogCall

    from ..session import Session
    from .values import Named, Reader

DEPTH = 40
"""Frames between a call that logs and the project's own code, at most."""

LIMIT = 1000
"""Times that one call is kept at one loop position, if it is by means that serve other ends too
(`callers = "project"`): a loop that writes a file of predictions isn't logging."""

TRACKED = 100 * LIMIT
"""The same for calls of trackers, whose loops may be a library's, without positions."""


class Keeper:
    """Hands on what calls log, but for calls within such calls, other threads, and floods."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._thread = threading.get_ident()
        self._inside = False
        self._project: dict[str, str | None] = {}  # file name of code -> path in the project
        self._seen: dict[tuple[str, int], tuple[Any, int]] = {}

    # -- around a call -------------------------------------------------------------------------

    def open(self) -> bool:
        """Whether this call counts; then `done` or `closed` must follow."""
        if self._inside or threading.get_ident() != self._thread or not self.session.live():
            return False
        self._inside = True
        return True

    def in_loop(self) -> bool:
        """Whether a loop is being run."""
        return self.session.ctx is not None

    def closed(self) -> None:
        """The call raised: it has logged nothing."""
        self._inside = False

    def done(self, reader: Reader, args: tuple[Any, ...], kw: Mapping[str, Any]) -> None:
        """The call has returned."""
        try:
            place = self._place(reader, args, kw)
            if place is not None:
                self.keep(reader.read(args, kw), place, reader.call)
        except Exception as error:
            self.trouble(f"capturing what {reader.call.call} logs", error)
        finally:
            self._inside = False

    # -- values --------------------------------------------------------------------------------

    def keep(self, found: Iterable[Named], place: tuple[str, int], call: LogCall) -> None:
        """Log values, unless they are the loop's own counter or one place floods the store."""
        session = self.session
        ctx = session.ctx
        if ctx is None and call.loops_only:
            return
        known, count = self._seen.get(place, (None, 0))
        count = count + 1 if known is ctx else 1
        self._seen[place] = (ctx, count)
        limit = LIMIT if call.callers == "project" else TRACKED
        if count > limit:
            if count == limit + 1:
                session.note(
                    f"{place[0]}:{place[1]} logs over {limit} times at one loop position: "
                    "the rest isn't captured"
                )
            return
        loops = {ctx[1].lower()} if ctx is not None else set()
        outer = ctx[0] if ctx is not None else None
        while outer is not None:
            loops.add(outer[1].lower())
            outer = outer[0]
        for name, value in found:
            if name.lower() not in loops:
                session.captured(name, value, place)

    # -- places --------------------------------------------------------------------------------

    def _place(
        self, reader: Reader, args: tuple[Any, ...], kw: Mapping[str, Any]
    ) -> tuple[str, int] | None:
        """File and line of the call in the project; None: it doesn't count."""
        call = reader.call
        if call.place:
            file, line = (reader.given(parameter, args, kw) for parameter in call.place)
            inside = self._inside_project(str(file))
            if inside is None:
                return None if call.callers == "project" else (str(file), int(line))
            return inside, int(line)
        return self.caller(sys._getframe(2), call)

    def caller(self, frame: FrameType | None, call: LogCall) -> tuple[str, int] | None:
        """The innermost frame of the project at or around `frame`; None: it doesn't count.

        Where `callers` is "project", a call by a package that the project has called doesn't: it
        must be the first caller out of the library itself.
        """
        library = call.at[0].partition(".")[0].partition(":")[0]
        first: tuple[str, int] | None = None
        for _ in range(DEPTH):
            if frame is None:
                break
            file = frame.f_code.co_filename
            inside = self._inside_project(file)
            if inside is not None:
                return inside, frame.f_lineno
            name = str(frame.f_globals.get("__name__", ""))
            if not _ours(name) and name.partition(".")[0] != library:
                if call.callers == "project":
                    return None
                first = first or (file, frame.f_lineno)
            frame = frame.f_back
        return first or ("", 0)

    def _inside_project(self, file: str) -> str | None:
        if file not in self._project:
            self._project[file] = _of_project(self.session.project, file)
        return self._project[file]

    def trouble(self, doing: str, error: BaseException) -> None:
        """Something of ours failed; the script doesn't hear of it."""
        self.session.trouble(doing, error)


def _ours(name: str) -> bool:
    return name.startswith(("flor.runtime.", "florc."))


def _of_project(project: str, file: str) -> str | None:
    """`file` relative to the project, unless it belongs to an environment inside of it."""
    if not project or file.startswith("<"):
        return None
    found = relative(project, file)
    if found is None or "/site-packages/" in f"/{found}" or "/dist-packages/" in f"/{found}":
        return None
    return None if found.startswith(".flor/") else found
