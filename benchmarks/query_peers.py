"""What other systems need for the questions of query.py, and for taking in a value.

    PYTHON benchmarks/query_peers.py TASK FOLDER ROWS

Runs in an environment that has the system; nothing of this project is imported.  Prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import query_data as data

Task = Callable[[Path, int], dict[str, float]]


def timed(action: Callable[[], Any], repeat: int = 3) -> dict[str, float]:
    """Seconds of the first time and of the best, the least processor time, rows of the answer."""
    seconds, processor = [], []
    for _ in range(repeat):
        begun, used = time.perf_counter(), time.process_time()
        answer = action()
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
        count = len(answer)
        del answer
    found = {"first": seconds[0], "best": min(seconds), "cpu": min(processor)}
    return found | {"rows": count}


def each(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """Median and mean microseconds of a call that takes in a value."""
    taken = []
    begun = time.perf_counter()
    for n in range(count):
        before = time.perf_counter_ns()
        call(n)
        taken.append(time.perf_counter_ns() - before)
    total = time.perf_counter() - begun
    return {"median_us": statistics.median(taken) / 1e3, "mean_us": total / count * 1e6}


# -- pandas, DuckDB ----------------------------------------------------------------------------


def long_frame(rows: int) -> Any:
    """One row a value: run, epoch, step, name, value."""
    import numpy as np
    import pandas as pd

    parts = []
    epoch, step = np.divmod(np.arange(data.EPOCHS * data.STEPS), data.STEPS)
    for run in range(1, data.runs_of(rows) + 1):
        steps, _ = data.run_values(run)
        for name, values in steps.items():
            columns = {"run": run, "epoch": epoch, "step": step, "name": name}
            parts.append(pd.DataFrame({**columns, "value": values.ravel()}))
    frame = pd.concat(parts, ignore_index=True)
    frame["name"] = frame["name"].astype("category")
    return frame


def pandas_pivot(_: Path, rows: int) -> dict[str, float]:
    """In memory already: set_index and unstack."""
    frame = long_frame(rows)
    keys = ["run", "epoch", "step", "name"]
    return timed(lambda: frame.set_index(keys)["value"].unstack().reset_index())


def pandas_one_run(_: Path, rows: int) -> dict[str, float]:
    """As above, of one run."""
    frame = long_frame(rows)
    keys = ["run", "epoch", "step", "name"]
    return timed(lambda: frame[frame.run == 7].set_index(keys)["value"].unstack().reset_index())


def duckdb_pivot(folder: Path, rows: int, condition: str = "") -> dict[str, float]:
    """Long rows in Parquet, pivoted by GROUP BY."""
    import duckdb

    file = folder / f"long-{rows}.parquet"
    if not file.exists():
        long_frame(rows).to_parquet(file)
    cases = ", ".join(f"max(CASE WHEN name = '{n}' THEN value END) AS {n}" for n in data.NAMES)
    query = f"SELECT run, epoch, step, {cases} FROM '{file}' {condition} GROUP BY ALL"
    return timed(lambda: duckdb.sql(query).df())


def duckdb_one_run(folder: Path, rows: int) -> dict[str, float]:
    """As above, of one run."""
    return duckdb_pivot(folder, rows, "WHERE run = 7")


# -- MLflow ------------------------------------------------------------------------------------


def mlflow_store(folder: Path, rows: int) -> tuple[Any, list[str]]:
    """MLflow's SQLite store with the same values; its rows are inserted directly, for speed."""
    import mlflow

    database = folder / f"mlflow-{rows}.db"
    fresh = not database.exists()
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    if fresh:
        ids = [client.create_run("0").info.run_id for _ in range(data.runs_of(rows))]
        with sqlite3.connect(database) as connection:
            for number, run in enumerate(ids, 1):
                steps, _ = data.run_values(number)
                for name, values in steps.items():
                    connection.executemany(
                        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
                        "VALUES (?, ?, ?, ?, ?, 0)",
                        [(name, v, n, run, n) for n, v in enumerate(values.ravel().tolist())],
                    )
    found = client.search_runs(["0"], order_by=["start_time"], max_results=50_000)
    return client, [run.info.run_id for run in found]


