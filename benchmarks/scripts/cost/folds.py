"""Cross-validation of a linear model, in Python alone: a loop over folds, one over epochs in it."""

import random
import sys

random.seed(int(sys.argv[1]))
points = [[random.gauss(0, 1) for _ in range(20)] for _ in range(8000)]
truth = [random.gauss(0, 1) for _ in range(20)]
labels = [sum(a * b for a, b in zip(p, truth)) + random.gauss(0, 0.1) for p in points]
scores = []
for fold in range(4):
    weights = [0.0] * 20
    mine = [i for i in range(len(points)) if i % 4 != fold]
    for epoch in range(30):  # noqa: B007
        random.shuffle(mine)
        for i in mine:
            error = sum(a * b for a, b in zip(points[i], weights)) - labels[i]
            weights = [w - 0.005 * error * a for w, a in zip(weights, points[i])]
        # inner
    rest = [i for i in range(len(points)) if i % 4 == fold]
    loss = sum((sum(a * b for a, b in zip(points[i], weights)) - labels[i]) ** 2 for i in rest)
    scores.append(loss / len(rest))
    # outer
    print(fold, scores[-1])
# end
