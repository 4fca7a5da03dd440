"""A hidden layer in NumPy, step by step, on data that take a while to make."""

import sys

import numpy as np

rng = np.random.default_rng(int(sys.argv[1]))
x = np.concatenate([np.sort(rng.normal(size=(2000, 400)), axis=1) for _ in range(20)])
y = (x @ rng.normal(size=400) > 0).astype(float)
w = {"a": rng.normal(size=(400, 300)) / 20, "b": rng.normal(size=300) / 17}
velocity = {name: np.zeros_like(value) for name, value in w.items()}
for step in range(300):
    rows = rng.integers(0, len(x), 500)
    hidden = np.tanh(x[rows] @ w["a"])
    out = 1 / (1 + np.exp(-(hidden @ w["b"])))
    wrong = (out - y[rows]) / 500
    grads = {
        "a": x[rows].T @ (np.outer(wrong, w["b"]) * (1 - hidden**2)),
        "b": hidden.T @ wrong,
    }
    for name, value in w.items():
        velocity[name] = 0.9 * velocity[name] - 0.3 * grads[name]
        value += velocity[name]
    # outer
    if step % 100 == 0:
        print(step, float(np.abs(wrong).sum()))
# end
