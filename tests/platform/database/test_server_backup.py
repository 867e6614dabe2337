"""A copy of a workspace whose records are in PostgreSQL: of one moment, and the same answers from files or another server."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import insert
from tests.platform.meanwhile import meanwhile

from osler import audit, backup
from osler.archive import Archive
from osler.archive.arrivals import arrival_order
from osler.archive.models import Study
from osler.backup import CONTENT, make_backup, restore_backup, verify_backup
from osler.bottleneck.pipeline import Pipeline
from osler.cli.main import main
from osler.database import open_database, to_files, transaction
from osler.database.engine import forget_engines
from osler.database_address import SETTING, VARIABLE, Address
from osler.explain.service import StudyExplainer
from osler.feedback import Conclusion, Draft, Review, read_reviews, save_review
from osler.feedback.making import review_of
from osler.ingest import ingest
from osler.report.service import Reporter
from osler.watch.store import WatchStore
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .postgres import PostgresServer

pytestmark = pytest.mark.system
SAME = Conclusion("pneumonia", 0.5)
REVIEW = Review("2.25.1", "a", "A", {}, SAME, SAME, "m", "b", comment="😀 \0 ẞ")


@pytest.fixture
def served(
    workspace: Workspace,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    make_radiograph: Callable[..., Dataset],
    save_model: Callable[..., Pipeline],
) -> Workspace:
    """Return a workspace begun in PostgreSQL: three studies, one refused file, a model, a signed review, a report, a log."""
    monkeypatch.setenv(VARIABLE, postgres_url)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        make_radiograph(number).save_as(source / f"{number}.dcm", enforce_file_format=True)
    make_radiograph(9, Modality="CT").save_as(source / "9.dcm", enforce_file_format=True)
    ingest(source, site="a", workspace=workspace, key=b"k" * 32, workers=0, today=date(2024, 1, 1))
    save_model(workspace)
    study = Archive(workspace).studies()[0].uid
    told = StudyExplainer(workspace, "random").explain(study)
    save_review(workspace, review_of(told, told, Draft(comment="as shown"), "Dr A"))
    save_review(workspace, REVIEW)
    Reporter(StudyExplainer(workspace, "random")).make(study)
    for number in range(3):
        audit.record(workspace, actor="A", action="test", subject=str(number), details={"reason": "“Ja”"})
    monkeypatch.delenv(VARIABLE)  # the workspace has noted its database
    return workspace


def answers(workspace: Workspace) -> tuple[object, ...]:
    """Return the worklist, an explanation, a report, and the audit log with the result of its check."""
    shutil.rmtree(workspace.cache)
    archive = Archive(Workspace.open(workspace.root))
    studies = archive.studies()
    explainer = StudyExplainer(workspace, "random")
    explained = [json.dumps(explainer.explain(one.uid).to_dict(), sort_keys=True) for one in studies]
    report = Reporter(explainer).make(studies[0].uid).data
    lists = (studies, arrival_order(archive), archive.intake_counts(), archive.intake(), read_reviews(workspace))
    return *lists, explained, report, WatchStore(workspace).counts()


def wipe(workspace: Workspace, server: PostgresServer, url: str) -> None:
    """Remove the folder and the database."""
    forget_engines()
    shutil.rmtree(workspace.root)
    with server.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]}")


def test_after_backup_wipe_and_restore_files_and_another_server_give_the_same_answers(
    served: Workspace, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    before, log, noted = answers(served), audit.entries(served), audit.verify(served)
    made = make_backup(served, tmp_path / "copies")
    assert verify_backup(made.folder).files == made.files
    wipe(served, postgres_server, postgres_url)

    restore_backup(made.folder, served.root)
    assert not (served.root / SETTING).exists()
    assert answers(served) == before
    assert audit.entries(served) == log
    assert audit.verify(served, (noted.count, noted.head)) == noted

    shutil.rmtree(served.root)
    address = Address(postgres_server.new_database())
    restore_backup(made.folder, served.root, database=address, actor="An Engineer")
    assert (served.root / SETTING).exists()
    assert answers(served) == before
    assert audit.entries(served)[:-1] == log
    assert audit.entries(served)[-1].action == "archive.move-database"
    assert audit.verify(served, (noted.count, noted.head)).fault is None


def test_people_sign_while_the_server_is_copied(served: Workspace, tmp_path: Path) -> None:
    count = len(read_reviews(served))

    def sign(number: int) -> None:
        save_review(served, replace(REVIEW, study=f"2.25.{number + 10}"))
        audit.record(served, actor="A", action="study.sign", subject=f"2.25.{number + 10}")

    with meanwhile(sign):
        made = [make_backup(served, tmp_path / "copies") for _ in range(3)]
    for number, one in enumerate(made):
        restore_backup(one.folder, tmp_path / f"back{number}")
        back = Workspace.open(tmp_path / f"back{number}")
        assert audit.verify(back).fault is None
        signed = sum(entry.action == "study.sign" for entry in audit.entries(back))
        assert len(read_reviews(back)) - count in (signed, signed + 1)


def _disk_full(_path: Path, _lines: Iterator[bytes]) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("what", ["disk", "server", "row"])
def test_a_copy_that_cannot_be_made_whole_leaves_nothing(
    served: Workspace, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    first = make_backup(served, tmp_path / "copies")
    if what == "disk":
        monkeypatch.setattr(to_files, "_write_lines", _disk_full)
    write = to_files.insert_rows

    def amid(connection, origin):  # type: ignore[no-untyped-def]
        write(connection, origin)
        if what == "row":
            stranger = {"uid": "2.25.9", "site": "a", "patient": "P", "study_date": "20240101"}
            connection.execute(insert(Study), [stranger])
        elif what == "server":
            postgres_server.stop(signal.SIGKILL)

    monkeypatch.setattr(to_files, "insert_rows", amid)
    code = {"disk": Code.DISK_FULL, "server": Code.DATABASE_UNREACHABLE, "row": Code.DATABASE_INVALID}[what]
    try:
        with pytest.raises(OslerError) as caught:
            make_backup(served, tmp_path / "copies")
    finally:
        if postgres_server.stopped:
            postgres_server.start()
    assert caught.value.code is code
    assert [path for path in (tmp_path / "copies").iterdir() if path.is_dir()] == [first.folder]
    monkeypatch.undo()


def test_what_is_refused_before_anything_is_written(
    served: Workspace, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_backup(served, tmp_path / "copies").folder
    words = ["backup", "restore", str(made), "--to", str(tmp_path / "back"), "--actor", "An Engineer", "--database"]
    assert main([*words, postgres_url]) == 1
    assert "holds records already" in capsys.readouterr().err
    assert main([*words, postgres_url.rsplit("/", 1)[0] + "/none"]) == 1
    assert main([*words, postgres_url.replace("@", ":secret@")]) == 1
    assert "secret" not in capsys.readouterr().err
    index = made / CONTENT / "archive" / "index.sqlite"
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    assert main([*words[:-1]]) == 1
    assert "index.sqlite is not what was copied" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()


def test_a_database_that_fails_late_leaves_the_workspace_restored_in_files(
    served: Workspace, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(served)
    made, address = make_backup(served, tmp_path / "copies").folder, Address(postgres_server.new_database())
    shutil.rmtree(served.root)

    def fails(*_: object, **__: object) -> None:
        raise OslerError(Code.DATABASE_UNREACHABLE, "The database does not answer.", "Start it.")

    with monkeypatch.context() as patched:
        patched.setattr(backup, "move_to_server", fails)
        with pytest.raises(OslerError, match="in files") as caught:
            restore_backup(made, served.root, database=address, actor="A")
    assert "move-database" in caught.value.mend
    back = Workspace.open(served.root)
    assert answers(back) == before
    assert main(["archive", "move-database", "--to", address.text, "--actor", "A", "--workspace", str(back.root)]) == 0
    assert answers(back) == before
    with transaction(open_database(back)) as session:
        assert session.get(Study, before[0][0].uid) is not None  # type: ignore[index]
