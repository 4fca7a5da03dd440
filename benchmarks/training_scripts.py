"""Finds training scripts by syntax alone, so that what is found doesn't depend on florc.

A training script is a file that runs, when executed, a loop that steps an optimizer or calls
``backward``: in the loop's body, or through calls of functions of the same file or of other modules
of the repository.  Names are resolved as a reader would: definitions, imports, methods of the
classes that a name was made from; a function that is handed to a call counts as called.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

OPTIMIZER = re.compile(r"(^|[._])(\w*optim\w*|opt|opt_?\w|\w+_opt|solver|trainer|scaler)(\[.*\])?$")
TRAINS = {"backward", "manual_backward"}
SKIPPED = {".git", "site-packages", "node_modules", "__pycache__", ".flor"}
Body = list[ast.stmt]


@dataclass
class Source:
    """A parsed file and what its names stand for."""

    path: Path
    tree: ast.Module
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imports: dict[str, tuple[Path, str]] = field(default_factory=dict)  # alias -> file, name
    stars: list[Path] = field(default_factory=list)
    made: dict[str, set[str]] = field(default_factory=dict)  # variable -> callables it is made by
    optimizers: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Found:
    """Training scripts of a repository, and files that this Python can't parse."""

    scripts: tuple[Path, ...]
    unparsed: tuple[Path, ...]
    notebooks: int


@dataclass(frozen=True)
class Code:
    """A piece of code to look at: statements, their file, the class whose method it is."""

    source: Path
    body: tuple[ast.AST, ...]
    cls: str
    name: str


