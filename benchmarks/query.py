"""Queries over 1 and 10 million logged values, and what taking in a value costs.

    python benchmarks/query.py [--rows N ...] [--peers PYTHON] [--folder DIR] [--no-write]

Each measurement has a process of its own; its first answer (imports, a store that was just opened)
and the best of three are reported, data frame included, the least processor time (the figure to
trust on a busy machine) and the process's peak memory.  A --folder that has the data of an earlier
time is used again.  With --peers, an interpreter of an environment that has mlflow-skinny,
sqlalchemy, alembic, tensorboard, torch, flordb, duckdb, pyarrow and pandas, other systems do the
same on the same data (query_peers.py); what isn't installed there is left out, and so is what takes
longer than --limit seconds.  The table goes to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import query_data as data
import results_file
from query_peers import timed

HERE = Path(__file__).resolve().parent
COLUMNS = "SELECT run, epoch, step, loss, acc, lr, grad FROM logs"

QUERIES = {
    "pivot": COLUMNS,
    "filtered pivot": COLUMNS + " WHERE loss > 0.99",
    "one run": COLUMNS + " WHERE run = 7",
    "broadcast": "SELECT run, script, epoch, step, loss, val_acc FROM logs",
    "per epoch": "SELECT run, epoch, val_acc FROM logs",
    "GROUP BY": "SELECT run, epoch, avg(loss) FROM logs GROUP BY run, epoch",
    "best epoch of each run": "SELECT run, epoch, max(val_acc) FROM logs GROUP BY run",
}
HINDSIGHT = "SELECT run, epoch, step, norm FROM logs WHERE val_acc < 0.1 AND epoch > 20"


# -- tasks, each in its own process ------------------------------------------------------------


def build(folder: Path, rows: int) -> dict[str, float]:
    """Record the data through the store's own writing code, without its thread."""
    from flor.runtime.store import Store
    from flor.runtime.store.batches import Batch

    begun, count = time.perf_counter(), data.runs_of(rows)
    with Store.open(folder, create=True) as store:
        for number in range(1, count + 1):
            run = store.begin_run({"script": "train.py", "args": {"seed": number}})
            batch = Batch(store.connection, run, 0)
            steps, ends = data.run_values(number)
            for epoch in range(data.EPOCHS):
                outer = (None, "epoch", epoch, epoch)
                entries: list[tuple[Any, ...]] = [("iteration", outer, 0.0)]
                columns = [steps[name][epoch].tolist() for name in data.NAMES]
                for step, values in enumerate(zip(*columns)):
                    ctx = (outer, "step", step, step)
                    entries.append(("iteration", ctx, 0.0))
                    entries += [
                        ("log", name, value, ctx, name, 0.0)
                        for name, value in zip(data.NAMES, values)
                    ]
                entries.append(("log", "val_acc", float(ends[epoch]), outer, "val_acc", 0.0))
                batch.write(entries)
            store.end_run(run, "finished", 0)
    seconds = time.perf_counter() - begun
    size = (folder / ".flor" / "flor.db").stat().st_size
    return {"seconds": seconds, "values": count * data.PER_RUN, "mb": size / 1e6}


def compact(folder: Path, rows: int) -> dict[str, float]:
    """Pack all runs."""
    from flor.runtime.store import Store

    begun = time.perf_counter()
    with Store.open(folder) as store:
        store.compact()
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (folder / ".flor" / "flor.db").stat().st_size
    return {"seconds": time.perf_counter() - begun, "mb": size / 1e6}


def ask(folder: Path, name: str, packed: bool) -> dict[str, float]:
    """One of QUERIES, as a data frame; from rows if not `packed`."""
    begun = time.perf_counter()
    import pandas  # noqa: F401

    from flor.runtime.store import Store, answers

    imports = time.perf_counter() - begun
    if not packed:
        answers._worthwhile = lambda *_: False
    with Store.open(folder) as store:
        found = timed(lambda: store.dataframe(QUERIES[name]))
    return found | {"imports": imports}


def derive(folder: Path, rows: int) -> dict[str, float]:
    """Which iterations a hindsight query needs."""
    from flor.runtime.replay.demand import demand
    from flor.runtime.store import Store
    from florc.plan import LogStatement

    path = ("epoch", "step")
    statement = LogStatement("norm", "norm", "train.py", 1, "", path, paths=(path,))
    with Store.open(folder) as store:

        def derived() -> list[int]:
            found = demand(store, HINDSIGHT, {run.run: [statement] for run in store.runs()})
            return [0] * sum(len(one.positions) for one in found.runs)

        return timed(derived)


SCRIPT = """
import json, statistics, sys, time
import flor
now = time.perf_counter_ns
taken = []
begun = time.perf_counter()
for n in range(50_000):
    before = now()
    flor.log("loss", 0.5 * n)
    taken.append(now() - before)
total = time.perf_counter() - begun
empty = []
for n in range(1000):
    before = now()
    empty.append(now() - before)
print("RESULT " + json.dumps({
    "median_us": statistics.median(taken) / 1e3, "mean_us": total / 50_000 * 1e6,
    "clock_us": statistics.median(empty) / 1e3,
}))
"""


