"""A trainer class with callbacks, an average of the weights and resuming."""

import copy
import random
import time

import numpy as np
import torch
from torch import nn


class Average:
    """Keeps a moving average of a model's weights."""

    def __init__(self, model, decay):
        self.shadow = copy.deepcopy(model)
        self.decay = decay
        self.updates = 0

    def update(self, model):
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            for kept, fresh in zip(self.shadow.parameters(), model.parameters(), strict=True):
                kept.mul_(decay).add_(fresh, alpha=1 - decay)
        return decay


class Trainer:
    """Runs the epochs of one experiment."""

    def __init__(self, model, loader, valid, config):
        self.model = model
        self.loader = loader
        self.valid = valid
        self.config = config
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
        self.average = Average(model, 0.999)
        self.epoch = 0
        self.step = 0
        self.best = float("inf")
        self.callbacks = []

    def seed(self, number):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    def fit(self):
        config = self.config
        self.seed(config["seed"])
        begun = time.time()
        while self.epoch < config["epochs"]:
            losses = []
            self.model.train()
            for images, labels in self.loader:
                images = images.to(config["device"])
                labels = labels.to(config["device"])
                loss, hits = self.advance(images, labels)
                losses.append(loss)
                rate = hits / len(labels)
                for callback in self.callbacks:
                    callback(self, loss, rate)
                self.step += 1
            error = self.check()
            spent = time.time() - begun
            if error < self.best:
                self.best = error
                self.save("best.pt")
            average_loss = float(np.mean(losses))
            print(self.epoch, average_loss, error, spent)
            self.epoch += 1
        return self.best

    def advance(self, images, labels):
        logits = self.model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        scale = nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        if torch.isfinite(scale):
            self.optimizer.step()
            self.average.update(self.model)
        hits = (logits.argmax(1) == labels).sum().item()
        return loss.item(), hits

    def check(self):
        self.model.eval()
        wrong = 0
        total = 0
        with torch.inference_mode():
            for images, labels in self.valid:
                logits = self.average.shadow(images)
                wrong += (logits.argmax(1) != labels).sum().item()
                total += len(labels)
        return wrong / total

    def save(self, path):
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        state["epoch"] = self.epoch
        torch.save(state, path)

    def load(self, path):
        try:
            state = torch.load(path)
        except FileNotFoundError:
            print("nothing to resume from")
            return False
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        return True
