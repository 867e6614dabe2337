"""Where logins come from, and that none is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.sources.login import PASSWORD, PASSWORD_FILE, TOKEN, USER, Login, find_login
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ADDRESS = "https://pacs.example:8042/dicom-web"


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (USER, PASSWORD, PASSWORD_FILE, TOKEN, "NETRC"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_login(ADDRESS) is None
    monkeypatch.setenv("NETRC", str(write(tmp_path / "netrc", "machine pacs.example login n password q")))
    assert find_login(ADDRESS) == Login("n", "q")
    monkeypatch.setenv(USER, "u")
    monkeypatch.setenv(PASSWORD, "p")
    assert find_login(ADDRESS) == Login("u", "p")
    monkeypatch.setenv(TOKEN, "t")
    assert find_login(ADDRESS) == Login(token="t")
    file = write(tmp_path / "logins", "machine other login a password b\nmachine pacs.example login c password d\n")
    assert find_login(ADDRESS, file) == Login("c", "d")


def test_no_repr_shows_a_secret() -> None:
    assert "secret" not in f"{Login('secret-user', 'secret', 'secret-token')!r}"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("machine pacs.example login c password hunter2", 0o640),
        ("machine other login c password hunter2", 0o600),
        ("machine pacs.example log hunter2", 0o600),
        (None, 0o600),
    ],
)
def test_bad_files(tmp_path: Path, text: str | None, mode: int) -> None:
    path = tmp_path / "logins"
    if text is not None:
        write(path, text, mode)
    with pytest.raises(OslerError) as caught:
        find_login(ADDRESS, path)
    assert caught.value.code is Code.LOGIN_INVALID
    assert "hunter2" not in str(caught.value)


def test_a_user_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "u")
    with pytest.raises(OslerError) as caught:
        find_login(ADDRESS)
    assert caught.value.code is Code.LOGIN_INVALID


def test_a_password_may_come_from_a_secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "u")
    monkeypatch.setenv(PASSWORD_FILE, str(write(tmp_path / "secret", "p q\n", 0o444)))
    assert find_login(ADDRESS) == Login("u", "p q")
    monkeypatch.setenv(PASSWORD, "p")
    assert find_login(ADDRESS) == Login("u", "p")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_a_secret_file_without_a_password_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    monkeypatch.setenv(USER, "u")
    monkeypatch.setenv(PASSWORD_FILE, str(secret))
    with pytest.raises(OslerError) as caught:
        find_login(ADDRESS)
    assert caught.value.code is Code.LOGIN_INVALID
