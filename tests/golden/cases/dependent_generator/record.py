# golden: add-after "score += item * item" flor.log("probe", [step, item, score, difficulty["level"]])
# golden: query SELECT step, probe FROM logs WHERE step IN (5, 8)
# golden: jumps no
"""A generator that reads what the loop changes can't be made again and wound forward: FLR009."""
from flor.runtime import abi as flor_abi
import flor

difficulty = {"level": 1.0}


def curriculum(state):
    k = 0
    while True:
        k += 1
        yield k * state["level"]


score = 0.0
tasks = flor_abi.iterator(curriculum)(difficulty)
for step in flor_abi.loop("step", range(10), state=("score", "difficulty", "tasks")):
    item = next(tasks)
    score += item * item
    if score > 10:
        difficulty["level"] *= 0.8
    flor.log("score", score)
print(f"{score:.9f}", f"{next(tasks):.9f}")
