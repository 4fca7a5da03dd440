# golden: add-before "flor.log("size", len(replay))" flor.log("probe", [t, len(replay), replay[0][0], counts["b"], sorted(seen), q.get("a", [0, 0])[1]])
# golden: query SELECT t, probe FROM logs WHERE t IN (7, 13)
"""deque, defaultdict, Counter, set and nested containers changed in place."""
import random
from collections import Counter, OrderedDict, defaultdict, deque

import flor

random.seed(4)
replay = deque(maxlen=5)
counts = Counter()
seen = set()
q = defaultdict(lambda: [0.0, 0.0])
order = OrderedDict()
grid = [[0] * 3 for _ in range(2)]
for t in range(15):
    s = random.choice("abc")
    a = t % 2
    replay.append((t, s, a))
    counts[s] += 1
    seen.add((s, a))
    if len(seen) > 4:
        seen.discard(("a", 0))
    for _, s2, a2 in list(replay)[-2:]:
        q[s2][a2] += 0.5 * (1.0 - q[s2][a2])
    order[s] = t
    order.move_to_end(s, last=False)
    grid[a][t % 3] += t
    flor.log("size", len(replay))
print(list(replay), counts.most_common(), sorted(seen), dict(q), list(order.items()), grid)
