"""A real MLflow server whose runs are in PostgreSQL, and which serves the artifacts itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.platform.ports import free_port

from osler.archive.served_traces import redact_served
from osler.tracking import VARIABLE, open_tracker, run_artifacts, tracker_stamp, was_tracked
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .postgres import PostgresServer

pytestmark = pytest.mark.system


@pytest.fixture
def server(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a running server, named to Osler by the environment."""
    address = f"http://127.0.0.1:{free_port()}"
    store = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--serve-artifacts"]
    command += ["--artifacts-destination", str(tmp_path / "served"), "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", address.rsplit(":", 1)[1]]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
    try:
        until = time.monotonic() + 180
        while True:
            try:
                if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.5)
        monkeypatch.setenv(VARIABLE, address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def test_runs_are_in_postgresql_and_artifacts_come_through_the_server(
    server: str, workspace: Workspace, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.txt").write_text("1")
    assert was_tracked(workspace)
    with open_tracker(workspace).run("one", "first", tags={"phantom": "true"}) as run:
        run.log_params({"seed": 3})
        run.log_metrics({"auc": 0.9})
        run.log_json({"a": [1]}, "record.json")
        run.log_folder(tmp_path / "model", "bottleneck")
    with postgres_server.connect(postgres_url.rsplit("/", 1)[1]) as connection:
        assert connection.execute("SELECT run_uuid, name, status FROM runs").fetchall() == [
            (run.id, "first", "FINISHED")
        ]
        [(place,)] = connection.execute("SELECT artifact_location FROM experiments WHERE name = 'one'").fetchall()
    assert str(place).startswith("mlflow-artifacts:"), "no path of a machine"
    assert [path.name for path in (tmp_path / "served").rglob("record.json")] == ["record.json"]
    assert not (workspace.root / "mlflow.db").exists()
    assert not list(workspace.artifacts.iterdir())
    folder = run_artifacts(workspace, "one", run.id)
    assert json.loads((folder / "record.json").read_text()) == {"a": [1]}
    assert (folder / "bottleneck" / "weights.txt").read_text() == "1"
    assert workspace.cache in folder.parents, "what is fetched can be deleted"
    assert tracker_stamp(workspace)[0] == server


def test_what_is_taken_out_of_the_archive_leaves_the_server_too(server: str, workspace: Workspace) -> None:
    tracker = open_tracker(workspace)
    with tracker.run("one", "table", tags={"study": "2.25.7"}) as told:
        told.log_json({"studies": ["2.25.7", "2.25.8"]}, "deep/er/table.json")
        told.log_text("2.25.8", "other.txt")
    with tracker.run("two", "named") as named:
        named.log_params({"support": "2.25.7,2.25.8"})
    assert redact_served(workspace, ["2.25.7"], {".json", ".txt"}, "deleted") == 3
    assert redact_served(workspace, ["2.25.7"], {".json", ".txt"}, "deleted") == 0
    folder = run_artifacts(workspace, "one", told.id)
    assert json.loads((folder / "deep" / "er" / "table.json").read_text()) == {"studies": ["deleted", "2.25.8"]}
    assert tracker.client.get_run(told.id).data.tags["study"] == "deleted"
    assert tracker.client.get_run(named.id).info.lifecycle_stage == "deleted"


def test_a_server_that_is_not_there_is_told_before_the_work(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(OslerError) as caught:
        open_tracker(workspace)
    assert caught.value.code is Code.SERVER_UNREACHABLE
    assert "unset" in caught.value.mend
