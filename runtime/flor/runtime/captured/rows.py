"""Writers of rows (csv.writer): the first row of texts names the columns of those that follow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .values import Reader

if TYPE_CHECKING:
    from florc.logcalls.model import LogCall

    from .keep import Keeper


class RowsOf:
    """Takes the place of the function that makes writers."""

    flor_captured = True

    def __init__(
        self, function: Callable[..., Any], call: LogCall, module: str, keeper: Keeper
    ) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "")
        self._call, self._module, self._keeper = call, module, keeper

    def __call__(self, *args: Any, **kw: Any) -> Any:
        made = self.__wrapped__(*args, **kw)
        frame = sys._getframe(1)
        inside = frame.f_globals.get("__name__") == self._module  # DictWriter's own
        if inside or self._keeper.caller(frame, self._call) is None:
            return made
        return Writer(made, self._call, self._keeper)


class Writer:
    """Writes rows as the writer in it does."""

    __slots__ = ("_made", "_call", "_keeper", "_reader", "_header", "__weakref__")

    def __init__(self, made: Any, call: LogCall, keeper: Keeper) -> None:
        self._made, self._call, self._keeper = made, call, keeper
        self._reader = Reader(call, 0)
        self._header: tuple[str, ...] | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._made, name)
        how = (self._call.rows or {}).get(name)
        if how == "one":
            return lambda row: self._one(found, row)
        return (lambda rows: self._many(found, rows)) if how == "many" else found

    def _one(self, write: Callable[[Any], Any], row: Any) -> Any:
        seen = row
        if not isinstance(row, (list, tuple)):
            try:
                seen = row = tuple(row)
            except TypeError:
                return write(row)  # its own complaint
        result = write(row)
        self._note(seen)
        return result

    def _many(self, write: Callable[[Any], Any], rows: Any) -> Any:
        return write(self._noted(rows)) if isinstance(rows, Iterable) else write(rows)

    def _noted(self, rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            if not isinstance(row, (list, tuple)) and isinstance(row, Iterable):
                row = tuple(row)
            yield row
            self._note(row)

    def _note(self, row: Any) -> None:
        """A row has been written."""
        try:
            if not isinstance(row, (list, tuple)) or not self._keeper.open():
                return
        except Exception:
            return
        try:
            if self._header is None:
                texts = bool(row) and all(type(cell) is str and cell for cell in row)
                self._header = tuple(row) if texts and len(set(row)) == len(row) else ()
            elif self._header and (self._keeper.in_loop() or not self._call.loops_only):
                place = self._keeper.caller(sys._getframe(1), self._call)
                if place is not None:
                    found = self._reader.row(self._header, tuple(row))
                    self._keeper.keep(found, place, self._call)
        except Exception as error:
            self._keeper.trouble(f"capturing what {self._call.call} writes", error)
        finally:
            self._keeper.closed()
