# golden: add-before "print(event, total)" flor.log("probe", [event, total, best])
# golden: query SELECT probe FROM logs
"""A value asked for after the loops: a replay jumps to the loop's end."""
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(8)
events = [random.randrange(100) for _ in range(12)]
total, best, n = 0, -1, 0
flor_n = flor_abi.while_loop("n", state=("event", "total", "best", "n"))
while flor_n.head() and (n < len(events) and (event := events[n]) >= 0):
    total += event * random.randrange(3)
    best = event if event > best else best
    flor.log("total", total)
    n += 1
flor_n.end()
print(event, total)
