# golden: add-after "total += value" flor.log("probe", [step, value, total])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""Generators, one reading from another, and counters of itertools that the loop advances."""
from flor.runtime import abi as flor_abi
import itertools
import random

import flor


def noisy(seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() + 0.5


def scaled(source, factor):
    for item in source:
        yield item * factor


noise = flor_abi.iterator(scaled)(flor_abi.iterator(noisy)(9), 0.25)
numbers = flor_abi.iterator(itertools.count)(5, 2)
names = flor_abi.iterator(itertools.cycle)("abc")
total, text = 0.0, ""
for step in flor_abi.loop("step", range(11), state=("text", "total", "noise", "numbers", "names")):
    value = next(numbers) * next(noise)
    text += next(names)
    total += value
    flor.log("total", total)
print(f"{total:.9f}", text, next(numbers), f"{next(noise):.6f}")
