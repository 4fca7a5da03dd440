"""One script: plain, recorded, its truth, and replays from every checkpoint."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablation import small_data
from ablation.cases import Case, insert_logs
from ablation.findings import (
    Finding,
    Verdict,
    divergence,
    first_difference,
    noticed,
    refusal,
)
from ablation.processes import IGNORED, digest, environment, execute
from florc.plan import LoopPlan, Member, Plan

HERE = Path(__file__).resolve().parent
STUB = HERE / "stub"
EACH = HERE / "replay_each.py"
PYTHON = sys.executable


class Experiment:
    """The runs of one case, in a scratch folder."""

    def __init__(self, case: Case, scratch: Path, drops: int) -> None:
        self.case, self.scratch, self.drops = case, scratch, drops
        self.found = Finding(case.name)
        self.plain_out = ""

    def copy(self, name: str) -> Path:
        """A fresh copy of the folder, with data."""
        target = self.scratch / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for item in self.case.include or ("",):
            source, into = self.case.folder / item, target / item
            into.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(
                    source, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*IGNORED)
                )
            else:
                shutil.copy(source, into)
        (target / ".flor").mkdir()  # what makes it the project's root
        if self.case.data:
            small_data.make(self.case.data, target / self.case.cwd, **self.case.data_args)
        return target

    def masked(self, text: str) -> list[str]:
        """Lines without what differs between any two runs."""
        for mask in self.case.masks:
            text = re.sub(mask, "<masked>", text)
        return text.splitlines()

    def run(self) -> Finding:
        """All three parts."""
        begun = time.monotonic()
        try:
            self._run()
        except (Failed, ValueError, OSError) as error:
            self.found.error = str(error)
        self.found.seconds = round(time.monotonic() - begun, 1)
        return self.found

    def _run(self) -> None:
        case, found = self.case, self.found
        limit = case.limit
        here = self.copy("plain")
        plain = execute([PYTHON, *case.argv], here / case.cwd, environment(case, here), limit)
        self.plain_out = plain.out
        if plain.code != 0:
            raise Failed(f"the plain run ended with {plain.code}: {plain.err[-600:]}")
        files = digest(here, case.ignore)

        root = self.copy("recorded")
        command = [PYTHON, str(EACH), "record", str(case.every), "-", *case.argv]
        recorded = execute(command, root / case.cwd, environment(case, root), 4 * limit)
        why = []
        if recorded.code != plain.code:
            why.append(f"exit code {recorded.code}: {recorded.err[-600:]}")
        if self.masked(recorded.out) != self.masked(plain.out):
            why.append(
                f"stdout: {first_difference(self.masked(plain.out), self.masked(recorded.out))}"
            )
        now = digest(root, case.ignore)
        different = sorted(k for k in files.keys() | now.keys() if files.get(k) != now.get(k))
        if different:
            why.append(f"files: {', '.join(different[:5])}")
        why += [line for line in recorded.err.splitlines() if line.startswith("florc: ")]
        found.record_same, found.record_why = not why, "; ".join(why)
        plan = self._plan(root)

        there = self.copy("truth")
        insert_logs(there, case.logs)
        truth_file = self.scratch / "truth.jsonl"
        truth_file.unlink(missing_ok=True)
        env = environment(case, there, STUB, FLOR_TRUTH=str(truth_file))
        truth_run = execute([PYTHON, *case.argv], there / case.cwd, env, 2 * limit)
        if truth_run.code != plain.code:
            raise Failed(f"the truth's run ended with {truth_run.code}: {truth_run.err[-600:]}")
        found.truth_same = self.masked(truth_run.out) == self.masked(plain.out)
        if not found.truth_same:
            raise Failed(
                "two plain runs print different things: "
                + first_difference(self.masked(plain.out), self.masked(truth_run.out))
            )
        if not truth_file.exists():
            raise Failed("nothing was logged")
        truth = [json.loads(line) for line in truth_file.read_text().splitlines()]
        found.values = len(truth)
        insert_logs(root, case.logs)
        self._replays(root, plan, truth)
        for verdict in found.members:
            if verdict.changed and not verdict.caught and verdict.how != "stream":
                verdict.caught = self._caught_recording(verdict.member)

    def _caught_recording(self, member: str) -> str:
        """Whether the record run's check finds a member that the plan takes for unchanged."""
        from flor.runtime.record.promotions import Report

        case = self.case
        root = self.copy("altered")
        command = [PYTHON, str(EACH), "record", str(case.every), member, *case.argv]
        execute(command, root / case.cwd, environment(case, root), 4 * case.limit)
        for folder in (root / ".flor" / "runs").iterdir():
            for promotion in Report.read(folder).promotions:
                if promotion.path == member or promotion.path.startswith(member + "."):
                    return "record"
        return ""

    def _plan(self, root: Path) -> Plan:
        from flor.runtime.store import Store

        with Store.open(root) as store:
            runs = store.runs()
            plan = store.plan(runs[-1].run) if runs else None
        if plan is None:
            raise Failed("nothing was recorded")
        return plan

    # -- replays -------------------------------------------------------------------------------

    def _replays(self, root: Path, plan: Plan, truth: list[Any]) -> None:
        found, case = self.found, self.case
        tasks = self._tasks(root, plan)
        answers = self._work(root, tasks)
        start = answers.get("start")
        if start is None:
            log = (self.scratch / "worker.log").read_text(errors="replace")
            raise Failed(f"the replay from the start has no answer: {log[-800:]}")
        values = [list(pair) for pair in start["values"]]
        if values != truth:
            found.inexact.append(f"from the start: {first_difference(truth, values)}")
        strange = unlike_the_first(start["answer"]["divergences"])
        if strange:
            found.false_alarms.append(f"from the start: {divergence(start['answer'])}")
        verdicts = {v.member: v for v in found.members}
        for task in tasks:
            answer = answers.get(task["name"])
            mark = start["marks"].get(f"{task['loop']} {task['index']}")
            expected = truth[mark:] if mark is not None else []
            if case.preload:
                expected = truth[: min(start["marks"].values(), default=0)] + expected
            changed = self._changed(task, answer, expected)
            caught = noticed(answer)
            if not task["drop"]:
                found.replayed += 1
                place = f"{task['loop']} {task['index']}"
                if caught == "refused" and answer is not None:
                    found.refused.append(f"{place}: {refusal(answer['answer'])}")
                elif changed:
                    found.inexact.append(f"{place}: {changed}")
                else:
                    found.exact += 1
                if caught and caught != "refused" and answer is not None:
                    found.false_alarms.append(f"{place}: {divergence(answer['answer'])}")
                continue
            verdict = verdicts[task["drop"]]
            if changed and not verdict.changed:
                verdict.changed = changed.split(":")[0]
                verdict.example = f"{task['loop']} {task['index']}: {changed}"
            if changed and caught and not verdict.caught:
                verdict.caught = caught
                verdict.example += "; " + (divergence(answer["answer"]) if answer else "")
            if caught and not verdict.caught:
                verdict.caught = f"({caught})"
                verdict.example = verdict.example or divergence((answer or {}).get("answer", {}))

    def _changed(self, task: dict[str, Any], answer: Any, expected: list[Any]) -> str:
        if answer is None:
            return "failed: no answer in time"
        if answer["answer"]["state"] != "done" or not answer["answer"]["jumps"]:
            return f"refused: {refusal(answer['answer'])}"
        values = [list(pair) for pair in answer["values"]]
        if values != expected:
            return f"values: {first_difference(expected, values)}"
        out = self.masked(Path(task["out"] + ".stdout").read_text(errors="replace"))
        wanted = self.masked(self.plain_out)
        if self.case.preload:  # what comes before the loop is printed again
            same = [a == b for a, b in zip(out, wanted, strict=False)]
            out = out[same.index(False) :] if False in same else out[len(wanted) :]
        if out and wanted[-len(out) :] != out:
            return f"output: {first_difference(wanted[-len(out) :], out)}"
        return ""

    def _tasks(self, root: Path, plan: Plan) -> list[dict[str, Any]]:
        """A replay from each checkpoint; then each member left out, from a few of them."""
        from flor.runtime.store import Store

        found = self.found
        out = root / ".flor" / "each"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        with Store.open(root) as store:
            run = store.runs()[-1].run
            stops = [c for c in store.checkpoints(run) if len(c.position) == 1]
        found.checkpoints = len(stops)
        if not stops:
            raise Failed("no checkpoint was taken")
        tasks: list[dict[str, Any]] = []

        def add(stop: Any, drop: str) -> None:
            loop, index, passed = stop.coordinates[-1]
            name = f"{len(tasks):04d}"
            tasks.append(
                {"name": name, "loop": loop, "base": index - int(passed), "index": index,
                 "drop": drop, "file": stop.file, "out": str(out / name)}
            )  # fmt: skip

        for stop in stops:
            add(stop, "")
        for loop in (lp for lp in plan.loops if lp.training):
            mine = [stop for stop in stops if stop.loop == loop.name]
            if not mine:
                continue
            found.loops.append(f"{loop.name} ({loop.file}:{loop.line})")
            found.gradients = "dead" if loop.dead_grads else "saved where present"
            # Not the first head (there the prefix has made all members), not behind the loop.
            first, last = mine[0].position[-1][1], mine[-1].position[-1][1]
            inner = [stop for stop in mine if first < stop.position[-1][1] < last] or mine
            chosen = spread(inner, self.drops)
            for member in members(loop):
                found.members.append(
                    Verdict(member.path, member.how, member.certainty, member.reason)
                )
                for stop in chosen:
                    add(stop, member.path)
            found.only_computed = [m.path for m in loop.state if m.path not in self.case.hand]
            found.only_hand = [h for h in self.case.hand if h not in {m.path for m in loop.state}]
        return tasks

    def _work(self, root: Path, tasks: list[dict[str, Any]]) -> dict[str, Any]:
        """Run one worker over all tasks; what each wrote."""
        from flor.runtime.replay.overlay import tracker_env
        from flor.runtime.store import Store
        from flor.runtime.store.rows import seconds

        case = self.case
        scratch = Path(tempfile.mkdtemp(prefix="flor-each-"))
        with Store.open(root) as store:
            run = store.runs()[-1]
        module = case.argv[0] == "-m"
        job = {
            "root": str(root), "run": run.run,
            "script": case.argv[1] if module else str((root / case.cwd / case.argv[0]).resolve()),
            "module": case.argv[1] if module else None,
            "argv": list(case.argv[2:] if module else case.argv[1:]),
            "cwd": str(root / case.cwd), "wanted": [], "to_the_end": True, "skip": False,
            "outside": [], "before": [], "started": seconds(run.started), "status": "finished",
            "horizon": None, "jumps": True, "banned": [], "scratch": str(scratch),
            "answer": str(root / ".flor" / "each" / "start.answer"), "quiet": False,
        }  # fmt: skip
        if not module:
            job["script"] = case.argv[0]
        start = root / ".flor" / "each" / "start"
        data = {"job": job, "tasks": tasks, "limit": case.limit, "out": str(start)}
        data |= {"early": bool(case.preload), "preload": case.preload}
        file = self.scratch / "tasks.json"
        file.write_text(json.dumps(data), encoding="utf-8")
        env = environment(case, root) | tracker_env(scratch)
        limit = case.limit * (len(tasks) + 2)
        ran = execute(
            [PYTHON, str(EACH), "replay", str(file)], Path(job["cwd"]), env, min(limit, 3000.0)
        )
        (self.scratch / "worker.log").write_text(ran.out + "\n--- stderr\n" + ran.err)
        shutil.rmtree(scratch, ignore_errors=True)
        answers = {}
        for name, path in [("start", str(start)), *((t["name"], t["out"]) for t in tasks)]:
            try:
                answers[name] = {
                    **json.loads(Path(path + ".values").read_text()),
                    "answer": json.loads(Path(path + ".answer").read_text()),
                }
            except (OSError, ValueError):
                continue
        return answers


class Failed(Exception):
    """The experiment can't go on."""


def unlike_the_first(divergences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that don't come from the first head: there streams differ that nobody has seeded.

    A replay that jumps restores them; one from the start can't, and goes on with its own.
    """
    first = {d["replayed"] for d in divergences if d["place"].startswith("head 0 ")}
    return [d for d in divergences if d["replayed"] not in first]


def members(loop: LoopPlan) -> list[Member]:
    """The members of the loop's set, and the random streams it draws from as members."""
    rng = [
        Member(f"rng:{stream}", "stream", "exact", "the loop draws from it", loop.line)
        for stream in loop.rng
        if stream != "cuda"
    ]
    return [*loop.state, *rng]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(k * (len(items) - 1) / max(1, count - 1))] for k in range(count)]
