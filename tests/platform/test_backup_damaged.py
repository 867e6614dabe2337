"""A damaged copy of a workspace is told, and costs itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.backup import CONTENT, MANIFEST, make_backup, restore_backup, verify_backup
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.mark.parametrize("harm", [b"[]", b"{", b""])
def test_a_damaged_copy_does_not_keep_the_next_one_from_being_made(
    workspace: Workspace, tmp_path: Path, harm: bytes
) -> None:
    damaged = make_backup(workspace, tmp_path / "copies").folder
    (damaged / MANIFEST).write_bytes(harm)
    made = make_backup(workspace, tmp_path / "copies")
    assert (made.shared, verify_backup(made.folder).files) == (0, made.files)


def test_a_copy_whose_files_are_gone_is_told_and_nothing_is_restored(workspace: Workspace, tmp_path: Path) -> None:
    made = make_backup(workspace, tmp_path / "copies").folder
    (made / CONTENT).rename(made / "elsewhere")
    with pytest.raises(OslerError, match="is missing") as caught:
        restore_backup(made, tmp_path / "back")
    assert caught.value.code is Code.BACKUP_CHANGED
    assert not list(tmp_path.glob("*back*"))


def test_only_the_cache_is_left_out_and_not_what_is_named_like_it(workspace: Workspace, tmp_path: Path) -> None:
    workspace.cache.mkdir(exist_ok=True)
    (workspace.cache / "x").write_bytes(b"x")
    (workspace.root / "cached-by-hand.txt").write_bytes(b"y")
    made = make_backup(workspace, tmp_path / "copies").folder
    assert (made / CONTENT / "cached-by-hand.txt").is_file()
    assert not (made / CONTENT / "cache").exists()
