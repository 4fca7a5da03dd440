"""Calls that log, read from TOML: which of their parameters carry names and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from florc.effects.validate import (
    EffectsError,
    TOMLDecodeError,
    line_of,
    parse,
    toml_problem,
    unknown_field,
)

OURS = Path(__file__).with_name("logcalls.toml")


@dataclass(frozen=True)
class LogCall:
    """One function or method that logs.  docs/capture.md describes the fields."""

    call: str  # qualified name, as scripts know it
    at: tuple[str, ...] = ()  # where it is defined, "module:Class.method": the first that exist
    also: tuple[str, ...] = ()  # other qualified names
    parameters: tuple[str, ...] = ()  # in order, without self
    name: str = ""  # the parameter that holds the name
    value: str = ""  # … the value
    values: str = ""  # … a mapping from names to values
    under: str = ""  # … what stands in front of each name, with a "/"
    message: str = ""  # … a text that may hold numbers with names
    arguments: str = ""  # … what is put into the text by `%`
    place: tuple[str, ...] = ()  # … the file and the line of the call
    prefix: str = ""  # in front of names
    nested: str = ""  # what joins the names of mappings in mappings; "": these aren't kept
    keywords: bool = False  # keyword arguments besides the parameters are names and values
    numbers: bool = False  # text that reads as a number is one
    header: bool = False  # a mapping of names to themselves is a heading
    callers: str = "any"  # "any", or "project": calls by installed packages don't count
    loops_only: bool = False  # calls outside of all loops don't count
    rows: Mapping[str, str] | None = None  # methods of what is returned: "one" row, or "many"


_KNOWN = tuple(field.name for field in fields(LogCall) if field.name != "call")
_LISTS = ("at", "also", "parameters", "place")
_FLAGS = ("keywords", "numbers", "header", "loops_only")
_PARAMETERS = ("name", "value", "values", "under", "message", "arguments")


def load_log_calls(files: Iterable[Path] = ()) -> dict[str, LogCall]:
    """Ours and those of `files`, by qualified name; later files win, and `call = false` forgets.

    Raises EffectsError.
    """
    found: dict[str, LogCall] = {}
    for path in (OURS, *files):
        for name, call in _read(path).items():
            if call is None:
                found.pop(name, None)
            else:
                found[name] = call
    return found


def _read(path: Path) -> dict[str, LogCall | None]:
    try:
        text = path.read_text(encoding="utf-8")
        data = parse(text)
    except TOMLDecodeError as error:
        raise EffectsError(str(path), *toml_problem(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise EffectsError(str(path), 0, f"can't be read: {error}") from None
    for table in data:
        if table != "calls":
            raise EffectsError(str(path), line_of(text, (table,), ""), f"unknown table [{table}]")
    calls = data.get("calls", {})
    if not isinstance(calls, dict):
        raise EffectsError(str(path), line_of(text, ("calls",), ""), "calls must be a table")
    found: dict[str, LogCall | None] = {}
    for name, values in calls.items():
        if values is False:
            found[name] = None
            continue
        field, problem = _problem(values)
        if problem:
            line = line_of(text, ("calls", name), field)
            raise EffectsError(str(path), line, f"[calls.{name!r}] {problem}")
        found[name] = _made(name, values)
    return found


def _made(name: str, values: Mapping[str, Any]) -> LogCall:
    given: dict[str, Any] = {"at": _place(name), **values}
    for field in _LISTS:
        if field in given:
            items = given[field]
            given[field] = (items,) if isinstance(items, str) else tuple(items)
    return LogCall(name, **given)


def _place(name: str) -> str:
    """Where a call of that name is defined: classes begin with a capital letter."""
    parts = name.split(".")
    end = next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return f"{'.'.join(parts[:end])}:{'.'.join(parts[end:])}"


def _problem(values: Any) -> tuple[str, str]:
    """(field, what is wrong with it) of the first thing that is."""
    if not isinstance(values, dict):
        return "", "must be a table, or false"
    for field, value in values.items():
        problem = _field_problem(field, value)
        if problem:
            return field, f"{field} {problem}"
    for field in _PARAMETERS:
        if values.get(field) and values[field] not in values.get("parameters", ()):
            return field, f"{field}: {values[field]!r} is not among the parameters"
    if bool(values.get("value")) and not values.get("name"):
        return "value", "value needs a name"
    if not any(values.get(f) for f in ("value", "values", "message", "keywords", "rows")):
        return "", "says of no value where it is: value, values, message, keywords or rows"
    return "", ""


def _field_problem(field: str, value: Any) -> str:
    if field in _FLAGS:
        return "" if isinstance(value, bool) else "must be true or false"
    if field == "rows":
        good = isinstance(value, dict) and all(v in ("one", "many") for v in value.values())
        return "" if good else 'must be a table of method names and "one" or "many"'
    if field == "callers":
        return "" if value in ("any", "project") else 'must be "any" or "project"'
    if field in _LISTS:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            return "must be a string or a list of strings"
        if field == "at" and not all(
            a.count(":") == 1 and all(a.split(":")) and " " not in a for a in items
        ):
            return 'must be of the form "module:Class.method"'
        return "must have a file and a line" if field == "place" and len(items) != 2 else ""
    if field not in _KNOWN:
        return unknown_field(field, _KNOWN)
    return "" if isinstance(value, str) else "must be a string"
