# golden: add-after "correct += int((x > threshold) == label)" flor.log("probe", [batch, correct, seen])
# golden: add-before "return correct / seen" flor.log("accuracy", correct / seen)
# golden: query SELECT epoch, i, probe FROM logs WHERE epoch = 4 AND i > 5
# golden: query SELECT epoch, accuracy FROM logs WHERE epoch IN (2, 4)
"""Logging in an evaluation loop, which trains nothing: it gives coordinates only."""
from flor.runtime import abi as flor_abi
import random

import flor

random.seed(6)
train_set = [(random.gauss(k % 2, 0.4), k % 2 == 1) for k in range(20)]
test_set = [(random.gauss(k % 2, 0.4), k % 2 == 1) for k in range(8)]


def evaluate(threshold, batch):
    correct = seen = 0
    for i, (x, label) in flor_abi.loop("i", enumerate(test_set)):
        seen += 1
        correct += int((x > threshold) == label)
        flor.log("margin", abs(x - threshold))
    return correct / seen


threshold = -1.0
for epoch in flor_abi.loop("epoch", range(5), state=("threshold", "train_set")):
    random.shuffle(train_set)
    for x, label in flor_abi.loop("step", train_set, state=("threshold",)):
        if (x > threshold) != label:
            threshold += 0.05 if x > threshold else -0.05
    accuracy = flor_abi.after(flor_abi.region("evaluate", evaluate)(threshold, epoch))
    print(f"{epoch} {threshold:.3f} {accuracy:.3f}")
