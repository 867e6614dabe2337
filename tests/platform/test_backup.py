"""A copy of a workspace in use: it is whole, says what was damaged, and gives the same answers when it is back."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.platform.meanwhile import meanwhile

from osler import audit, backup
from osler.access.accounts import AccountFile
from osler.archive import Archive
from osler.backup import CONTENT, FORMAT, MANIFEST, backups, make_backup, restore_backup, verify_backup
from osler.database import migrate, only_writer, open_database
from osler.database.schema import HEAD, revision_of
from osler.explain.service import StudyExplainer
from osler.feedback import Draft, read_reviews, save_review
from osler.feedback.making import review_of
from osler.seals import opened, written
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.fixture
def hospital(ward: Workspace) -> Workspace:
    """Return a workspace with studies, a model and a signed review."""
    uid = Archive(ward).studies()[0].uid
    told = StudyExplainer(ward, "random").explain(uid)
    save_review(ward, review_of(told, told, Draft(comment="as shown"), "Dr A"))
    audit.record(ward, actor="Dr A", action="study.sign", subject=uid)
    return ward


def _answers(workspace: Workspace) -> list[str]:
    """Explain some studies from nothing but what is kept: what the cache holds says which studies others are compared with."""
    shutil.rmtree(workspace.cache)
    explainer = StudyExplainer(Workspace.open(workspace.root), "random")
    return [
        json.dumps(explainer.explain(study.uid).to_dict(), sort_keys=True) for study in Archive(workspace).studies()[:6]
    ]


def test_after_backup_wipe_and_restore_the_answers_are_the_same(hospital: Workspace, tmp_path: Path) -> None:
    answers, reviews = _answers(hospital), read_reviews(hospital)
    made = make_backup(hospital, tmp_path / "copies")
    shutil.rmtree(hospital.root)
    assert restore_backup(made.folder, hospital.root).files == made.files
    assert _answers(hospital) == answers
    assert read_reviews(hospital) == reviews
    assert audit.verify(hospital).fault is None
    assert len(Archive(hospital).studies()) == 54


def test_a_second_copy_shares_what_did_not_change(hospital: Workspace, tmp_path: Path) -> None:
    first = make_backup(hospital, tmp_path / "copies")
    audit.record(hospital, actor="Dr A", action="study.view", subject="1.2.3")
    second = make_backup(hospital, tmp_path / "copies")
    assert backups(tmp_path / "copies") == [first.folder, second.folder]
    changed = second.files - second.shared
    assert 0 < changed <= 3  # the log, its head, and SQLite's own file at most
    shutil.rmtree(first.folder)
    assert verify_backup(second.folder).files == second.files


def test_people_sign_while_a_copy_is_made(hospital: Workspace, tmp_path: Path) -> None:
    with meanwhile(lambda _: audit.record(hospital, actor="Dr B", action="study.view", subject="1.2.3")):
        made = [make_backup(hospital, tmp_path / "copies") for _ in range(3)]
    for number, one in enumerate(made):
        restore_backup(one.folder, tmp_path / f"back{number}")
        found = audit.verify(Workspace.open(tmp_path / f"back{number}"))
        assert found.fault is None
        assert found.torn == 0


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), what=st.sampled_from(["changed", "missing", "added"]))
def test_any_damage_is_named(hospital: Workspace, tmp_path: Path, place: float, what: str) -> None:
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    made = next(iter(backups(tmp_path / "copies")), None) or make_backup(hospital, tmp_path / "copies").folder
    shutil.copytree(made, folder)
    files = sorted(path for path in (folder / CONTENT).rglob("*") if path.is_file() and path.stat().st_size)
    chosen = files[int(place * len(files))]
    if what == "missing":
        chosen.unlink()
    elif what == "added":
        chosen = chosen.with_name("added.json")
        chosen.write_bytes(b"{}")
    else:
        content = bytearray(chosen.read_bytes())
        content[int(place * len(content))] ^= 1
        chosen.write_bytes(content)
    for look in (lambda: verify_backup(folder), lambda: restore_backup(folder, tmp_path / "never")):
        with pytest.raises(OslerError, match=chosen.name) as caught:
            look()
        assert caught.value.code is Code.BACKUP_CHANGED
    assert not (tmp_path / "never").exists()


def test_a_changed_list_is_seen(hospital: Workspace, tmp_path: Path) -> None:
    made = make_backup(hospital, tmp_path / "copies").folder
    content = (made / MANIFEST).read_bytes()
    (made / MANIFEST).write_bytes(content.replace(b'"bytes": ', b'"bytes":  ', 1))
    with pytest.raises(OslerError, match=MANIFEST):
        verify_backup(made)
    (made / MANIFEST).write_text("[]")
    with pytest.raises(OslerError, match="no copy"):
        verify_backup(made)


def test_a_full_disk_leaves_the_copies_as_they_were(
    hospital: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_backup(hospital, tmp_path / "copies")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.shutil, "copyfile", full)
    with pytest.raises(OslerError) as caught:
        make_backup(hospital, tmp_path / "copies")
    assert caught.value.code is Code.DISK_FULL
    assert [path for path in (tmp_path / "copies").iterdir() if path.is_dir()] == [first.folder]


def test_what_is_refused(hospital: Workspace, tmp_path: Path) -> None:
    made = make_backup(hospital, tmp_path / "copies").folder
    refusals: list[tuple[Code, Callable[[], object]]] = [
        (Code.USAGE, lambda: make_backup(hospital, hospital.root / "copies")),
        (Code.WORKSPACE_INVALID, lambda: restore_backup(made, hospital.root)),
        (Code.UNREADABLE, lambda: verify_backup(tmp_path)),
    ]
    for code, call in refusals:
        with pytest.raises(OslerError) as caught:
            call()
        assert caught.value.code is code
    with only_writer(hospital, open_database(hospital)), pytest.raises(OslerError) as caught:
        make_backup(hospital, tmp_path / "copies")
    assert caught.value.code is Code.WORKSPACE_OCCUPIED


def test_a_database_under_write_is_copied_whole(hospital: Workspace, tmp_path: Path) -> None:
    path = hospital.root / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (2)")  # not committed
        made = make_backup(hospital, tmp_path / "copies")
    with closing(sqlite3.connect(made.folder / CONTENT / "mlflow.db")) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


KILLED = """
import os, signal, sys
from pathlib import Path
from osler import backup
from osler.workspace import Workspace
backup.write_synced = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
backup.make_backup(Workspace.open(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_what_a_killed_copy_left_is_no_copy_and_the_next_one_clears_it(workspace: Workspace, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    done = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root), str(copies)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = (path for path in copies.iterdir() if path.is_dir())
    assert (left / CONTENT).is_dir()
    assert backups(copies) == []
    made = make_backup(workspace, copies)
    assert [path for path in copies.iterdir() if path.is_dir()] == [made.folder]


def test_a_copy_of_a_later_version_is_refused_before_anything_is_written(workspace: Workspace, tmp_path: Path) -> None:
    open_database(workspace)
    made = make_backup(workspace, tmp_path / "copies").folder
    held = opened((made / MANIFEST).read_bytes(), FORMAT)
    (made / MANIFEST).write_bytes(written(held | {"schema": "9999", "osler": "9.0.0"}))
    with pytest.raises(OslerError, match=r"9\.0\.0.*9999") as caught:
        restore_backup(made, tmp_path / "back")
    assert caught.value.code is Code.DATABASE_NEWER
    assert not (tmp_path / "back").exists()


def test_a_copy_of_an_earlier_version_is_upgraded_when_it_is_opened(workspace: Workspace, tmp_path: Path) -> None:
    engine = open_database(workspace)
    with engine.connect() as connection:
        command.downgrade(migrate.settings(connection), "0003")
        connection.commit()
    engine.dispose()
    made = tmp_path / "copies" / "20260101T000000.000000Z"
    shutil.copytree(workspace.root, made / CONTENT)
    files = [path for path in (made / CONTENT).rglob("*") if path.is_file()]
    held = {
        path.relative_to(made / CONTENT).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in files
    }
    (made / MANIFEST).write_bytes(written({"format": FORMAT, "made": made.name, "files": held}))  # as of before 0004
    restore_backup(made, tmp_path / "back")
    back = Workspace.open(tmp_path / "back")
    with open_database(back).connect() as connection:
        assert revision_of(connection) == HEAD
    assert migrate.copies(back)


def test_who_may_read_a_file_is_the_same_after_a_restore(workspace: Workspace, tmp_path: Path) -> None:
    file = AccountFile(workspace)
    file.add("Grace Hopper", ["administrator"], "correct horse battery staple", actor="A")
    for _ in range(2):  # the second shares its files with the first
        made = make_backup(workspace, tmp_path / "copies")
    restore_backup(made.folder, tmp_path / "back")
    held = tmp_path / "back" / file.path.relative_to(workspace.root)
    assert held.stat().st_mode == file.path.stat().st_mode
    assert [one.name for one in AccountFile(Workspace.open(tmp_path / "back")).all()] == ["Grace Hopper"]
