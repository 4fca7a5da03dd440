# golden: add-after "total += value" flor.log("probe", [step, value, total])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""Generators, one reading from another, and counters of itertools that the loop advances."""
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


noise = scaled(noisy(9), 0.25)
numbers = itertools.count(5, 2)
names = itertools.cycle("abc")
total, text = 0.0, ""
for step in range(11):
    value = next(numbers) * next(noise)
    text += next(names)
    total += value
    flor.log("total", total)
print(f"{total:.9f}", text, next(numbers), f"{next(noise):.6f}")
