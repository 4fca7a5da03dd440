import random

import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from .meters import AverageMeter, Progress

tqdm = Progress


class Trainer:
    def __init__(self, model, config):
        self.model = model
        self.config = config
        X, y = load_iris(return_X_y=True)
        X = torch.tensor(X, dtype=torch.float32)
        X = (X - X.mean(0)) / X.std(0)
        y = torch.tensor(y)
        perm = torch.randperm(len(X))
        train = TensorDataset(X[perm[:110]], y[perm[:110]])
        valid = TensorDataset(X[perm[110:]], y[perm[110:]])
        self.train_loader = DataLoader(train, batch_size=config.batch_size, shuffle=True)
        self.valid_loader = DataLoader(valid, batch_size=40)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=config.betas)
        self.scheduler = OneCycleLR(
            self.optimizer, config.max_lr, total_steps=config.epochs * len(self.train_loader)
        )
        self.meter = AverageMeter("loss")
        self.global_step = 0
        self.best = float("inf")
        self.epoch = 0

    def mixup(self, x, y):
        lam = random.betavariate(0.4, 0.4)
        index = torch.randperm(x.size(0))
        return lam * x + (1 - lam) * x[index], y, y[index], lam

    def train_epoch(self):
        self.model.train()
        self.meter.reset()
        bar = tqdm(self.train_loader, desc=f"epoch {self.epoch}")
        for x, y in bar:
            x, y_a, y_b, lam = self.mixup(x, y)
            logits = self.model(x)
            loss = lam * F.cross_entropy(logits, y_a) + (1 - lam) * F.cross_entropy(logits, y_b)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
            self.scheduler.step()
            self.global_step += 1
            self.meter.update(loss.item(), x.size(0))
            bar.set_postfix(loss=self.meter.avg)
        return self.meter.avg

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        losses = [F.cross_entropy(self.model(x), y).item() for x, y in self.valid_loader]
        return sum(losses) / len(losses)

    def save_checkpoint(self, path):
        torch.save({"model": self.model.state_dict(), "step": self.global_step}, path)

    def fit(self):
        for self.epoch in range(self.config.epochs):
            train_loss = self.train_epoch()
            valid_loss = self.validate()
            if valid_loss < self.best:
                self.best = valid_loss
                self.save_checkpoint("model.pt")
            lr = self.scheduler.get_last_lr()[0]
            print(f"[{self.epoch}] train {train_loss:.6f} valid {valid_loss:.6f} lr {lr:.6f}")
        return self.best
