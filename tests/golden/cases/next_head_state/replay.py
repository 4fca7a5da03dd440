# golden: add-before "scheduler.step()" flor.log("probe", [epoch, norm_of(model).item(), *[p.sum().item() for p in model.parameters()]])
# golden: add-after "best = min(best, error)" flor.log("last", [best, optimizer.param_groups[0]["lr"], model[1].running_mean.tolist()])
# golden: add-before "best = min(best, error)" flor.log("executed", [scheduler.last_epoch, best, len(seen)])
# golden: add-into "for number, layer in enumerate(model):" flor.log("layer", sum(p.norm().item() for p in layer.parameters()) + epoch)
# golden: query SELECT epoch, number, layer FROM logs WHERE epoch IN (2, 5) ORDER BY epoch, number
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (2, 3, 7)
# golden: query SELECT epoch, last FROM logs WHERE epoch IN (4, 7)
# golden: query SELECT epoch, executed FROM logs WHERE epoch = 6
# golden: answered 7
"""What the next head's state answers, and what only looks like it."""
from flor.runtime import abi as flor_abi
import random

import flor
import torch
from torch import nn

torch.manual_seed(5)
random.seed(5)
xs = torch.randn(16, 3)
ys = xs.prod(1, keepdim=True)
model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
seen = []
best = float("inf")


def norm_of(module):
    total = torch.zeros(())
    for p in module.parameters():
        total += p.detach().norm()
    return total


@torch.no_grad()
def evaluate(net):
    net.eval()
    return sum((net(x) - y).abs().sum().item() for x, y in zip(xs.split(8), ys.split(8)))


def keep(value):
    global kept
    kept = value
    seen.append(value)


kept = 0.0
for epoch in flor_abi.loop("epoch", range(1, 8), state=("best", "kept", "model", "optimizer", "scheduler", "seen")):
    flor.log("first", model[0].weight.sum().item())  # before what changes it
    model.train()
    for part in flor_abi.loop("step", torch.randperm(16).split(4), state=("loss", "model", "optimizer")):
        loss = (model(xs[part]) - ys[part]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = model[0].weight.detach()
    if epoch % 3 == 1:
        flor.log("third", weights.norm().item())
    flor.log("grad", model[0].weight.grad.norm().item())  # not in any checkpoint
    flor.log("loss", loss.item())  # bound in the iteration
    flor.log("kept", kept)  # assigned by a function behind it
    flor.log("rate", optimizer.param_groups[0]["lr"])  # changed by the scheduler
    for number, layer in enumerate(model):
        pass
    scheduler.step()
    error = flor_abi.after(flor_abi.region("evaluate", evaluate)(model))  # leaves the weights and the statistics alone, which is watched
    best = min(best, error)
    if random.random() < 0.3:
        continue
    keep(error)
    flor.log("skipped", norm_of(model).item())  # not in every iteration
    print(epoch, error)
