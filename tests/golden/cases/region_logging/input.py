# golden: add-before "report(step, loss.item(), losses)" flor.log("probe", [loss.item(), w.norm().item()])
# golden: query SELECT step, probe FROM logs WHERE step IN (3, 5)
# golden: skips report() save() sample()
"""Logging, saving and sampling change nothing; what keeps a list of it all does."""
import json
import os
import sys

import numpy as np
import torch

import flor

np.random.seed(1)
torch.manual_seed(1)
w = torch.zeros(3, requires_grad=True)
optimizer = torch.optim.Adam([w], lr=0.1)
os.makedirs("out", exist_ok=True)
written = []


def report(step, value, losses):
    parts = [f"{step}", f"{value:.6f}", *[f"{v:.3f}" for v in losses[-2:]]]
    print(" ".join(parts))
    print("reported", file=sys.stderr)


def save(step, state):
    with open(f"out/{step}.json", "w") as file:
        json.dump({"step": step, "sum": float(sum(v.sum() for v in state))}, file)
    torch.save(state, "out/last.pt")


def note(step, path):
    with open(path, "w") as file:
        file.write(f"{step}\n")
    written.append(step)


def sample(size):
    """numpy's stream, its second normal number included."""
    return float(np.random.standard_normal(size).sum()) + np.random.normal()


losses = []
for step in range(7):
    x = torch.randn(8, 3) + 0.01 * sample(3)
    extra = sample(3)
    loss = ((x @ w) - x.sum(1) - 0.1 * extra).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    report(step, loss.item(), losses)
    if step % 2:
        save(step, [w.detach()])
    note(step, f"out/{step}.txt")
print(len(written), sum(losses))
