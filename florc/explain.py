"""Renders a plan as a compiler's report for people; the JSON form is the plan itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from florc.plan import LogStatement, LoopPlan, Plan

_STREAMS = {
    "python": "random",
    "numpy": "numpy.random",
    "torch": "torch (CPU)",
    "cuda": "torch (CUDA)",
}


def explain(plan: Plan) -> str:
    """Loops with their checkpoint sets, log statements, diagnostics.  Ends in a newline.

    The order is that of the plan, and nothing in the text depends on the machine or the time.
    """
    blocks = [_summary(plan)]
    blocks += [_loop(loop) for loop in plan.loops]
    if plan.logs:
        blocks.append(_logs(plan.logs))
    if plan.diagnostics:
        blocks.append("\n".join(["diagnostics", *(f"  {d.render()}" for d in plan.diagnostics)]))
    return "\n\n".join(blocks) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(plan: Plan) -> str:
    training = sum(loop.training for loop in plan.loops)
    assumed = sum(m.certainty == "assumed" for loop in plan.loops for m in loop.state)
    members = sum(len(loop.state) for loop in plan.loops)
    counts = [
        _count(len(plan.modules), "module"),
        _count(training, "training loop"),
        _count(len(plan.loops) - training, "other loop"),
        f"{_count(members, 'member')} ({assumed} assumed)",
        _count(len(plan.logs), "log statement"),
    ]
    return f"{plan.script}: {', '.join(counts)}"


def _loop(loop: LoopPlan) -> str:
    where = f" in {loop.scope}" if loop.scope else ""
    role = "training loop" if loop.training else "loop"
    lines = [f"{loop.file}:{loop.line}: {role} `{loop.name}` ({loop.kind}{where})"]
    if loop.parents:
        inside = ", ".join(f"`{name}`" for name in loop.parents)
        over = "" if loop.lexical_parent else " (over calls)"
        lines.append(f"  inside       {inside}{over}")
    lines.append(f"  coordinate   {_counter(loop)}")
    if not loop.training:
        return "\n".join(lines)
    lines.append(
        f"  saved        {_count(len(loop.state), 'member')}"
        if loop.state
        else "  saved        nothing"
    )
    lines += _table(
        (m.path, f"{m.how}, {m.certainty}", _reason(m.reason, m.line)) for m in loop.state
    )
    if loop.excluded:
        lines.append("  not saved")
        lines += _table((e.path, _reason(e.reason, e.line)) for e in loop.excluded)
    streams = ", ".join(_STREAMS.get(stream, stream) for stream in loop.rng)
    lines.append(f"  random       {streams or 'none drawn'}")
    if loop.state:
        gradients = "dead at the head, not saved" if loop.dead_grads else "saved where present"
        lines.append(f"  gradients    {gradients}")
    jump = "yes" if loop.jump else f"no: {loop.jump_reason or 'its state cannot be restored'}"
    lines.append(f"  jump         {jump}")
    return "\n".join(lines)


def _counter(loop: LoopPlan) -> str:
    texts = {
        "item": "the loop's item",
        "first": "the count of `enumerate`",
        "index": "the iteration's index",
        "variable": f"the variable `{loop.counter_name}`",
    }
    return texts.get(loop.counter, loop.counter)


def _reason(reason: str, line: int) -> str:
    mentioned = re.search(rf"\bline {line}\b", reason)
    return f"{reason} (line {line})" if line and not mentioned else reason


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows with their columns aligned; the last column is left ragged."""
    cells = [tuple(row) for row in rows]
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    return [
        "    " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]])
        for row in cells
    ]


def _logs(logs: Sequence[LogStatement]) -> str:
    lines = ["log statements"]
    for log in logs:
        nest = " > ".join(log.loops) or "outside the loops"
        notes = [nest]
        if log.volatile:
            notes.append("volatile: depends on the clock, never compared")
        if log.impure:
            notes.append(f"may change training state: {log.impure}")
        name = f"`{log.name}`" if log.name is not None else "(name not literal)"
        lines.append(f"  {log.file}:{log.line}: {name}  {'; '.join(notes)}")
    return "\n".join(lines)
