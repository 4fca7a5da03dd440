"""Access paths from a function's frame to objects, so that the run time can look at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from florc.analysis.callgraph import Summaries
from florc.analysis.heap import SEQUENCES
from florc.analysis.objects import Function, Obj
from florc.analysis.program import Program
from florc.frontend.scopes import Scope

MAX_PATHS = 24
MAX_STEPS = 2000
MAX_DOTS = 6
MODULE = "torch.nn.Module"


@dataclass(frozen=True)
class Watching:
    """Looks paths up; what leads to what is worked out once."""

    program: Program
    summaries: Summaries

    @cached_property
    def _holders(self) -> dict[Obj, set[Obj]]:
        """Object -> what refers to it directly.  A module's parts don't lead to the module."""
        heap = self.summaries.points_to.heap
        stack = {o for objs in heap.variables.values() for o in objs}
        seen = set(stack)
        todo = list(stack)
        holders: dict[Obj, set[Obj]] = {}
        while todo:
            obj = todo.pop()
            if obj.kind == "part":
                continue
            for held in heap.successors(obj):
                holders.setdefault(held, set()).add(obj)
                if held not in seen:
                    seen.add(held)
                    todo.append(held)
        return holders

    def paths(self, function: Function, targets: set[Obj]) -> tuple[str, ...] | None:
        """Paths of which, at run time, every way to a target passes one; None if too many.

        A path ends at a module or at whatever else has to be searched when the time comes; data
        sets aren't.
        """
        leading = set(targets)
        stack = list(targets)
        while stack:
            for holder in self._holders.get(stack.pop(), ()):
                if holder not in leading:
                    leading.add(holder)
                    stack.append(holder)
        heap = self.summaries.points_to.heap
        found: dict[str, None] = {}
        queue: deque[tuple[str, Obj]] = deque()
        for path, owner, name in self._roots(function):
            queue += ((path, o) for o in heap.variable(owner, name) if o in leading)
        seen: set[tuple[str, Obj]] = set()
        while queue:
            path, obj = queue.popleft()
            if (path, obj) in seen:
                continue
            seen.add((path, obj))
            declared = heap.effects.type(obj.type)
            if declared.iterable_calls and not heap.successors(obj).isdisjoint(leading):
                return None  # a data set that holds modules
            inner = self._inside(function, path, obj, leading)
            if inner is None:
                found[path] = None
            else:
                queue += inner
            if len(found) > MAX_PATHS or len(seen) > MAX_STEPS:
                return None
        return tuple(sorted(found))

    def _roots(self, function: Function) -> Iterator[tuple[str, Scope, str]]:
        """(path, owner, name) of all variables that code in the frame, or what it calls, sees."""
        heap = self.summaries.points_to.heap
        scope = function.scope
        for name in sorted(scope.names):
            yield name, scope, name
        for owner, name in heap.free_variables(function):
            yield name, owner, name
        for module in self.program.project.modules:
            globals_scope = self.program.module_scope(module)
            if globals_scope is scope:
                continue
            for name in sorted(globals_scope.names):
                seen = scope.owner(name)
                here = module is function.module and (seen is None or seen.kind == "module")
                yield name if here else f"{module.name}:{name}", globals_scope, name

    def _inside(
        self, function: Function, path: str, obj: Obj, leading: set[Obj]
    ) -> list[tuple[str, Obj]] | None:
        """Longer paths through an object; None where the run time has to search it."""
        heap = self.summaries.points_to.heap
        if obj.kind in ("module", "library"):
            return []  # globals are roots themselves
        steps: list[tuple[str, set[Obj]]] = []
        if obj.kind == "function" and obj.function is not None:
            for kept, objs in heap.defaults.get(obj.function, {}).items():
                steps.append((f"{path}.{kept}", {o for o in objs if o in leading}))
            if any(objs for _, objs in steps):
                return None
            for owner, name in heap.free_variables(obj.function):
                if owner is not function.scope:
                    steps.append((f"{path}.__closure__.{name}", heap.variable(owner, name)))
        elif obj.kind == "bound" and obj.receiver is not None:
            steps.append((f"{path}.__self__", {obj.receiver}))
        elif obj.kind == "class" or self._plain(obj):
            held = heap.contents_of(obj)
            if held & leading or path.count(".") >= MAX_DOTS:
                return None
            for name, objs in heap.fields_of(obj).items():
                if name.startswith("["):
                    if objs & leading:
                        return None
                    continue
                steps.append((f"{path}.{name}", objs))
        else:
            return None
        return [(longer, o) for longer, objs in steps for o in objs if o in leading]

    def _plain(self, obj: Obj) -> bool:
        """Whether an object is of a class of the project and not a module."""
        if obj.kind != "alloc" or obj.cls is None or obj.type in SEQUENCES:
            return False
        effects = self.summaries.points_to.heap.effects
        return not any(name and effects.is_a(name, MODULE) for name in obj.libraries())
