# golden: add-before "flor.log("top", heap[0])" flor.log("probe", [k, heap, ordered, w.tolist(), u.tolist()])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Calls of libraries that change their arguments: heapq, bisect, out=, ufunc.at, views."""
from flor.runtime import abi as flor_abi
import bisect
import heapq

import numpy as np

import flor

rng = np.random.default_rng(0)
heap, ordered = [], []
w, u = np.zeros(3), np.zeros(4)
view = u[1:3]
for k in flor_abi.loop("k", range(8), state=("view", "rng", "heap", "ordered", "w", "u")):
    heapq.heappush(heap, int(rng.integers(100)))
    if len(heap) > 3:
        heapq.heappop(heap)
    bisect.insort(ordered, -k % 3)
    np.add.at(w, [0, 1, 1], k)
    np.multiply(u, 2, out=u)
    u[u < 5] += 1
    view -= 0.5
    np.copyto(w[2:], u[:1])
    flor.log("top", heap[0])
print(heap, ordered, w.tolist(), u.tolist())
