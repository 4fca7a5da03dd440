"""Resumes from last.ckpt with --resume, and already logs two values with flor."""
import logging
import sys

import flor
import torch
import torch.nn as nn

CKPT = "last.ckpt"
LOG = logging.getLogger(__name__)
step_count = 0


def setup_logging():
    logging.basicConfig(
        level=logging.INFO,
        format="%(levelname)s:%(filename)s:%(lineno)d:%(message)s",
        handlers=[logging.FileHandler("train.log", mode="w"), logging.StreamHandler()],
    )


def data():
    g = torch.Generator()
    g.manual_seed(17)
    x = torch.rand(256, 3, generator=g) * 2 - 1
    return x, (x ** 2).sum(1, keepdim=True).sqrt()


def train_one_epoch(net, opt, x, y, accum=2):
    global step_count
    net.train()
    opt.zero_grad()
    total = 0.0
    for i, idx in enumerate(torch.randperm(256).view(-1, 32)):
        loss = nn.functional.mse_loss(net(x[idx]), y[idx]) / accum
        loss.backward()
        total += loss.item()
        if (i + 1) % accum:
            continue
        nn.utils.clip_grad_value_(net.parameters(), 0.5)
        opt.step()
        opt.zero_grad()
        step_count += 1
        flor.log("loss", loss.item() * accum)
    return total


def evaluate(net, x, y, samples=4):
    """Monte-Carlo dropout: the evaluation draws random numbers too."""
    net.train()
    with torch.no_grad():
        preds = torch.stack([net(x) for _ in range(samples)])
    return nn.functional.mse_loss(preds.mean(0), y).item(), preds.std(0).mean().item()


def main():
    setup_logging()
    torch.set_num_threads(1)
    torch.manual_seed(flor.arg("seed", 4))
    epochs = flor.arg("epochs", 8)
    x, y = data()
    net = nn.Sequential(nn.Linear(3, 24), nn.GELU(), nn.Dropout(0.1), nn.Linear(24, 1))
    opt = torch.optim.Adagrad(net.parameters(), lr=0.05)
    start_epoch = 0
    if "--resume" in sys.argv:
        state = torch.load(CKPT)
        net.load_state_dict(state["net"])
        opt.load_state_dict(state["opt"])
        torch.set_rng_state(state["rng"])
        start_epoch = state["epoch"]
        LOG.info("resumed at %d", start_epoch)

    for epoch in range(start_epoch, epochs):
        train_loss = train_one_epoch(net, opt, x, y)
        mse, spread = evaluate(net, x, y)
        flor.log("mse", mse)
        print(f"epoch {epoch} train {train_loss:.6f} mse {mse:.6f} spread {spread:.6f}")
        LOG.info("epoch %d steps %d", epoch, step_count)
        torch.save({"net": net.state_dict(), "opt": opt.state_dict(),
                    "rng": torch.get_rng_state(), "epoch": epoch + 1}, CKPT)


if __name__ == "__main__":
    main()
