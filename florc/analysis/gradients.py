"""Whether gradients are dead at a loop's head: a liveness problem with a cell per model.

A cell is live where its gradients may still be read (an optimizer's step, clipping, `.grad`)
before something clears them.  backward() neither reads nor kills: it adds to what is there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from florc.analysis.callgraph import Summaries
from florc.analysis.cfg import ControlFlowGraph, Node, control_flow_graph, handler_of
from florc.analysis.heap import owner_of
from florc.analysis.liveness import solve_backward
from florc.analysis.multiplicity import single
from florc.analysis.objects import Access, Function, Obj

ANY = "any"


def _cell(obj: Obj) -> str:
    return f"{obj!r}#{id(obj)}"


class GradientLiveness:
    """Solves per function on demand; recursion is answered conservatively (all live)."""

    def __init__(self, summaries: Summaries, tops: frozenset[Function]) -> None:
        """`tops` are the functions that hold training loops."""
        self.summaries = summaries
        self.tops = tops
        self.heap = summaries.points_to.heap
        self.solved: dict[Function, dict[Node, frozenset[str]]] = {}
        self.graphs: dict[Function, ControlFlowGraph] = {}
        self.pending: set[Function] = set()
        self.models: dict[tuple[Obj, bool], frozenset[str]] = {}
        self.partial: set[str] = set()  # cells that no kill is sure to clear
        self.reading: dict[Function, bool] = {}
        self.cells = self._all_cells()

    def _models(self, obj: Obj, *, holder: bool = False) -> frozenset[str]:
        """Cells that a receiver stands for: what it holds, and itself unless it's a `holder`.

        An optimizer holds models and has no gradients of its own.
        """
        key = (obj, holder)
        if key not in self.models:
            reached = self._reached(obj)
            if holder and len(reached) > 1:
                reached.discard(obj)
            self.models[key] = frozenset(map(_cell, reached))
        return self.models[key]

    def _reached(self, obj: Obj) -> set[Obj]:
        """What may have gradients among all that an object reaches."""
        reached = self.heap.reach({obj})
        return {o for o in reached if o.kind == "alloc" and self._has_gradients(o)}

    def _has_gradients(self, obj: Obj) -> bool:
        """Whether an object may be, or own, a tensor with a gradient; wrappers own none."""
        effects = self.heap.effects
        types = obj.libraries()
        for name in types:
            declared = effects.type(name)
            if not name or declared.shares:
                return True
            if name.startswith("torch.") and not declared.holds:
                return not effects.is_a(name, "torch.optim.Optimizer")
        return False

    def _all_cells(self) -> frozenset[str]:
        """All cells; those that a kill may clear in part are noted.

        A cell stands for the models of one allocation site.  If these may be several, a receiver
        clears them all only if nothing else holds, or is, one of them: there is one optimizer,
        and every receiver is one object.
        """
        cells: set[str] = set()
        holders: dict[Obj, set[Obj]] = {}
        accesses = self.summaries.points_to.accesses
        for receiver in {a.obj for a in accesses if a.kind in ("read_grads", "kill_grads")}:
            if receiver is not None:
                for model in self._reached(receiver):
                    holders.setdefault(model, set()).add(owner_of(receiver))
                cells |= self._models(receiver, holder=True)
        for model, held_by in holders.items():
            sure = sum(map(self._optimizes, held_by)) <= 1 and all(map(self._alone, held_by))
            if not sure and not self._alone(model):
                self.partial.add(_cell(model))
        return frozenset(cells or {ANY})

    def _alone(self, obj: Obj) -> bool:
        return single(obj, self.summaries, self.tops)

    def _optimizes(self, obj: Obj) -> bool:
        types = obj.libraries()
        return any(t and self.heap.effects.is_a(t, "torch.optim.Optimizer") for t in types)

    def _reads(self, access: Access) -> frozenset[str]:
        if access.obj is None:
            return self.cells
        return frozenset(self._models(access.obj, holder=True))

    def _facts(self, node: Node) -> tuple[Iterable[str], Iterable[str]]:
        statement = node.statement
        if statement is None or node.role == "bind" or handler_of(statement) is not None:
            return (), ()
        if isinstance(statement, (ast.For, ast.AsyncFor)) and node.role == "init":
            return (), ()
        uses: set[str] = set()
        kills: set[str] = set()
        killed: dict[str, frozenset[str]] = {}
        for access in self.summaries.at_statement.get(statement, ()):
            if access.kind == "read_grads":
                uses |= self._reads(access)
            elif access.kind == "mutate" and access.deep and access.certainty == "assumed":
                uses |= self._reads(access)  # an unknown call may step an optimizer
            elif access.kind == "kill_grads" and access.obj is not None:
                cleared = self._models(access.obj) - self.partial
                if not self._alone(owner_of(access.obj)):
                    cleared = frozenset()
                key = access.reason
                killed[key] = killed[key] & cleared if key in killed else cleared
        for cleared in killed.values():  # of all that the receiver may be
            kills |= cleared - uses
        callees = self.summaries.callees.get(statement, set())
        for callee in callees:
            live = self.live_at_entry(callee)
            uses |= live - kills
        if len(callees) == 1:
            (callee,) = callees
            kills |= self.killed_by(callee) - uses
        return uses, kills

    def solve(self, function: Function) -> dict[Node, frozenset[str]]:
        """Live gradient cells before each node of a function (nothing live at its end)."""
        if function not in self.solved:
            body = [] if isinstance(function.node, ast.Lambda) else function.node.body
            graph = self.graphs.setdefault(function, control_flow_graph(body))
            self.pending.add(function)
            self.solved[function] = solve_backward(graph, self._facts)
            self.pending.discard(function)
        return self.solved[function]

    def live_at_entry(self, function: Function) -> frozenset[str]:
        """Cells whose gradients a call may read before clearing them."""
        if isinstance(function.node, ast.Lambda) or function in self.pending:
            return self.cells if self._reads_at_all(function) else frozenset()
        return self.solve(function)[self.graphs[function].entry]

    def _reads_at_all(self, function: Function) -> bool:
        if function not in self.reading:
            effects = self.summaries.of_function(function)
            self.reading[function] = any(a.kind == "read_grads" for a in effects)
        return self.reading[function]

    def killed_by(self, function: Function) -> frozenset[str]:
        """Cells that every way through a call clears: probes with all cells live at the end."""
        if isinstance(function.node, ast.Lambda) or function in self.pending or function.generator:
            return frozenset()
        self.solve(function)
        graph = self.graphs[function]
        self.pending.add(function)
        probe = solve_backward(graph, self._facts, self.cells)
        self.pending.discard(function)
        return self.cells - probe[graph.entry]

    def dead_at(self, function: Function, loop: ast.stmt) -> bool:
        """Whether no gradient is live at a loop's head.

        After the loop gradients count as read only by the same function: a caller that reads
        `.grad` after the call keeps them alive.
        """
        before = self.solve(function)
        head = self.graphs[function].heads[loop]
        if before[head]:
            return False
        return not self._read_after_return(function, frozenset({function}))

    def _read_after_return(self, function: Function, seen: frozenset[Function]) -> bool:
        """Whether a caller may read gradients after `function` returned."""
        for caller, statement in self.summaries.callers.get(function, ()):
            if caller in seen:
                continue
            before = self.solve(caller)
            for node in self.graphs[caller].nodes:
                if node.statement is statement and any(before[s] for s in node.successors):
                    return True
            if self._read_after_return(caller, seen | {caller}):
                return True
        return False
