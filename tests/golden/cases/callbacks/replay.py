# golden: add-before "flor.log("n", len(history.values))" flor.log("probe", [k, history.values, counts["n"], tail])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Bound methods, partials and lambdas, called from a dictionary and by map()."""
from flor.runtime import abi as flor_abi
import functools

import flor


class History:
    def __init__(self):
        self.values = []

    def on_step(self, k, loss):
        self.values.append((k, loss))


def count(counts, inc, k, loss):
    counts["n"] += inc if loss > 1 else 1


history = History()
counts = {"n": 0}
tail = []
hooks = {
    "history": history.on_step,
    "count": functools.partial(count, counts, 2),
    "tail": lambda k, loss: tail.append(-k),
}
for k in flor_abi.loop("k", range(8), state=("counts", "tail", "history.values", "hooks")):
    loss = (k * 7 % 5) / 2
    for name, hook in flor_abi.loop("step", hooks.items(), state=("counts", "tail", "history.values", "hooks")):
        hook(k, loss)
    list(map(lambda value: tail.append(value), [loss]))
    flor.log("n", len(history.values))
print(history.values, counts, tail)
