# golden: add-before "optimizer.step()" flor.log("probe", [len(x), x[0, 0].item(), loss.item(), model[1].running_mean[0].item()])
# golden: query SELECT epoch, batch_idx, probe FROM logs WHERE epoch = 4 AND batch_idx > 0
# golden: argv --epochs 4
"""The layout of the well-known examples: train(), test() and main(), a shuffling loader."""
from flor.runtime import abi as flor_abi
import argparse

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import flor


def train(args, model, loader, optimizer, epoch):
    model.train()
    for batch_idx, (x, y) in flor_abi.loop("batch_idx", enumerate(loader), state=("model", "optimizer")):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            print(f"{epoch} {batch_idx} {loss.item():.6f}")
            flor.log("loss", loss.item())


def test(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in loader:
            total += nn.functional.mse_loss(model(x), y, reduction="sum").item()
    flor.log("test_loss", total)
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--log-interval", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(1)
    inputs = torch.randn(24, 3)
    data = TensorDataset(inputs, inputs.sum(1, keepdim=True))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    test_loader = DataLoader(data, batch_size=12)
    model = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout(0.1), nn.Linear(6, 1))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in flor_abi.loop("epoch", range(1, args.epochs + 1), state=("model", "optimizer", "scheduler")):
        train(args, model, loader, optimizer, epoch)
        flor_abi.after(flor_abi.region("test", test)(model, test_loader))
        scheduler.step()


if __name__ == "__main__":
    main()
