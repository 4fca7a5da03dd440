# golden: add-after "x = polish(x, memo)" flor.log("probe", [k, x, memo["calls"]])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""A function that the compiler can't see into: what it is given may have changed (assumed)."""
from flor.runtime import abi as flor_abi
import importlib

import flor

hidden = importlib.import_module("hid" + "den")
polish = hidden.polish
memo = {"calls": 0}
settings = {"rate": 0.5}
x = 9.0
for k in flor_abi.loop("k", range(8), state=("x", "polish", "memo")):
    x = polish(x, memo)
    x *= settings["rate"] + 0.3
    flor.log("x", x)
print(f"{x:.9f}", memo)
