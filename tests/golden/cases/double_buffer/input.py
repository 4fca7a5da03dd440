# golden: add-after "front.append(k)" flor.log("probe", [k, pair[0], pair[1], front is pair[0]])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Two names that change places, and a tuple that holds both objects and never changes."""
import flor

front, back = [1], [2]
pair = (front, back)
for k in range(8):
    front, back = back, front
    front.append(k)
    flor.log("size", len(front))
print(front, back, pair[0] is front, pair)
