"""A thin port to MLflow, which is imported only when a tracker is opened.

Runs go to an explicit address, artifacts to an explicit place; nothing is logged by itself and nothing leaves the machine.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osler.workspace import Workspace

# Before MLflow is imported: no telemetry, and no artifact of a run is ever unpickled.
_ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_PARAMS_A_CALL = 100


@dataclass(frozen=True)
class Run:
    """One run of an experiment; made by `Tracker.run`."""

    id: str
    client: Any

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; nested ones by dotted name. They say how to repeat the run."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)) for name, value in flatten(params)]
        for start in range(0, len(flat), _PARAMS_A_CALL):
            self.client.log_batch(self.id, params=flat[start : start + _PARAMS_A_CALL])

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Log numbers; nested ones by dotted name, intervals as `.0` and `.1`. What is not finite is left out."""
        from mlflow.entities import Metric

        numbers = [(name, float(value)) for name, value in flatten(metrics) if isinstance(value, int | float)]
        self.client.log_batch(self.id, metrics=[Metric(name, x, 0, 0) for name, x in numbers if math.isfinite(x)])

    def log_folder(self, folder: Path, name: str) -> None:
        """Copy a folder to the artifacts of the run."""
        self.client.log_artifacts(self.id, str(folder), name)

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as an artifact."""
        self.client.log_text(self.id, text, name)

    def log_json(self, record: Any, name: str) -> None:
        """Keep a record as a JSON artifact."""
        self.client.log_text(self.id, json.dumps(record, indent=1, sort_keys=True), name)


@dataclass(frozen=True)
class Tracker:
    """An open experiment tracker; see `open_tracker`."""

    client: Any
    artifacts: Path

    @contextmanager
    def run(self, experiment: str, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Run]:
        """Open a run; it is marked finished, or failed where the block raises."""
        record = self.client.create_run(self._experiment(experiment), run_name=name, tags=dict(tags or {}))
        try:
            yield Run(record.info.run_id, self.client)
        except BaseException:
            self.client.set_terminated(record.info.run_id, status="FAILED")
            raise
        self.client.set_terminated(record.info.run_id)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # The place of artifacts is fixed when an experiment is made, so it is named here and never left to a default.
        return str(self.client.create_experiment(name, artifact_location=(self.artifacts / name).as_uri()))


def open_tracker(workspace: Workspace) -> Tracker:
    """Open the tracker of a workspace; the first time its database is made, which takes some seconds."""
    for name, value in _ENVIRONMENT.items():
        os.environ[name] = value
    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    return Tracker(MlflowClient(tracking_uri=workspace.tracking_uri), workspace.artifacts)


def flatten(values: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield leaves by dotted name."""
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        if isinstance(value, Mapping | list | tuple):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
