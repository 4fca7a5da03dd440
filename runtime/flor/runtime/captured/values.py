"""What of a call's arguments is a value, and under which name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from florc.logcalls.model import LogCall

from . import messages

MISSING = object()
PLAIN = frozenset({float, int, str, bool})

_NUMBER = re.compile(r"\s*[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*")
_LONGEST = 40  # characters of a number

Named = tuple[str, Any]


class Reader:
    """Reads the arguments of one kind of call."""

    def __init__(self, call: LogCall, shift: int) -> None:
        """`shift`: how many positional arguments stand before the first parameter (self)."""
        self.call = call
        self._at = {name: place + shift for place, name in enumerate(call.parameters)}

    def given(self, parameter: str, args: tuple[Any, ...], kw: Mapping[str, Any]) -> Any:
        """The argument for a parameter; MISSING where the call leaves it to the default."""
        if parameter in kw:
            return kw[parameter]
        place = self._at[parameter]
        return args[place] if place < len(args) else MISSING

    def read(self, args: tuple[Any, ...], kw: Mapping[str, Any]) -> Iterator[Named]:
        """Names and values, in the order of the call."""
        call = self.call
        before = call.prefix
        if call.under:
            before += f"{self.given(call.under, args, kw)}/"
        if call.value:
            name, value = self.given(call.name, args, kw), self.given(call.value, args, kw)
            if isinstance(name, str):
                yield from self._kept(before + name, value)
        if call.values:
            yield from self.mapping(self.given(call.values, args, kw), before)
        if call.keywords:
            for name, value in kw.items():
                if name not in self._at:
                    yield from self._kept(before + name, value)
        if call.message:
            yield from self._message(args, kw)

    def mapping(self, values: Any, before: str = "") -> Iterator[Named]:
        """The entries of a mapping; of mappings in it, if they are to be flattened."""
        if not isinstance(values, Mapping):
            return
        if self.call.header and all(name == value for name, value in values.items()):
            return
        for name, value in values.items():
            if not isinstance(name, str):
                continue
            if self.call.nested and isinstance(value, Mapping):
                yield from self.mapping(value, f"{before}{name}{self.call.nested}")
            else:
                yield from self._kept(before + name, value)

    def row(self, header: tuple[str, ...], values: tuple[Any, ...]) -> Iterator[Named]:
        """A row's cells under the names of the columns."""
        for name, value in zip(header, values):
            yield from self._kept(self.call.prefix + name, value)

    def _message(self, args: tuple[Any, ...], kw: Mapping[str, Any]) -> Iterator[Named]:
        call = self.call
        text = self.given(call.message, args, kw)
        given: Any = self.given(call.arguments, args, kw) if call.arguments else ()
        given = () if given is MISSING else given
        if call.name:
            yield f"{call.prefix}{self.given(call.name, args, kw)}", messages.formatted(text, given)
        if isinstance(text, str):
            for name, value in messages.numbers(text, given):
                if not isinstance(value, str):  # "%d" % "text": logging complains by itself
                    yield from self._kept(name, value)

    def _kept(self, name: str, value: Any) -> Iterator[Named]:
        kept = plain(value)
        if kept is MISSING or not name:
            return
        if self.call.numbers and type(kept) is str:
            kept = number(kept)
        yield name, kept


def plain(value: Any) -> Any:
    """A number, a truth value or a text; MISSING for everything else.

    Tensors and arrays of one element count as their number; one on a device isn't waited for.
    """
    if type(value) in PLAIN:
        return value
    if value is None:
        return MISSING
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().reshape(()) if value.numel() == 1 else MISSING
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return value.reshape(()).item() if value.size == 1 else MISSING
    return value if isinstance(value, (bool, int, float, str)) else MISSING


def number(text: str) -> Any:
    """The number that a text is; a text that is none as it is ("007" is none)."""
    if len(text) > _LONGEST or _NUMBER.fullmatch(text) is None:
        return float(text) if text.strip().lower() in ("nan", "inf", "-inf") else text
    try:
        return int(text)
    except ValueError:
        return float(text)
