"""TensorBoard's event files, written and read without TensorBoard.

An event is a protocol buffer; what TensorBoard doesn't know of (loop positions, all iterations,
exact values) is packed JSON in the second event, in a field that its readers skip.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FlorError
from ..store.rows import Run
from .framing import Damaged, event_records, framed
from .runs import Foreign, Value, by_step
from .wire import BYTES, Malformed, chunk, double, fields, integer, signed, single, text

VERSION = "brain.Event:2"
OURS = 20119
"""The number of our own field of an event."""

WALL_TIME, STEP, FILE_VERSION, SUMMARY = 1, 2, 3, 5
VALUE = 1
TAG, SIMPLE, TENSOR, METADATA = 1, 2, 8, 9
PLUGIN, PLUGIN_NAME = 1, 1
DTYPE, SHAPE, CONTENT = 1, 2, 4
STRING = 7
DIM, SIZE = 2, 1

# TensorProto: dtype -> (how its content is packed, the field of single values)
_TYPES = {
    1: ("f", 5), 2: ("d", 6), 3: ("i", 7), 4: ("B", 7), 5: ("h", 7), 6: ("b", 7), 9: ("q", 10),
    10: ("?", 11), 17: ("H", 7), 19: ("e", 13), 22: ("I", 15), 23: ("Q", 16),
}  # fmt: skip


# -- writing ---------------------------------------------------------------------------------------


def write(
    folder: Path,
    run: Run,
    values: list[Value],
    iterations: list[Any],
    times: tuple[float, float],
) -> tuple[int, int]:
    """Write one run to `folder`; (values written, values that an event file can't hold)."""
    started = times[0]
    held = [value for value in values if isinstance(value.value, (bool, int, float, str))]
    described: set[str] = set()
    events = [_event(started, 0, chunk(FILE_VERSION, VERSION))]
    events.append(_event(started, 0, _ours(run, held, iterations, times)))
    events += [_value(value, described) for value in held]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{int(started)}.flor.{run.run}"
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(b"".join(map(framed, events)))
    os.replace(part, path)
    return len(held), len(values) - len(held)


def _event(moment: float, step: int, *parts: bytes) -> bytes:
    return double(WALL_TIME, moment) + (integer(STEP, step) if step else b"") + b"".join(parts)


def _ours(
    run: Run, values: list[Value], iterations: list[Any], times: tuple[float, float]
) -> bytes:
    """All that the other events say, exactly."""
    places = {at: number for number, (at, _) in enumerate(iterations)}
    facts = {
        "started": times[0], "ended": times[1], "status": run.status, "args": dict(run.args),
        "iterations": iterations,
        "values": [[v.name, v.value, places.get(v.at, -1), v.time] for v in values],
    }  # fmt: skip
    return chunk(OURS, zlib.compress(json.dumps(facts, default=str).encode("utf-8"), 6))


def _value(value: Value, described: set[str]) -> bytes:
    exact = value.value
    if isinstance(exact, str):
        shape = chunk(SHAPE, chunk(DIM, integer(SIZE, 1)))
        shown = chunk(TENSOR, integer(DTYPE, STRING) + shape + chunk(8, exact))
        if value.name not in described:
            described.add(value.name)
            shown += chunk(METADATA, chunk(PLUGIN, chunk(PLUGIN_NAME, "text")))
    else:
        try:
            shown = single(SIMPLE, float(exact))
        except OverflowError:
            shown = single(SIMPLE, float("inf") if exact > 0 else float("-inf"))
    summary = chunk(SUMMARY, chunk(VALUE, chunk(TAG, value.name) + shown))
    return _event(value.time, value.step, summary)


# -- reading ---------------------------------------------------------------------------------------


def read(place: Path) -> Iterator[Foreign]:
    """A run for each folder below `place` that has event files.  Raises FlorError."""
    if not place.exists():
        raise FlorError(f"there is no {place}")
    files = [place] if place.is_file() else sorted(place.rglob("*tfevents*"))
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if file.is_file() and not file.name.startswith("."):
            folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise FlorError(f"there are no event files (*tfevents*) in {place}")
    for folder, found in sorted(folders.items()):
        name = os.path.relpath(folder, place) if folder != place else folder.resolve().name
        yield _Reader(f"tensorboard {folder.resolve()}", name).read(found)


class _Reader:
    """Reads the event files of one run."""

    def __init__(self, source: str, name: str) -> None:
        self.run = Foreign(source, name)
        self.points: dict[str, list[tuple[int, float, Any]]] = {}
        self.plugins: dict[str, str] = {}

    def read(self, files: list[Path]) -> Foreign:
        """The run."""
        run = self.run
        for file in files:
            try:
                for record in event_records(file.read_bytes()):
                    if self._event(record):
                        break  # ours says it all
            except (Damaged, Malformed) as error:
                run.problem = f"{file.name} is {error}: what comes after it wasn't read"
            except OSError as error:
                raise FlorError(f"can't read {file}: {error.strerror or error}") from None
        run.values += by_step(self.points)
        times = [value.time for value in run.values]
        if times and run.started is None:
            run.started, run.ended = min(times), max(times)
        return run

    def _event(self, record: bytes) -> bool:
        """Read one event; whether it is ours, which stands for all."""
        moment, step = 0.0, 0
        summaries: list[bytes] = []
        for number, kind, value in fields(record):
            if number == WALL_TIME and isinstance(value, bytes):
                (moment,) = struct.unpack("<d", value)
            elif number == STEP and isinstance(value, int):
                step = signed(value)
            elif number == SUMMARY and isinstance(value, bytes):
                summaries.append(value)
            elif number == OURS and kind == BYTES and isinstance(value, bytes):
                if self._ours(value):
                    return True
        for summary in summaries:
            for number, _, value in fields(summary):
                if number == VALUE and isinstance(value, bytes):
                    self._value(value, step, moment)
        return False

    def _ours(self, packed: bytes) -> bool:
        """What we have written for ourselves; False if it isn't that."""
        try:
            facts = json.loads(zlib.decompress(packed))
            iterations = [
                (tuple((str(loop), int(index), counter) for loop, index, counter in at), moment)
                for at, moment in facts["iterations"]
            ]
            values = [
                Value(str(name), value, iterations[place][0] if place >= 0 else (), moment)
                for name, value, place, moment in facts["values"]
            ]
        except (zlib.error, ValueError, KeyError, TypeError, IndexError):
            return False
        run = self.run
        run.started, run.ended, run.status = facts["started"], facts["ended"], facts["status"]
        run.args = {k: v for k, v in facts["args"].items() if k != "run_name"}
        run.iterations += iterations
        run.values += values
        return True

    def _value(self, data: bytes, step: int, moment: float) -> None:
        tag, found, tensor = "", None, b""
        for number, _, value in fields(data):
            if number == TAG:
                tag = text(value)
            elif number == SIMPLE and isinstance(value, bytes):
                (found,) = struct.unpack("<f", value)
            elif number == TENSOR and isinstance(value, bytes):
                tensor = value
            elif number == METADATA and isinstance(value, bytes):
                self.plugins[tag] = _plugin(value)
        if tensor and self.plugins.get(tag, "scalars") in ("scalars", "text"):
            found = _content(tensor)
        if found is None:
            self.run.left_out += 1
        else:
            self.points.setdefault(tag, []).append((step, moment, found))


def _plugin(metadata: bytes) -> str:
    for number, _, value in fields(metadata):
        if number == PLUGIN and isinstance(value, bytes):
            for inner, _, name in fields(value):
                if inner == PLUGIN_NAME:
                    return text(name)
    return ""


def _content(tensor: bytes) -> Any:
    """The one number of a tensor, or its text; None for anything else."""
    found = list(fields(tensor))
    dtype = next((value for number, _, value in found if number == DTYPE), 0)
    if dtype == STRING:
        texts = [text(value) for number, _, value in found if number == 8]
        return "\n".join(texts) if texts else None
    how, single_field = _TYPES.get(int(dtype) if isinstance(dtype, int) else 0, ("", 0))
    if not how:
        return None
    for number, kind, value in found:
        if number == CONTENT and isinstance(value, bytes) and value:
            return _unpacked(how, value)
        if number == single_field:
            if isinstance(value, int):
                return _of_integer(how, value)
            if kind != BYTES or how in "fd":
                return _unpacked(how, value)
            numbers = [n for _, _, n in fields(b"".join(b"\x08" + n for n in _varints(value)))]
            if len(numbers) == 1 and isinstance(numbers[0], int):
                return _of_integer(how, numbers[0])
            return None
    return None


def _varints(data: bytes) -> Iterator[bytes]:
    """The integers that are packed in a field, each as it is written."""
    begin = 0
    for at, byte in enumerate(data):
        if byte < 0x80:
            yield data[begin : at + 1]
            begin = at + 1


def _of_integer(how: str, value: int) -> Any:
    """A number that is written as an integer; halves as their bits."""
    if how == "?":
        return bool(value)
    if how == "e":
        return struct.unpack("<e", struct.pack("<H", value & 0xFFFF))[0]
    return value if how == "Q" else signed(value)


def _unpacked(how: str, data: bytes) -> Any:
    if len(data) != struct.calcsize(f"<{how}"):
        return None
    return struct.unpack(f"<{how}", data)[0]
