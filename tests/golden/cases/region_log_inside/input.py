# golden: add-after "hits += int(guess == label)" flor.log("probe", [hits, guess, x])
# golden: query SELECT epoch, i, probe FROM logs WHERE epoch = 4 AND i > 1
# golden: skips describe()
"""A statement added inside of a region: it is executed where that is wanted."""
import random

import flor

random.seed(8)
rows = [(random.gauss(k % 2, 0.5), k % 2) for k in range(12)]


def evaluate(cut, rows):
    hits = 0
    for i, (x, label) in enumerate(rows):
        guess = int(x + random.gauss(0, 0.01) > cut)
        hits += int(guess == label)
        flor.log("hit", hits)
    return hits / len(rows)


def describe(cut, rows):
    for i, (x, _) in enumerate(rows):
        flor.log("margin", abs(x - cut) + random.random())
    flor.log("described", i)
    print(f"cut {cut:.4f}")


cut = -0.5
for epoch in range(6):
    random.shuffle(rows)
    for x, label in rows:
        if (x > cut) != bool(label):
            cut += 0.02 if x > cut else -0.02
    first = evaluate(cut, rows[:4])
    describe(cut, rows[:2])
    second = evaluate(cut, rows[4:8])
    flor.log("accuracy", first + second)
    print(f"{epoch} {first:.3f} {second:.3f}")
