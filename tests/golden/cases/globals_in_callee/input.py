# golden: add-before "tick(epoch)" flor.log("probe", [epoch, temperature, seen, len(cache)])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (3, 7)
"""Module globals that functions rebind and mutate."""
import flor

temperature = 10.0
seen = 0
cache = {}


def cool():
    global temperature
    temperature *= 0.9 - 0.01 * len(cache)


def tick(epoch):
    global seen
    seen += epoch
    cache[seen % 5] = temperature
    cool()


for epoch in range(9):
    tick(epoch)
    flor.log("t", temperature)
print(seen, f"{temperature:.9f}", sorted(cache))
