"""What public training scripts uncovered, each cut down to a few lines."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.compare import differences
from flor.runtime.checkpoint.restore import restore
from florc.analysis.execute import points_to
from florc.analysis.program import build_program
from florc.driver import compile_project
from florc.effects.model import load_effects
from florc.frontend.project import load_project

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

TRAINING = """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def state(tmp_path: Path, text: str) -> dict[str, str]:
    """Path -> certainty of the members of the outermost training loop."""
    script = tmp_path / "script.py"
    script.write_text(dedent(text))
    loops = [lp for lp in compile_project(script, root=tmp_path).plan.loops if lp.training]
    return {m.path: m.certainty for m in loops[0].state}


def held(tmp_path: Path, text: str, name: str) -> set[str]:
    """Types (or classes) of what a global may hold."""
    script = tmp_path / "script.py"
    script.write_text(dedent(text))
    program = build_program(load_project(script, root=tmp_path))
    objs = points_to(program, load_effects()).heap.variable(program.bodies["__main__"].scope, name)
    return {o.cls.scope.path if o.cls else o.type or o.kind for o in objs}


def network(body: str) -> str:
    """A script that trains `Net`; `body` is the inside of the class."""
    return (
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n"
        + dedent(body).replace("\n", "\n    ").join(["    ", "\n"])
        + "model = Net()\nx = torch.randn(4, 3)\n"
        + dedent(TRAINING)
    )


def test_a_resumed_checkpoint_taints_no_number(tmp_path: Path) -> None:
    """nanoGPT: `iter_num = checkpoint["iter_num"]`; the analysis had not ended after minutes."""
    text = """
        import sys, torch
        model = torch.nn.Linear(3, 1)
        x = torch.randn(4, 3)
        settings = {"width": 3}
        done = 0
        if len(sys.argv) > 1:
            saved = torch.load(sys.argv[1])
            weights = saved["model"]
            for key in list(weights.keys()):
                weights[key[7:]] = weights.pop(key)
            model.load_state_dict(weights)
            done = saved["done"]
            for key in ("width",):
                settings[key] = saved["settings"][key]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        while True:
            loss = model(x).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            saved = {"model": model.state_dict(), "done": done}
            done += 1
            if done > 5:
                break
    """
    assert set(state(tmp_path, text)) == {"done", "model", "optimizer"}


def test_modules_in_a_dictionary_are_submodules(tmp_path: Path) -> None:
    """nanoGPT, minGPT: `nn.ModuleDict(dict(drop=nn.Dropout(), h=nn.ModuleList([...])))`."""
    text = network("""
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict(dict(
                norm=nn.BatchNorm1d(3), h=nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])))

        def forward(self, x):
            x = self.parts.norm(x)
            for block in self.parts.h:
                x = block(x)
            return x
    """)
    assert set(state(tmp_path, text)) == {"model", "optimizer"}
    probe = text.replace(
        "optimizer = torch", "block = next(iter(model.parts.h))\noptimizer = torch"
    )
    assert "builtins.list" not in held(tmp_path, probe, "block")
    assert "torch.nn.Linear" in held(tmp_path, probe, "block")


def test_keyword_arguments_of_dict_are_its_values(tmp_path: Path) -> None:
    text = "import torch\nd = dict(a=torch.nn.Linear(1, 1))\nm = d['a']\n"
    assert held(tmp_path, text, "m") == {"torch.nn.Linear"}


def test_a_method_is_called_with_its_own_self(tmp_path: Path) -> None:
    """The plain function behind a bound method was called too, with the arguments shifted."""
    text = """
        class Meter:
            def add(self, value):
                self.last = value
                return self

        class Other:
            pass

        other = Other()
        meter = Meter().add(other)
    """
    assert held(tmp_path, text, "meter") == {"Meter"}


def test_a_method_that_the_class_lacks_gives_nothing(tmp_path: Path) -> None:
    """word_language_model: `model.init_hidden()` where the other model class has no such method."""
    text = """
        import sys, torch
        from torch import nn

        class A(nn.Transformer):
            pass

        class B(nn.Module):
            def init_hidden(self):
                return next(self.parameters()).new_zeros(3)

        model = A() if len(sys.argv) > 1 else B()
        hidden = model.init_hidden()
    """
    assert held(tmp_path, text, "hidden") == {"torch.Tensor"}


def test_a_wrapper_holds_the_model_and_nothing_else(tmp_path: Path) -> None:
    """nanoGPT: `DDP(model, device_ids=[rank])`, `raw = model.module if ddp else model`."""
    text = """
        import sys, torch
        from torch.nn.parallel import DistributedDataParallel as DDP
        ddp = len(sys.argv) > 1
        model = torch.nn.Linear(3, 1)
        if ddp:
            model = DDP(model, device_ids=[0])
        raw = model.module if ddp else model
    """
    assert "builtins.list" not in held(tmp_path, text, "raw")
    assert "torch.nn.Linear" in held(tmp_path, text, "raw")


def test_a_layer_chosen_by_name(tmp_path: Path) -> None:
    """word_language_model: `getattr(nn, rnn_type)(…)` is some module, not something unknown."""
    text = """
        import sys
        from torch import nn
        layer = getattr(nn, sys.argv[1])(3, 3)
    """
    assert held(tmp_path, text, "layer") == {"torch.nn.Module"}


