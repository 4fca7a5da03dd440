# golden: add-after "box.level = box.level * box.rate + k" flor.log("probe", [k, boxes[0].level, boxes[1].level, both[0].level])
# golden: query SELECT k, i, probe FROM logs WHERE k = 4
"""A name that holds one of several objects (the last of a loop) stands for that one only."""
from flor.runtime import abi as flor_abi
import flor


class Box:
    def __init__(self, rate):
        self.rate = rate
        self.level = 1.0


boxes = [Box(0.5), Box(0.9)]
for box in flor_abi.loop("step", boxes, state=("boxes",)):
    box.rate += 0.01
both = sorted(boxes, key=lambda b: -b.rate)
for k in flor_abi.loop("k", range(6), state=("boxes", "both")):
    for i in flor_abi.loop("i", range(2), state=("boxes", "both")):
        box = boxes[i]
        box.level = box.level * box.rate + k
    flor.log("sum", boxes[0].level + both[0].level)
print(boxes[0].level, boxes[1].level)
