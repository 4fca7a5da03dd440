"""The check of claims by itself: what it looks at and when, with a clock of its own."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flor.runtime.record import check as module
from flor.runtime.record.check import FIRST_HEADS, Check
from flor.runtime.record.promotions import Promotion, Report, extended, lacking
from florc.plan import Claim, Excluded, LoopPlan, Member, Plan, Suspect

SUSPECT = Suspect("lib.f", "lib.f", "train.py", 7, '[effects."lib.f"]\nmutates = ["0"]')


def loop_plan(name: str = "epoch", **values: Any) -> LoopPlan:
    base = LoopPlan(
        id=name, name=name, file="train.py", line=3, scope="", kind="for", training=True,
        lexical_parent=None, parents=(), counter="item", counter_name=None,
        rng=("python", "numpy", "torch", "cuda"),
    )  # fmt: skip
    return dataclasses.replace(base, **values)


class Rig:
    """A check with a session that keeps notes, and clocks that only move when told."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, plan: LoopPlan, **state: Any
    ) -> None:
        self.wall = self.processor = 0.0
        self.notes: list[str] = []
        self.troubles: list[str] = []
        clock = SimpleNamespace(
            perf_counter=lambda: self.wall,
            process_time=lambda: self.wall,
            thread_time=lambda: self.processor,
        )
        monkeypatch.setattr(module, "time", clock)
        session: Any = SimpleNamespace(
            plan=Plan("train.py", (), (plan,), ()),
            note=self.notes.append,
            trouble=lambda doing, error: self.troubles.append(doing),
        )
        self.taken = 0
        self.folder = folder
        self.check = Check(session, folder, lambda: self.taken)
        self.plan = plan
        self.enter(**state)

    def enter(self, depth: int = 0, base: int = 0) -> None:
        self.state = SimpleNamespace(
            name=self.plan.name, plan=self.plan, index=base, base=base, depth=depth,
            parent_ctx=None,
        )  # fmt: skip

    def head(self, frame: FrameType, last: bool = False) -> None:
        loop: Any = SimpleNamespace(state=self.state)
        self.check.head(loop, frame, self.wall, last=last)
        self.state.index += 1

    @property
    def paths(self) -> list[str]:
        return [p.path for p in self.check.report.promotions]


def test_the_first_heads_are_looked_at_and_a_change_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=(Claim("items", 5, (SUSPECT,)),)))
    items, frame = [1], sys._getframe()
    rig.head(frame)
    rig.taken = 4
    items.append(2)
    rig.head(frame)
    (found,) = rig.check.report.promotions
    assert (found.path, found.how, found.after, found.line) == ("items", "mutated", 4, 7)
    (note,) = rig.notes
    assert note.startswith("train.py:7: FLR014 `items` changes in loop `epoch`")
    assert "lib.f()" in note and '[effects."lib.f"] mutates = ["0"]' in note and "\n" not in note
    assert [m.path for m in rig.check.plan("epoch", rig.plan).state] == ["items"]
    items.append(3)
    rig.head(frame)
    assert rig.paths == ["items"] and len(rig.notes) == 1
    assert Report.read(tmp_path).promotions == [found], "kept at once: the run may be killed"


def test_a_name_that_is_bound_anew_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=(Claim("items", 0), Claim("count", 0))))
    items, count, frame = [1], 3, sys._getframe()
    rig.head(frame)
    old, items = items, [1]
    rig.head(frame)
    assert not rig.paths, "it looks the same"
    items, count = [2], 4
    rig.head(frame)
    assert sorted((p.path, p.how) for p in rig.check.report.promotions) == [
        ("count", "rebound"),
        ("items", "rebound"),
    ]
    assert old == [1] and items == [2] and count == 4


class Trainer:
    def __init__(self) -> None:
        self.net = [1]
        self.seen = [1]
        self.data = [1]


def test_only_the_attribute_is_promoted_where_others_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member("self.net", "mutated", "exact", "", 0)
    plan = loop_plan(state=(member,), claims=(Claim("self", 0), Claim("trainer", 0)))
    rig = Rig(tmp_path, monkeypatch, plan)
    self = trainer = Trainer()
    frame = sys._getframe()
    rig.head(frame)
    self.net.append(2)
    rig.head(frame)
    assert not rig.paths
    self.seen.append(2)
    trainer.late = 1  # type: ignore[attr-defined]
    rig.head(frame)
    assert sorted(rig.paths) == ["self.late", "self.seen"]


def test_what_an_inner_loop_finds_at_its_next_entry_is_not_its_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, loop_plan("step", claims=(Claim("items", 0),)), depth=1)
    items, frame = [1], sys._getframe()
    for base in range(0, 12, 4):
        rig.enter(depth=1, base=base)
        items.append(base)
        rig.wall += 100.0
        rig.head(frame)
        rig.head(frame)
    assert not rig.paths
    items.append(9)
    rig.head(frame)
    assert rig.paths == ["items"]


