"""The fixed point is one, and what scripts of strangers have shown about unknown calls."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis.execute import Executor, _solve
from florc.analysis.heap import COARSE, FINE
from florc.analysis.program import build_program
from florc.driver import compile_project
from florc.effects.model import Effects, load_effects, read_effects
from florc.frontend.project import load_project
from florc.plan import LoopPlan

CASES = sorted((Path(__file__).parents[1] / "golden" / "cases").glob("*/input.py"))


def settled(script: Path, root: Path) -> Executor:
    program = build_program(load_project(script, root=root))
    executor, complete = _solve(program, load_effects(), FINE, coarse=False)
    assert complete
    return executor


def size(executor: Executor) -> int:
    """How much the heap knows; it never gets less."""
    heap = executor.heap
    tables = [heap.variables, heap.contents, heap.returns, heap.yields]
    known = sum(len(objs) for table in tables for objs in table.values())  # type: ignore[attr-defined]
    return known + sum(len(objs) for by in heap.fields.values() for objs in by.values())


@pytest.mark.parametrize("script", CASES, ids=lambda script: script.parent.name)
def test_executing_everything_again_finds_nothing_new(script: Path) -> None:
    executor = settled(script, script.parent)
    before, functions = size(executor), len(executor.active)
    executor.heap.stale |= executor.owner.keys()
    for function in list(executor.active):
        executor.run(function)
    assert (size(executor), len(executor.active)) == (before, functions)


def loops(tmp_path: Path, text: str, **others: str) -> list[LoopPlan]:
    for name, content in {"script": text, **others}.items():
        (tmp_path / f"{name}.py").write_text(dedent(content))
    plan = compile_project(tmp_path / "script.py", root=tmp_path).plan
    return [loop for loop in plan.loops if loop.training]


def members(tmp_path: Path, text: str, **others: str) -> dict[str, str]:
    """Path -> certainty, of the only training loop."""
    (loop,) = loops(tmp_path, text, **others)
    return {member.path: member.certainty for member in loop.state}


TRAINING = """
import torch
net = torch.nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
"""
STEP = """
    loss = net(torch.ones(1, 2)).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""


def test_a_script_that_its_own_helper_imports_has_one_training_loop(tmp_path: Path) -> None:
    body = TRAINING + "from helper import width\nif __name__ == '__main__':\n  for i in range(3):\n"
    step = STEP.replace("\n    ", "\n      ")
    helper = "def width():\n    from script import net\n    return net\n"
    assert [lp.name for lp in loops(tmp_path, body + step, helper=helper)] == ["i"]


def test_vars_of_an_object_leaves_local_names_alone(tmp_path: Path) -> None:
    text = TRAINING + "import argparse\nargs = argparse.Namespace(a=1)\nfor i in range(3):" + STEP
    assert "loss" not in members(tmp_path, text + "    total = loss * 2\nprint(vars(args))\n")


def test_what_is_written_through_vars_is_the_object(tmp_path: Path) -> None:
    text = """
    class Config:
        def __init__(self):
            self.rate = [1.0]
    config = Config()
    for i in range(3):
        vars(config)["rate"].append(config.rate[-1] / 2)
        vars(config)["seen"] = i
    print(config.rate)
    """
    assert "config" in members(tmp_path, text)


def test_a_partial_gives_what_its_function_gives(tmp_path: Path) -> None:
    text = """
    from functools import partial
    def grow(box, n):
        box.append(n)
        return box
    kept = []
    more = partial(grow, kept)
    for i in range(3):
        more(i).append(-i)
    print(kept)
    """
    assert members(tmp_path, text)["kept"] == "exact"


@pytest.mark.parametrize("base", ["abc.ABC", "typing.Generic[T]", "typing.Protocol"])
def test_bases_that_bring_nothing_make_no_assumption(tmp_path: Path, base: str) -> None:
    text = f"""
    import abc, typing
    T = typing.TypeVar("T")
    class Box({base}):
        def __init__(self):
            super().__init__()
            self.seen = []
        def add(self, x):
            self.seen.append(x)
    box = Box()
    for i in range(3):
        box.add(i)
    print(box.seen)
    """
    assert set(members(tmp_path, text).values()) == {"exact"}


