"""What a plan claims to be unchanged, and which calls it would blame."""

from __future__ import annotations

from pathlib import Path

from florc.driver import compile_project
from florc.effects.validate import parse
from florc.plan import Claim, LoopPlan, Plan

WRONG = """\
[effects."lib.look"]
returns = "none"

[effects."lib.view"]
returns = "new"
type = "numpy.ndarray"

[types."lib.Opt"]
[effects."lib.Opt"]
returns = "new"
type = "lib.Opt"
[effects."lib.Opt.step"]
returns = "none"

[types."lib.Writer"]
sink = true
"""


def planned(folder: Path, **sources: str) -> Plan:
    (folder / "pyproject.toml").write_text('[tool.florc]\neffects = ["wrong.toml"]\n')
    (folder / "wrong.toml").write_text(WRONG)
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text)
    plan = compile_project(folder / "train.py").plan
    assert Plan.from_json(plan.to_json()) == plan
    return plan


def claims(loop: LoopPlan) -> dict[str, Claim]:
    return {claim.path: claim for claim in loop.claims}


def entries(claim: Claim) -> dict[str, dict[str, object]]:
    return {s.call: parse(s.entry)["effects"] for s in claim.suspects}


def test_live_names_that_are_not_saved_are_claimed(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "import lib, math\n"
            "limits, seen, unused, after = [1], [], [2], [3]\n"
            "def helper(x): return x\n"
            "for epoch in range(3):\n"
            "    value = helper(limits)\n"
            "    seen.append(value)\n"
            "print(seen, after)\n"
        ),
    )
    found = claims(plan.loops[0])
    assert set(found) == {"limits", "after"}, "not: members, the dead, code, libraries"
    assert (found["limits"].line, found["after"].line) == (5, 0)


def test_globals_of_other_modules_and_closure_cells_are_claimed(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        settings="rate = 0.1\ntable = [1]\nclass Config:\n    steps = [1]\nclass Code:\n    pass\n",
        train=(
            "import settings\n"
            "def make():\n"
            "    scale = [2.0]\n"
            "    def scaled(x):\n"
            "        return x * scale[0] * settings.rate * settings.Config.steps[0]\n"
            "    return scaled\n"
            "def fit(f, total):\n"
            "    for epoch in range(3):\n"
            "        total.append(f(epoch))\n"
            "    return total\n"
            "print(fit(make(), []))\n"
        ),
    )
    assert set(claims(plan.loops[0])) >= {
        "settings:rate",
        "settings:table",
        "settings:Config",
        "f.__closure__.scale",
    }
    assert "settings:Code" not in claims(plan.loops[0])


LOOP = "for epoch in range(3):\n    seen.append(float(data.sum()))\n"


def test_the_call_that_is_given_it_is_suspected(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "import lib, numpy as np\ndata, seen = np.ones(3), []\n"
            f"{LOOP}    lib.look([data], len(seen))\nprint(seen)\n"
        ),
    )
    (suspect,) = claims(plan.loops[0])["data"].suspects
    assert (suspect.call, suspect.line, suspect.shown) == ("lib.look", 5, "lib.look")
    assert parse(suspect.entry)["effects"] == {
        "lib.look": {"mutates": ["0*"], "returns": "none"}
    }, "the entry that there is, mended"


def test_a_call_that_hides_a_view_is_suspected(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "import lib, numpy as np\ndata, seen = np.ones(3), []\n"
            f"{LOOP}    part = lib.view(data)\n    part += 1\nprint(seen)\n"
        ),
    )
    found = entries(claims(plan.loops[0])["data"])
    assert found["lib.view"]["lib.view"] in (
        {"mutates": ["0"], "type": "numpy.ndarray"},
        {"returns": "0", "type": "numpy.ndarray"},
    )


def test_a_constructor_that_hides_what_it_keeps_is_suspected(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "import lib, torch\nnet = torch.nn.Linear(2, 1)\nopt = lib.Opt(net.parameters())\n"
            "for epoch in range(3):\n"
            "    net(torch.ones(1, 2)).sum().backward()\n    opt.step()\nprint(net.weight)\n"
        ),
    )
    loop = plan.loops[0]
    assert "opt" not in [m.path for m in loop.state]
    assert entries(claims(loop)["opt"])["lib.Opt.step"]["lib.Opt.step"] == {
        "mutates": ["self*"],
        "returns": "none",
    }


def test_declared_sinks_are_no_claims_and_known_to_the_run_time(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "import lib\nwriter, seen = lib.Writer(), []\n"
            "for epoch in range(3):\n    seen.append(epoch)\n    writer.add(epoch)\n"
            "print(seen, writer)\n"
        ),
    )
    assert "writer" not in claims(plan.loops[0]) and plan.extra == {"sinks": ["lib.Writer"]}


def test_a_loop_that_cannot_be_jumped_into_claims_nothing(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        train=(
            "table, seen = [1], []\ndef items():\n    while len(seen) < 4:\n        yield seen\n"
            "for item in items():\n    seen.append(len(item))\nprint(seen, table)\n"
        ),
    )
    (loop,) = [loop for loop in plan.loops if loop.training]
    assert loop.jump or not loop.claims
