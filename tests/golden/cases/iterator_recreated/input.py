# golden: add-after "total += value" flor.log("probe", [step, value, passes, total])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""next(it) with StopIteration re-creation, and a generator that the loop advances."""
import random

import flor


def noisy(seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() + 0.5


data = [3.0, 1.0, 4.0, 1.5]
it = iter(data)
noise = noisy(9)
passes, total = 0, 0.0
for step in range(11):
    try:
        value = next(it)
    except StopIteration:
        it = iter(data)
        passes += 1
        value = next(it)
    value *= next(noise)
    total += value
    flor.log("total", total)
print(passes, f"{total:.9f}", next(it), f"{next(noise):.6f}")
