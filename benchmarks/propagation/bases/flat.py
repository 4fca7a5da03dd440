"""A classifier trained at module level."""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn, optim

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--enabled", action="store_true")
args = parser.parse_args()

torch.manual_seed(0)
inputs = torch.randn(512, 20)
targets = (inputs.sum(dim=1) > 0).long()
train_x, valid_x = inputs[:400], inputs[400:]
train_y, valid_y = targets[:400], targets[400:]

net = nn.Sequential(nn.Linear(20, args.width), nn.ReLU(), nn.Linear(args.width, 2))
optimizer = optim.SGD(net.parameters(), lr=args.lr, momentum=0.9)
scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
best = 0.0
history = []

for epoch in range(args.epochs):
    started = time.time()
    net.train()
    order = torch.randperm(len(train_x))
    running = 0.0
    seen = 0
    for batch in order.split(32):
        x = train_x[batch]
        y = train_y[batch]
        scores = net(x)
        loss = F.cross_entropy(scores, y)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        running += loss.item() * len(batch)
        seen += len(batch)
    scheduler.step()
    mean_loss = running / seen
    net.eval()
    with torch.no_grad():
        guesses = net(valid_x).argmax(dim=1)
        accuracy = (guesses == valid_y).float().mean().item()
    elapsed = time.time() - started
    if accuracy > best:
        best = accuracy
        snapshot = {"net": net.state_dict(), "epoch": epoch}
        torch.save(snapshot, "best.pt")
    history.append((mean_loss, accuracy))
    print(f"{epoch}: {mean_loss:.3f} {accuracy:.3f} in {elapsed:.1f} s")

final = max(accuracy for _, accuracy in history)
print("best", best, final)
