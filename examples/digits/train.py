"""Train a small convolutional network on scikit-learn's handwritten digits (8 x 8 pixels)."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset


def block(inputs, outputs):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.low = nn.Sequential(block(1, width), block(width, width), block(width, width))
        self.high = block(width, 2 * width)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(2 * width * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(self.low(x), 2)
        x = F.max_pool2d(self.high(x), 2)
        return self.fc(self.dropout(x.flatten(1)))


def load_data(batch_size):
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    train_set = TensorDataset(images[:1400], labels[:1400])
    val_set = TensorDataset(images[1400:], labels[1400:])
    return (
        DataLoader(train_set, batch_size=batch_size, shuffle=True),
        DataLoader(val_set, batch_size=200),
    )


def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        images = images + 0.1 * torch.randn_like(images)  # a little noise against overfitting
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    correct = 0
    for images, labels in loader:
        correct += (model(images).argmax(dim=1) == labels).sum().item()
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=112)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    train_loader, val_loader = load_data(args.batch_size)
    model = Net(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = CosineAnnealingLR(optimizer, T_max=args.epochs)

    for epoch in range(1, args.epochs + 1):
        loss = train(model, train_loader, optimizer)
        accuracy = evaluate(model, val_loader)
        scheduler.step()
        print(f"epoch {epoch:2}  loss {loss:.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
