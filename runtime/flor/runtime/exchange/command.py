"""`export` and `import`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import FlorError
from ..store.rows import Run
from ..store.store import Store
from ..ui.commands import find_root, open_store
from ..ui.render import render
from .runs import Foreign, Value, chosen, exported, imported, iterations, now


def export_runs(args: argparse.Namespace) -> int:
    """`export`: print what was written for each run."""
    rows = []
    with open_store(args.root) as store:
        runs = chosen(store, args.run or ())
        root = Path(os.path.abspath(store.root))
        if args.format == "mlflow":
            from .mlflow import Exporter

            exporter = Exporter(args.place, args.experiment or root.name, str(root))
        for run in runs:
            values = exported(store, run.run, args.name or ())
            if args.format == "mlflow":
                written, left_out = exporter.write(run, values, *_times(run))
            else:
                written, left_out = _event_file(store, args, run, values)
            outcome = "exported" if written >= 0 else "there already"
            rows.append((run.run, max(written, 0), left_out, outcome))
    render(("run", "values", "left out", "outcome"), rows)
    return 0


def _event_file(
    store: Store, args: argparse.Namespace, run: Run, values: list[Value]
) -> tuple[int, int]:
    from . import tensorboard

    folder = Path(args.place) / f"run-{run.run}"
    try:
        return tensorboard.write(folder, run, values, iterations(store, run.run), _times(run))
    except OSError as error:
        raise FlorError(f"can't write to {folder}: {error.strerror or error}") from None


def _times(run: Run) -> tuple[float, float]:
    """When a run began and ended, in seconds since the epoch."""
    from ..store.rows import seconds

    started = seconds(run.started) or now()
    return started, seconds(run.ended) or started


def _foreign(args: argparse.Namespace) -> Iterable[Foreign]:
    """The runs at the place that the command line names.  Raises FlorError."""
    if args.format == "mlflow":
        from . import mlflow

        return mlflow.read(args.place)
    if args.format == "wandb":
        from . import wandb

        return wandb.read(Path(args.place))
    from . import tensorboard

    return tensorboard.read(Path(args.place))


def import_runs(args: argparse.Namespace) -> int:
    """`import`: print what became of each run."""
    found = list(_foreign(args))  # before a store is made for nothing
    root = Path(args.root) if args.root is not None else find_root()
    with Store.open(root, create=True) as store:
        rows = []
        for foreign in found:
            done = imported(store, foreign)
            rows.append((done.run, done.name, done.values, done.left_out, done.outcome))
    render(("run", "name", "values", "left out", "outcome"), rows)
    problems = [foreign for foreign in found if foreign.problem]
    for foreign in problems:
        print(f"florc: {foreign.name}: {foreign.problem}", file=sys.stderr)
    return 1 if problems else 0
