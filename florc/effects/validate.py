"""Whether an effects file is of the documented form; what isn't is told with its line."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

TOMLDecodeError = tomllib.TOMLDecodeError
parse = tomllib.loads

STREAMS = ("python", "numpy", "torch", "cuda")

LOCATION_FIELDS = ("mutates", "keeps", "kills_grads", "advances")
EFFECT_LISTS = ("mutates", "keeps", "returns", "draws", "calls", "advances", "kills_grads")
EFFECT_FLAGS = (
    *("trains", "reads_grads", "sink", "swallows", "clock", "reads_files"),
    *("modes", "training_only", "no_grad", "lasting", "process", "transparent"),
)
EFFECT_TEXTS = ("type", "parameters", "note")
TYPE_LISTS = (
    *("bases", "scalars", "own", "lacks", "holds", "collates", "iterable_calls"),
    "iteration_draws",
)
TYPE_FLAGS = (
    *("sink", "immutable", "closed", "closed_base", "entries", "shares", "plain", "stream"),
    *("codeless", "restless", "gives"),
)
TYPE_TEXTS = ("api", "elements", "parts", "note")

_ARGUMENT = r"(self|args|\d+|[A-Za-z_]\w*)"
_LOCATION = re.compile(rf"{_ARGUMENT}(\*[\w.]*)?(\?\w+)?")
_KEPT = re.compile(rf"(flat:|drained:|fields:|\w+=)?{_ARGUMENT}\*?(\?\w+)?")
_CALLED = re.compile(rf"(elem:|each:)?{_ARGUMENT}(\.\w+)?\*?(@\w+(,\w+)?)?(\?\w+)?")
_RESULT = re.compile(
    rf"none|new|called|each:args|(elem:|part:|holder:|sum:|call:|copy:|deepcopy:|pairs:|values:|holding:|groups:|tees:)?{_ARGUMENT}\*?(\?\w+)?"
)


class EffectsError(ValueError):
    """A broken effects file: `file`, `line` (0: not known) and `message`, one line (FLR007)."""

    def __init__(self, file: str, line: int, message: str) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {message}")
        self.file, self.line, self.message = file, line, message


def check(path: Path, text: str, data: Mapping[str, Any]) -> None:
    """Raise EffectsError for the first thing in a parsed file that isn't an effect or a type."""
    for table in data:
        if table not in ("types", "effects", "aliases", "constants"):
            raise _error(path, text, (table,), "", f"unknown table [{table}]")
    aliases = data.get("aliases", {})
    if not isinstance(aliases, dict):
        raise _error(path, text, ("aliases",), "", "aliases must be a table")
    for name, usual in aliases.items():
        if not isinstance(usual, str) or usual.startswith(f"{name}."):
            message = f"[aliases] {name!r} must be another qualified name"
            raise _error(path, text, ("aliases", name), "", message)
    constants = data.get("constants", {})
    if not isinstance(constants, dict):
        raise _error(path, text, ("constants",), "", "constants must be a table")
    for name, values in constants.items():
        problem = _not_strings(values)
        if problem:
            raise _error(path, text, ("constants", name), "", f"[constants] {name!r} {problem}")
    for table, entry in (("types", _type_problem), ("effects", _effect_problem)):
        content = data.get(table, {})
        if not isinstance(content, dict):
            raise _error(path, text, (table,), "", f"{table} must be a table")
        for name, values in content.items():
            if not isinstance(values, dict):
                message = f"[{table}.{name!r}] must be a table"
                raise _error(path, text, (table, name), "", message)
            for field, value in values.items():
                problem = entry(field, value)
                if problem:
                    message = f"[{table}.{name!r}] {field} {problem}"
                    raise _error(path, text, (table, name), field, message)


