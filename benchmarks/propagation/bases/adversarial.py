"""Two networks that are trained against each other."""

import argparse
import os

import torch
from torch import nn, optim


def weights(module):
    name = module.__class__.__name__
    if "Conv" in name:
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif "BatchNorm" in name:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def build(latent, width):
    maker = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, 64), nn.Tanh())
    critic = nn.Sequential(nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
    maker.apply(weights)
    critic.apply(weights)
    return maker, critic


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--out", default="samples")
    parser.add_argument("--enabled", action="store_true")
    args = parser.parse_args(argv)
    os.makedirs(args.out, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    maker, critic = build(args.latent, args.width)
    criterion = nn.BCEWithLogitsLoss()
    fixed = torch.randn(8, args.latent, device=device)
    opt_maker = optim.Adam(maker.parameters(), lr=2e-4, betas=(0.5, 0.999))
    opt_critic = optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
    data = torch.randn(1024, 64).split(64)
    for epoch in range(args.epochs):
        for number, real in enumerate(data):
            critic.zero_grad()
            real = real.to(device)
            label = torch.ones(len(real), 1, device=device)
            output = critic(real)
            loss_real = criterion(output, label)
            loss_real.backward()
            mean_real = output.mean().item()
            noise = torch.randn(len(real), args.latent, device=device)
            fake = maker(noise)
            label = torch.zeros(len(real), 1, device=device)
            output = critic(fake.detach())
            loss_fake = criterion(output, label)
            loss_fake.backward()
            mean_fake = output.mean().item()
            loss_critic = loss_real + loss_fake
            opt_critic.step()
            maker.zero_grad()
            label = torch.ones(len(real), 1, device=device)
            output = critic(fake)
            loss_maker = criterion(output, label)
            loss_maker.backward()
            mean_after = output.mean().item()
            opt_maker.step()
            if number % 4 == 0:
                print(epoch, number, loss_critic.item(), loss_maker.item(), mean_real, mean_fake)
                print(mean_after)
        samples = maker(fixed).detach()
        path = os.path.join(args.out, f"{epoch}.pt")
        torch.save(samples, path)


if __name__ == "__main__":
    main()
