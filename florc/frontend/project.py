"""The project: the script and every module of the user's that it reaches by imports.

A module is *project* when its file lies below the project's root and not in an environment
(site-packages, a virtual environment); everything else is *library*.
"""

from __future__ import annotations

import ast
import hashlib
import os
import tokenize
from dataclasses import dataclass
from pathlib import Path

from florc.plan import Diagnostic

ROOT_MARKS = (".flor", ".git", "pyproject.toml")
_ENVIRONMENTS = {"site-packages", "dist-packages", "node_modules", ".flor", "__pycache__"}


class SourceError(Exception):
    """A source that can't be compiled; `diagnostic` is the line for the user (FLR001, FLR002)."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.render())
        self.diagnostic = diagnostic


@dataclass(frozen=True)
class Module:
    """One parsed module.  `rel` is relative to the root, "/" separated; `name` its import name."""

    path: Path
    rel: str
    name: str
    text: str
    tree: ast.Module
    package: str  # the package that relative imports start from ("" for a top-level module)

    @property
    def sha256(self) -> str:
        """Hash of the user's text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Project:
    """The script (first) and the project modules it reaches, in order of discovery."""

    root: Path
    modules: tuple[Module, ...]
    absent: tuple[str, ...] = ()  # places where modules were looked for, and nothing was
    unread: tuple[tuple[str, str], ...] = ()  # files that don't parse, with the hash of the bytes

    @property
    def script(self) -> Module:
        """The module that runs as `__main__`."""
        return self.modules[0]

    def by_name(self, name: str) -> Module | None:
        """The project module with that import name, or None."""
        return next((m for m in self.modules if m.name == name), None)


def project_root(script: Path) -> Path:
    """The nearest ancestor that holds one of ROOT_MARKS, else the script's folder."""
    folder = script.resolve().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in ROOT_MARKS):
            return candidate
    return folder


def read_source(path: Path, shown: str) -> str:
    """The text of a Python file, by its own encoding declaration, line endings kept.

    Raises SourceError (FLR002) when it can't be read or decoded.
    """
    try:
        with open(path, "rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
            file.seek(0)
            return file.read().decode(encoding)
    except SyntaxError as error:
        raise SourceError(
            Diagnostic("FLR002", "error", f"cannot be read: {error}", shown, 0)
        ) from None
    except UnicodeDecodeError as error:
        message = f"cannot be read: not valid {error.encoding}"
        raise SourceError(Diagnostic("FLR002", "error", message, shown, 0)) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise SourceError(Diagnostic("FLR002", "error", message, shown, 0)) from None


def parse_source(text: str, shown: str) -> ast.Module:
    """Parse by `ast`.  Raises SourceError (FLR001 syntax, FLR011 too deep)."""
    try:
        return ast.parse(text, shown)
    except SyntaxError as error:
        message = f"syntax error: {error.msg}"
        raise SourceError(
            Diagnostic("FLR001", "error", message, shown, error.lineno or 0)
        ) from None
    except (RecursionError, MemoryError):
        raise SourceError(Diagnostic("FLR011", "error", "nested too deeply", shown, 0)) from None
    except ValueError as error:
        raise SourceError(Diagnostic("FLR001", "error", str(error), shown, 0)) from None


def is_project_file(path: Path, root: Path) -> bool:
    """Whether a file lies below the (resolved) root and not in an environment."""
    try:
        relative = path.resolve().relative_to(root)
    except ValueError:
        return False
    if _ENVIRONMENTS.intersection(relative.parts):
        return False
    return not any((parent / "pyvenv.cfg").exists() for parent in path.parents if parent != root)


def _locate(
    name: str, search: tuple[Path, ...], root: Path, absent: dict[Path, None]
) -> tuple[Path, bool] | None:
    """File of a dotted module name and whether it is a package, searched as `sys.path` would.

    Places where nothing was are added to `absent`: a missing folder stands for all in it.
    """
    parts = name.split(".")
    for base in search:
        stem = base.joinpath(*parts)
        for candidate, package in ((stem / "__init__.py", True), (stem.with_suffix(".py"), False)):
            if candidate.is_file():
                return (candidate, package) if is_project_file(candidate, root) else None
            missing = candidate
            while missing.parent != base and not missing.parent.exists():
                missing = missing.parent
            absent[missing] = None
    return None


def _absolute(node: ast.ImportFrom, package: str) -> str | None:
    """The absolute name that `from X import …` refers to; None when it leaves the package."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level - 1 > len(parts):
        return None
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *(node.module.split(".") if node.module else [])])


def imported_names(tree: ast.Module, package: str) -> list[str]:
    """Dotted names of modules that a tree may import, in order (submodules of `from` included)."""
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.name] = None
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            if base is None:
                continue
            if base:
                names[base] = None
            for alias in node.names:
                if alias.name != "*":
                    names[f"{base}.{alias.name}" if base else alias.name] = None
    return list(names)


def load_project(
    script: Path,
    *,
    root: Path | None = None,
    module: str | None = None,
    text: str | None = None,
) -> Project:
    """Read the script and all project modules that it reaches.

    `module` is the name given to ``-m`` (the import root is then the current folder, as for
    Python); `text` replaces the script's content (standard input).  Raises SourceError.
    """
    script = script.absolute()
    root = (root or project_root(script)).resolve()
    shown = _relative(script, root)
    source = read_source(script, shown) if text is None else text
    package = ""
    search: tuple[Path, ...] = (script.parent,)
    if module is not None:
        depth = module.count(".") + (1 if script.name == "__main__.py" else 0)
        package = module if script.name == "__main__.py" else module.rpartition(".")[0]
        base = script.parent
        for _ in range(depth):
            base = base.parent
        search = (base,)
    # A project may be installed in editable form: its root and src/ are then on the path too.
    search = tuple(dict.fromkeys((*search, root, root / "src")))
    first = Module(script, shown, "__main__", source, parse_source(source, shown), package)
    modules: dict[Path, Module] = {script.resolve(): first}
    absent: dict[Path, None] = {}
    unread: dict[str, str] = {}
    queue = [first]
    while queue:
        current = queue.pop(0)
        wanted: dict[str, None] = {}
        for name in imported_names(current.tree, current.package):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b too
                wanted[".".join(parts[:end])] = None
        for name in wanted:
            found = _locate(name, search, root, absent)
            if found is None or found[0].resolve() in modules:
                continue
            path, is_package = found
            rel = _relative(path, root)
            try:
                source = read_source(path, rel)
                tree = parse_source(source, rel)
            except SourceError:
                unread[rel] = _bytes_hash(path)
                continue  # it fails when it's imported, as without us; `wanted` may be no module
            loaded = Module(
                path, rel, name, source, tree, name if is_package else name.rpartition(".")[0]
            )
            modules[path.resolve()] = loaded
            queue.append(loaded)
    nowhere = tuple(os.path.relpath(path, root).replace(os.sep, "/") for path in absent)
    return Project(root, tuple(modules.values()), nowhere, tuple(unread.items()))


def _bytes_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _relative(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()
