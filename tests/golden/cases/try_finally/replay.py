# golden: add-after "state["good"] += 1" flor.log("probe", [n, state["good"], state["x"]])
# golden: query SELECT n, probe FROM logs WHERE n IN (6, 9)
"""Exceptions in an iteration, caught inside and around; a finally that changes state."""
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(2)
state = {"x": 1.0, "good": 0, "bad": 0, "seen": 0}
failures = []


def step(x):
    noise = random.random()
    if noise < 0.35:
        raise ValueError(f"diverged at {x:.3f}")
    return x * (1 - noise / 5)


try:
    for n in flor_abi.loop("n", range(12), state=("state", "failures")):
        try:
            state["x"] = flor_abi.after(flor_abi.region("step", step)(state["x"]))
            state["good"] += 1
        except ValueError as error:
            state["bad"] += 1
            failures.append(str(error))
            state["x"] += 0.5
        finally:
            state["seen"] += 1
        flor.log("x", state["x"])
        if n == 10:
            raise KeyboardInterrupt
except KeyboardInterrupt:
    print("stopped by hand")
else:
    print("not reached")
print(state["good"], state["bad"], state["seen"], len(failures), f"{state['x']:.6f}")
