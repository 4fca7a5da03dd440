# golden: add-after "self.step += 1" flor.log("probe", [self.step, self.model.w, self.ema])
# golden: query SELECT epoch, step, probe FROM logs WHERE epoch = 2 AND step > 2
"""A Trainer with fit() and train_step(): what changes lives on self and on what it holds."""
from flor.runtime import abi as flor_abi
import random

import flor


class Model:
    def __init__(self):
        self.w = 0.0
        self.frozen = 3.0

    def __call__(self, x):
        return self.w * x + self.frozen

    def update(self, amount):
        self.w -= amount


class Trainer:
    def __init__(self, model, data, epochs):
        self.model = model
        self.data = data
        self.epochs = epochs
        self.step = 0
        self.ema = 0.0
        self.best = None

    def train_step(self, x, y):
        error = self.model(x) - y
        self.model.update(0.1 * error * x)
        self.ema = 0.9 * self.ema + 0.1 * error * error
        self.step += 1
        return error * error

    def fit(self):
        for epoch in flor_abi.loop("epoch", range(self.epochs), state=("self.best", "self.ema", "self.step", "self.model.w", "self.data")):
            total = 0.0
            for step, (x, y) in flor_abi.loop("step", enumerate(self.data), state=("total", "self.ema", "self.step", "self.model.w")):
                total += self.train_step(x, y)
            random.shuffle(self.data)
            if self.best is None or total < self.best:
                self.best = total
            flor.log("total", total)
            print(f"{epoch} {total:.6f} {self.best:.6f}")


random.seed(3)
trainer = Trainer(Model(), [(x / 4, 2 * x / 4 + 3.1) for x in range(6)], epochs=4)
trainer.fit()
print(trainer.step, f"{trainer.ema:.6f} {trainer.model.w:.6f}")
