# golden: add-after "front.append(k)" flor.log("probe", [k, pair[0], pair[1], front is pair[0]])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Two names that change places, and a tuple that holds both objects and never changes."""
from flor.runtime import abi as flor_abi
import flor

front, back = [1], [2]
pair = (front, back)
for k in flor_abi.loop("k", range(8), state=("back", "front", "pair")):
    front, back = back, front
    front.append(k)
    flor.log("size", len(front))
print(front, back, pair[0] is front, pair)
