# golden: add-after "self.best = min(self.best, metrics['loss'])" flor.log("probe", [self.best, losses.mean(), *[w.sum().item() for w in self.nets[0].parameters()]])
# golden: query SELECT epoch, probe FROM logs WHERE epoch = 4
# golden: skips self.validate() self.snapshot()
"""Regions in methods: models in a list, a helper object made inside, what only looks like a region."""
import random

import torch
from torch import nn

import flor


class Meter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def add(self, value):
        self.sum += value
        self.count += 1

    def mean(self):
        return self.sum / self.count


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.2))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.body(x))


class Trainer:
    def __init__(self, count):
        self.nets = [Net() for _ in range(count)]
        parameters = [p for net in self.nets for p in net.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
        self.best = float("inf")
        self.history = []

    def forward(self, x):
        return sum(net(x) for net in self.nets) / len(self.nets)

    def validate(self, xs):
        meter, worst = Meter(), Meter()
        for net in self.nets:
            net.eval()
        with torch.no_grad():
            for x in xs.split(4):
                error = (self.forward(x) - x.prod(1, keepdim=True)).abs()
                meter.add(error.mean().item())
                worst.add(error.max().item())
                random.random()
        for net in self.nets[1:]:
            net.train()
        return {"loss": meter.mean(), "worst": worst.mean()}

    def summarise(self, value):
        """Keeps what it is given: no region."""
        self.history.append(value)
        print(f"{sum(self.history) / len(self.history):.5f}")

    def snapshot(self, epoch):
        state = {"epoch": epoch, "nets": [net.state_dict() for net in self.nets]}
        torch.save(state, f"snapshot-{epoch}.pt")

    def fit(self, epochs):
        for epoch in range(epochs):
            for net in self.nets:
                net.train(random.random() < 0.9)
            losses = Meter()
            for _ in range(3):
                x = torch.randn(6, 2)
                loss = (self.forward(x) - x.prod(1, keepdim=True)).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.add(loss.item())
            metrics = self.validate(torch.randn(10, 2))
            self.best = min(self.best, metrics['loss'])
            flor.log("modes", [net.training for net in self.nets] + [metrics["worst"], losses.mean()])
            self.summarise(metrics["loss"])
            self.snapshot(epoch)


random.seed(5)
torch.manual_seed(5)
Trainer(2).fit(6)
