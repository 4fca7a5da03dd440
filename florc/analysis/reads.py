"""What code may read: variables, attributes of objects, and objects with all that they lead to.

A chain like `self.model.fc.weight` reads one attribute each of the project's own objects on the
way, and everything that what it ends at leads to, for that is used in ways that aren't followed.
So `self.epoch += 1` elsewhere doesn't change what the chain reads, though `self` does change.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import changed_objects
from florc.analysis.heap import owner_of
from florc.analysis.objects import Access, Function, Obj
from florc.analysis.program import Program
from florc.frontend.scopes import Scope

_CODE = ("function", "class", "module", "library")


@dataclass
class Reads:
    """Everything that some code may read."""

    names: set[tuple[Scope, str]] = field(default_factory=set)
    slots: dict[Obj, set[str]] = field(default_factory=dict)  # object -> attributes
    deep: set[Obj] = field(default_factory=set)  # all that these lead to is read
    sinks: set[Obj] = field(default_factory=set)  # of the outside world: never saved
    attributes: set[str] = field(default_factory=set)  # mentioned, of whatever object


def reads(
    program: Program,
    summaries: Summaries,
    nodes: Iterable[ast.AST],
    scope: Scope,
    ran: Iterable[Function],
) -> Reads:
    """What `nodes` in `scope` may read, and the functions `ran` that they run."""
    walker = _Walker(program, summaries)
    for node in nodes:
        walker.visit(node, scope)
    for function in ran:
        inside = function.node.body
        for child in inside if isinstance(inside, list) else [inside]:
            walker.visit(child, function.scope)
        walker.use(summaries.points_to.heap.returned(function))
    heap = summaries.points_to.heap
    found = walker.found
    found.deep = heap.reach(found.deep | {owner_of(obj) for obj in found.deep})
    return found


def change_in(summaries: Summaries, found: Reads, accesses: list[Access]) -> Access | None:
    """One of `accesses` that may change what is read; None if none does."""
    for access in accesses:
        if access.kind in ("rebind", "touch") and (access.scope, access.name) in found.names:
            return access
    for obj, change in changed_objects(summaries, accesses).items():
        attributes: Mapping[str, Access] = change.attributes
        first = change.whole or next(iter(attributes.values()))
        if obj in found.deep:
            return first
        for name in found.slots.get(obj, ()):
            if change.whole is not None or name in attributes:
                return attributes.get(name, first)
    return None


class _Walker:
    def __init__(self, program: Program, summaries: Summaries) -> None:
        self.program = program
        self.heap = summaries.points_to.heap
        self.found = Reads()

    def visit(self, node: ast.AST, scope: Scope) -> None:
        """Note what evaluating or executing a node reads."""
        if isinstance(node, (ast.Name, ast.Attribute)):
            self.use(self.objects(node, scope))
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.found.attributes.add(node.value)  # getattr(x, "…")
        inside = self.program.scopes.get(node, scope)
        for child in ast.iter_child_nodes(node):
            self.visit(child, inside)

    def use(self, objs: set[Obj]) -> None:
        """What a chain ends at may be used in any way; code is looked at where it runs."""
        for obj in objs:
            self._noticed(obj)
            if obj.kind == "libbound" and obj.receiver is not None:
                self.found.deep.add(obj.receiver)
            elif obj.kind not in (*_CODE, "bound"):
                self.found.deep.add(obj)

    def _noticed(self, obj: Obj) -> None:
        effects = self.heap.effects
        if any(name and effects.type(name).sink for name in owner_of(obj).libraries()):
            self.found.sinks.add(obj)

    def objects(self, node: ast.expr, scope: Scope) -> set[Obj]:
        """What a chain of attributes may lead to; what is read on the way is noted."""
        if isinstance(node, ast.Name):
            return self._variable(scope.owner(node.id), node.id, node)
        if not isinstance(node, ast.Attribute):
            self.visit(node, scope)
            return set()
        self.found.attributes.add(node.attr)
        result: set[Obj] = set()
        for obj in self.objects(node.value, scope):
            result |= self._attribute(obj, node.attr)
        return result

    def _variable(self, owner: Scope | None, name: str, node: ast.AST) -> set[Obj]:
        if owner is None:
            return set()
        self.found.names.add((owner, name))
        if owner.kind == "class":
            cls = self.heap.klass(self.program.classes[owner.node])
            self.found.slots.setdefault(cls, set()).add(name)
            return self.heap.field(cls, name)
        return self.heap.variable(owner, name, node)

    def _attribute(self, obj: Obj, name: str) -> set[Obj]:
        heap = self.heap
        if obj.kind == "module" and obj.module is not None:
            scope = self.program.module_scope(obj.module)
            self.found.names.add((scope, name))
            return heap.variable(scope, name)
        if obj.kind == "library":
            return set()
        known = obj.kind in ("alloc", "class") and obj.cls is not None
        crowd = obj in heap.lump_of or obj in heap.stand_ins or obj in heap.absorbed
        if not known or crowd or obj.cls is None:
            self.use({obj})
            if obj.kind in ("function", "bound"):
                self.found.deep.add(obj)
            return set()
        self._noticed(obj)
        result: set[Obj] = set()
        for holder in (obj, *(heap.klass(base) for base in obj.cls.mro())):
            self.found.slots.setdefault(holder, set()).add(name)
            result |= heap.field(holder, name)
        if obj.cls.libraries():
            # What the base class keeps, or makes of it, under a name that nobody has assigned.
            result |= heap.contents_of(obj)
            if not result and obj.cls.method(name) is None:
                self.found.deep.add(obj)
        return result
