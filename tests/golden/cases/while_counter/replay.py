# golden: add-after "flor.log("x", x)" flor.log("probe", [it, x, momentum])
# golden: query SELECT it, probe FROM logs WHERE it IN (10, 25)
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(0)
x, momentum = 4.0, 0.0
it = 0
max_iters = 30
flor_it = flor_abi.while_loop("it", state=("momentum", "x", "it"))
while flor_it.head() and (it < max_iters and abs(x) > 1e-9):
    noise = random.uniform(-0.01, 0.01)
    momentum = 0.9 * momentum + 2 * x + noise
    x -= 0.02 * momentum
    it += 1
    flor.log("x", x)
flor_it.end()
print(it, f"{x:.8f}")
