"""Image classification with meters, mixed precision and schedules, in one long function."""

import contextlib
import json
import logging
import math
import time
from pathlib import Path

import torch
from torch import nn

logger = logging.getLogger(__name__)


class Meter:
    """A sum and a count."""

    def __init__(self, name):
        self.name = name
        self.total = 0.0
        self.count = 0

    def update(self, value, number=1):
        self.total += value * number
        self.count += number

    @property
    def mean(self):
        return self.total / max(self.count, 1)


def accuracy(output, target, top=(1,)):
    largest = max(top)
    _, guesses = output.topk(largest, 1)
    correct = guesses.t().eq(target.view(1, -1).expand_as(guesses.t()))
    return [correct[:k].reshape(-1).float().sum() * 100.0 / len(target) for k in top]


def rate_at(step, args):
    if step < args.warmup:
        return args.lr * step / args.warmup
    share = (step - args.warmup) / max(args.steps - args.warmup, 1)
    return 0.5 * args.lr * (1 + math.cos(math.pi * min(share, 1.0)))


def run(args, model, train_loader, valid_loader, rank=0):
    main_process = rank == 0
    folder = Path(args.folder)
    if main_process:
        folder.mkdir(parents=True, exist_ok=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(enabled=args.enabled)
    context = torch.autocast("cuda") if args.enabled else contextlib.nullcontext()
    first_epoch = 0
    if args.resume:
        checkpoint = torch.load(args.resume, map_location="cpu")
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        first_epoch = checkpoint["epoch"] + 1
        logger.info("resumed from %s", args.resume)
    step = first_epoch * len(train_loader)
    for epoch in range(first_epoch, args.epochs):
        losses = Meter("loss")
        hits = Meter("top1")
        waiting = Meter("data")
        model.train()
        end = time.time()
        for index, (images, target) in enumerate(train_loader):
            waiting.update(time.time() - end)
            lr = rate_at(step, args)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with context:
                output = model(images)
                loss = criterion(output, target)
            top1, top5 = accuracy(output, target, (1, 5))
            losses.update(loss.item(), len(images))
            hits.update(top1.item(), len(images))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if args.clip:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            scaler.step(optimizer)
            scaler.update()
            step += 1
            if main_process and index % args.interval == 0:
                speed = len(images) / max(time.time() - end, 1e-9)
                logger.info("%d %d %.4f %.1f %.1f", epoch, index, losses.mean, speed, top5.item())
            end = time.time()
        model.eval()
        valid_losses = Meter("valid loss")
        valid_hits = Meter("valid top1")
        with torch.no_grad():
            for images, target in valid_loader:
                output = model(images)
                loss = criterion(output, target)
                top1, top5 = accuracy(output, target, (1, 5))
                valid_losses.update(loss.item(), len(images))
                valid_hits.update(top1.item(), len(images))
        summary = {"epoch": epoch, "loss": losses.mean, "top1": valid_hits.mean}
        if main_process:
            text = json.dumps(summary)
            with open(folder / "summary.jsonl", "a") as file:
                file.write(text + "\n")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state["epoch"] = epoch
            torch.save(state, folder / "last.pt")
    return valid_hits.mean
