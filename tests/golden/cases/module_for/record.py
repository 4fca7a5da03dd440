# golden: add-after "bias -= rate * error" flor.log("probe", [epoch, weight, bias])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (3, 6)
"""A line fitted by hand, at the module's level."""
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(7)
points = [(x / 10, 0.5 * x / 10 + 0.2) for x in range(20)]
rate = 0.1
weight, bias = 0.0, 0.0
best = float("inf")  # the smallest loss so far
for epoch in flor_abi.loop("epoch", range(1, 8), state=("weight", "bias", "best", "points")):
    random.shuffle(points)
    total = 0.0
    for x, y in flor_abi.loop("step", points, state=("weight", "bias", "total")):
        error = weight * x + bias - y
        weight -= rate * error * x
        bias -= rate * error
        total += error * error
    flor.log("loss", total)
    best = min(best, total)
    print(f"epoch {epoch}: {total:.6f} (best {best:.6f})")
print(f"{weight:.4f} {bias:.4f}")
