# golden: add-after "loss.backward()" flor.log("probe", [epoch, i, sum(p.grad.norm().item() for p in model.parameters())])
# golden: query SELECT epoch, i, probe FROM logs WHERE epoch IN (2, 4) AND i = 3
"""A script at the module's level: momentum, a LambdaLR, gradient clipping, a best model in memory."""
from flor.runtime import abi as flor_abi
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

import flor

torch.manual_seed(0)
x = torch.randn(32, 4)
y = (x[:, 0] > 0).long()
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 0.9**e)
best, best_state = float("inf"), None

for epoch in flor_abi.loop("epoch", range(5), state=("best", "best_state", "model", "optimizer", "scheduler")):
    model.train()
    running = 0.0
    for i, idx in flor_abi.loop("i", enumerate(torch.randperm(32).split(8)), state=("running", "model", "optimizer")):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[idx]), y[idx])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running += loss.item()
    scheduler.step()
    model.eval()
    with torch.no_grad():
        val = F.cross_entropy(model(x), y).item()
    flor.log("val", val)
    if val < best:
        best = val
        best_state = copy.deepcopy(model.state_dict())
    print(f"{epoch} {running:.6f} {val:.6f} {scheduler.get_last_lr()[0]:.4f}")
model.load_state_dict(best_state)
print(f"{sum(p.sum().item() for p in model.parameters()):.6f}")
