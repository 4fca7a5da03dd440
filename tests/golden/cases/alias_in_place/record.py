# golden: add-after "average = (average * n + sum(row)) / (n + 1)" flor.log("probe", [n, table[1][0], latest["row"][2], tuple(first)])
# golden: query SELECT n, probe FROM logs WHERE n IN (3, 6)
"""State that is changed through other names for it, and must stay shared after a restore."""
from flor.runtime import abi as flor_abi
import flor

table = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
first = table[0]
latest = {"row": table[2]}
views = [r for r in table]  # the same rows again
average = 0.0


def damp(rows):
    for r in rows:
        r[2] *= 0.75


for n in flor_abi.loop("n", range(8), state=("average", "first", "latest", "table", "views")):
    row = views[n % 3]
    row[0] += 0.5 * first[1]
    row[1] -= 0.125 * latest["row"][0]
    if n == 4:
        latest["row"] = table[1]
    damp(views[1:])
    average = (average * n + sum(row)) / (n + 1)
    flor.log("average", average)
print(table, first is table[0], latest["row"] is table[1], views[2] is table[2])
