# golden: add-after "scheduler.step(loss)" flor.log("probe", sums + [p.sum().item() for p in model.parameters()])
# golden: query SELECT epoch, probe FROM logs WHERE epoch = 3
# golden: skips evaluate() confusion() drawn()
"""Evaluation passes: loaders draw from torch's stream, BatchNorm and dropout are off in one of them."""
from flor.runtime import abi as flor_abi
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flor

random.seed(3)
torch.manual_seed(3)
xs = torch.randn(32, 4)
ys = (xs.sum(1) > 0).long()
train_loader = DataLoader(TensorDataset(xs, ys), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(xs[:12], ys[:12]), batch_size=4)
model = nn.Sequential(
    nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)


@torch.no_grad()
def evaluate(net, loader):
    net.eval()
    total, count = 0.0, 0
    for x, y in loader:
        total += nn.functional.cross_entropy(net(x), y, reduction="sum").item()
        count += len(y)
    return total / count, count


def confusion(loader):
    counts = torch.zeros(2, 2)
    with torch.no_grad():
        for x, y in loader:
            for a, b in zip(model(x).argmax(1), y):
                counts[a, b] += 1
    return {"counts": counts, "rows": counts.sum(1).tolist()}


@torch.no_grad()
def forgetful(net, loader):
    """Nobody calls eval(): this changes the running statistics."""
    return [net(x).sum().item() for x, _ in loader]


def drawn(size):
    return [random.gauss(0, 1) + torch.rand(()).item() for _ in range(size)]


for epoch in flor_abi.loop("epoch", range(5), state=("model", "optimizer", "scheduler")):
    model.train()
    for x, y in flor_abi.loop("step", train_loader, state=("model", "optimizer")):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    sums = flor_abi.after(flor_abi.region("forgetful", forgetful)(model, test_loader))
    loss, count = flor_abi.after(flor_abi.region("evaluate", evaluate)(model, test_loader))
    table = flor_abi.after(flor_abi.region("confusion", confusion)(test_loader))
    noise = flor_abi.after(flor_abi.region("drawn", drawn)(2))
    scheduler.step(loss)
    flor.log("seen", [model.training, count, table["rows"], sum(noise), sum(sums)])
    print(f"{epoch} {loss:.5f} {table['counts'].diag().sum():.0f} {sum(noise):.5f}")
