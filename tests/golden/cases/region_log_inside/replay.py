# golden: add-after "hits += int(guess == label)" flor.log("probe", [hits, guess, x])
# golden: query SELECT epoch, i, probe FROM logs WHERE epoch = 4 AND i > 1
# golden: skips describe()
"""A statement added inside of a region: it is executed where that is wanted."""
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(8)
rows = [(random.gauss(k % 2, 0.5), k % 2) for k in range(12)]


def evaluate(cut, rows):
    hits = 0
    for i, (x, label) in flor_abi.loop("i", enumerate(rows)):
        guess = int(x + random.gauss(0, 0.01) > cut)
        hits += int(guess == label)
        flor.log("hit", hits)
    return hits / len(rows)


def describe(cut, rows):
    for i, (x, _) in flor_abi.loop("describe_i", enumerate(rows)):
        flor.log("margin", abs(x - cut) + random.random())
    flor.log("described", i)
    print(f"cut {cut:.4f}")


cut = -0.5
for epoch in flor_abi.loop("epoch", range(6), state=("cut", "rows")):
    random.shuffle(rows)
    for x, label in flor_abi.loop("step", rows, state=("cut",)):
        if (x > cut) != bool(label):
            cut += 0.02 if x > cut else -0.02
    first = flor_abi.after(flor_abi.region("evaluate", evaluate)(cut, rows[:4]))
    flor_abi.after(flor_abi.region("describe", describe)(cut, rows[:2]))
    second = flor_abi.after(flor_abi.region("evaluate_2", evaluate)(cut, rows[4:8]))
    flor.log("accuracy", first + second)
    print(f"{epoch} {first:.3f} {second:.3f}")