def mlflow_load(folder: Path, rows: int) -> dict[str, float]:
    """Fill the store, once for the questions below."""
    begun = time.perf_counter()
    mlflow_store(folder, rows)
    return {"seconds": time.perf_counter() - begun}


def _histories(client: Any, runs: list[str]) -> Any:
    import pandas as pd

    parts = []
    for number, run in enumerate(runs):
        columns = {
            name: {m.step: m.value for m in client.get_metric_history(run, name)}
            for name in data.NAMES
        }
        parts.append(pd.DataFrame(columns).assign(run=number))
    return pd.concat(parts)


def mlflow_pivot(folder: Path, rows: int) -> dict[str, float]:
    """get_metric_history of each run and name, joined by step."""
    client, runs = mlflow_store(folder, rows)
    return timed(lambda: _histories(client, runs), repeat=1)


def mlflow_one_run(folder: Path, rows: int) -> dict[str, float]:
    """As above, of one run."""
    client, runs = mlflow_store(folder, rows)
    return timed(lambda: _histories(client, runs[6:7]))


def mlflow_append(folder: Path, rows: int) -> dict[str, float]:
    """log_metric."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'append.db'}")
    run = client.create_run("0").info.run_id
    return each(lambda n: client.log_metric(run, "loss", 0.5 * n, step=n), min(rows, 1000))


def mlflow_batch(folder: Path, rows: int) -> dict[str, float]:
    """log_batch of 1000."""
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'batch.db'}")
    run = client.create_run("0").info.run_id

    def batch(n: int) -> None:
        metrics = [Metric("loss", 0.5 * i, i, n * 1000 + i) for i in range(1000)]
        client.log_batch(run, metrics)

    found = each(batch, 20)
    return {key: value / 1000 for key, value in found.items()}


# -- TensorBoard -------------------------------------------------------------------------------


def tensorboard_append(folder: Path, rows: int) -> dict[str, float]:
    """SummaryWriter.add_scalar."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "events"))
    found = each(lambda n: writer.add_scalar("loss", 0.5 * n, n), min(rows, 50_000))
    writer.close()
    return found


# -- FlorDB ------------------------------------------------------------------------------------


def flordb_store(folder: Path, rows: int) -> sqlite3.Connection:
    """FlorDB 4's table with the same values; inserted directly, for speed."""
    place = folder / f"flordb-{rows}"
    place.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    os.chdir(place)  # it commits into the repository of the current folder
    from flordb import database

    file = place / "bench.db"
    fresh = not file.exists()
    connection = sqlite3.connect(file)
    if fresh:
        database.create_tables(connection.cursor())
        for run in range(1, data.runs_of(rows) + 1):
            steps, _ = data.run_values(run)
            stamp = f"2026-01-01T00:00:{run // 60:02d}.{run % 60:06d}"
            for name, values in steps.items():
                connection.executemany(
                    "INSERT INTO logs VALUES ('bench', ?, 'train.py', ?, ?, ?, 1, 'forward')",
                    [
                        (stamp, _context(*divmod(n, data.STEPS)), name, str(value))
                        for n, value in enumerate(values.ravel().tolist())
                    ],
                )
        connection.commit()
    return connection


def _context(epoch: int, step: int) -> str:
    return json.dumps(
        [
            {"name": name, "iteration": index, "value": str(index)}
            for name, index in (("epoch", epoch), ("step", step))
        ]
    )


def flordb_pivot(folder: Path, rows: int) -> dict[str, float]:
    """flor.dataframe's own pivot."""
    connection = flordb_store(folder, rows)
    from flordb import database

    return timed(lambda: database.pivot(connection, *data.NAMES), repeat=1)


def flordb_append(folder: Path, rows: int) -> dict[str, float]:
    """flor.log; everything is kept in memory until the process ends."""
    place = folder / "flordb-append"
    place.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    os.chdir(place)
    import flordb

    with open(os.devnull, "w") as nowhere:
        out, sys.stdout = sys.stdout, nowhere
        found: dict[str, float] = {}
        for _ in flordb.loop("epoch", range(1)):
            found = each(lambda n: flordb.log("loss", 0.5 * n), min(rows, 2000))
        sys.stdout = out
    return found


def main() -> None:
    """Run one task."""
    task, folder, rows = sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3])
    found = globals()[task](folder, rows)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
