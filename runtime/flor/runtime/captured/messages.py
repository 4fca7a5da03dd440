"""Numbers in log messages, where the message itself says what they are called.

`"epoch %d loss %.4f" % (3, 0.25)` has an epoch and a loss: a word stands right before each
directive.  In a text that is formatted already, "=" or ":" has to stand between name and number.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = r"[A-Za-z_][\w./-]*"
_DIRECTIVE = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?[#0 +-]*(?P<width>\*|\d+)?(?:\.(?P<digits>\*|\d+))?[hlL]?(?P<kind>.)"
)
_BEFORE = re.compile(rf"(?:^|[\s,;|(\[])({_NAME})\s?[:=]?\s*$")
_PAIR = re.compile(
    rf"(?:^|(?<=[\s,;|(\[]))(?P<name>{_NAME})\s?[:=]\s*"
    r"(?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)(?=$|[\s,;|)\]%]|\.(?:\s|$))"
)
_NUMERIC = "diufFeEgG"
_MAX_TEXT = 10_000


def formatted(text: Any, arguments: Any) -> str:
    """The message as `logging` makes it; where the arguments don't fit, the format itself."""
    message = str(text)
    if arguments:
        try:
            message = message % unpacked(arguments)
        except Exception:
            pass
    return message


def unpacked(arguments: Any) -> Any:
    """`logging` takes a single mapping for the arguments' names."""
    if isinstance(arguments, tuple) and len(arguments) == 1 and arguments[0]:
        if isinstance(arguments[0], Mapping):
            return arguments[0]
    return arguments


def numbers(text: str, arguments: Any) -> Iterator[tuple[str, Any]]:
    """(name, number) of each number whose name is unambiguous."""
    if len(text) > _MAX_TEXT:
        return
    if not arguments:
        yield from _in_text(text)
        return
    arguments = unpacked(arguments)
    for name, key in _in_format(text):
        try:
            yield name, arguments[key]
        except (KeyError, IndexError, TypeError):
            return


@functools.lru_cache(maxsize=512)
def _in_format(text: str) -> tuple[tuple[str, Any], ...]:
    """(name, place or key of the argument) of each numeric directive that has a name."""
    found: list[tuple[str, Any]] = []
    place, end = 0, 0
    for match in _DIRECTIVE.finditer(text.replace("%%", "\0\0")):
        place += (match["width"] == "*") + (match["digits"] == "*")
        before = _BEFORE.search(text[end : match.start()])
        after = text[match.end() : match.end() + 1]
        end = match.end()
        if match["kind"] in _NUMERIC and after not in ("/", ":"):
            if match["key"]:
                found.append((match["key"], match["key"]))
            elif before is not None:
                found.append((before[1].rstrip("./-"), place))
        place += match["key"] is None
    return _once(found)


@functools.lru_cache(maxsize=512)
def _pairs(text: str) -> tuple[tuple[str, Any], ...]:
    found = [
        (m["name"].rstrip("./-"), int(m["number"]) if m["number"].lstrip("+-").isdigit()
         else float(m["number"]))
        for m in _PAIR.finditer(text)
    ]  # fmt: skip
    return _once(found)


def _in_text(text: str) -> tuple[tuple[str, Any], ...]:
    return _pairs(text) if "=" in text or ":" in text else ()


def _once(found: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Without names that stand for several numbers."""
    names = [name for name, _ in found]
    return tuple((name, value) for name, value in found if names.count(name) == 1 and name)
