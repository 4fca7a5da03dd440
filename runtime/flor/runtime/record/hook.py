"""The import hook: project modules run from their emitted text, and look as if they didn't."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from florc.emit.build import Build
    from florc.plan import ModulePlan

    from ..replay.overlay.past import PastSources


class Emitted:
    """The emitted texts of one build, by the real path of the user's file."""

    def __init__(self, root: Path, build: Build, variant: str, note: Callable[[str], None]) -> None:
        self.note = note
        self._texts = build.texts(variant)
        self._modules: dict[str, ModulePlan] = {
            os.path.realpath(root / module.path): module for module in build.plan.modules
        }

    def code(self, file: str, filename: str) -> CodeType | None:
        """Compiled emitted text for the user's `file`, or None: then the file runs as it is.

        `filename` is what tracebacks and `inspect` shall show.
        """
        module = self._modules.get(os.path.realpath(file))
        text = self._texts.get(module.path) if module is not None and module.emitted else None
        if module is None or text is None:
            return None
        from florc.emit.load import code_for

        try:
            if not self._unchanged(file, module.sha256):
                self.note(f"{module.path} changed while it was compiled; it runs uninstrumented")
                return None
            return code_for(text, module.source_map, filename)
        except Exception as error:
            self.note(f"{module.path} runs uninstrumented ({type(error).__name__}: {error})")
            return None

    def tree(self, file: str, filename: str) -> ast.Module | None:
        """What `code` compiles, or None where it gives None.  Raises SyntaxError, ValueError."""
        module = self._modules.get(os.path.realpath(file))
        text = self._texts.get(module.path) if module is not None and module.emitted else None
        if module is None or text is None:
            return None
        from florc.emit.load import tree_for

        return tree_for(text, module.source_map, filename)

    def _unchanged(self, file: str, digest: str) -> bool:
        """Whether the user's file is still what was compiled."""
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() == digest


class PastEmitted(Emitted):
    """The emitted texts of an older version; the other modules' code is its own too."""

    def __init__(
        self, root: Path, build: Build, note: Callable[[str], None], past: PastSources
    ) -> None:
        super().__init__(root, build, "replay", note)
        self.past = past
        self.inside, self.place = past.inside, past.place
        self.read, self.original, self.hidden = past.read, past.original, past.hidden

    def code(self, file: str, filename: str) -> CodeType | None:
        """As of Emitted; a module that wasn't emitted is compiled from the old version's text."""
        return super().code(file, filename) or self.past.code(file, filename)

    def _unchanged(self, file: str, digest: str) -> bool:
        content = self.past.read(file)
        if content is None:
            return False
        if hashlib.sha256(content).hexdigest() == digest:
            return True
        from florc.emit.build import same_text

        return same_text(Path(self.past.place(file) or file), digest)


class _Loader(SourceFileLoader):
    """Python's own loader, except where the code comes from."""

    emitted: Emitted

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.emitted.code(path, path) or super().get_code(fullname)


class Finder:
    """In front of sys.meta_path: finds what PathFinder finds, with the emitted code."""

    def __init__(self, emitted: Emitted) -> None:
        self.emitted = emitted
        self.names: set[str] = {
            os.path.splitext(os.path.basename(p))[0]
            for p, m in emitted._modules.items()
            if m.emitted
        }
        self.names |= {
            os.path.basename(os.path.dirname(p))
            for p, m in emitted._modules.items()
            if m.emitted and os.path.basename(p) == "__init__.py"
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None (the other finders answer) unless an emitted text stands for the module."""
        if name.rpartition(".")[2] not in self.names or name in sys.builtin_module_names:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        module = self.emitted._modules.get(os.path.realpath(spec.origin))
        if module is None or not module.emitted:
            return None
        loader = _Loader(spec.loader.name, spec.loader.path)
        loader.emitted = self.emitted
        spec.loader = loader
        return spec

    def invalidate_caches(self) -> None:
        """Nothing is cached here."""


def install(emitted: Emitted) -> None:
    """Serve emitted project modules from now on."""
    sys.meta_path.insert(0, Finder(emitted))
