# golden: add-after "b += a * k" flor.log("within", [i, k, b])
# golden: add-after "b -= 0.5 * i" flor.log("late", [i, b])
# golden: query SELECT i, within FROM logs WHERE i IN (1, 3)
# golden: query SELECT late FROM logs
"""Three loops over i, one over _ and one over a name that SQL reserves for itself."""
from flor.runtime import abi as flor_abi
import flor

a, b = 1.0, 0.0
for i in flor_abi.loop("i", range(4), state=("a", "b")):
    a += i
    for k in flor_abi.loop("k", range(2), state=("b",)):
        b += a * k
    flor.log("a", a)
for i in flor_abi.loop("i_2", range(3), state=("b",)):
    b -= 0.5 * i
    flor.log("b", b)


def polish(b):
    for i in flor_abi.loop("polish_i", range(2), state=("b",)):
        for _ in flor_abi.loop("step", range(2), state=("b",)):
            b = (b + 1) / 2
            flor.log("polished", b)
    for run in flor_abi.loop("loop_run", range(3), state=("b",)):
        b += run
        flor.log("value_of_run", b)
    return b


print(a, polish(b))