def _effect_problem(field: str, value: Any) -> str:
    if field in EFFECT_FLAGS:
        return "" if isinstance(value, bool) else "must be true or false"
    if field in EFFECT_TEXTS:
        return "" if isinstance(value, str) else "must be a string"
    if field not in EFFECT_LISTS:
        return unknown_field(field, (*EFFECT_LISTS, *EFFECT_FLAGS, *EFFECT_TEXTS))
    problem = _not_strings(value)
    if problem:
        return problem
    items = [value] if isinstance(value, str) else value
    if field == "draws":
        wrong = [s for s in items if s not in STREAMS]
        return f"has the unknown RNG stream {wrong[0]!r}" if wrong else ""
    pattern, what = _LOCATION, "a location"
    if field == "returns":
        pattern, what = _RESULT, "a result"
    elif field == "calls":
        pattern = _CALLED
    elif field == "keeps":
        pattern = _KEPT
    wrong = [s for s in items if not pattern.fullmatch(s)]
    return f"has {wrong[0]!r}, which isn't {what}" if wrong else ""


def _type_problem(field: str, value: Any) -> str:
    if field in TYPE_FLAGS:
        return "" if isinstance(value, bool) else "must be true or false"
    if field in TYPE_TEXTS:
        return "" if isinstance(value, str) else "must be a string"
    if field not in TYPE_LISTS:
        return unknown_field(field, (*TYPE_LISTS, *TYPE_FLAGS, *TYPE_TEXTS))
    problem = _not_strings(value)
    if not problem and field == "iteration_draws":
        wrong = [s for s in ([value] if isinstance(value, str) else value) if s not in STREAMS]
        return f"has the unknown RNG stream {wrong[0]!r}" if wrong else ""
    return problem


def _not_strings(value: Any) -> str:
    if isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(v, str) for v in value)
    ):
        return ""
    return "must be a string or a list of strings"


def unknown_field(field: str, known: tuple[str, ...]) -> str:
    """What is said of a field that there isn't."""
    from difflib import get_close_matches

    close = get_close_matches(field, known, 1)
    return "is not a known field" + (f" (did you mean {close[0]}?)" if close else "")


def _error(path: Path, text: str, keys: tuple[str, ...], field: str, message: str) -> EffectsError:
    return EffectsError(str(path), line_of(text, keys, field), message)


def line_of(text: str, keys: tuple[str, ...], field: str) -> int:
    """The line of a table (`keys` from the top), or of a field in it; 0 if it isn't found.

    TOML parsers don't tell, and a table may be written in several ways.
    """
    lines = text.splitlines()
    table = keys[0]
    inside = False  # in `[table]`, where an entry is a line of its own
    found = 0
    for number, line in enumerate(lines, 1):
        code = line.strip()
        if code.startswith("["):
            if found:
                return found  # the entry ended without the field: it was written inline
            header = code.strip("[] ").partition("#")[0]
            inside = _same_key(header, table)
            if len(keys) == 1 and header.partition(".")[0].strip(" \"'") == table:
                return number
            if len(keys) > 1 and header.startswith(table):
                _, _, rest = header.partition(".")
                if _same_key(rest.rstrip("] "), keys[1]):
                    found = number
                    if not field:
                        return number
        elif found:
            if _same_key(code.partition("=")[0], field):
                return number
        elif len(keys) == 1:
            if _same_key(code.partition("=")[0], table):
                return number
        elif inside and _same_key(_first_key(code), keys[1]):
            return number
    return found


def _first_key(code: str) -> str:
    quote = code[:1]
    if quote in ("'", '"'):
        return code[: code.find(quote, 1) + 1]
    return code.partition("=")[0].partition(".")[0]


def _same_key(written: str, key: str) -> bool:
    return written.strip().strip("\"'") == key


def toml_problem(error: ValueError) -> tuple[int, str]:
    """(line, words) of what a TOML parser complains of; line 0 if it doesn't say."""
    message = " ".join(str(error).split())
    place = re.search(r" \(at line (\d+), column \d+\)$", message)
    if place is None:
        return 0, message
    return int(place[1]), message[: place.start()]
