# golden: add-after "total += weight * item" flor.log("probe", [step, item, total, sum(queue)])
# golden: query SELECT step, probe FROM logs WHERE step IN (3, 5)
# golden: jumps no
"""The loop changes what it goes through, and the name leads elsewhere by then: FLR009."""
from flor.runtime import abi as flor_abi
import flor

spare = flor_abi.iterator(iter)([0.5, 0.25, 2.0, 1.5, 3.0, 0.75, 1.25])
queue = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
total = 0.0
for step, (item, weight) in flor_abi.loop("step", enumerate(zip(queue, spare)), state=("total", "queue", "spare")):
    total += weight * item
    if step == 1:
        queue[4] = next(spare)
        queue = [total, *queue]
        spare = flor_abi.iterator(iter)([10.0])
    queue[-1] += 0.5
    flor.log("total", total)
print(f"{total:.9f}", queue, list(spare))
