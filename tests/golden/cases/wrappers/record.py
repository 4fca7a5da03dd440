# golden: add-after "acc = [a + gain * b for a, b in zip(acc, row)]" flor.log("probe", [k, acc[0]])
# golden: query SELECT round, k, probe FROM logs WHERE round = 2 AND k > 1
"""enumerate, zip, reversed and a progress bar of the script's own."""
from flor.runtime import abi as flor_abi
import sys

import flor


class progress:
    """A small tqdm."""

    def __init__(self, iterable, desc=""):
        self.iterable = iterable
        self.desc = desc
        self.n = 0
        self.postfix = {}

    def __iter__(self):
        for item in self.iterable:
            yield item
            self.n += 1
        print(f"{self.desc} {self.n} {self.postfix}")

    def set_postfix(self, **values):
        self.postfix = values


rows = [[float(i * j % 7) for j in range(3)] for i in range(5)]
gains = [0.5, 0.25, 1.0, -0.5, 0.125]
acc = [0.0, 0.0, 0.0]
norm = 0.0
for round in flor_abi.loop("round", progress(range(4), desc="rounds"), state=("acc", "norm")):
    bar = progress(flor_abi.iterator(zip)(rows, gains), "rows")
    for k, (row, gain) in flor_abi.loop("k", enumerate(bar, start=1), state=("acc", "bar.n", "bar.postfix", "bar.iterable")):
        acc = [a + gain * b for a, b in zip(acc, row)]
        bar.set_postfix(first=acc[0])
    for decay in flor_abi.loop("step", reversed(gains[:2]), state=("acc",)):
        acc = [a * decay + 0.01 * round for a in acc]
    norm += sum(acc)
    flor.log("norm", norm)
print(f"{norm:.9f}", file=sys.stdout)
