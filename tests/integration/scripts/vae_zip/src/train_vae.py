"""Semi-supervised VAE on synthetic blobs: two loaders zipped, KL warm-up, run from the project's root."""
import argparse
import json
import os
import sys

import torch
from losses import elbo, kl_weight
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset


class VAE(nn.Module):
    def __init__(self, dim=10, latent=3):
        super().__init__()
        self.enc = nn.Linear(dim, 24)
        self.mu, self.logvar = nn.Linear(24, latent), nn.Linear(24, latent)
        self.dec = nn.Sequential(nn.Linear(latent, 24), nn.ReLU(), nn.Linear(24, dim))
        self.classify = nn.Linear(latent, 3)

    def forward(self, x):
        h = torch.relu(self.enc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.dec(z), mu, logvar, self.classify(z)


def blobs(n):
    labels = torch.randint(0, 3, (n,))
    return torch.randn(n, 10) * 0.5 + torch.eye(10)[labels] * 3, labels


class Run:
    """Everything a run needs, in one object."""

    def __init__(self, opts):
        self.opts = opts
        self.device = torch.device("cpu")
        torch.manual_seed(opts.seed)
        labelled = TensorDataset(*blobs(96))
        unlabelled = TensorDataset(blobs(240)[0])
        self.labelled = DataLoader(labelled, 16, sampler=RandomSampler(labelled))
        self.unlabelled = DataLoader(unlabelled, 32, shuffle=True, drop_last=True)
        self.val_x, self.val_y = blobs(90)
        self.vae = VAE()
        self.opt = torch.optim.Adam([
            {"params": [*self.vae.enc.parameters(), *self.vae.dec.parameters()]},
            {"params": [*self.vae.mu.parameters(), *self.vae.logvar.parameters()], "lr": 1e-2},
            {"params": self.vae.classify.parameters(), "weight_decay": 1e-2},
        ], lr=2e-2)
        self.sched = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(self.opt, T_0=3)
        self.history = {}

    def epoch(self, number):
        self.vae.train()
        sums = torch.zeros(3)
        for step, ((x, y), (u,)) in enumerate(zip(self.labelled, self.unlabelled)):
            beta = kl_weight(number * len(self.labelled) + step)
            recon, mu, logvar, logits = self.vae(x)
            supervised = nn.functional.cross_entropy(logits, y)
            rec_l, kl_l = elbo(recon, x, mu, logvar)
            recon_u, mu_u, logvar_u, _ = self.vae(u)
            rec_u, kl_u = elbo(recon_u, u, mu_u, logvar_u)
            loss = supervised + rec_l + rec_u + beta * (kl_l + kl_u)
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
            sums += torch.tensor([supervised.item(), (rec_l + rec_u).item(), (kl_l + kl_u).item()])
        self.sched.step()
        return (sums / (step + 1)).tolist()

    def train(self):
        for number in range(self.opts.epochs):
            means = self.epoch(number)
            self.vae.eval()
            with torch.no_grad():
                logits = self.vae(self.val_x)[-1]
                accuracy = (logits.argmax(1) == self.val_y).float().mean().item()
            self.history[number] = [*means, accuracy]
            print(f"{number}: sup {means[0]:.5f} rec {means[1]:.5f} kl {means[2]:.5f} acc {accuracy:.4f}")


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--out", default="results")
    opts = parser.parse_args(argv)
    torch.set_num_threads(1)
    run = Run(opts)
    run.train()
    os.makedirs(opts.out, exist_ok=True)
    with open(os.path.join(opts.out, "history.json"), "w") as f:
        json.dump(run.history, f)
    return 0 if run.history[opts.epochs - 1][3] > 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
