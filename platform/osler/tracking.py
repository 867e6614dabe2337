"""A thin port to MLflow, which is imported only when a tracker is opened.

Runs go to an explicit address, artifacts to an explicit place: both in the workspace, or on the server that OSLER_TRACKING_URI
names, which serves its artifacts itself. Nothing is logged by itself, and nothing goes anywhere else.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from osler.files import file_stamp
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Before MLflow is imported: no telemetry, and no artifact of a run is ever unpickled.
_ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_PARAMS_A_CALL = 100
VARIABLE = "OSLER_TRACKING_URI"
SERVER_FOLDER = "tracked-artifacts"  # below the workspace's cache
RENEWED_S = 60
# A server that does not answer is told within seconds, and not after MLflow's own minutes; whoever sets them is obeyed.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


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
    artifacts: Path | None

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
        if self.artifacts is None:  # the server keeps them
            return str(self.client.create_experiment(name))
        # The place of artifacts is fixed when an experiment is made, so it is named here and never left to a default.
        return str(self.client.create_experiment(name, artifact_location=(self.artifacts / name).as_uri()))


def server_of_tracker() -> str | None:
    """Return the address of the tracking server that the environment names, None where runs stay in the workspace.

    Raises:
        OslerError: `usage` where it is none, or holds a password.
    """
    text = os.environ.get(VARIABLE, "").strip().rstrip("/")
    if not text:
        return None
    try:
        url = urlsplit(text)
        usable = (
            url.scheme in ("http", "https") and bool(url.hostname) and url.username is None and url.password is None
        )
    except ValueError:
        usable = False
    if not usable:
        raise OslerError(
            Code.USAGE,
            f"{VARIABLE} is not an address such as https://mlflow.hospital.example, without a name and a password.",
            "Give those as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
    return text


def open_tracker(workspace: Workspace) -> Tracker:
    """Open the tracker of a workspace; the first time its database is made, which takes some seconds.

    Raises:
        OslerError: `usage`; `server-unreachable` or `server-refused` where a server does not answer, or not us.
    """
    server = server_of_tracker()
    for name, value in _ENVIRONMENT.items():
        os.environ[name] = value
    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    if server is None:
        return Tracker(MlflowClient(tracking_uri=workspace.tracking_uri), workspace.artifacts)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    client = MlflowClient(tracking_uri=server)
    _ask(client, server)
    return Tracker(client, None)


def _ask(client: Any, server: str) -> None:
    """Ask the server something, so that a fault is told before the work whose result it would keep."""
    from mlflow.exceptions import MlflowException

    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if any(status in error.message for status in ("error code 401", "error code 403")):
            raise OslerError(
                Code.SERVER_REFUSED,
                f"The tracking server at {server} refuses this login.",
                "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
            ) from None
        raise OslerError(
            Code.SERVER_UNREACHABLE,
            f"The tracking server at {server} does not answer.",
            f"Start it, or unset {VARIABLE}: runs are kept in the workspace then.",
        ) from None


def was_tracked(workspace: Workspace) -> bool:
    """Return whether there is a tracker to look into; looking makes none."""
    return server_of_tracker() is not None or (workspace.root / "mlflow.db").is_file()


def tracker_stamp(workspace: Workspace) -> tuple[object, ...]:
    """Return something that changes once something was tracked; of a server, that changes each minute."""
    if (server := server_of_tracker()) is not None:
        return server, int(time.monotonic() // RENEWED_S)
    return file_stamp(*(workspace.root / f"mlflow.db{end}" for end in ("", "-journal", "-wal")))


def run_artifacts(workspace: Workspace, experiment: str, run: str) -> Path:
    """Return the folder of a run's artifacts; a workspace may have moved since the tracker noted its address.

    Those of a server are fetched into the workspace's cache, once.
    """
    if server_of_tracker() is None:
        return workspace.artifacts / experiment / run / "artifacts"
    folder = workspace.cache / SERVER_FOLDER / run
    if not folder.is_dir():
        part = folder.with_name(f".{run}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        client = open_tracker(workspace).client
        for item in client.list_artifacts(run):
            client.download_artifacts(run, item.path, str(part))
        part.replace(folder)
    return folder


def flatten(values: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield leaves by dotted name."""
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        if isinstance(value, Mapping | list | tuple):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
