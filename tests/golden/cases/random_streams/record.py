# golden: add-after "w -= 0.1 * noise * step_size" flor.log("probe", [epoch, order.tolist(), float(w[1]), float(drift), step_size])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (3, 5)
"""Every stream that a script without torch draws from: random, numpy's global one, Generators."""
from flor.runtime import abi as flor_abi
import random

import numpy as np

import flor

random.seed(0)
np.random.seed(1)
rng = np.random.default_rng(2)
legacy = np.random.RandomState(3)
own = random.Random(4)
w = np.zeros(3)
total = 0.0
for epoch in flor_abi.loop("epoch", range(7), state=("w", "total", "rng", "legacy", "own")):
    order = rng.permutation(4)
    noise = np.random.randn(3)
    drift = legacy.normal()
    step_size = own.choice([0.5, 0.25]) * random.random()
    w -= 0.1 * noise * step_size
    np.random.shuffle(w)
    total += float(w.sum() + drift + order[0])
    flor.log("total", total)
print(f"{total:.9f}", np.round(w, 6).tolist(), f"{rng.random():.6f}", f"{np.random.rand():.6f}")