def append(folder: Path, rows: int) -> dict[str, float]:
    """flor.log in a script that is recorded; the mean has its loop's iterations too."""
    place = folder / "append"
    place.mkdir()
    (place / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "flor.runtime", "record", "train.py"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    return result(done.stdout) or {}


# -- the parent --------------------------------------------------------------------------------


def result(output: str) -> dict[str, float] | None:
    """What a task has printed."""
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    return json.loads(lines[-1][7:]) if lines else None


def child(command: list[str], limit: float = 1800) -> dict[str, float] | None:
    """Run a task in its own process; None if it failed, e.g. because something isn't installed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    if command[0] != sys.executable:
        env.pop("PYTHONPATH")
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"{' '.join(command[2:])}: more than {limit:.0f} s", file=sys.stderr)
        return {"limit": limit}
    found = result(done.stdout)
    if found is None:
        last = (done.stderr.strip().splitlines() or ["no result"])[-1]
        print(f"{' '.join(command[2:])}: {last}", file=sys.stderr)
    return found


def ours(task: str, folder: Path, argument: str, packed: bool = True) -> dict[str, float] | None:
    """A task of this file."""
    return child([sys.executable, __file__, "--task", task, str(folder), argument, str(packed)])


def seconds(value: float) -> str:
    """For a table."""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def row(what: str, size: str, found: dict[str, float] | None) -> str:
    """A line of the table of queries."""
    if found is None:
        return f"| {what} | {size} | - | - | - | - | - |"
    if "limit" in found:
        return f"| {what} | {size} | more than {found['limit']:.0f} s | - | - | - | - |"
    return (
        f"| {what} | {size} | {seconds(found['first'])} | **{seconds(found['best'])}** | "
        f"{seconds(found['cpu'])} | {found['rows']:,} | {found['peak_mb']:.0f} MB |"
    )


def measure(sizes: list[int], peers: str | None, folder: Path, limit: float) -> list[str]:
    """All tables."""
    text = [
        "| query | values | first | best of 3 | its processor time | rows | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for rows in sizes:
        place = folder / str(rows)
        place.mkdir(exist_ok=True)
        size = f"{rows // 1_000_000} M"
        fresh = not (place / ".flor").exists()  # else it is there from an earlier time
        built = ours("build", place, str(rows)) if fresh else None
        for name in ("pivot", "one run", "GROUP BY"):
            text.append(row(f"{name}, rows only (SQLite)", size, ours("ask", place, name, False)))
        packed = ours("compact", place, "0")
        for name in QUERIES:
            text.append(row(name, size, ours("ask", place, name)))
        text.append(row("filter derivation", size, ours("derive", place, "0")))
        if built and packed:
            rate = built["values"] / built["seconds"] / 1e3
            notes.append(
                f"{size} values: written in {built['seconds']:.0f} s ({rate:.0f} k/s, one core), "
                f"{built['mb']:.0f} MB; packed in {packed['seconds']:.1f} s, {packed['mb']:.0f} MB."
            )
        tasks = {"pandas_pivot": "pandas, long frame in memory: pivot",
                 "pandas_one_run": "pandas: one run",
                 "duckdb_pivot": "DuckDB on Parquet: pivot",
                 "duckdb_one_run": "DuckDB on Parquet: one run",
                 "mlflow_load": "",
                 "mlflow_one_run": "MLflow, SQLite store: one run",
                 "mlflow_pivot": "MLflow, SQLite store: pivot",
                 "flordb_pivot": "FlorDB 4: pivot"}  # fmt: skip
        for task, label in tasks.items() if peers else ():
            command = [str(peers), str(HERE / "query_peers.py"), task, str(place), str(rows)]
            found = child(command, limit)
            if label:
                text.append(row(label, size, found))
    text += ["", *notes, "", "| taking in a value | median | mean |", "|---|---|---|"]
    costs = {"`flor.log` while recording": ours("append", folder, "0")}
    for task, label in {
        "tensorboard_append": "TensorBoard, `add_scalar`", "flordb_append": "FlorDB 4, `flor.log`",
        "mlflow_append": "MLflow, SQLite store, `log_metric`",
        "mlflow_batch": "MLflow, `log_batch` of 1000, each value",
    }.items() if peers else ():  # fmt: skip
        command = [str(peers), str(HERE / "query_peers.py"), task, str(folder), "50000"]
        costs[label] = child(command)
    for label, cost in costs.items():
        if cost is not None:
            median = cost["median_us"] - cost.get("clock_us", 0.0)
            text.append(f"| {label} | {median:.2f} µs | {cost['mean_us']:.2f} µs |")
    return text


def main() -> None:
    """Run a task, or everything."""
    if sys.argv[1:2] == ["--task"]:
        task, folder, argument, packed = sys.argv[2:6]
        if task == "ask":
            found = ask(Path(folder), argument, packed == "True")
        else:
            found = globals()[task](Path(folder), int(argument))
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("RESULT " + json.dumps(found))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--limit", type=float, default=1800, help="seconds of a peer's task")
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    scratch = tempfile.TemporaryDirectory() if args.folder is None else contextlib.nullcontext()
    with scratch as made:
        folder = Path(made) if made else args.folder
        folder.mkdir(parents=True, exist_ok=True)
        table = measure(args.rows, args.peers, folder, args.limit)
    text = "\n".join([results_file.machine(), "", *table])
    print(text)
    if not args.no_write:
        results_file.write("query.py", text, "Queries over many values")


if __name__ == "__main__":
    main()
