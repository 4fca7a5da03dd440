"""wandb's offline folders, read without wandb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FlorError
from .framing import Damaged, wandb_records
from .runs import Foreign, by_step, kept
from .wire import Malformed, fields, signed, text

# Record, and what of it is read.
HISTORY, CONFIG, RUN, EXIT = 2, 5, 17, 18
ITEM, STEP, NUM = 1, 2, 1
KEY, NESTED, JSON = 1, 2, 16
UPDATE = 1
RUN_CONFIG, DISPLAY_NAME, START_TIME = 4, 8, 17
SECONDS, NANOS = 1, 2
EXIT_CODE = 1


def read(place: Path) -> Iterator[Foreign]:
    """A run for each `run-*.wandb` at or below `place`.  Raises FlorError."""
    if not place.exists():
        raise FlorError(f"there is no {place}")
    files = [place] if place.is_file() else sorted(place.rglob("run-*.wandb"))
    seen: set[Path] = set()
    for file in files:
        real = file.resolve()  # wandb/latest-run is a link
        if real not in seen:
            seen.add(real)
            yield _Reader(real).read()
    if not seen:
        raise FlorError(f"there are no offline runs of wandb (run-*.wandb) in {place}")


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.run = Foreign("", file.stem.removeprefix("run-"))
        self.id = self.run.name
        self.points: dict[str, list[tuple[int, float, Any]]] = {}

    def read(self) -> Foreign:
        """The run."""
        run = self.run
        try:
            for record in wandb_records(self.file.read_bytes()):
                self._record(record)
        except (Damaged, Malformed) as error:
            run.problem = f"{self.file.name} is {error}: what comes after it wasn't read"
        except OSError as error:
            raise FlorError(f"can't read {self.file}: {error.strerror or error}") from None
        run.source = f"wandb {self.file}"
        run.values = by_step(self.points)
        if run.values:
            run.ended = max(value.time for value in run.values)
        return run

    def _record(self, record: bytes) -> None:
        for number, _, value in fields(record):
            if not isinstance(value, bytes):
                continue
            if number == HISTORY:
                self._history(value)
            elif number == CONFIG:
                self._config(value)
            elif number == RUN:
                self._about(value)
            elif number == EXIT:
                code = next((v for n, _, v in fields(value) if n == EXIT_CODE), 0)
                self.run.exit_code = signed(int(code)) if isinstance(code, int) else None
                self.run.status = "failed" if self.run.exit_code else "finished"

    def _history(self, data: bytes) -> None:
        step: int | None = None
        found: dict[str, Any] = {}
        for number, _, value in fields(data):
            if number == ITEM and isinstance(value, bytes):
                name, content = _item(value)
                found[name] = content
            elif number == STEP and isinstance(value, bytes):
                step = next((signed(int(v)) for n, _, v in fields(value) if n == NUM), 0)  # type: ignore[arg-type]
        moment = found.pop("_timestamp", 0.0)
        given = found.pop("_step", None)
        step = given if step is None and isinstance(given, int) else step
        for name, content in found.items():
            if name.startswith("_"):
                continue
            if isinstance(content, str) and content in ("NaN", "Infinity", "-Infinity"):
                content = float(content)
            if kept(content):
                self.points.setdefault(name, []).append((step or 0, float(moment), content))
            else:
                self.run.left_out += 1

    def _config(self, data: bytes) -> None:
        for number, _, value in fields(data):
            if number == UPDATE and isinstance(value, bytes):
                name, content = _item(value)
                if name != "_wandb":
                    self.run.args[name] = content

    def _about(self, data: bytes) -> None:
        for number, _, value in fields(data):
            if not isinstance(value, bytes):
                continue
            if number == RUN_CONFIG:
                self._config(value)
            elif number == DISPLAY_NAME and value:
                self.run.name = text(value)
            elif number == START_TIME:
                parts = {n: v for n, _, v in fields(value) if isinstance(v, int)}
                self.run.started = parts.get(SECONDS, 0) + parts.get(NANOS, 0) / 1e9


def _item(data: bytes) -> tuple[str, Any]:
    """Name and content of a history or config item."""
    key, nested, content = "", [], None
    for number, _, value in fields(data):
        if number == KEY:
            key = text(value)
        elif number == NESTED:
            nested.append(text(value))
        elif number == JSON:
            try:
                content = json.loads(text(value))
            except ValueError:
                content = None
    return key or ".".join(nested), content
