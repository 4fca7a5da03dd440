"""MLflow, through its own client: any tracking URI that it takes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FlorError
from ..store.rows import Run
from ..ui.extras import need
from .runs import Foreign, Value, by_step

ID = "flor.run"
"""Tag of an exported run: which one it is.  Nothing is exported twice."""

PARAMETER_LENGTH = 500
BATCH = 1000
PARAMETERS = 100
_ILLEGAL = re.compile(r"[^\w\-. /]")
_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}


def client(uri: str) -> Any:
    """MLflow's client for a folder or a tracking URI.  Raises MissingPackage."""
    if "://" not in uri and not uri.startswith(("file:", "databricks")):
        uri = Path(uri).absolute().as_uri()
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for it
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    found = need("mlflow.tracking", "mlflow-skinny", "mlflow")
    try:
        return found.MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise _failed(uri, error) from None


def _failed(uri: str, error: Exception) -> FlorError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = lines[0] if lines else type(error).__name__
    return FlorError(f"MLflow at {uri}: {what if len(what) < 200 else what[:199] + '…'}", 2)


class Exporter:
    """Writes runs into one experiment."""

    def __init__(self, uri: str, experiment: str, project: str) -> None:
        self.uri = uri
        self.project = project
        self.client = client(uri)
        try:
            known = self.client.get_experiment_by_name(experiment)
            self.experiment = (
                known.experiment_id
                if known is not None
                else self.client.create_experiment(experiment)
            )
        except Exception as error:
            raise _failed(uri, error) from None

    def write(self, run: Run, values: list[Value], started: float, ended: float) -> tuple[int, int]:
        """Write one run; (values written, values that MLflow can't hold).  Raises FlorError.

        (-1, 0) if the run was exported before.
        """
        try:
            return self._write(run, values, started, ended)
        except Exception as error:
            raise _failed(self.uri, error) from None

    def _write(
        self, run: Run, values: list[Value], started: float, ended: float
    ) -> tuple[int, int]:
        identity = f"{self.project}#{run.run}"
        if self.client.search_runs([self.experiment], f"tags.`{ID}` = '{identity}'", max_results=1):
            return -1, 0
        entities = need("mlflow.entities", "mlflow-skinny", "mlflow")
        made = self.client.create_run(
            self.experiment, start_time=int(started * 1000),
            tags={ID: identity, "mlflow.runName": f"run {run.run}"},
        )  # fmt: skip
        number = made.info.run_id
        params = [
            entities.Param(_name(name), str(value)[:PARAMETER_LENGTH])
            for name, value in run.args.items()
        ]
        metrics = [
            entities.Metric(_name(v.name), float(v.value), int(v.time * 1000), v.step)
            for v in values
            if _is_number(v.value)
        ]
        for i in range(0, len(params), PARAMETERS):
            self.client.log_batch(number, params=params[i : i + PARAMETERS])
        for i in range(0, len(metrics), BATCH):
            self.client.log_batch(number, metrics=metrics[i : i + BATCH])
        status = "FINISHED" if run.status == "finished" else "FAILED"
        self.client.set_terminated(number, status, end_time=int(ended * 1000))
        return len(metrics), len(values) - len(metrics)


def _is_number(value: Any) -> bool:
    if not isinstance(value, (bool, int, float)):
        return False
    try:
        return not math.isinf(float(value)) or isinstance(value, float)
    except OverflowError:
        return False


def _name(name: str) -> str:
    """A name that MLflow takes."""
    return _ILLEGAL.sub("_", name) or "_"


def read(uri: str) -> Iterator[Foreign]:
    """Every run of every experiment that has ended.  Raises FlorError."""
    if "://" not in uri and not uri.startswith(("file:", "databricks")) and not Path(uri).is_dir():
        raise FlorError(f"there is no folder {uri}")
    mlflow = client(uri)
    try:
        for experiment in mlflow.search_experiments():
            token = None
            while True:
                page = mlflow.search_runs(
                    [experiment.experiment_id], order_by=["start_time ASC"], page_token=token
                )
                for run in page:
                    if run.info.status in _STATUS:
                        yield _foreign(mlflow, uri, run)
                token = getattr(page, "token", None)
                if not token:
                    break
    except FlorError:
        raise
    except Exception as error:
        raise _failed(uri, error) from None


def _foreign(mlflow: Any, uri: str, run: Any) -> Foreign:
    info, tags = run.info, run.data.tags
    points = {
        name: [
            (m.step, m.timestamp / 1000, m.value)
            for m in mlflow.get_metric_history(info.run_id, name)
        ]
        for name in sorted(run.data.metrics)
    }
    return Foreign(
        f"mlflow {info.run_id}",
        tags.get("mlflow.runName") or info.run_id,
        dict(run.data.params),
        by_step(points),
        started=info.start_time / 1000 if info.start_time else None,
        ended=info.end_time / 1000 if info.end_time else None,
        status=_STATUS[info.status],
    )
