"""Fit a damped oscillation with L-BFGS; count the closure's evaluations."""
import argparse

import torch


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--iters", type=int, default=12)
    p.add_argument("--noise", type=float, default=0.05)
    return p.parse_args()


class Oscillation(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.amplitude = torch.nn.Parameter(torch.tensor(1.0))
        self.decay = torch.nn.Parameter(torch.tensor(0.1))
        self.omega = torch.nn.Parameter(torch.tensor(2.5))
        self.phase = torch.nn.Parameter(torch.zeros(()))

    def forward(self, t):
        return self.amplitude * torch.exp(-self.decay * t) * torch.cos(self.omega * t + self.phase)


def fit(t, target, iters):
    model = Oscillation()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, history_size=5)
    evaluations = 0
    losses = []

    def closure():
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(t), target)
        loss.backward()
        return loss

    for it in range(iters):
        loss = optimizer.step(closure)
        losses.append(loss.item())
        # a little restart noise keeps it out of flat places
        if it % 5 == 4:
            with torch.no_grad():
                for p in model.parameters():
                    p += 0.01 * torch.randn_like(p)
        print(f"{it:3d} loss {losses[-1]:.8f} evaluations {evaluations}")
    return model, losses


def main():
    args = parse()
    torch.set_num_threads(1)
    torch.manual_seed(12)
    torch.set_default_dtype(torch.float64)
    t = torch.linspace(0, 6, 200)
    target = 1.4 * torch.exp(-0.3 * t) * torch.cos(3.0 * t + 0.4)
    target = target + args.noise * torch.randn(200)
    model, losses = fit(t, target, args.iters)
    names = [f"{name}={p.item():.6f}" for name, p in model.named_parameters()]
    print("best", min(losses), *names)


if __name__ == "__main__":
    main()