class Finder:
    """Looks through one repository; files are parsed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[Path, Source | None] = {}
        self._trains: dict[tuple[Path, str, str], bool] = {}

    # -- files ----------------------------------------------------------------------------------
    def source(self, path: Path) -> Source | None:
        """The parsed file; None if it can't be parsed."""
        if path not in self.sources:
            self.sources[path] = None
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, RecursionError, OSError):
                return None
            self.sources[path] = source = Source(path, tree)
            self._index(source)
        return self.sources[path]

    def _index(self, source: Source) -> None:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef):
                source.classes[node.name] = node
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                source.functions.setdefault(node.name, node)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    found = self._module(source.path, alias.name, 0)
                    if found:
                        source.imports[alias.asname or alias.name] = (found, "")
            elif isinstance(node, ast.ImportFrom):
                self._index_from(source, node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self._index_assignment(source, targets, node.value)

    def _index_from(self, source: Source, node: ast.ImportFrom) -> None:
        module = self._module(source.path, node.module or "", node.level)
        for alias in node.names:
            inner = f"{node.module}.{alias.name}" if node.module else alias.name
            sub = self._module(source.path, inner, node.level)
            if alias.name == "*" and module:
                source.stars.append(module)
            elif sub and not (module and self._defines(module, alias.name)):
                source.imports[alias.asname or alias.name] = (sub, "")
            elif module:
                source.imports[alias.asname or alias.name] = (module, alias.name)

    def _index_assignment(self, source: Source, targets: list[ast.expr], value: ast.expr) -> None:
        if not isinstance(value, ast.Call):
            return
        made_by = ast.unparse(value.func)
        for target in targets:
            if isinstance(target, (ast.Name, ast.Attribute)):
                shown = ast.unparse(target)
                source.made.setdefault(shown, set()).add(made_by)
                if "optim" in made_by.lower():
                    source.optimizers.add(shown)

    def _defines(self, module: Path, name: str) -> bool:
        found = self.source(module)
        return found is not None and (name in found.functions or name in found.classes)

    def _module(self, importer: Path, name: str, level: int) -> Path | None:
        bases = [importer.parent, self.root, self.root / "src"]
        if level:
            bases = [importer.parents[level - 1]]
        for base in bases:
            stem = base.joinpath(*name.split(".")) if name else base
            for candidate in (stem / "__init__.py", stem.with_suffix(".py") if name else stem):
                if candidate.is_file():
                    return candidate
        return None

    # -- resolution -----------------------------------------------------------------------------
    def _named(self, source: Source, name: str, depth: int = 0) -> list[Code]:
        """The function, or the constructor of the class, that a name stands for."""
        if depth > 4:
            return []
        if name in source.classes:
            return self._method(source, name, "__init__")
        if name in source.functions:
            node = source.functions[name]
            return [Code(source.path, tuple(node.body), "", name)]
        if name in source.imports:
            path, original = source.imports[name]
            other = self.source(path)
            return self._named(other, original, depth + 1) if other and original else []
        for path in source.stars:
            other = self.source(path)
            found = self._named(other, name, depth + 1) if other else []
            if found:
                return found
        return []

    def _class(self, source: Source, name: str, depth: int = 0) -> tuple[Source, str] | None:
        if depth > 4:
            return None
        if name in source.classes:
            return source, name
        head, _, tail = name.rpartition(".")
        if head in source.imports and not source.imports[head][1]:
            other = self.source(source.imports[head][0])
            return self._class(other, tail, depth + 1) if other else None
        if name in source.imports:
            path, original = source.imports[name]
            other = self.source(path)
            return self._class(other, original, depth + 1) if other and original else None
        for path in source.stars:
            other = self.source(path)
            found = self._class(other, name, depth + 1) if other else None
            if found:
                return found
        return None

    def _method(self, source: Source, cls: str, name: str, depth: int = 0) -> list[Code]:
        node = source.classes.get(cls)
        if node is None or depth > 6:
            return []
        for child in node.body:
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and child.name == name:
                return [Code(source.path, tuple(child.body), cls, f"{cls}.{name}")]
        for base in node.bases:
            found = self._class(source, ast.unparse(base))
            if found is not None:
                inherited = self._method(*found, name, depth + 1)
                if inherited:
                    return inherited
        return []

    def callees(self, code: Code, call: ast.Call) -> Iterator[Code]:
        """Local functions that a call may run."""
        source = self.source(code.source)
        assert source is not None
        for argument in [*call.args, *(k.value for k in call.keywords)]:
            if isinstance(argument, ast.Name) and argument.id not in source.classes:
                yield from self._named(source, argument.id)
        if isinstance(call.func, ast.Name):
            yield from self._named(source, call.func.id)
            for maker in source.made.get(call.func.id, ()):
                yield from self._of_instance(source, maker, "__call__")
        elif isinstance(call.func, ast.Attribute):
            receiver = ast.unparse(call.func.value)
            if receiver in ("self", "super()") and code.cls:
                yield from self._method(source, code.cls, call.func.attr)
            elif receiver in source.imports and not source.imports[receiver][1]:
                other = self.source(source.imports[receiver][0])
                if other is not None:
                    yield from self._named(other, call.func.attr)
            makers = set(source.made.get(receiver, ()))
            if isinstance(call.func.value, ast.Call):
                makers.add(ast.unparse(call.func.value.func))
            for maker in makers:
                yield from self._of_instance(source, maker, call.func.attr)

    def _of_instance(self, source: Source, maker: str, method: str) -> list[Code]:
        found = self._class(source, maker)
        return self._method(*found, method) if found else []

    # -- training -------------------------------------------------------------------------------
    def _is_training(self, source: Source, call: ast.Call) -> bool:
        if not isinstance(call.func, ast.Attribute):  # timm's scaler does backward and step
            return isinstance(call.func, ast.Name) and call.func.id == "loss_scaler"
        if call.func.attr in TRAINS:
            return True
        receiver = ast.unparse(call.func.value)
        known = receiver in source.optimizers or OPTIMIZER.search(receiver.lower()) is not None
        return call.func.attr == "step" and known

    def trains(self, code: Code) -> bool:
        """Whether running a piece of code steps an optimizer or calls backward."""
        key = (code.source, code.cls, code.name)
        if code.name and key in self._trains:
            return self._trains[key]
        if code.name:
            self._trains[key] = False  # of a recursive call
        source = self.source(code.source)
        assert source is not None
        found = any(
            self._is_training(source, call) or any(map(self.trains, self.callees(code, call)))
            for call in _calls(code.body)
        )
        if code.name:
            self._trains[key] = found
        return found

    def is_script(self, path: Path) -> bool:
        """Whether executing the file runs a training loop."""
        source = self.source(path)
        if source is None:
            return False
        stack = [Code(path, tuple(source.tree.body), "", "")]
        seen: set[tuple[Path, str, str]] = set()
        while stack:
            code = stack.pop()
            key = (code.source, code.cls, code.name)
            if key in seen:
                continue
            seen.add(key)
            for node in _own(code.body):
                if isinstance(node, (ast.For, ast.While, ast.AsyncFor)):
                    if self.trains(Code(code.source, (*node.body,), code.cls, "")):
                        return True
            for call in _calls(code.body):
                stack += self.callees(code, call)
        return False


def _own(body: tuple[ast.AST, ...]) -> Iterator[ast.AST]:
    """Nodes that run when the statements run: not the bodies of nested definitions."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            stack += node.decorator_list
        elif isinstance(node, ast.ClassDef):
            stack += [c for c in node.body if not isinstance(c, ast.FunctionDef)]
        else:
            stack += ast.iter_child_nodes(node)


def _calls(body: tuple[ast.AST, ...]) -> Iterator[ast.Call]:
    return (node for node in _own(body) if isinstance(node, ast.Call))


def find_scripts(root: Path, globs: tuple[str, ...] = ("**/*.py",)) -> Found:
    """The training scripts of a repository among the files that `globs` name."""
    finder = Finder(root)
    files = sorted({p for g in globs for p in root.glob(g) if p.suffix == ".py" and p.is_file()})
    files = [p for p in files if not SKIPPED.intersection(p.relative_to(root).parts)]
    notebooks = {p for g in globs for p in root.glob(g.removesuffix(".py") + ".ipynb")}
    unparsed = tuple(p for p in files if finder.source(p) is None)
    scripts = tuple(p for p in files if finder.is_script(p))
    return Found(scripts, unparsed, len(notebooks))
