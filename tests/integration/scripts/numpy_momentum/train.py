"""Softmax regression and a hidden layer in plain numpy, with momentum and cosine annealing."""
import json

import numpy as np

rng = np.random.default_rng(3)

centers = rng.normal(0, 1.5, size=(4, 6))
labels = rng.integers(0, 4, size=500)
X = centers[labels] + rng.normal(0, 1, size=(500, 6))
X_train, y_train, X_val, y_val = X[:400], labels[:400], X[400:], labels[400:]


def init(sizes):
    return {
        f"W{i}": rng.normal(0, 1 / np.sqrt(a), size=(a, b))
        for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:]))
    } | {f"b{i}": np.zeros(b) for i, b in enumerate(sizes[1:])}


def forward(params, x, drop=0.0):
    h = np.maximum(x @ params["W0"] + params["b0"], 0)
    mask = (rng.random(h.shape) >= drop) / (1 - drop) if drop else np.ones_like(h)
    h = h * mask
    z = h @ params["W1"] + params["b1"]
    z = z - z.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return h, mask, p


def update(params, velocity, grads, lr, mu=0.9):
    for (name, param), grad in zip(params.items(), grads):
        v = velocity[name]
        v *= mu
        v -= lr * grad
        param += v


params = init([6, 16, 4])
velocity = {name: np.zeros_like(value) for name, value in params.items()}
averaged = {name: value.copy() for name, value in params.items()}
losses = []
seen = np.zeros(4, dtype=np.int64)

max_steps, batch, base_lr = 120, 50, 0.05
step = 0
order = rng.permutation(len(X_train))
cursor = 0
while step < max_steps:
    if cursor + batch > len(order):
        rng.shuffle(order)
        cursor = 0
    idx = order[cursor:cursor + batch]
    cursor += batch
    x, y = X_train[idx], y_train[idx]

    h, mask, p = forward(params, x, drop=0.1)
    loss = -np.log(p[np.arange(batch), y] + 1e-12).mean()
    dz = p.copy()
    dz[np.arange(batch), y] -= 1
    dz /= batch
    dh = (dz @ params["W1"].T) * mask * (h > 0)
    grads = [x.T @ dh, h.T @ dz, dh.sum(0), dz.sum(0)]

    lr = base_lr * 0.5 * (1 + np.cos(np.pi * step / max_steps))
    update(params, velocity, grads, lr)
    for name in averaged:
        averaged[name][...] = 0.95 * averaged[name] + 0.05 * params[name]
    np.add.at(seen, y, 1)
    losses.append(float(loss))
    if step % 20 == 0:
        acc = (forward(params, X_val)[2].argmax(1) == y_val).mean()
        print(f"step {step:3d} loss {loss:.6f} val acc {acc:.3f} lr {lr:.5f}")
    step += 1

acc = (forward(averaged, X_val)[2].argmax(1) == y_val).mean()
print("averaged model:", acc, "seen:", seen.tolist())
np.savez("weights.npz", **averaged)
with open("losses.json", "w") as f:
    json.dump(losses, f)
