#!/usr/bin/env python
"""5-fold cross validation of a small MLP on iris."""
import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold

try:
    from tqdm import tqdm
except ImportError:
    def tqdm(iterable, **kwargs):
        return iterable

SEED = 5
results = defaultdict(list)
global_step = 0


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_model(width=12):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))


def accuracy(model, x, y):
    model.eval()
    with torch.inference_mode():
        return (model(x).argmax(1) == y).float().mean().item()


def train_fold(fold, x, y, x_val, y_val, max_epochs=8, tolerance=3):
    """Returns the best accuracy of the fold; stops when nothing has improved for a while."""
    global global_step
    model = make_model()
    opt = torch.optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    best, since = 0.0, 0
    for epoch in tqdm(range(max_epochs), disable=True):
        model.train()
        for chunk in torch.randperm(len(x)).split(30):
            opt.zero_grad()
            loss = loss_fn(model(x[chunk]), y[chunk])
            loss.backward()
            opt.step()
            global_step += 1
        acc = accuracy(model, x_val, y_val)
        results[fold].append((loss.item(), acc))
        if acc > best:
            best, since = acc, 0
        else:
            since += 1
        if since >= tolerance:
            return best
    return best


def main():
    torch.set_num_threads(1)
    seed_everything(SEED)
    X, y = load_iris(return_X_y=True)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=SEED)
    scores = []
    for fold, (train_idx, val_idx) in enumerate(folds.split(X, y)):
        score = train_fold(fold, X[train_idx], y[train_idx], X[val_idx], y[val_idx])
        scores.append(score)
        print(f"fold {fold}: {score:.4f} after {len(results[fold])} epochs, step {global_step}")
    for fold, curve in results.items():
        print(fold, " ".join(f"{loss:.4f}/{acc:.3f}" for loss, acc in curve))
    print(f"mean {np.mean(scores):.4f} std {np.std(scores):.4f}")


main()
