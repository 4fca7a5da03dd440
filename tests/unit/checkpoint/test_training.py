"""A run that is restored goes on bit for bit as the one that was captured."""

from __future__ import annotations

import copy
import random
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from flor.runtime.checkpoint.capture import capture
from flor.runtime.checkpoint.compare import differences
from flor.runtime.checkpoint.restore import restore
from flor.runtime.checkpoint.store import CheckpointWriter, load

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
nn = torch.nn
torch.set_num_threads(1)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.out = nn.Linear(6, 11, bias=False)
        self.out.weight = self.embed.weight
        self.view = self.embed.weight.data[2:4]
        self.calls = 0
        self.register_buffer("seen", torch.zeros(3), persistent=False)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.seen[self.calls % 3] += 1
        return self.out(self.embed((x[:, 0] * 3).long().abs() % 11))[:, :2]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 5, num_layers=2, dropout=0.3)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x.t().unsqueeze(-1))[0][-1])


def conv() -> Any:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 2)
    )


def normed() -> Any:
    net = conv()
    nn.utils.parametrizations.weight_norm(net[0])
    nn.utils.parametrizations.spectral_norm(net[4])
    return net


MODELS = {
    "conv": conv,
    "tied": Tied,
    "lstm": Recurrent,
    "gru": lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 2)),
    "parametrized": normed,
    "lazy": lambda: nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(2)),
    "half": lambda: conv().to(torch.bfloat16),
}
OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, foreach=True),
    "fused": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "nadam": lambda p: torch.optim.NAdam(p, 0.01),
    "radam": lambda p: torch.optim.RAdam(p, 0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "asgd": lambda p: torch.optim.ASGD(p, 0.01),
    "rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "adamax": lambda p: torch.optim.Adamax(p, 0.01),
    "lbfgs": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
}
SCHEDULERS = {
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda e: 0.9**e),
    "onecycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=50),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 9),
    "warm": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "sequential": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ],
        [3],
    ),
    "chained": lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [
            torch.optim.lr_scheduler.ConstantLR(o, 0.5, 4),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ]
    ),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.001, 0.1, step_size_up=3),
}


class Run:
    """A small training run whose state is in the roots; other references lie beside them."""

    def __init__(self, model: str, optimizer: str, scheduler: str | None) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        self.model = MODELS[model]()
        self.dtype = torch.bfloat16 if model == "half" else torch.float32
        if model == "lazy":
            self.step_lazily = True
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scheduler = SCHEDULERS[scheduler](self.optimizer) if scheduler else None
        self.ema = copy.deepcopy(self.model) if model not in ("lazy", "parametrized") else None
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        self.buffer: deque[Any] = deque(maxlen=5)
        self.history: dict[str, list[Any]] = {"loss": [], "lr": []}
        self.best: dict[str, Any] | None = None
        self.rng = np.random.default_rng(3)
        self.parameters = list(self.model.parameters())  # not a root: must stay the same objects

    def roots(self) -> dict[str, Any]:
        names = "model optimizer scheduler ema scaler buffer history best rng".split()
        return {name: getattr(self, name) for name in names}

    def assign(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    def step(self) -> float:
        x = torch.randn(16, 6).to(self.dtype)
        noise = float(self.rng.normal()) + random.random() + np.random.rand()
        x = x + noise * 0.01

        def closure() -> Any:
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(x).float(), (x[:, 0] > 0).long())
            loss.backward()
            return loss

        if isinstance(self.optimizer, torch.optim.LBFGS):
            loss = self.optimizer.step(closure)
        else:
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(x).float(), (x[:, 0] > 0).long())
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.scheduler is not None:
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
            if isinstance(self.scheduler, plateau):
                self.scheduler.step(float(loss))
            else:
                self.scheduler.step()
        if self.ema is not None:
            with torch.no_grad():
                for a, b in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                    a.mul_(0.9).add_(b, alpha=0.1)
        self.buffer.append(np.array([float(loss)] * 3))
        self.history["loss"].append(float(loss))
        self.history["lr"].append(self.optimizer.param_groups[0]["lr"])
        if self.best is None or float(loss) < self.best["loss"]:
            self.best = {"loss": float(loss), "model": copy.deepcopy(self.model.state_dict())}
        return float(loss)

    def bits(self) -> list[Any]:
        tensors = [*self.model.state_dict().values()]
        if self.ema is not None:
            tensors += self.ema.state_dict().values()
        return [t.float().clone() for t in tensors]


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


CASES = (
    [("conv", optimizer, "cosine") for optimizer in OPTIMIZERS]
    + [("conv", "sgd", scheduler) for scheduler in SCHEDULERS]
    + [(model, "adam", "lambda") for model in MODELS]
)


@pytest.mark.parametrize(("model", "optimizer", "scheduler"), sorted(set(CASES)))
def test_goes_on_bit_for_bit(model: str, optimizer: str, scheduler: str, tmp_path: Path) -> None:
    first = Run(model, optimizer, scheduler)
    for _ in range(4):
        first.step()
    shot = capture(first.roots())
    assert shot.missing == ()
    published: list[Any] = []
    writer = CheckpointWriter(tmp_path, "run", published.append)
    writer.submit(shot, "epoch", (None, "epoch", 4, 5))
    writer.drain()
    assert writer.error is None
    losses = [first.step() for _ in range(4)]
    end, final = first.bits(), first.history
    shot = load(tmp_path / published[0].file)
    for start in (0, 2, 7):  # fresh prefix, an earlier iteration, a later one
        second = Run(model, optimizer, scheduler)
        for _ in range(start):
            second.step()
        before = [*second.model.parameters()]
        second.assign(restore(shot, second.roots(), rebound=("best",)))
        assert differences(shot, capture(second.roots())) == []
        assert all(a is b for a, b in zip(before, second.model.parameters(), strict=True))
        owned = {id(p) for g in second.optimizer.param_groups for p in g["params"]}
        assert owned == {id(p) for p in second.model.parameters()}
        assert [second.step() for _ in range(4)] == losses
        assert same(second.bits(), end)
        assert second.history == final
    first.assign(restore(shot, first.roots()))  # backwards, in the same process
    assert [first.step() for _ in range(4)] == losses
    assert same(first.bits(), end)


def test_tied_weights_and_views_stay_shared() -> None:
    run, other = Run("tied", "adam", None), Run("tied", "adam", None)
    run.step()
    shot = capture(run.roots())
    other.assign(restore(shot, other.roots()))
    net = other.model
    assert net.out.weight is net.embed.weight
    assert net.view.data_ptr() == net.embed.weight[2:4].data_ptr()
    fresh = restore(shot, {"optimizer": other.optimizer})["model"]
    assert fresh.out.weight is fresh.embed.weight
    assert fresh.view.data_ptr() == fresh.embed.weight[2:4].data_ptr()
