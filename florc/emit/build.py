"""The build folder: emitted variants, the plan, and what they were made from.

    build/record/<rel>  build/replay/<rel>   modules that had to change, in the user's encoding
    build/plan.json                          the plan of the script instrumented last
    build/stamp.json                         which files of the folder belong to that build
    build/cache/<key>.json                   per script: inputs, plan and texts in one file

The cache file is replaced atomically and holds everything a run needs, so a run never sees half of
one build and half of another, whatever other processes build meanwhile.  Checking whether a build
is fresh reads that file and hashes the sources; it imports neither libcst nor networkx.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import florc
from florc.compilation import Compilation
from florc.effects.configured import configured_effects, configured_log_calls
from florc.effects.validate import EffectsError
from florc.plan import Plan

LAYOUT = 2
VARIANTS = ("record", "replay")


@dataclass(frozen=True)
class Build:
    """A complete build: the plan with source maps, and the emitted texts by relative path."""

    plan: Plan
    record: dict[str, str]
    replay: dict[str, str]
    absent: tuple[str, ...] = ()  # places where modules were looked for, and nothing was
    unread: tuple[tuple[str, str], ...] = ()  # files that don't parse, with the hash of the bytes

    def texts(self, variant: str) -> dict[str, str]:
        """The emitted texts of one variant."""
        return self.record if variant == "record" else self.replay


def build_dir(root: Path) -> Path:
    """The default build folder of a project."""
    return root / ".flor" / "build"


def assemble(compilation: Compilation) -> Build:
    """Emit all variants and complete the plan's modules.  Raises emit.rewrite.EmitError."""
    touched = {edit.rel for edit in compilation.edits}
    texts: dict[str, dict[str, str]] = {variant: {} for variant in VARIANTS}
    maps: dict[str, Any] = {}
    if touched:
        from florc.emit.rewrite import EmitError, emit

        for module in compilation.modules:
            if module.rel not in touched:
                continue
            try:
                emitted = emit(module, compilation.edits, "record")
            except EmitError as error:
                error.rel = module.rel
                raise
            if emitted.text == module.text:
                continue
            # Both variants have the same text today; see emit().
            for variant in VARIANTS:
                texts[variant][module.rel] = emitted.text
            maps[module.rel] = emitted.source_map
    modules = tuple(
        replace(m, emitted=m.path in maps, source_map=maps.get(m.path, ()))
        for m in compilation.plan.modules
    )
    plan = replace(compilation.plan, modules=modules)
    return Build(plan, texts["record"], texts["replay"], compilation.absent, compilation.unread)


# -- freshness ---------------------------------------------------------------------------------


def fresh_build(
    root: Path,
    script: Path,
    *,
    module: str | None = None,
    effects: Sequence[Path] = (),
    directory: Path | None = None,
) -> Build | None:
    """The cached build of `script` if none of its inputs has changed since, else None.

    Inputs are the text of every project module, the effects files and florc itself.
    """
    data = _fresh_data(root, script, module, all_effects(root, effects), directory)
    return None if data is None else from_data(data)


def from_data(data: dict[str, Any]) -> Build | None:
    """A build that `to_data` rendered, None if the data is broken."""
    try:
        plan = Plan.from_json(json.dumps(data["plan"]))
        record, replay = data["record"], data["replay"]
        absent, unread = tuple(data["absent"]), tuple(data["unread"].items())
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Build(plan, record, record if replay is None else replay, absent, unread)


def to_data(build: Build) -> dict[str, Any]:
    """A build and what it was made from, for JSON."""
    return {
        "modules": {m.path: m.sha256 for m in build.plan.modules},
        "absent": build.absent,
        "unread": dict(build.unread),
        "plan": json.loads(build.plan.to_json()),
        "record": build.record,
        "replay": None if build.replay == build.record else build.replay,
    }


def same_inputs(data: dict[str, Any], root: Path) -> bool:
    """Whether the modules below `root` are those that a rendered build was made from."""
    try:
        return (
            all(same_text(root / rel, digest) for rel, digest in data["modules"].items())
            and all(file_hash(root / rel) == digest for rel, digest in data["unread"].items())
            and not any(os.path.lexists(root / rel) for rel in data["absent"])
        )
    except (KeyError, AttributeError, TypeError):
        return False


def is_stale(
    root: Path,
    script: Path,
    *,
    module: str | None = None,
    effects: Sequence[Path] = (),
    directory: Path | None = None,
) -> bool:
    """Whether the files in the build folder aren't those that instrumenting now would write."""
    files = all_effects(root, effects)
    if files is None or _fresh_data(root, script, module, files, directory) is None:
        return True
    folder = directory or build_dir(root)
    stamp = read_json(folder / "stamp.json")
    if stamp is None or stamp.get("key") != _key(root, script, module, files):
        return True
    outputs = stamp.get("outputs", {})
    return any(file_hash(folder / name) != digest for name, digest in outputs.items())


def all_effects(root: Path, extra: Sequence[Path]) -> Sequence[Path] | None:
    """The project's files that describe calls, then `extra`; None if its settings are wrong."""
    try:
        return (*configured_log_calls(root), *configured_effects(root), *extra)
    except EffectsError:
        return None  # compiling says what is wrong


