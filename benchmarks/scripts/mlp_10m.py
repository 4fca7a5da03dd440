"""A perceptron of 10.8 million parameters with Adam on synthetic data; 120 MB of state.

Nothing is logged.  The time of the training loop goes to the file named by BENCH_TIMES.
"""

import argparse
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(1024, 2816), nn.GELU(), nn.Linear(2816, 2816), nn.GELU(), nn.Linear(2816, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    images = torch.randn(2048, 1024)
    labels = torch.randint(10, (2048,))

    wall, cpu = time.perf_counter(), time.process_time()
    for epoch in range(args.epochs):
        total = 0.0
        for step in range(args.steps):  # noqa: B007
            batch = torch.randint(len(images), (args.batch_size,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}  loss {total / args.steps:.4f}")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if "BENCH_TIMES" in os.environ:
        with open(os.environ["BENCH_TIMES"], "w") as file:
            file.write(f"{wall} {cpu}")


if __name__ == "__main__":
    main()
