# golden: add-after "b += a * k" flor.log("within", [i, k, b])
# golden: add-after "b -= 0.5 * i" flor.log("late", [i, b])
# golden: query SELECT i, within FROM logs WHERE i IN (1, 3)
# golden: query SELECT late FROM logs
"""Three loops over i, one over _ and one over a name that SQL reserves for itself."""
import flor

a, b = 1.0, 0.0
for i in range(4):
    a += i
    for k in range(2):
        b += a * k
    flor.log("a", a)
for i in range(3):
    b -= 0.5 * i
    flor.log("b", b)


def polish(b):
    for i in range(2):
        for _ in range(2):
            b = (b + 1) / 2
            flor.log("polished", b)
    for run in range(3):
        b += run
        flor.log("value_of_run", b)
    return b


print(a, polish(b))
