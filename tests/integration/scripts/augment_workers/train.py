"""Augmented digits, two loader workers, LambdaLR with warm-up."""
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler


class NoisyDigits(Dataset):
    def __init__(self, n=384, seed=0):
        rng = np.random.RandomState(seed)
        self.prototypes = rng.rand(10, 8, 8).astype(np.float32)
        self.labels = rng.randint(0, 10, size=n)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.prototypes[self.labels[index]].copy()
        if random.random() < 0.5:
            image = np.roll(image, np.random.randint(-1, 2), axis=1)
        image = torch.from_numpy(image) + 0.3 * torch.randn(8, 8)
        return image.flatten(), int(self.labels[index])


def seed_worker(worker_id):
    worker_seed = torch.initial_seed() % 2**32
    np.random.seed(worker_seed)
    random.seed(worker_seed)


def warmup(total, warm=8):
    def factor(step):
        if step < warm:
            return (step + 1) / warm
        return max(0.05, 1 - (step - warm) / (total - warm))
    return factor


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)

    dataset = NoisyDigits()
    counts = np.bincount(dataset.labels, minlength=10)
    weights = 1.0 / counts[dataset.labels]
    sampler = WeightedRandomSampler(torch.as_tensor(weights), num_samples=256)
    loader = DataLoader(dataset, batch_size=32, sampler=sampler, num_workers=2,
                        worker_init_fn=seed_worker)
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adamax(model.parameters(), lr=0.02)
    n_epochs = 5
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup(n_epochs * len(loader)))
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(n_epochs):
        running, correct, seen = 0.0, 0, 0
        for batch, (images, labels) in enumerate(loader):
            logits = model(images)
            loss = loss_fn(logits, labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            running += loss.item()
            correct += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
        print(f"epoch {epoch}: loss {running / len(loader):.6f} "
              f"accuracy {correct / seen:.4f} lr {scheduler.get_last_lr()[0]:.6f}")
    torch.save(model, "whole_model.pt")
