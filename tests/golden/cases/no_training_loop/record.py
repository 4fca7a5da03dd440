# golden: add-before "print(total)" flor.log("probe", total)
# golden: query SELECT probe FROM logs
# golden: jumps no
"""No loop at all that could carry state: FLR003."""
import flor


def area(r):
    return 3.0 * r * r


total = sum(area(r) for r in range(5))
flor.log("total", total)
print(total)
