"""From files into PostgreSQL: all of it, compared, and never half; and an archive that was begun there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler import audit
from osler.archive import Archive
from osler.archive.arrivals import arrival_order
from osler.archive.models import Label, Study
from osler.archive.verify import verify_archive
from osler.audit.log_files import AuditFiles
from osler.cli.main import main
from osler.database import move, open_database, transaction
from osler.database.base import clean
from osler.database.engine import forget_engines
from osler.database.move import move_to_server
from osler.database_address import SETTING, VARIABLE, Address
from osler.feedback import Conclusion, Review, read_reviews, save_review
from osler.feedback.store import ReviewFile
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .postgres import PostgresServer

pytestmark = pytest.mark.system
SAME = Conclusion("pneumonia", 0.5)
REVIEW = Review("2.25.1", "a", "A", {}, SAME, SAME, "m", "b", comment="😀 \0 ẞ")
HOSTILE = "quote ' \" ; DROP TABLE studies; -- \0 \\ 😀 ẞ %s :name {x}"
Make = Callable[..., Dataset]


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path, make_radiograph: Make) -> Workspace:
    """Return a workspace of files: three studies with labels, one refused file, reviews and an audit log."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        make_radiograph(number).save_as(source / f"{number}.dcm", enforce_file_format=True)
    make_radiograph(9, Modality="CT").save_as(source / "9.dcm", enforce_file_format=True)
    table = tmp_path / "labels.csv"
    table.write_text("study_instance_uid,label,report\n1.2.3.0.1,a,fine\n1.2.3.1.1,b,Über dem Hilus\n")
    ingest(source, site="a", workspace=workspace, key=b"k" * 32, workers=0, labels=table, today=date(2024, 1, 1))
    with transaction(open_database(workspace)) as session:
        session.add(Label(study_uid="2.25.7", name=HOSTILE, value=HOSTILE))
    save_review(workspace, REVIEW)
    with (workspace.feedback / "reviews.jsonl").open("ab") as file:
        file.write(b'{"study": "2.25.9", "sit')  # as a crash leaves it
    save_review(workspace, replace(REVIEW, study="2.25.2"))
    for number in range(4):
        audit.record(workspace, actor="A", action="test", subject=str(number), details={"reason": "“Ja”"})
    return workspace


def what_it_holds(workspace: Workspace) -> tuple[object, ...]:
    """Return all that a reader sees."""
    archive = Archive(workspace)
    return archive.studies(), arrival_order(archive), archive.intake_counts(), archive.intake(), read_reviews(workspace)


