"""The tracker: explicit places, flat names, nothing logged by itself."""

from __future__ import annotations

import json
import logging
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from osler.tracking import VARIABLE, Tracker, flatten, open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.open(tmp_path_factory.mktemp("tracked") / "workspace", create=True)


@pytest.fixture(scope="module")
def tracker(workspace: Workspace) -> Tracker:
    return open_tracker(workspace)


def test_a_run_keeps_params_metrics_and_files_inside_the_workspace(
    tracker: Tracker, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.txt").write_text("1", encoding="utf-8")
    with tracker.run("one", "first", tags={"phantom": "true"}) as run:
        run.log_params({"seed": 3, "options": {"C": 0.5}})
        run.log_metrics(
            {"id": 0.9, "ci": {"id": (0.8, 1.0)}, "undefined": float("nan"), "method": "probe", "gated": True}
        )
        run.log_json({"a": [1]}, "record.json")
        run.log_folder(tmp_path / "model", "bottleneck")
    stored = tracker.client.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"seed": "3", "options.C": "0.5"}
    assert stored.data.metrics == {"id": 0.9, "ci.id.0": 0.8, "ci.id.1": 1.0, "gated": 1.0}
    files = {path.name: path for path in workspace.artifacts.rglob("*") if path.is_file()}
    assert json.loads(files["record.json"].read_text()) == {"a": [1]}
    assert files["weights.txt"].parent.name == "bottleneck"
    assert (workspace.root / "mlflow.db").is_file()


def test_a_failure_marks_the_run_failed_and_is_not_swallowed(tracker: Tracker) -> None:
    with pytest.raises(ZeroDivisionError), tracker.run("one", "second"):
        raise ZeroDivisionError
    experiment = tracker.client.get_experiment_by_name("one")
    runs = tracker.client.search_runs([experiment.experiment_id], "attributes.run_name = 'second'")
    assert [one.info.status for one in runs] == ["FAILED"]


def test_many_parameters_go_in_parts(tracker: Tracker) -> None:
    with tracker.run("two", "wide") as run:
        run.log_params({f"p{i}": i for i in range(230)})
    assert len(tracker.client.get_run(run.id).data.params) == 230


def test_a_second_opening_finds_the_same_experiments(tracker: Tracker, workspace: Workspace) -> None:
    with tracker.run("three", "again"):
        pass
    assert open_tracker(workspace).client.get_experiment_by_name("three") is not None


@pytest.mark.usefixtures("tracker")
def test_nothing_is_unpickled_reported_or_chattered() -> None:
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION, MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False
    assert MLFLOW_DISABLE_TELEMETRY.get() is True
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert logging.getLogger("alembic").getEffectiveLevel() >= logging.WARNING


def test_names_of_nested_values_are_dotted() -> None:
    assert dict(flatten({"a": {"b": 1, "c": [2, {"d": 3}]}, "e": 4})) == {"a.b": 1, "a.c.0": 2, "a.c.1.d": 3, "e": 4}


@pytest.mark.parametrize(
    "text", ["http://osler:hunter2@mlflow", "mlflow:5000", "sqlite:///hunter2", "http://[hunter2", "http://"]
)
def test_an_address_with_a_password_or_of_no_server_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(OslerError) as caught:
        open_tracker(workspace)
    assert caught.value.code is Code.USAGE
    assert "hunter2" not in str(caught.value)


class _Refusing(BaseHTTPRequestHandler):
    """A server that knows nobody."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the base class asks for this name

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_server_that_refuses_the_login_says_which_variables_hold_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(OslerError, match="MLFLOW_TRACKING_PASSWORD") as caught:
            open_tracker(workspace)
        server.shutdown()
    assert caught.value.code is Code.SERVER_REFUSED
