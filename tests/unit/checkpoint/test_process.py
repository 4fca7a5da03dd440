"""A checkpoint goes from one process to another, with classes of `__main__` and modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

SCRIPT = """
import collections, copy, random, sys
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
import torch
from torch import nn
from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import CheckpointWriter, load

torch.set_num_threads(1)
torch.manual_seed(1); np.random.seed(1); random.seed(1)

@dataclass
class Stats:
    losses: list = field(default_factory=list)
    best: float = 9e9

Step = collections.namedtuple("Step", "obs action reward")

class Env:
    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.obs = self.rng.normal(size=6).astype("float32")
    def step(self, action):
        self.obs = self.rng.normal(size=6).astype("float32") + action
        return self.obs, float(self.obs.sum())

class Ema:
    def __init__(self, model):
        self.module, self.updates = copy.deepcopy(model), 0
    def update(self, model):
        self.updates += 1
        for a, b in zip(self.module.state_dict().values(), model.state_dict().values()):
            if a.is_floating_point():
                a.mul_(0.9).add_(b.detach(), alpha=0.1)

class Trainer:
    def __init__(self):
        self.model = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2)
        )
        self.normed = nn.utils.weight_norm(nn.Linear(6, 6))
        self.model[3].register_forward_hook(lambda *a: None)
        self.optimizer = torch.optim.AdamW(
            [{"params": self.model.parameters()}, {"params": self.normed.parameters(), "lr": 0.1}]
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.1, total_steps=99)
        self.ema = Ema(self.model)
        self.swa = torch.optim.swa_utils.AveragedModel(self.model)
        self.swa_lr = torch.optim.swa_utils.SWALR(self.optimizer, swa_lr=0.05)
        self.stats = Stats()
        self.replay = collections.deque(maxlen=20)
        self.jit = torch.jit.script(nn.Linear(2, 2)) if "jit" in sys.argv else None
        self.target = None

    def step(self, env):
        obs = env.obs
        action = int(self.model.eval()(torch.from_numpy(obs)[None]).argmax())
        self.model.train()
        new, reward = env.step(action)
        self.replay.append(Step(obs, action, reward))
        batch = random.choices(self.replay, k=8)
        x = torch.from_numpy(np.stack([b.obs for b in batch]))
        y = torch.tensor([b.action for b in batch])
        loss = nn.functional.cross_entropy(self.model(self.normed(x)), y)
        self.optimizer.zero_grad(); loss.backward(); self.optimizer.step(); self.scheduler.step()
        self.ema.update(self.model)
        self.swa.update_parameters(self.model)
        if loss.item() < self.stats.best:
            self.stats.best, self.target = loss.item(), copy.deepcopy(self.model)
        self.stats.losses.append(loss.item())
        with torch.no_grad():
            nets = (self.swa, self.ema.module, self.target)
            probe = [float(net.eval()(x).sum()) for net in nets]
        return loss.item(), reward, probe

trainer, env = Trainer(), Env()
folder = Path(sys.argv[2])
if sys.argv[1] == "record":
    out = []
    writer = CheckpointWriter(folder, "run", out.append)
    for i in range(12):
        shot = capture({"trainer": trainer, "env": env, "i": i})
        assert shot.missing == (), shot.missing
        assert writer.submit(shot, "i", (None, "i", i, i)) and writer.drain()
        print(i, *trainer.step(env))
    assert writer.error is None, writer.error
else:
    for i in map(int, sys.argv[3:]):
        shot = load(folder / f"{i + 1:06d}-i-{i}.ckpt")
        values = restore(shot, {"trainer": trainer, "env": env, "i": 0}, rebound=("i",))
        assert values["i"] == i and values["trainer"] is trainer and values["env"] is env
        print(i, *trainer.step(env))
"""


def run(script: Path, *args: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_any_iteration_in_another_process(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    recorded = run(script, "record", str(tmp_path))
    order = ["7", "3", "11", "0", "8"]
    replayed = run(script, "replay", str(tmp_path), *order)
    assert replayed == [recorded[int(i)] for i in order]