def test_everything_is_moved_and_goes_on_there(
    filled: Workspace, postgres_url: str, tmp_path: Path, make_radiograph: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    before, log = what_it_holds(filled), audit.entries(filled)
    noted = audit.verify(filled)
    words = ["archive", "move-database", "--to", postgres_url, "--actor", "Dr Osler", "--workspace", str(filled.root)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] | {"studies": 3, "instances": 3, "intake": 4, "reviews": 3, "audit_entries": 4} == told["rows"]
    assert told["audit_head"] == f"{noted.count}:{noted.head}"
    assert what_it_holds(filled) == before
    assert audit.entries(filled)[:-1] == log
    last = audit.entries(filled)[-1]
    assert (last.actor, last.action, last.previous) == ("Dr Osler", "archive.move-database", noted.head)
    assert audit.verify(filled, (noted.count, noted.head)).fault is None
    with transaction(open_database(filled)) as session:
        assert session.get_one(Label, ("2.25.7", clean(HOSTILE))).value == clean(HOSTILE)
    assert {path.name for path in (filled.root / move.KEPT).iterdir()} >= {
        "index.sqlite",
        "reviews.jsonl",
        "audit.jsonl",
    }
    assert not (filled.archive / "index.sqlite").exists()
    assert verify_archive(Archive(filled)).faults == ()
    # Numbers go on after the last that was moved.
    more = tmp_path / "more"
    more.mkdir()
    make_radiograph(5).save_as(more / "5.dcm", enforce_file_format=True)
    summary = ingest(more, site="a", workspace=filled, key=b"k" * 32, workers=0, today=date(2024, 1, 1))
    assert summary.accepted == 1
    save_review(filled, replace(REVIEW, study="2.25.3"))
    assert len(Archive(filled).studies()) == 4
    assert arrival_order(Archive(filled))[:3] == before[1]
    assert [one.study for one in read_reviews(filled)] == ["2.25.1", "2.25.2", "2.25.3"]
    assert main(words) == 1, "it is moved once"


@pytest.mark.parametrize("step", ["_copy", "_compare", "_check_chain", "write_setting", "_set_aside"])
def test_a_move_that_was_stopped_is_completed_or_has_not_happened(
    filled: Workspace, postgres_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, address = what_it_holds(filled), Address(postgres_url)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(move, step, stopped)
        with pytest.raises(KeyboardInterrupt):
            move_to_server(filled, address, actor="A")
    forget_engines()
    assert what_it_holds(filled) == before
    if step == "_set_aside":  # the workspace has named the database, and uses it
        save_review(filled, replace(REVIEW, study="2.25.3"))
        assert move_to_server(filled, address, actor="A").rows["studies"] == 3
        assert not (filled.archive / "index.sqlite").exists()
        assert len(read_reviews(filled)) == 3
        with pytest.raises(OslerError, match="in a database already"):
            move_to_server(filled, address, actor="A")
        return
    move_to_server(filled, address, actor="A")
    assert what_it_holds(filled) == before
    assert audit.verify(filled).count == 5


@pytest.mark.parametrize("write", ["audit", "review"])
def test_who_waited_for_a_file_that_was_moved_does_not_write_into_it(
    filled: Workspace, postgres_url: str, write: str
) -> None:
    held = AuditFiles(filled) if write == "audit" else ReviewFile(filled)  # chosen before the move
    move_to_server(filled, Address(postgres_url), actor="A")
    with pytest.raises(OslerError, match="just moved") as caught, held.appending():
        pass
    assert caught.value.code is Code.WORKSPACE_OCCUPIED


def test_a_second_try_does_not_lose_what_was_written_between(
    filled: Workspace, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(move, "write_setting", stopped)
        with pytest.raises(KeyboardInterrupt):
            move_to_server(filled, Address(postgres_url), actor="A")
    save_review(filled, replace(REVIEW, study="2.25.4"))
    with pytest.raises(OslerError, match="reviews is not what the files hold") as caught:
        move_to_server(filled, Address(postgres_url), actor="A")
    assert caught.value.code is Code.DATABASE_INVALID
    assert len(read_reviews(filled)) == 3


def test_a_database_that_is_in_use_takes_no_other_workspace(
    filled: Workspace, postgres_url: str, tmp_path: Path
) -> None:
    copy = Workspace.open(Path(shutil.copytree(filled.root, tmp_path / "copy")))
    move_to_server(filled, Address(postgres_url), actor="A")
    with pytest.raises(OslerError, match="holds records already"):
        move_to_server(copy, Address(postgres_url), actor="A")
    assert len(Archive(copy).studies()) == 3


def test_a_log_that_was_tampered_with_is_not_moved(filled: Workspace, postgres_url: str) -> None:
    log = filled.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b'"subject":"1"', b'"subject":"7"'))
    with pytest.raises(OslerError, match="Entry 2") as caught:
        move_to_server(filled, Address(postgres_url), actor="A")
    assert caught.value.code is Code.AUDIT_BROKEN
    assert not (filled.root / SETTING).exists()


def test_a_row_that_differs_stops_the_move(
    filled: Workspace, postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = move._copy

    def careless(connection, origin):  # type: ignore[no-untyped-def]
        copy(connection, origin)
        connection.execute(Study.__table__.update().values(site="b"))

    monkeypatch.setattr(move, "_copy", careless)
    with pytest.raises(OslerError, match="studies is not what the files hold"):
        move_to_server(filled, Address(postgres_url), actor="A")
    with postgres_server.connect(postgres_url.rsplit("/", 1)[1]) as connection:
        assert connection.execute("SELECT count(*) FROM studies").fetchone() == (0,)


def test_an_archive_that_was_begun_in_a_server(
    workspace: Workspace,
    postgres_url: str,
    tmp_path: Path,
    make_radiograph: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE, postgres_url)
    source = tmp_path / "source"
    source.mkdir()
    make_radiograph(0).save_as(source / "0.dcm", enforce_file_format=True)
    make_radiograph(1).save_as(source / "1.dcm", enforce_file_format=True)
    options = {"site": "a", "workspace": workspace, "key": b"k" * 32, "workers": 0, "today": date(2024, 1, 1)}
    assert ingest(source, **options).accepted == 2  # type: ignore[arg-type]
    again = ingest(source, **options)  # type: ignore[arg-type]
    assert (again.accepted, again.duplicates) == (0, 2)
    with pytest.raises(OslerError) as caught:
        ingest(source, **options | {"key": b"j" * 32})  # type: ignore[arg-type]
    assert caught.value.code is Code.KEY_INVALID
    assert verify_archive(Archive(workspace), ["Grablowski^Zenobia"]).faults == ()
    with transaction(open_database(workspace)) as session:
        session.add(Label(study_uid="2.25.1", name="note", value="seen by Grablowski"))
    faults = verify_archive(Archive(workspace), ["Grablowski^Zenobia"]).faults
    assert [(fault.where, fault.what) for fault in faults] == [("database/labels", "identifier-found")]
    capsys.readouterr()
    assert main(["archive", "upgrade", "--workspace", str(workspace.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["before"] == told["now"]
    assert os.environ[VARIABLE] == postgres_url
