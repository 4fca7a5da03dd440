"""Which bindings of a name each of its uses may see, for the points-to analysis.

A name that a function binds several times is several variables to the heap, as in SSA form
(Cytron et al. 1991; Hasti and Horwitz 1998 for its use in points-to analysis): `p = Path(p)` makes
a path of what was text, and neither is the other.  A use reads the bindings that reach it; what
runs at a time that isn't known (nested functions, lazy generators) reads all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from florc.analysis.cfg import control_flow_graph
from florc.analysis.contexts import swallows
from florc.analysis.occurrences import eager_builtins
from florc.analysis.program import Program
from florc.analysis.reaching import reaching_definitions
from florc.effects.model import Effects
from florc.frontend.scopes import Scope


@dataclass(frozen=True)
class Bindings:
    """Of one scope: the names that are bound at several places, and what their uses may see."""

    sites: dict[str, frozenset[ast.AST]]  # name -> its places
    uses: dict[ast.AST, frozenset[ast.AST]]  # use -> the places that reach it


NONE = Bindings({}, {})


class AllBindings(dict[Scope, Bindings]):
    """Scope -> its bindings, found when first asked for."""

    def __init__(self, program: Program, effects: Effects) -> None:
        super().__init__()
        self._program = program
        self._effects = effects
        self._eager = eager_builtins(effects)
        self._swallows: dict[str, Callable[[ast.withitem], bool]] = {}

    def __missing__(self, scope: Scope) -> Bindings:
        self[scope] = found = self._find(scope)
        return found

    def _find(self, scope: Scope) -> Bindings:
        function = self._program.functions.get(scope.node)
        if function is None or isinstance(function.node, ast.Lambda):
            return NONE  # comprehensions and lambdas bind each name once
        module = function.module
        if module.name not in self._swallows:
            self._swallows[module.name] = swallows(self._effects, module.tree)
        graph = control_flow_graph(function.node.body, self._swallows[module.name])
        reaching = reaching_definitions(graph, scope, self._program.scopes, self._eager)
        places: dict[str, set[ast.AST]] = {}
        for definition in (*reaching.definitions, *reaching.anywhere):
            places.setdefault(definition.name, set()).add(definition.site)
        several = {name: frozenset(sites) for name, sites in places.items() if len(sites) > 1}
        uses: dict[ast.AST, frozenset[ast.AST]] = {}
        for use, definitions in reaching.chains.items():
            if definitions and getattr(use, "id", "") in several:
                uses[use] = frozenset(d.site for d in definitions)
        return Bindings(several, uses)
