# golden: add-after "velocity[:] = [0.9 * v - rate * g for v, g in zip(velocity, grad)]" flor.log("probe", velocity[0])
# golden: query SELECT epoch, step, probe FROM logs WHERE epoch = 4 AND step IN (2, 5)
# golden: argv --epochs 5
"""The usual shape: main(), an epoch loop, and the step loop in a function that it calls."""

from flor.runtime import abi as flor_abi
import argparse
import random

import flor


def make_data(rng, n=64):
    xs = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(n)]
    return [(x, sum(x) + rng.gauss(0, 0.1)) for x in xs]


def batches(data, size):
    order = list(range(len(data)))
    random.shuffle(order)
    return [[data[i] for i in order[k : k + size]] for k in range(0, len(order), size)]


def train_epoch(weights, velocity, data, rate):
    running = 0.0
    for step, batch in flor_abi.loop("step", enumerate(batches(data, 8))):
        grad = [0.0] * len(weights)
        for x, y in batch:
            error = sum(w * v for w, v in zip(weights, x)) - y
            running += error**2
            grad = [g + error * v / len(batch) for g, v in zip(grad, x)]
        velocity[:] = [0.9 * v - rate * g for v, g in zip(velocity, grad)]
        for i, v in enumerate(velocity):
            weights[i] += v
        flor.log("running", running)
    return running / len(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    random.seed(1)
    data = make_data(random)
    weights, velocity = [0.0] * 3, [0.0] * 3
    rate = 0.2
    history = []
    for epoch in flor_abi.loop("epoch", range(args.epochs), state=("rate", "weights", "velocity", "history")):
        loss = train_epoch(weights, velocity, data, rate)
        history.append(loss)
        rate *= 0.8  # decays
        print(epoch, f"{loss:.5f}")
    print([f"{w:.3f}" for w in weights], len(history))


if __name__ == "__main__":
    main()
