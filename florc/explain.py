"""Renders a plan as a compiler's report for people; the JSON form is the plan itself."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from florc.plan import LogStatement, LoopPlan, Plan, RegionPlan, SlicePlan

_STREAMS = {
    "python": "random",
    "numpy": "numpy.random",
    "torch": "torch (CPU)",
    "cuda": "torch (CUDA)",
}


@dataclass(frozen=True)
class Recorded:
    """What checkpoints of a loop took in the latest run of this very content."""

    run: int
    nbytes: int  # of tensors and arrays
    stored: int  # bytes in the store


def explain(plan: Plan, sizes: Mapping[str, Recorded] | None = None) -> str:
    """Loops with their checkpoint sets, log statements, diagnostics.  Ends in a newline.

    `sizes` are recorded ones by loop.  The order is that of the plan, and nothing else in the text
    depends on the machine or the time.
    """
    blocks = [_summary(plan)]
    for loop in plan.loops:
        regions = [region for region in plan.regions if loop.name in region.loops]
        blocks.append(_loop(loop, (sizes or {}).get(loop.name), regions))
    slices = {log: one for one in plan.slices for log in one.logs}
    for title, captured in (("log statements", False), ("captured", True)):
        logs = [log for log in plan.logs if log.captured == captured]
        if logs:
            blocks.append(_logs(title, logs, slices))
    if plan.extra.get("unknown"):
        blocks.append(_assumptions(plan))
    if plan.diagnostics:
        blocks.append("\n".join(["diagnostics", *(f"  {d.render()}" for d in plan.diagnostics)]))
    return "\n\n".join(blocks) + "\n"


def recorded_sizes(plan: Plan, root: Path) -> dict[str, Recorded]:
    """Sizes of the last checkpoint of each loop in the latest run of the plan's very modules.

    Empty where nothing was recorded, or the store can't be read.
    """
    database = root / ".flor" / "flor.db"
    wanted = {m.path: m.sha256 for m in plan.modules}
    found: dict[str, Recorded] = {}
    try:
        if not database.is_file():
            return {}
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            runs = store.execute("SELECT run, version FROM runs WHERE version > '' ORDER BY run")
            for run, version in reversed(runs.fetchall()):
                rows = store.execute("SELECT path, blob FROM sources WHERE version = ?", (version,))
                if wanted.items() <= dict(rows.fetchall()).items():
                    rows = store.execute(
                        "SELECT loop, nbytes, stored FROM checkpoints WHERE run = ? ORDER BY time",
                        (run,),
                    )
                    for loop, nbytes, stored in rows:
                        found[loop] = Recorded(run, nbytes or 0, stored or 0)
                    if found:
                        return found
    except sqlite3.Error:
        pass
    return {}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(plan: Plan) -> str:
    training = sum(loop.training for loop in plan.loops)
    assumed = sum(m.certainty == "assumed" for loop in plan.loops for m in loop.members)
    members = sum(len(loop.members) for loop in plan.loops)
    captured = sum(log.captured for log in plan.logs)
    counts = [
        _count(len(plan.modules), "module"),
        _count(training, "training loop"),
        _count(len(plan.loops) - training, "other loop"),
        f"{_count(members, 'member')} ({assumed} assumed)",
        _count(len(plan.logs) - captured, "log statement"),
        *([f"{captured} captured"] if captured else []),
    ]
    return f"{plan.script}: {', '.join(counts)}"


def _loop(loop: LoopPlan, size: Recorded | None, regions: Sequence[RegionPlan]) -> str:
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
    saved = _count(len(loop.members), "member") if loop.state else "nothing"
    if size is not None:
        saved += f", {_bytes(size.nbytes)} of tensors (run {size.run})"
    lines.append(f"  saved        {saved}")
    lines += _table(
        (m.path, f"{m.how}, {m.certainty}", _reason(m.reason, m.line)) for m in loop.members
    )
    names = [m for m in loop.state if m.alias]
    if names:
        lines.append("  covered")
        lines += _table(
            (m.path, f"by `{m.alias}`, unless it turns out not to lead there") for m in names
        )
    if loop.recomputed:
        lines.append("  recomputed")
        lines += _table(
            (r.path, _reason(f"from `{r.expression}`", r.line)) for r in loop.recomputed
        )
    if loop.guarded:
        lines.append("  not saved if inner loops run")
        lines += _table((g.path, _reason(g.reason, g.line)) for g in loop.guarded)
    if loop.excluded:
        lines.append("  not saved")
        lines += _table((e.path, _reason(e.reason, e.line)) for e in loop.excluded)
    streams = ", ".join(_STREAMS.get(stream, stream) for stream in loop.rng)
    lines.append(f"  random       {streams or 'none drawn'}")
    if loop.state:
        gradients = "dead at the head, not saved" if loop.dead_grads else "saved where present"
        lines.append(f"  gradients    {gradients}")
    volatile = ", ".join(m.path for m in loop.state if m.volatile)
    if volatile:
        lines.append(f"  volatile     {volatile} (clock times: not compared)")
    if loop.sinks:
        lines.append(f"  sinks        {', '.join(loop.sinks)}")
    skippable = [region for region in regions if not region.obstacle]
    executed = [region for region in regions if region.obstacle]
    if skippable:
        lines.append("  skippable")
        lines += _table((f"{r.call}()", f"{r.file}:{r.line}", _skipped(r)) for r in skippable)
    if executed:
        lines.append("  not skippable")
        lines += _table((f"{r.call}()", f"{r.file}:{r.line}", _obstacle(r)) for r in executed)
    jump = "yes" if loop.jump else f"no: {loop.jump_reason or 'its state cannot be restored'}"
    lines.append(f"  jump         {jump}")
    return "\n".join(lines)


def _skipped(region: RegionPlan) -> str:
    """What stands in for a region that is skipped, and what is looked at while recording."""
    kept = [] if region.discarded else ["its result"]
    kept += ["random states"] if region.rng else []
    kept += (
        [f"modes of {', '.join(region.watch)} (else unchanged: watched)"] if region.watch else []
    )
    return f"leaves {', '.join(kept)}" if kept else "leaves nothing"


def _obstacle(region: RegionPlan) -> str:
    if region.obstacle_file == region.file:
        return _reason(region.obstacle, region.obstacle_line)
    return f"{region.obstacle} ({region.obstacle_file}:{region.obstacle_line})"


def _bytes(number: int) -> str:
    amount, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.3g} {unit}"


def _assumptions(plan: Plan) -> str:
    """Calls that nothing is known of, and how to tell what they do."""
    lines = ["assumptions"]
    rows = _table(
        (
            f"{call['file']}:{call['line']}",
            f"{call['shown']}()",
            f"no entry for `{call['name']}`"
            + (f": {_count(call['members'], 'member')} saved for it" if call["members"] else ""),
        )
        for call in plan.extra["unknown"]
    )
    lines += [row[2:] for row in rows]
    lines.append(f"  `florc effects --suggest {plan.script}` prints entries that say what they do")
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


def _logs(title: str, logs: Sequence[LogStatement], slices: Mapping[str, SlicePlan]) -> str:
    lines = [title]
    for log in logs:
        nests = dict.fromkeys(" > ".join(path) for path in log.paths or (log.loops,))
        nest = " or ".join(nest or "outside the loops" for nest in nests)
        notes = [nest]
        if log.volatile:
            notes.append("volatile: depends on the clock, never compared")
        if log.impure:
            notes.append(f"may change training state: {log.impure}")
        if log.id in slices:
            notes.append(_answered(slices[log.id]))
        name = f"`{log.name}`" if log.name is not None else "(name not literal)"
        lines.append(f"  {log.file}:{log.line}: {name}  {'; '.join(notes)}")
    return "\n".join(lines)


def _answered(one: SlicePlan) -> str:
    """What a replay executes for a log statement in a training loop's body."""
    if not one.obstacle:
        return f"the state at the next head of `{one.loop}` answers it"
    line = one.obstacle_line
    if one.obstacle_file:
        return f"needs the iteration: {one.obstacle} ({one.obstacle_file}:{line})"
    return f"needs the iteration: {_reason(one.obstacle, line)}"
