# golden: add-before "if loss > best:" flor.log("probe", [epoch, w, skipped])
# golden: query SELECT epoch, probe FROM logs WHERE epoch >= 5
import random

import flor


def train(limit):
    w, best, skipped = 2.0, 1e9, 0
    for epoch in range(limit):
        for sample in (3.0, -1.0, 0.5, 2.0):
            if random.random() < 0.3:
                skipped += 1
                continue
            if sample < 0 and epoch > 2:
                break
            w -= 0.05 * sample * (w * sample - 0.7)
            if w != w:
                return None
        loss = (w - 0.7) ** 2
        flor.log("loss", loss)
        if loss > best:
            continue
        best = loss
        if skipped > 9:
            return w, skipped
    return w, skipped


random.seed(21)
print("done", train(12))