def test_a_large_array_is_not_hashed_at_each_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time spent stays within the share; what was begun is gone on with, until all is seen."""
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=(Claim("table", 0),)))
    table, frame = np.zeros(20 * (1 << 22) // 8), sys._getframe()
    hashed: list[int] = []
    true_hash = module.hash_slices

    def hash_slices(wanted: Any) -> list[int]:
        wanted = list(wanted)
        hashed.extend(number for _, number in wanted)
        rig.processor += 0.004 * len(wanted)
        return true_hash(wanted)

    monkeypatch.setattr(module, "hash_slices", hash_slices)
    for _ in range(FIRST_HEADS):
        rig.head(frame)
    first = len(hashed)
    assert 20 <= first <= 0.1 / 0.004 + 2, "all of it once, then the allowance is spent"
    heads = 2000
    for _ in range(heads):
        rig.wall += 0.05
        rig.head(frame)
    spent = rig.check.spent
    assert spent <= module.ALLOWANCE + module.SHARE * rig.wall + 0.01
    assert set(hashed[first:]) == set(range(20)), "in turn"
    table[-1] = 1.0
    for _ in range(heads):
        rig.wall += 0.05
        rig.head(frame)
    assert rig.paths == ["table"]


def test_within_its_time_it_looks_at_one_root_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = tuple(Claim(name, 0) for name in ("a", "b", "c", "d"))
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=claims))
    a = b = c = d = 1
    frame = sys._getframe()
    looked: list[str] = []
    true_print = module.fingerprint

    def fingerprint(value: Any, *rest: Any) -> Any:
        rig.processor += 0.06
        looked.append("look")
        return true_print(value, *rest)

    monkeypatch.setattr(module, "fingerprint", fingerprint)
    rig.head(frame)
    assert len(looked) == 2, "the allowance ends it"
    for _ in range(400):
        rig.wall += 1.0
        rig.head(frame)
    assert len(looked) * 0.06 <= module.ALLOWANCE + module.SHARE * rig.wall + 0.06
    assert {root.last > 0 for root in rig.check.watches["epoch"].roots.values()} == {True}
    assert a + b + c + d == 4


def test_random_streams_that_nobody_is_said_to_draw_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import random

    rig = Rig(tmp_path, monkeypatch, loop_plan(rng=("numpy", "torch", "cuda")))
    frame = sys._getframe()
    rig.head(frame)
    random.random()
    rig.head(frame)
    (found,) = rig.check.report.promotions
    assert (found.path, found.how) == ("python", "stream")
    assert "random stream of python" in rig.notes[0]
    assert rig.check.plan("epoch", rig.plan).rng == ("cuda", "numpy", "python", "torch")


def test_a_failure_ends_the_check_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=(Claim("items", 0),)))
    items, frame = [1], sys._getframe()
    monkeypatch.setattr(module, "fingerprint", lambda *a: 1 / 0)
    rig.head(frame)
    rig.head(frame)
    assert rig.troubles == ["checking the analysis"] and items == [1]


def test_a_loop_without_jumps_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, loop_plan(claims=(Claim("items", 0),), jump=False))
    items, frame = [1], sys._getframe()
    rig.head(frame)
    items.append(1)
    rig.head(frame)
    assert not rig.paths and not rig.check.report.looks


# -- what is kept, and what a replay makes of it -------------------------------------------------

PROMOTED = Promotion(
    "epoch", "items", "mutated", "train.py", 7, 3, (("epoch", 3),), ({"call": "f"},)
)
STREAM = Promotion("epoch", "numpy", "stream", "train.py", 7, 3)


def test_a_report_is_read_back(tmp_path: Path) -> None:
    assert Report.read(tmp_path) == Report()
    report = Report([PROMOTED, STREAM], 4, 9, 0.25, {"net": "why"})
    report.write(tmp_path)
    assert Report.read(tmp_path) == report
    assert [p.name for p in tmp_path.iterdir()] == ["check.json"]
    data = json.loads((tmp_path / "check.json").read_text())
    (tmp_path / "check.json").write_text(json.dumps({**data, "format": 99}))
    with pytest.raises(ValueError, match="newer"):
        Report.read(tmp_path)


def test_a_plan_is_extended() -> None:
    plan = loop_plan(excluded=(Excluded("items", "not changed", 3), Excluded("x", "dead", 3)))
    found = extended(plan, [PROMOTED, STREAM, dataclasses.replace(PROMOTED, loop="other")])
    assert [(m.path, m.how, m.certainty) for m in found.state] == [("items", "mutated", "assumed")]
    assert [e.path for e in found.excluded] == ["x"] and "numpy" in found.rng
    assert extended(found, [PROMOTED]) == found


@pytest.mark.parametrize(
    ("position", "file", "lacks"),
    [
        ((("epoch", 0),), "000001-epoch-0.ckpt", []),  # the loop has changed nothing yet
        ((("epoch", 2),), "000003-epoch-2.ckpt", ["items"]),
        ((("epoch", 3),), "000004-epoch-3.ckpt", []),
        ((("run", 0), ("epoch", 0)), "000002-epoch-0-0.ckpt", ["items"]),
    ],
)
def test_checkpoints_from_before_lack_the_root(position: Any, file: str, lacks: list[str]) -> None:
    assert lacking([PROMOTED, STREAM], "epoch", position, file) == lacks
    assert lacking([PROMOTED, STREAM], "step", position, file) == []
