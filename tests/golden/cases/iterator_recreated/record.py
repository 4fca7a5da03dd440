# golden: add-after "total += value / (step + 1)" flor.log("probe", [step, value, passes, total])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""next(it), with StopIteration and an iterator that is made again."""
from flor.runtime import abi as flor_abi
import flor

data = [3.0, 1.0, 4.0, 1.5]
it = flor_abi.iterator(iter)(data)
passes, total = 0, 0.0
for step in flor_abi.loop("step", range(11), state=("it", "passes", "total")):
    try:
        value = next(it)
    except StopIteration:
        it = flor_abi.iterator(iter)(data)
        passes += 1
        value = next(it)
    total += value / (step + 1)
    flor.log("total", total)
print(passes, f"{total:.9f}", next(it))