@pytest.mark.parametrize(
    "line",
    [
        "from torch.distributions.categorical import Categorical",
        "from torch.distributions import Categorical",
    ],
)
def test_a_class_is_known_wherever_it_is_imported_from(tmp_path: Path, line: str) -> None:
    text = TRAINING + line + "\nfor i in range(3):" + STEP
    text += "    ratio = Categorical(logits=net.weight).log_prob(torch.zeros(1))\n"
    text += "    (ratio - 1).abs().mean().item()\n"
    assert set(members(tmp_path, text).values()) == {"exact"}


def test_the_callee_of_an_unknown_result_is_asked_for_later(tmp_path: Path) -> None:
    """`thing.add` gets its callee from what the unknown call gives back: the box that it was
    given; only then may it be taken for unknown."""
    text = """
    import mystery
    class Box:
        def __init__(self):
            self.items = []
        def add(self, x):
            self.items.append(x)
    other = {"n": [0]}
    box = Box()
    thing = mystery.wrap(box)
    for i in range(3):
        thing.add(i)
    print(box.items, other)
    """
    found = members(tmp_path, text)
    assert "box" in found and "other" not in found


def test_what_an_unknown_lump_holds_may_change_with_it(tmp_path: Path) -> None:
    text = """
    import mystery
    rows = [[1.0]]
    view = mystery.wrap(rows)
    for i in range(3):
        view.first = i
    print(rows)
    """
    assert "rows" in members(tmp_path, text)


# -- aliases ---------------------------------------------------------------------------------------


def model(tmp_path: Path, text: str) -> Effects:
    (tmp_path / "own.toml").write_text(dedent(text))
    return read_effects([tmp_path / "own.toml"])


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("new.place.thing", "old.thing"),
        ("old.inner.deep.Thing", "old.Thing"),
        ("old.inner", "old.inner"),
        ("old.kept.Thing", "old.kept.Thing"),
        ("twice.thing", "old.thing"),
        ("other.place.thing", "other.place.thing"),
    ],
)
def test_aliases(tmp_path: Path, name: str, usual: str) -> None:
    effects = model(
        tmp_path,
        """
        [aliases]
        "new.place" = "old"
        "twice" = "new.place"
        "old.*" = "old"
        "old.inner.*" = "old"
        [effects]
        "old.kept.Thing" = { returns = "none" }
        """,
    )
    assert effects.canonical(name) == usual


@pytest.mark.parametrize("text", ["aliases = 3", '[aliases]\n"a" = 3', '[aliases]\n"a" = "a.b"'])
def test_bad_aliases_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="aliases"):
        model(tmp_path, text)


def test_an_instance_of_a_named_tuple_keeps_what_it_is_made_from(tmp_path: Path) -> None:
    text = """
    from collections import namedtuple
    Pair = namedtuple("Pair", ["left", "right"])
    rows, memory = [], []
    memory.append(Pair(rows, 1))
    for i in range(3):
        memory[-1].left.append(i)
    print(rows)
    """
    assert members(tmp_path, text)["rows"] == "exact"


def test_too_much_work_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("florc.analysis.execute.MAX_WORK", {FINE: 3, COARSE: 3})
    script = tmp_path / "script.py"
    script.write_text(
        "import helper\nimport unheard_of\n"
        + TRAINING
        + "for step in range(3):\n    unheard_of.look(net, opt)"
        + STEP
    )
    (tmp_path / "helper.py").write_text("x = 1\n")
    plan = compile_project(script, root=tmp_path).plan
    assert "FLR011" in {d.code for d in plan.diagnostics}
    (loop,) = plan.loops
    assert (loop.name, loop.training, loop.jump, loop.state) == ("step", True, False, ())


def test_what_reads_a_global_that_changes_later_is_saved(tmp_path: Path) -> None:
    (loop,) = loops(
        tmp_path,
        """
        table = {k: k for k in range(9)}
        def main():
            for k in range(4):
                copied = dict(table)
                fixed = [0] * 100000
                del table[k]
            print(copied, fixed)
        main()
        """,
    )
    assert "copied" in {member.path for member in loop.state}
    assert [each.path for each in loop.recomputed] == ["fixed"]


def test_what_is_suppressed_leaves_the_rest_undone(tmp_path: Path) -> None:
    found = members(
        tmp_path,
        """
        import contextlib
        table, last = {1: 2}, 0
        for k in range(4):
            with contextlib.suppress(KeyError):
                table.pop(k)
                last = k
            print(last)
        """,
    )
    assert found == {"table": "exact", "last": "exact"}
