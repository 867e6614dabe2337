"""`osler api`: tokens by the command, the description without a server, and the real server with its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.platform.ports import free_port

from osler.api.app import describe
from osler.api.tokens import TokenFile
from osler.cli.main import main
from osler.doctor import Check, State
from osler.doctor.services import check_api
from osler.workspace import Workspace


def api(workspace: Workspace, *words: str) -> int:
    return main(["api", *words, "--workspace", str(workspace.root)])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_a_token_is_issued_listed_and_revoked(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    issue = ("token", "issue", "loader", "--program", "--role", "clinician", "--role", "engineer", "--days", "7")
    assert api(workspace, *issue, "--json") == 0
    made = told(capsys)
    assert TokenFile(workspace).holder(made["token"])[1].name == "loader"
    assert api(workspace, "token", "list", "--json") == 0
    (listed,) = told(capsys)["tokens"]
    assert (listed["id"], listed["state"], listed["roles"]) == (made["id"], "good", ["clinician", "engineer"])
    assert made["token"] not in json.dumps(listed)
    assert api(workspace, "token", "revoke", made["id"]) == 0
    assert api(workspace, "token", "list") == 0
    assert f"{made['id']}  revoked  loader: clinician and engineer" in capsys.readouterr().out


def test_a_token_goes_into_a_file_of_its_own(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    issue = ("token", "issue", "loader", "--program", "--role", "clinician", "--out", str(path))
    assert api(workspace, *issue) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in capsys.readouterr().out
    assert TokenFile(workspace).holder(path.read_text().strip())
    assert api(workspace, *issue) == 2  # it is there already, and no second token was made
    assert len(TokenFile(workspace).all()) == 1


def test_a_token_that_cannot_be_written_is_not_issued(workspace: Workspace, tmp_path: Path) -> None:
    issue = ("token", "issue", "loader", "--program", "--role", "clinician", "--out")
    assert api(workspace, *issue, str(tmp_path / "nowhere" / "token")) == 1
    assert TokenFile(workspace).all() == []
    assert api(workspace, "token", "issue", "nobody", "--role", "clinician", "--out", str(tmp_path / "token")) == 1
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("token", "issue", "nobody", "--role", "clinician"), 1),
        (("token", "issue", "loader", "--program"), 2),
        (("token", "revoke", "000000000000"), 1),
        (("--port", "0"), 2),
        (("--rate", "0"), 2),
        (("--rate", "nan"), 2),
    ],
)
def test_what_cannot_be_done_is_told(workspace: Workspace, words: tuple[str, ...], status: int) -> None:
    # The workspace is named first: what follows a nested word belongs to it.
    assert main(["api", "--workspace", str(workspace.root), *words]) == status


def test_a_port_that_is_taken_is_told(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["api", "--workspace", str(workspace.root), "--port", str(other.getsockname()[1]), "--json"]) == 1
    assert told(capsys)["error"]["code"] == "address-occupied"


def test_the_description_is_printed_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api", "describe"]) == 0
    assert told(capsys) == json.loads(json.dumps(describe()))


@pytest.fixture
def server(clinic: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command with two workers over the clinic; return the process and its address."""
    port = free_port()
    command = [sys.executable, "-m", "osler.cli.main", "api", "--workspace", str(clinic), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--workers", "2", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, f"http://127.0.0.1:{port}"
        process.kill()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_the_server_answers_counts_over_its_workers_and_stops_in_good_order(
    server: tuple[subprocess.Popen[str], str], clinic: Path
) -> None:
    process, address = server
    text, _ = TokenFile(Workspace.open(clinic)).issue("loader", ("engineer", "clinician"), actor="t", program=True)
    headers = {"Authorization": f"Bearer {text}"}
    for _ in range(240):
        if answers(address) or process.poll() is not None:
            break
        time.sleep(0.5)
    statuses = [httpx.get(f"{address}/v1/me", headers=headers, timeout=60).status_code for _ in range(20)]
    assert statuses == [200] * 20
    answer = httpx.get(f"{address}/v1/me", headers=headers, timeout=60)
    assert "server" not in answer.headers
    figures = httpx.get(f"{address}/metrics", headers=headers, timeout=60).text
    (counted,) = (one for one in text_string_to_metric_families(figures) if one.name == "osler_api_requests")
    assert sum(one.value for one in counted.samples if one.labels["route"] == "/v1/me") == 21
    assert list(check_api(address)) == [Check("HTTP API", State.OK, "answers")]
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(out)["url"]
    assert "Traceback" not in errors
