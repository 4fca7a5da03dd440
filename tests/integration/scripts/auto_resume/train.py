"""Picks up where it was stopped if there is a checkpoint; ridge regression by SGD in numpy."""
import os
import pickle
import random

import numpy as np

CKPT = "state.pkl"
N_EPOCHS = 9

rng = np.random.default_rng(1)
X = rng.normal(size=(200, 8))
y = X @ np.arange(8.0) + rng.normal(size=200)


class Regressor:
    def __init__(self, dim):
        self.w = np.zeros(dim)
        self.steps = 0

    def fit_batch(self, x, t, lr=0.02, l2=1e-3):
        error = x @ self.w - t
        self.w -= lr * (x.T @ error / len(t) + l2 * self.w)
        self.steps += 1
        return float((error ** 2).mean())


random.seed(6)
model = Regressor(8)
start_epoch = 0
if os.path.exists(CKPT):
    with open(CKPT, "rb") as f:
        model, start_epoch, python_state = pickle.load(f)
    random.setstate(python_state)
    print("resuming at epoch", start_epoch)

for epoch in range(start_epoch, N_EPOCHS):
    rows = list(range(200))
    random.shuffle(rows)
    epoch_loss = 0.0
    for start in range(0, 200, 25):
        idx = rows[start:start + 25]
        loss = model.fit_batch(X[idx], y[idx])
        epoch_loss += loss
    print(f"epoch {epoch} loss {epoch_loss / 8:.6f}")
    with open(CKPT + ".tmp", "wb") as f:
        pickle.dump((model, epoch + 1, random.getstate()), f)
    os.replace(CKPT + ".tmp", CKPT)
