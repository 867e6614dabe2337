"""The command refuses what it cannot serve, and sets Streamlit up to keep to itself."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

import pytest

from osler.access.accounts import AccountFile
from osler.cli.main import main
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import command
from osler_dashboard.settings import flags


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_missing_workspace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--workspace", str(tmp_path / "none"), "--no-browser"]) == 1
    assert "workspace-invalid" in capsys.readouterr().err


def test_workspace_without_model_is_refused(tmp_path: Path) -> None:
    Workspace.open(tmp_path, create=True)
    with pytest.raises(OslerError, match="no model and no concept bank yet") as caught:
        command.run(_arguments("--workspace", str(tmp_path)))
    assert caught.value.code is Code.WORKSPACE_INVALID


def test_missing_streamlit_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(OslerError, match=r"osler\[dashboard\]") as caught:
        command.run(_arguments("--workspace", str(tmp_path)))
    assert caught.value.code is Code.PART_MISSING


def test_taken_port_is_refused_or_passed_over() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(OslerError, match=f"Port {taken} is not free"):
            command.free_port(taken)
    assert command.free_port(taken) == taken


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(OslerError, match=f"no port {port}"):
        command.free_port(port)


def test_streamlit_knows_every_option() -> None:
    """Streamlit itself parses the options, so a misspelt or withdrawn one fails here."""
    from streamlit import config

    template = config._config_options_template
    for flag in flags(address="127.0.0.1", port=8501):
        assert flag.removeprefix("--").partition("=")[0] in template


def test_nothing_leaves_the_computer_and_no_trace_is_shown() -> None:
    options = dict(flag.removeprefix("--").split("=", 1) for flag in flags(address="127.0.0.1", port=1))
    assert options["browser.gatherUsageStats"] == "false"
    assert options["client.showErrorDetails"] == "none"
    assert options["server.address"] == "127.0.0.1"
    assert _arguments().address == "127.0.0.1"


def test_stopping_the_command_stops_the_server() -> None:
    """A child that would run for a minute ends at once when this process is asked to stop."""
    import os
    import signal
    import threading

    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert command._serve(sleeper, os.environ) == -signal.SIGTERM


class TestWayIn:
    """Who gets in by the address that the terminal shows."""

    @pytest.fixture
    def workspace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
        monkeypatch.delenv("OSLER_ACCOUNTS_FILE", raising=False)
        return Workspace.open(tmp_path / "workspace", create=True)

    def test_the_person_at_the_terminal_with_all_roles_or_those_named(self, workspace: Workspace) -> None:
        found = command.local_person(workspace, _arguments())
        assert found["OSLER_LOCAL_NAME"]
        assert found["OSLER_LOCAL_ROLES"] == "administrator clinician engineer researcher"
        found = command.local_person(workspace, _arguments("--as", "Ada", "--role", "engineer"))
        assert found == {"OSLER_LOCAL_NAME": "Ada", "OSLER_LOCAL_ROLES": "engineer"}

    @pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.2", "osler.example"])
    def test_nobody_beyond_this_computer(
        self, workspace: Workspace, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.local_person(workspace, _arguments("--address", address)) == {"OSLER_LOCAL_NAME": ""}
        assert "osler accounts add" in capsys.readouterr().err
        with pytest.raises(OslerError, match="--as and --role"):
            command.local_person(workspace, _arguments("--address", address, "--as", "Ada"))

    def test_nobody_where_there_are_accounts(self, workspace: Workspace) -> None:
        AccountFile(workspace).add("Boss", ["administrator"], "four plain words here", actor="root")
        assert command.local_person(workspace, _arguments()) == {"OSLER_LOCAL_NAME": ""}
        with pytest.raises(OslerError, match="--as and --role"):
            command.local_person(workspace, _arguments("--role", "engineer"))

    @pytest.mark.parametrize("words", [("--role", "surgeon"), ("--as", "a\nb"), ("--as", "x" * 81)])
    def test_unknown_roles_and_hostile_names_are_refused(self, workspace: Workspace, words: tuple[str, str]) -> None:
        with pytest.raises(OslerError) as caught:
            command.local_person(workspace, _arguments(*words))
        assert caught.value.code is Code.USAGE
