"""`osler accounts` and the file of the hospital's log-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.access import Role
from osler.access.accounts import AccountFile
from osler.access.hospital import load_hospital
from osler.cli.main import main
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GOOD = "four plain words here"
FILE = """
metadata: https://login.hospital.example/.well-known/openid-configuration
client_id: osler
client_secret_file: {secret}
address: https://osler.hospital.example
groups: {{clinician: [radiology]}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("OSLER_ACCOUNTS_FILE", "OSLER_HOSPITAL_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def password(tmp_path: Path) -> str:
    path = tmp_path / "password.txt"
    path.write_text(f"{GOOD}\nnot this line\n")
    return str(path)


def accounts(workspace: Workspace, *words: str) -> int:
    return main(["accounts", *words, "--workspace", str(workspace.root)])


def test_an_account_is_added_listed_changed_and_removed(
    workspace: Workspace, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accounts(workspace, "add", "Dr Ada", "--role", "clinician", "--password-file", password) == 0
    assert "Nobody is an administrator yet" in capsys.readouterr().out
    assert accounts(workspace, "change", "Dr Ada", "--role", "engineer", "--lock") == 0
    capsys.readouterr()
    assert accounts(workspace, "list", "--json") == 0
    said = capsys.readouterr().out
    assert json.loads(said)["accounts"] == [{"name": "Dr Ada", "roles": ["engineer"], "active": False}]
    assert "argon2" not in said
    assert accounts(workspace, "remove", "dr ada") == 0
    assert AccountFile(workspace).all() == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add", "Dr Ada"), "usage"),
        (("add", "Dr Ada", "--role", "surgeon"), "usage"),
        (("add", "Dr Ada", "--role", "clinician"), "usage"),
        (("add", "Dr Ada", "--role", "clinician", "--password-file", "none.txt"), "access-invalid"),
        (("change", "Dr Ada", "--lock"), "unknown-account"),
        (("remove", "Dr Ada"), "unknown-account"),
    ],
)
def test_what_cannot_be_done_is_told_by_code(
    workspace: Workspace, words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accounts(workspace, *words) != 0
    assert code in capsys.readouterr().err


def hospital_file(workspace: Workspace, tmp_path: Path, text: str = FILE, mode: int = 0o600) -> None:
    secret = tmp_path / "hospital.secret"
    secret.write_text("top secret\n")
    secret.chmod(0o600)
    path = workspace.root / "access" / "hospital.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(secret=secret))
    path.chmod(mode)


def test_the_file_of_the_hospital_becomes_what_streamlit_asks_for(workspace: Workspace, tmp_path: Path) -> None:
    assert load_hospital(workspace) is None
    hospital_file(workspace, tmp_path)
    held = load_hospital(workspace)
    assert held is not None
    assert held.groups == {Role.CLINICIAN: ("radiology",)}
    section: dict[str, Any] = held.secrets("cookie")["auth"]
    assert section["redirect_uri"] == "https://osler.hospital.example/oauth2callback"
    assert section["client_secret"] == "top secret"
    assert "top secret" not in repr(held)
    (tmp_path / "hospital.secret").chmod(0o644)
    with pytest.raises(OslerError, match="open to other users"):
        held.secrets("cookie")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (FILE, 0o644),
        ("", 0o600),
        ("[", 0o600),
        ("[" * 9999, 0o600),
        ("title: 2026-02-31\n", 0o600),
        (FILE.replace("https://login", "http://login"), 0o600),
        (FILE.replace("https://osler", "http://osler"), 0o600),
        (FILE.replace("clinician", "surgeon"), 0o600),
        (FILE + "roles: everybody\n", 0o600),
    ],
)
def test_a_file_that_is_not_valid_lets_nobody_in(workspace: Workspace, tmp_path: Path, text: str, mode: int) -> None:
    hospital_file(workspace, tmp_path, text, mode)
    with pytest.raises(OslerError) as caught:
        load_hospital(workspace)
    assert caught.value.code is Code.ACCESS_INVALID
