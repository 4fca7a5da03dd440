"""A loader that keeps one iterator over all epochs, made by its base class."""

from flor.runtime import abi as flor_abi
import torch
import flor
from torch import nn
from torch.utils.data import DataLoader, dataloader, TensorDataset
class _RepeatSampler:
    def __init__(self, sampler):
        self.sampler = sampler
    def __iter__(self):
        while True:
            yield from iter(self.sampler)
class InfiniteDataLoader(dataloader.DataLoader):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        object.__setattr__(self, 'batch_sampler', _RepeatSampler(self.batch_sampler))
        self.iterator = flor_abi.iterator(super().__iter__)()
    def __len__(self):
        return len(self.batch_sampler.sampler)
    def __iter__(self):
        for _ in range(len(self)):
            yield next(self.iterator)
torch.manual_seed(0)
data = TensorDataset(torch.randn(20, 3), torch.randn(20, 1))
g = torch.Generator()
g.manual_seed(3)
loader = InfiniteDataLoader(data, batch_size=5, shuffle=True, generator=g)
model = nn.Linear(3, 1)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in flor_abi.loop("epoch", range(4), state=("model", "opt", "loader.generator", "loader.iterator")):
    for x, y in flor_abi.loop("step", loader, state=("loss", "model", "opt", "loader.generator", "loader.iterator")):
        loss = (model(x) - y).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    flor.log("loss", loss.item())
