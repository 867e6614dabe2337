"""The key file: private, outside the workspace, and what it must hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.deid import default_key_path, load_key
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "config" / "deid.key"
    key = load_key(path, create=True)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, create=True) == key


def test_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_KEY_FILE", str(tmp_path / "named"))
    assert default_key_path() == tmp_path / "named"


@pytest.mark.parametrize("content", [None, "", "zz" * 32, "ab" * 31])
def test_refuses_what_is_no_key(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(OslerError) as caught:
        load_key(path)
    assert caught.value.code is Code.KEY_INVALID


def test_refuses_a_key_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    load_key(path, create=True)
    path.chmod(0o640)
    with pytest.raises(OslerError, match="chmod 600"):
        load_key(path)


def test_refuses_a_key_inside_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "workspace")
    for path in (tmp_path / "workspace" / "key", tmp_path / "link" / "key"):
        with pytest.raises(OslerError, match="inside the workspace"):
            load_key(path, create=True, workspace=tmp_path / "workspace")
        assert not path.exists()
