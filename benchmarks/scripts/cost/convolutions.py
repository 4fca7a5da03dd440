"""A small convolutional network on random images, with a validation pass after each epoch."""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(int(sys.argv[1]))
images, labels = torch.randn(1200, 1, 16, 16), torch.randint(0, 10, (1200,))
train = DataLoader(TensorDataset(images[:900], labels[:900]), batch_size=30, shuffle=True)
check = DataLoader(TensorDataset(images[900:], labels[900:]), batch_size=100)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64, 10),
)  # fmt: skip
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


@torch.no_grad()
def validate():
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in check)
    return right / 300


for epoch in range(10):
    model.train()
    for step, (x, y) in enumerate(train):  # noqa: B007
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        # inner
        optimizer.step()
    # outer
    print(epoch, loss.item(), validate())
# end
