"""How much of a project a version may hold: `[tool.florc]` of its pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from .listing import FILE_LIMIT, TOTAL_LIMIT, Limits


def limits_of(root: Path) -> Limits:
    """The limits for the project at `root`; a file that is wrong counts as none."""
    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return Limits()
    if "version-" not in text or "florc" not in text:
        return Limits()
    from florc.effects.validate import TOMLDecodeError, parse

    try:
        ours = parse(text).get("tool", {}).get("florc", {})
        return Limits(
            _bytes(ours.get("version-file-mb"), FILE_LIMIT),
            _bytes(ours.get("version-total-mb"), TOTAL_LIMIT),
        )
    except (TOMLDecodeError, AttributeError):
        return Limits()


def _bytes(megabytes: object, default: int) -> int:
    if isinstance(megabytes, (int, float)) and not isinstance(megabytes, bool) and megabytes >= 0:
        return int(megabytes * 1e6)
    return default