def _fresh_data(
    root: Path,
    script: Path,
    module: str | None,
    effects: Sequence[Path] | None,
    directory: Path | None,
) -> dict[str, Any] | None:
    """The content of the cache file, provided that it is fresh."""
    if effects is None:
        return None
    folder = directory or build_dir(root)
    data = read_json(folder / "cache" / f"{_key(root, script, module, effects)}.json")
    if data is None or data.get("layout") != LAYOUT or data.get("florc") != fingerprint():
        return None
    try:
        if any(file_hash(Path(path)) != digest for path, digest in data["effects"].items()):
            return None
        if not same_inputs(data, root):
            return None
    except (KeyError, AttributeError):
        return None
    return data


def _key(root: Path, script: Path, module: str | None, effects: Sequence[Path]) -> str:
    """A short name for one way of instrumenting.  The order of effect files counts."""
    place = os.path.relpath(script.resolve(), root.resolve()).replace(os.sep, "/")
    parts = [place, module, [str(path.resolve()) for path in effects]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def fingerprint() -> str:
    """Identifies this florc (edits of its own files included) and this Python's grammar."""
    digest = hashlib.sha256(f"{florc.__version__} {sys.version_info[:2]}".encode())
    package = Path(florc.__file__).parent
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith((".py", ".toml")):
                status = os.stat(os.path.join(folder, name))
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str | None:
    """The hash of a file's bytes, None if it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def text_hash(text: str) -> str:
    """The hash that ModulePlan.sha256 holds."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def same_text(path: Path, digest: str) -> bool:
    """Whether the file's decoded text has that hash."""
    try:
        raw = path.read_bytes()
    except OSError:
        return False
    if hashlib.sha256(raw).hexdigest() == digest:  # plain UTF-8: the bytes are the text's
        return True
    try:
        return text_hash(raw.decode(_encoding(raw))) == digest
    except (SyntaxError, UnicodeError):
        return False


def _encoding(raw: bytes) -> str:
    """The encoding a Python source declares; "utf-8-sig" if it begins with a byte order mark."""
    return tokenize.detect_encoding(io.BytesIO(raw).readline)[0]


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


# -- writing -----------------------------------------------------------------------------------


def write(
    build: Build,
    root: Path,
    script: Path,
    *,
    module: str | None = None,
    effects: Sequence[Path] = (),
    directory: Path | None = None,
) -> Path:
    """Write a build and return its folder.  Files of an earlier build that aren't in this one go.

    Raises OSError.
    """
    folder = directory or build_dir(root)
    folder.mkdir(parents=True, exist_ok=True)
    if directory is None:
        _ignore(root / ".flor")
    plan = build.plan
    effects = all_effects(root, effects) or effects
    key = _key(root, script, module, effects)
    data = {
        "layout": LAYOUT,
        "florc": fingerprint(),
        "effects": {str(path.resolve()): file_hash(path) for path in effects},
        **to_data(build),
    }
    outputs: dict[str, bytes] = {"plan.json": plan.to_json().encode()}
    for variant in VARIANTS:
        for rel, text in build.texts(variant).items():
            outputs[f"{variant}/{rel}"] = encode(text, root / rel)
    with _locked(folder):
        # The cache first: whoever finds it has a whole build, even if we die before the rest.
        replace_file(folder / "cache" / f"{key}.json", json.dumps(data).encode())
        previous = read_json(folder / "stamp.json") or {}
        digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in outputs.items()}
        stamp = {"key": key, "script": plan.script, "outputs": digests}
        known = {**previous.get("outputs", {}), **digests}
        replace_file(folder / "stamp.json", _dump({"key": "", "outputs": known}))
        for name, raw in outputs.items():
            if previous.get("outputs", {}).get(name) != digests[name] or (
                file_hash(folder / name) != digests[name]
            ):
                replace_file(folder / name, raw)
        for name in set(known) - set(outputs):
            _remove(folder, name)
        replace_file(folder / "stamp.json", _dump(stamp))
    return folder


def encode(text: str, path: Path) -> bytes:
    """`text` in the encoding (and with the byte order mark) of the user's file at `path`."""
    try:
        encoding = _encoding(path.read_bytes())
    except (OSError, SyntaxError):
        encoding = "utf-8"
    return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")


def _dump(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def _ignore(folder: Path) -> None:
    """Keep `.flor` out of the user's version control."""
    marker = folder / ".gitignore"
    if not marker.exists():
        with contextlib.suppress(OSError):
            marker.write_text("*\n", encoding="utf-8")


def replace_file(path: Path, raw: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _remove(folder: Path, name: str) -> None:
    """Remove a file of ours and the folders that it leaves empty."""
    path = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        return
    with contextlib.suppress(OSError):
        path.unlink()
        for parent in path.parents:
            if parent == folder:
                break
            parent.rmdir()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, where the system has advisory locks."""
    try:
        import fcntl
    except ImportError:  # Windows: every single file is still replaced atomically
        yield
        return
    with open(folder / ".lock", "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield
