# golden: add-after "self.ema_update()" flor.log("probe", [self.steps, self.shadow[0][0, 0].item(), float(self.tied())])
# golden: query SELECT epoch, step, probe FROM logs WHERE epoch = 3 AND step >= 2
"""A Trainer: weights tied between two layers, an average through .data, Adam made in __init__."""
from flor.runtime import abi as flor_abi
import torch
from torch import nn

import flor


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.out = nn.Linear(4, 6, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("seen", torch.zeros(6))
        self.calls = 0

    def forward(self, ids):
        self.calls += 1
        self.seen[ids] += 1
        return self.out(self.embed(ids))


class Trainer:
    def __init__(self, net, lr):
        self.net = net
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
        self.shadow = [p.detach().clone() for p in net.parameters()]
        self.steps = 0

    def tied(self):
        return (self.net.out.weight is self.net.embed.weight) + self.net.seen.sum()

    def ema_update(self):
        for s, p in zip(self.shadow, self.net.parameters()):
            s.data.mul_(0.8).add_(p.data, alpha=0.2)

    def train_step(self, ids):
        logits = self.net(ids)
        loss = nn.functional.cross_entropy(logits, (ids + 1) % 6)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self.ema_update()
        return loss.item()

    def fit(self, epochs):
        for epoch in flor_abi.loop("epoch", range(epochs), state=("self.steps", "self.net", "self.optimizer", "self.shadow")):
            losses = []
            for step in flor_abi.loop("step", range(4), state=("self.steps", "losses", "self.net", "self.optimizer", "self.shadow")):
                losses.append(self.train_step(torch.randint(0, 6, (5,))))
            flor.log("mean_loss", sum(losses) / len(losses))


torch.manual_seed(2)
trainer = Trainer(Net(), 0.05)
trainer.fit(4)
print(trainer.steps, trainer.net.calls, trainer.net.seen.tolist())
print(f"{trainer.shadow[0].sum().item():.6f} {trainer.net.embed.weight.sum().item():.6f}")
