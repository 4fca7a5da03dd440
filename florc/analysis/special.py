"""Special methods that Python calls unasked: of classes, of attributes, and by conversions.

Data model: https://docs.python.org/3/reference/datamodel.html, section 3.3.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable

from florc.analysis.evaluate import OPERATORS, Expressions
from florc.analysis.objects import Class, Function, Obj

_ARRAYS = (
    *("__array__", "__array_ufunc__", "__array_function__", "__torch_function__"),
    *("__array_interface__", "__dlpack__", "__torch_dispatch__"),
)
_OTHERS = (
    *("__index__", "__int__", "__float__", "__complex__", "__trunc__", "__floor__", "__ceil__"),
    *("__bytes__", "__fspath__", "__dir__", "__sizeof__", "__length_hint__", "__buffer__"),
    *("__divmod__", "__rdivmod__", "__reversed__", "__format__"),
)
CONVERSIONS = (
    *_ARRAYS,
    *_OTHERS,
    *(f"__{how}{name}__" for how in ("", "r") for name in OPERATORS.values()),
)
"""Methods that a function which is given the object may call, whatever it is said to do."""


class Special(Expressions):
    """Evaluation of special methods, and of how classes are made and make their objects."""

    @functools.cached_property
    def converting(self) -> bool:
        """Whether any class of the project has a method that conversions call."""
        classes = self.program.classes.values()
        return any(name in CONVERSIONS for cls in classes for name in cls.methods)

    def converted(self, objs: Iterable[Obj], node: ast.AST) -> set[Obj]:
        """Objects are given to a library, which may convert them; what that gives."""
        if not self.converting:
            return set()
        found: set[Obj] = set()
        for obj in list(objs):
            if obj.kind != "alloc" or obj.cls is None:
                continue
            given = {obj}
            for name in CONVERSIONS:
                if obj.cls.method(name) is not None:
                    found |= self.method(obj, name, [given, given], node)
        return found

    def metamethod(self, cls: Class, name: str) -> Function | None:
        """The method that a class itself finds under `name`, of a metaclass of the project."""
        for base in cls.mro():
            for meta in base.metaclasses:
                method = meta.method(name)
                if method is not None:
                    return method
        return None

    def makes_itself(self, cls: Class) -> bool:
        """Whether a class decides itself which object a call of it gives."""
        return cls.method("__new__") is not None or self.metamethod(cls, "__call__") is not None

    def instance_of(self, cls: Class, node: ast.AST) -> Obj:
        """The object that a call of a class, or of its `__new__`, makes at `node`.

        There is one for all calls of a class that may give the same object twice.
        """
        libraries = cls.libraries()
        type_name = libraries[0] if libraries else ""
        if not self.makes_itself(cls):
            return self.heap.alloc(node, type_name, cls=cls, where=self.function)
        with self.heap.often():
            return self.heap.alloc(cls.node, type_name, cls=cls)

    def read_by_class(self, obj: Obj, name: str, node: ast.AST) -> set[Obj]:
        """What reading an attribute of a class finds in its metaclass."""
        assert obj.cls is not None
        method = self.metamethod(obj.cls, name)
        if method is None:
            lacking = self.metamethod(obj.cls, "__getattr__")
            if lacking is None:
                return set()
            return self._bound_call(obj, lacking, [set()], node, name)
        if method.property:
            return self._bound_call(obj, method, [], node, name)
        return {self.heap.bound(obj, method)}

    def class_method(self, obj: Obj, name: str, args: list[set[Obj]], node: ast.AST) -> set[Obj]:
        """Call a special method of a class object: its metaclass's, or the class's own."""
        assert obj.cls is not None
        method = self.metamethod(obj.cls, name)
        if method is None and name == "__getitem__":
            method = obj.cls.method("__class_getitem__")
        return self._bound_call(obj, method, args, node, name) if method is not None else set()

    def class_made(self, cls: Class, node: ast.ClassDef) -> set[Obj]:
        """A class statement is executed: hooks of bases, metaclass and attributes run.

        Returns what a metaclass may make of the class.
        """
        made = self.heap.klass(cls)
        bases = [base for base in cls.mro() if base is not cls]
        hook = next(filter(None, (base.methods.get("__init_subclass__") for base in bases)), None)
        if hook is not None:
            self._bound_call(made, hook, [], node, "__init_subclass__")
        found: set[Obj] = set()
        namespace = {self.heap.part(made, "builtins.dict")}
        metas = dict.fromkeys(meta for base in cls.mro() for meta in base.metaclasses)
        for meta in metas:
            for name, first in (("__prepare__", meta), ("__new__", meta), ("__init__", cls)):
                method = meta.method(name)
                if method is not None:
                    given = [
                        set[Obj](),
                        set[Obj](),
                        *([namespace] if name != "__prepare__" else []),
                    ]
                    receiver = self.heap.klass(first)
                    found |= self._bound_call(receiver, method, given, node, name)
        for held in list(self.heap.fields_of(made).values()):
            for obj in list(held):
                self.method(obj, "__set_name__", [{made}, set()], node)
        return {obj for obj in found if obj.kind == "class"}

    def _bound_call(
        self, obj: Obj, method: Function, args: list[set[Obj]], node: ast.AST, shown: str
    ) -> set[Obj]:
        return self.invoke({self.heap.bound(obj, method)}, args, {}, set(), node, shown)
