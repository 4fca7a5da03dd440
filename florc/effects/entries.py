"""Effect entries as text: what `florc effects` prints and what a warning proposes."""

from __future__ import annotations

import json
from dataclasses import replace

from florc.effects.model import Effect
from florc.effects.validate import EFFECT_FLAGS, EFFECT_LISTS


def render(effect: Effect) -> str:
    """An effect as a TOML table that says the same; no newline at the end."""
    lines = [f"[effects.{json.dumps(effect.name)}]"]
    for name in EFFECT_LISTS:
        values = getattr(effect, name)
        if not values or (name == "returns" and values == ("new",)):
            continue
        single = name == "returns" and len(values) == 1
        lines.append(f"{name} = {json.dumps(values[0] if single else list(values))}")
    for name, text in (("type", effect.type), ("parameters", " ".join(effect.parameters))):
        lines += [f'{name} = "{text}"'] if text else []
    lines += [f"{name} = true" for name in EFFECT_FLAGS if getattr(effect, name)]
    if len(lines) == 1:
        lines.append('returns = "new"')
    return "\n".join(lines)


def one_line(entry: str) -> str:
    """Tables of `render` without line breaks, for messages."""
    return " ".join(entry.split())


def mutating(effect: Effect | None, name: str, location: str) -> Effect:
    """The entry of call `name` with `location` among what it changes."""
    effect = replace(effect or Effect(name), name=name)
    others = tuple(m for m in effect.mutates if m.partition("*")[0] != location.partition("*")[0])
    return replace(effect, mutates=(*others, location))


def keeping(effect: Effect | None, name: str, location: str) -> Effect:
    """The entry of call `name` with `location` among what the object that it makes holds."""
    effect = replace(effect or Effect(name), name=name)
    return replace(effect, keeps=tuple(dict.fromkeys((*effect.keeps, location))))


def sharing(effect: Effect | None, name: str, location: str) -> Effect:
    """The entry of call `name` whose result shares memory with `location`."""
    return replace(effect or Effect(name), name=name, returns=(location.partition("*")[0],))


def unknown(name: str, locations: tuple[str, ...], makes: str = "") -> Effect:
    """An entry that says of an undescribed call what is assumed of it anyway."""
    deep = tuple(f"{location}*" for location in locations)
    kept = tuple(location for location in locations if location != "self")
    return Effect(name, mutates=deep, keeps=kept, type=makes)
