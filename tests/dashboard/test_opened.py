"""The workspace is looked at once for a page, and missed as soon as it is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.workspace import MARKER, Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import opened
from osler_dashboard.settings import WORKSPACE_VARIABLE


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(workspace.root))
    return workspace


def test_the_one_that_the_command_named_is_opened(made: Workspace) -> None:
    assert opened.workspace() == made
    assert opened.workspace() is opened.workspace()


def test_another_name_is_another_workspace(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Workspace.open(tmp_path / "other", create=True)
    assert opened.workspace() == made
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(other.root))
    assert opened.workspace() == other


def test_one_that_is_gone_is_missed_at_once(made: Workspace) -> None:
    assert opened.workspace() == made
    (made.root / MARKER).unlink()
    with pytest.raises(OslerError) as caught:
        opened.workspace()
    assert caught.value.code is Code.WORKSPACE_INVALID


def test_a_folder_that_was_cleared_away_is_made_again(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened.workspace() == made
    made.reports.rmdir()
    monkeypatch.setattr(opened, "HELD_S", -1.0)
    assert opened.workspace().reports.is_dir()


def test_no_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE_VARIABLE, raising=False)
    with pytest.raises(OslerError) as caught:
        opened.workspace()
    assert caught.value.code is Code.WORKSPACE_INVALID
