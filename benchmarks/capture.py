"""What capturing adds to a call that logs: median wall time of a call, plain and captured.

    python benchmarks/capture.py

The calls are made in one process with a loop position that changes every hundred calls, and a
store that is written in the background.  Libraries that aren't installed are left out.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flor.runtime.captured.attach import attach
from flor.runtime.captured.calls import log_calls
from flor.runtime.captured.keep import Keeper
from flor.runtime.session import Session
from flor.runtime.store import RunWriter, Store

CALLS = 5000


def cases(folder: Path) -> dict[str, Callable[[int], Any]]:
    """Calls that log, each to a file of its own in `folder`."""
    folder.mkdir()
    logger = logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [logging.FileHandler(folder / "log")]
    rows = csv.DictWriter(io.StringIO(), ["step", "loss"])
    rows.writeheader()
    found: dict[str, Callable[[int], Any]] = {
        'logger.info("step %d loss %.4f", …)': lambda i: logger.info("step %d loss %.4f", i, 0.5),
        "DictWriter.writerow, two cells": lambda i: rows.writerow({"step": i, "loss": 0.5}),
    }
    with contextlib.suppress(ImportError):
        from tqdm import tqdm

        bar = tqdm(range(CALLS), file=io.StringIO())
        found["tqdm.set_postfix, one value"] = lambda i: bar.set_postfix(loss=0.5, refresh=False)
    with contextlib.suppress(ImportError):
        import torch
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(folder / "board"), max_queue=10 * CALLS)
        tensor = torch.tensor(0.5)
        found["SummaryWriter.add_scalar, float"] = lambda i: writer.add_scalar("loss", 0.5, i)
        found["SummaryWriter.add_scalar, tensor"] = lambda i: writer.add_scalar("t", tensor, i)
    return found


def medians(folder: Path, session: Session | None = None) -> dict[str, float]:
    """Microseconds of a call."""
    found = {}
    for name, call in cases(folder).items():
        times = []
        for i in range(CALLS):
            if session is not None and i % 100 == 0:
                session.ctx = (None, "epoch", i, i)
            begin = time.perf_counter_ns()
            call(i)
            times.append(time.perf_counter_ns() - begin)
        found[name] = statistics.median(times) / 1000
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        plain = medians(root / "plain")
        with Store.open(root, create=True) as store:
            run = store.begin_run({})
        writer = RunWriter(root, run)
        session = Session("record", None, writer, quiet=True)
        session.project = str(Path(__file__).parent)
        session.activate()
        attach(log_calls(root), Keeper(session))
        captured = medians(root / "captured", session)
        writer.close()
        with Store.open(root) as store:
            stored = len(store.records_of(run))
    print("| call | plain, µs | captured, µs |\n|---|---|---|")
    for name, before in plain.items():
        print(f"| `{name}` | {before:.1f} | {captured[name]:.1f} |")
    print(f"\n{stored} values stored")


if __name__ == "__main__":
    main()
