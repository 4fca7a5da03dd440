# golden: add-before "if patience == 0:" flor.log("probe", [iter_num, w[0], patience])
# golden: query SELECT iter_num, probe FROM logs WHERE iter_num >= 9
"""`while True` with two ways out, and a checkpoint file's worth of bookkeeping."""
from flor.runtime import abi as flor_abi
import random

import flor

rng = random.Random(5)
w = [rng.random() for _ in range(4)]
target = [0.5, -0.25, 0.125, 0.0]
iter_num = 0
best_val, patience = 1e9, 4


def val_loss():
    return sum((a - b) ** 2 for a, b in zip(w, target))


flor_iter_num = flor_abi.while_loop("iter_num", state=("best_val", "patience", "iter_num", "rng", "w"))
while flor_iter_num.head() and True:
    if iter_num % 3 == 0:
        loss = flor_abi.after(flor_abi.region("val_loss", val_loss)())
        flor.log("val", loss)
        if loss < best_val * 0.999:
            best_val = loss
            patience = 4
        else:
            patience -= 1
        if patience == 0:
            print("early stop")
            break
    i = rng.randrange(4)
    w[i] -= 0.3 * (w[i] - target[i]) + rng.gauss(0, 0.02)
    iter_num += 1
    if iter_num > 60:
        break
flor_iter_num.end()
print(iter_num, f"{best_val:.6f}", patience)