def test_getattr_finds_fields_and_methods(tmp_path: Path) -> None:
    text = """
        import sys, torch

        class Holder:
            def __init__(self):
                self.net = torch.nn.Linear(1, 1)

        holder = Holder()
        known = getattr(holder, "net")
        any_of = getattr(holder, sys.argv[1], None)
    """
    assert held(tmp_path, text, "known") == {"torch.nn.Linear"}
    assert "torch.nn.Linear" in held(tmp_path, text, "any_of")


def test_a_state_dictionary_is_a_container_of_its_own(tmp_path: Path) -> None:
    """Writing an entry into it does not write into the model."""
    text = """
        import torch
        model = torch.nn.Linear(3, 1)
        extra = torch.zeros(1)
        weights = model.state_dict()
        weights["extra"] = extra
        inside = model.weight
    """
    assert held(tmp_path, text, "weights") == {"collections.OrderedDict"}
    assert held(tmp_path, text, "inside") == {"torch.Tensor"}


def test_command_line_as_a_data_class(tmp_path: Path) -> None:
    """cleanrl: `args = tyro.cli(Args)`."""
    text = """
        from dataclasses import dataclass
        import tyro

        @dataclass
        class Args:
            lr: float = 0.1

        args = tyro.cli(Args)
    """
    assert held(tmp_path, text, "args") == {"Args"}


def test_an_environment_is_not_in_all_that_it_returned(tmp_path: Path) -> None:
    """cleanrl dqn: observations reached the environment, and with it everything else."""
    text = """
        import gymnasium as gym
        import numpy as np
        settings = {"gamma": 0.9}
        env = gym.make("CartPole-v1")
        obs, _ = env.reset(seed=1)
        total = 0.0
        for step in range(9):
            obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
            scaled = obs * settings["gamma"]
            total += reward
    """
    assert set(state(tmp_path, text)) <= {"env", "total"} | {"obs"}


def test_what_was_loaded_has_the_type_that_a_call_gives_it(tmp_path: Path) -> None:
    """time_sequence_prediction: `torch.from_numpy(torch.load(…)[3:])` is a tensor."""
    text = """
        import torch
        data = torch.load("x.pt")
        column = torch.from_numpy(data[3:, 1:])
    """
    assert held(tmp_path, text, "column") == {"torch.Tensor"}


@pytest.mark.parametrize(
    ("name", "cls"), [("torch.Tensor", torch.Tensor), ("numpy.ndarray", np.ndarray)]
)
def test_listed_attributes_are_those_of_the_type(name: str, cls: type) -> None:
    """A missing word would make an existing method vanish from the analysis."""
    api = load_effects().type(name).api
    assert {n for n in dir(cls) if not n.startswith("_")} <= api


@pytest.mark.parametrize("name", ["list", "dict", "set", "tuple", "frozenset"])
def test_closed_containers_describe_all_methods(name: str) -> None:
    import builtins

    effects = load_effects()
    for method in dir(getattr(builtins, name)):
        if not method.startswith("_"):
            assert not effects.has_no(f"builtins.{name}", method), method


def test_closed_base_describes_all_methods_of_a_module() -> None:
    effects = load_effects()
    for method in dir(torch.nn.Module):
        if re.match("[a-z]", method) and callable(getattr(torch.nn.Module, method)):
            assert not effects.has_no("torch.nn.Module", method, derived=True), method


def test_a_generator_comes_back_with_its_seed_sequence() -> None:
    """gymnasium's spaces have unseeded generators: the deferred check saw them as different."""
    recorded, live = {"rng": np.random.default_rng()}, {"rng": np.random.default_rng()}
    recorded["rng"].spawn(2)
    saved = capture({"space": recorded})
    assert differences(saved, capture({"space": live}))
    restore(saved, {"space": live})
    assert not differences(saved, capture({"space": live}))
    assert live["rng"].spawn(1)[0].random() == recorded["rng"].spawn(1)[0].random()
    assert live["rng"].random() == recorded["rng"].random()


def test_values_of_a_mapping_are_no_pairs(tmp_path: Path) -> None:
    """A hash of `state_dict().values()` is pure: it makes no gradient live."""
    text = """
        import torch

        model = torch.nn.Linear(3, 1)
        x = torch.randn(4, 3)
    """
    text = dedent(text) + dedent(TRAINING)
    text += "values = model.state_dict().values()\n"
    text += 'print(hash(b"".join(v.detach().numpy().tobytes() for v in values)))\n'
    script = tmp_path / "script.py"
    script.write_text(text)
    (loop,) = compile_project(script, root=tmp_path).plan.loops
    assert loop.dead_grads
    assert all(member.certainty == "exact" for member in loop.state)


@pytest.mark.parametrize("made", ["list(model.parameters())", "[*model.parameters()]"])
def test_a_list_of_a_models_parameters_holds_parts_of_the_model(tmp_path: Path, made: str) -> None:
    """`Adam(list(actor.parameters()))` steps the actor."""
    text = f"""
        import torch

        model = torch.nn.Linear(3, 1)
        x = torch.randn(4, 3)
        optimizer = torch.optim.Adam({made})
        for step in range(3):
            loss = model(x).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """
    assert state(tmp_path, text) == {"model": "exact", "optimizer": "exact"}


def test_a_list_of_layers_holds_parts_of_the_network(tmp_path: Path) -> None:
    """`list(net)` are its layers, not copies."""
    text = """
        import torch

        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
        layers = list(net)
        x = torch.randn(4, 3)
        for step in range(3):
            print(layers[1](x).sum())
    """
    assert state(tmp_path, text) == {"layers": "exact"}
