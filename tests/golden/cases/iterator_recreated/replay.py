# golden: add-after "total += value" flor.log("probe", [step, value, passes, total])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""next(it) with StopIteration re-creation, and a generator that the loop advances."""
from flor.runtime import abi as flor_abi
import random

import flor


def noisy(seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() + 0.5


data = [3.0, 1.0, 4.0, 1.5]
it = flor_abi.iterator(iter, data)
noise = flor_abi.iterator(noisy, 9)
passes, total = 0, 0.0
for step in flor_abi.loop("step", range(11), state=("it", "passes", "total", "noise")):
    try:
        value = next(it)
    except StopIteration:
        it = flor_abi.iterator(iter, data)
        passes += 1
        value = next(it)
    value *= next(noise)
    total += value
    flor.log("total", total)
print(passes, f"{total:.9f}", next(it), f"{next(noise):.6f}")
