# golden: add-before "flor.log("total", sum(item.level[0] for item in items))" flor.log("probe", [k, items[0].level[0], items[1].level[0], chosen.level[0]])
# golden: query SELECT k, probe FROM logs WHERE k IN (2, 4)
"""A name that may hold any of several objects holds one: the others have to be saved too."""
from flor.runtime import abi as flor_abi
import flor


class Item:
    pass


items = [Item(), Item()]
for chosen in flor_abi.loop("step", items, state=("chosen", "items")):
    chosen.level = [1.0]
for k in flor_abi.loop("k", range(6), state=("items", "chosen")):
    for item in flor_abi.loop("step_2", items, state=("items", "chosen")):
        item.level = [value * 1.5 + k for value in item.level]
    flor.log("total", sum(item.level[0] for item in items))
print(chosen.level)
