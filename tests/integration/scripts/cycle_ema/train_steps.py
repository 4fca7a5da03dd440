"""Step-based training over an endless loader, with a weight average and a hand-made second iterator."""
import argparse
import copy
import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

logger = logging.getLogger("train")


def cycle(loader):
    while True:
        for batch in loader:
            yield batch


class EMA:
    def __init__(self, model, decay):
        self.module = copy.deepcopy(model).eval()
        self.decay = decay
        self.updates = 0
        for p in self.module.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        self.updates += 1
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for ema_p, p in zip(self.module.parameters(), model.parameters()):
            ema_p.mul_(d).add_(p.detach(), alpha=1 - d)


def synthetic(n, seed):
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=gen)
    y = torch.sin(x[:, :1] * 2) + x[:, 1:2] * x[:, 2:3]
    return TensorDataset(x, y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--log-every", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s: %(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(42)

    labelled = cycle(DataLoader(synthetic(120, 0), batch_size=16, shuffle=True))
    unlabelled_loader = DataLoader(synthetic(70, 1), batch_size=16, shuffle=True)
    unlabelled = iter(unlabelled_loader)
    val_x, val_y = synthetic(100, 2).tensors

    model = nn.Sequential(nn.Linear(5, 32), nn.SiLU(), nn.Dropout(0.1), nn.Linear(32, 1))
    ema = EMA(model, 0.99)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True)
    epochs_of_unlabelled = 0
    best = None

    for step in range(args.steps):
        model.train()
        x, y = next(labelled)
        try:
            u, _ = next(unlabelled)
        except StopIteration:
            unlabelled = iter(unlabelled_loader)
            u, _ = next(unlabelled)
            epochs_of_unlabelled += 1
        loss = F.mse_loss(model(x), y)
        with torch.no_grad():
            pseudo = ema.module(u)
        consistency = F.mse_loss(model(u), pseudo)
        total = loss + 0.3 * consistency
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        ema.update(model)

        if (step + 1) % args.log_every == 0:
            with torch.no_grad():
                val = F.mse_loss(ema.module(val_x), val_y).item()
            if best is None or val < best:
                best = val
            logger.info("step %d loss %.5f", step + 1, loss.item())
            print(f"{step + 1}: val {val:.6f} best {best:.6f} passes {epochs_of_unlabelled}")

    torch.save({"ema": ema.module.state_dict(), "updates": ema.updates}, "ema.pt")


if __name__ == "__main__":
    main()
