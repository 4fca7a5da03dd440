"""The data of query.py: runs of 25 epochs of 1000 steps, four values a step, one an epoch.

Needs numpy only, so that other systems' environments can make the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EPOCHS, STEPS = 25, 1000
NAMES = ("loss", "acc", "lr", "grad")
PER_RUN = EPOCHS * (STEPS * len(NAMES) + 1)


def run_values(run: int) -> tuple[dict[str, Any], Any]:
    """Run `run`'s values: name -> (epoch, step) array, and `val_acc` by epoch."""
    random = np.random.default_rng(run)
    steps = {name: random.random((EPOCHS, STEPS)) for name in NAMES}
    return steps, random.random(EPOCHS)


def runs_of(rows: int) -> int:
    """How many runs make up about so many values."""
    return max(1, rows // PER_RUN)
