"""What `*args` and `**kwargs` pack: a tuple and a dictionary for each call, of known length.

A function that passes on what it was given (`callback(*args, **kwargs)`, the bus of callbacks) then
passes each call's arguments by themselves: in their places, and to callees that accept so many.
This is context sensitivity in the objects that carry it, not in copies of functions: see
Smaragdakis and Balatsouras, Pointer Analysis (2015), on object-sensitive heaps.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from florc.analysis.heap import FINE, Heap
from florc.analysis.objects import Function, Obj

MOST = 32
"""Calls of one function that have objects of their own; those beyond share theirs."""


@dataclass(frozen=True)
class Pack:
    """What one call gives to `*args`, by position, and the dictionary for its `**kwargs`."""

    places: tuple[frozenset[Obj], ...]
    mapping: Obj


class Packs:
    """The tuples and dictionaries that calls make.  The heap is that of the analysis."""

    def __init__(self, heap: Heap) -> None:
        self.heap = heap
        self._calls: dict[Function, set[ast.AST]] = {}
        self._lengths: dict[Obj, int] = {}  # of tuples
        self._mappings: dict[Obj, Obj] = {}  # a call's tuple -> its dictionary

    def pack(
        self, function: Function, extra: list[set[Obj]], rest: set[Obj], node: ast.AST | None
    ) -> tuple[Obj, Obj]:
        """Tuple and dictionary for `extra`, arguments beyond the parameters, and for `rest`, any.

        `node` is the call if it passes exactly `extra` by position, else None.  The dictionary
        holds nothing but `rest` yet.
        """
        heap = self.heap
        if node is not None and not rest and function.vararg and self._has_its_own(function, node):
            which = f"{len(extra)} of {function!r}"
            with heap.often():
                packed = heap.alloc(node, "builtins.tuple", where=function, tag=f"*{which}")
                mapping = heap.alloc(node, "builtins.dict", where=function, tag=f"**{which}")
            heap.packed |= {packed, mapping}
            self._lengths[packed] = len(extra)
            self._mappings[packed] = mapping
        else:
            packed = heap.alloc(function.node, "builtins.tuple", where=function, tag="*args")
            mapping = heap.alloc(function.node, "builtins.dict", where=function, tag="**kwargs")
            heap.add_contents(packed, rest)
            heap.add_contents(mapping, rest)
        for index, objs in enumerate(extra):
            heap.add_field(packed, f"[{index}]", objs)
        return packed, mapping

    def apart(self, objs: set[Obj]) -> tuple[list[Pack], set[Obj]]:
        """The packs among some tuples, and the other objects."""
        lengths, field = self._lengths, self.heap.field
        known = sorted((o for o in objs if o in lengths), key=lambda o: (lengths[o], o.label))
        packs = [
            Pack(
                tuple(frozenset(field(obj, f"[{n}]")) for n in range(lengths[obj])),
                self._mappings[obj],
            )
            for obj in known
        ]
        return packs, objs.difference(known)

    def empty(self, mapping: Obj) -> bool:
        """Whether a call's dictionary holds nothing (so far)."""
        return not self.heap.fields_of(mapping) and not self.heap.contents_of(mapping)

    def _has_its_own(self, function: Function, node: ast.AST) -> bool:
        if self.heap.grain != FINE and function.module is not self.heap.program.project.script:
            return False
        calls = self._calls.setdefault(function, set())
        if len(calls) < MOST:
            calls.add(node)
        return node in calls


def same_call(function: Function, args: ast.expr | None, kwargs: list[ast.expr]) -> bool:
    """Whether `f(*args, **kwargs)` in `function` passes on what one call of it was given."""
    named = all(isinstance(k, ast.Name) and k.id == function.kwarg for k in kwargs)
    return named and isinstance(args, ast.Name) and args.id == function.vararg
