"""Which files a project brings along: `[tool.florc]` of its pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from florc.effects.validate import EffectsError, TOMLDecodeError, parse, toml_problem

SETTINGS = frozenset({"effects", "log-calls", "version-file-mb", "version-total-mb"})
"""Keys of `[tool.florc]`; the last two are the run time's (docs/versions.md)."""


def configured_effects(root: Path) -> tuple[Path, ...]:
    """The effect files that the project at `root` names, absolute; their content isn't looked at.

    Raises EffectsError when pyproject.toml mentions florc and isn't right.
    """
    return _configured(root, "effects")


def configured_log_calls(root: Path) -> tuple[Path, ...]:
    """The same of files that describe calls that log (docs/capture.md)."""
    return _configured(root, "log-calls")


def _configured(root: Path, setting: str) -> tuple[Path, ...]:
    """The files of one setting.

    Raises EffectsError when pyproject.toml mentions florc and isn't right.
    """
    file = root / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    if "florc" not in text:  # most projects: nothing to parse
        return ()
    try:
        data = parse(text)
    except TOMLDecodeError as error:
        raise EffectsError(str(file), *toml_problem(error)) from None
    ours = data.get("tool", {}).get("florc", {}) if isinstance(data.get("tool", {}), dict) else {}
    if not isinstance(ours, dict):
        raise EffectsError(str(file), 0, "[tool.florc] must be a table")
    for key in ours:
        if key not in SETTINGS:
            raise EffectsError(str(file), _line(text, key), f"[tool.florc] {key} isn't a setting")
    names = ours.get(setting, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = f"[tool.florc] {setting} must be a list of file names"
        raise EffectsError(str(file), _line(text, setting), message)
    found = []
    for name in names:
        path = root / name
        if not path.is_file():
            message = f"[tool.florc] {setting}: there is no file {name}"
            raise EffectsError(str(file), _line(text, setting), message)
        found.append(path.resolve())
    return tuple(found)


def _line(text: str, key: str) -> int:
    """The line of a setting in `[tool.florc]`; 0 if it isn't written in a usual way."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        code = line.strip()
        if code.startswith("["):
            inside = code.partition("]")[0].strip("[ ") == "tool.florc"
        elif inside and code.partition("=")[0].strip().strip("\"'") == key:
            return number
    return 0
