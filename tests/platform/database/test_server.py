"""PostgreSQL as the place of a workspace's records, and what it does when it is not there, not ours, or killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import psycopg
import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from osler import audit
from osler.archive import Archive
from osler.archive.models import Label, Study
from osler.database import index_stamp, only_writer, open_database, touch, transaction
from osler.database.base import clean
from osler.database.engine import forget_engines, postgres_engine
from osler.database.migrate import settings as alembic_settings
from osler.database.migrate import upgrade_workspace
from osler.database.schema import HEAD, VERSIONS
from osler.database_address import PASSWORD_FILE, SETTING, VARIABLE, Address
from osler.feedback import Conclusion, Review, read_reviews, save_review
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .postgres import PASSWORD, PostgresServer

pytestmark = pytest.mark.system
SAME = Conclusion("pneumonia", 0.5)
REVIEW = Review("2.25.1", "a", "A", {}, SAME, SAME, "m", "b")


@pytest.fixture
def named(postgres_url: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace whose database is named by the environment."""
    monkeypatch.setenv(VARIABLE, postgres_url)
    return workspace


@pytest.fixture
def restarted(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Return the server, and leave it running whatever the test did to it."""
    yield postgres_server
    if postgres_server.stopped:
        postgres_server.start()


def code_of(work: object) -> Code:
    """Return the code of the error that a call ends with."""
    with pytest.raises(OslerError) as caught:
        work()  # type: ignore[operator]
    assert caught.value.mend
    return caught.value.code


def test_nothing_of_the_records_is_in_the_workspace(named: Workspace) -> None:
    audit.record(named, actor="A", action="test", subject="x")
    save_review(named, REVIEW)
    assert Archive(named).studies() == []
    files = {path.name for path in named.root.rglob("*") if path.is_file()}
    assert files == {"osler-workspace", SETTING, ".upgrade.lock"}


def test_a_workspace_finds_its_database_again_without_the_environment(
    named: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_review(named, REVIEW)
    monkeypatch.delenv(VARIABLE)
    forget_engines()
    assert [one.study for one in read_reviews(named)] == ["2.25.1"]


def test_the_password_is_read_from_a_file_and_is_nowhere_else(
    named: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    assert code_of(lambda: open_database(named)) is Code.DATABASE_REFUSED
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    monkeypatch.setenv(PASSWORD_FILE, str(secret))
    audit.record(named, actor="A", action="test", subject="x")
    assert PASSWORD not in (named.root / SETTING).read_text()
    assert PASSWORD not in repr(open_database(named)) + str(open_database(named).url)
    secret.write_text("wrong")
    forget_engines()
    assert code_of(lambda: open_database(named)) is Code.DATABASE_REFUSED
    secret.unlink()
    assert code_of(lambda: open_database(named)) is Code.DATABASE_INVALID


def test_a_server_that_is_not_there_is_told(named: Workspace, restarted: PostgresServer) -> None:
    restarted.stop()
    with pytest.raises(OslerError, match="does not answer") as caught:
        audit.record(named, actor="A", action="test", subject="x")
    assert caught.value.code is Code.DATABASE_UNREACHABLE
    assert "Start it" in caught.value.mend
    assert not (named.feedback / audit.LOG).exists(), "it does not fall back to files"
    restarted.start()
    audit.record(named, actor="A", action="test", subject="x")


def test_a_database_that_is_not_there_is_refused(named: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, os.environ[VARIABLE] + "_other")
    assert code_of(lambda: open_database(named)) is Code.DATABASE_REFUSED


def test_a_server_killed_in_the_middle_leaves_nothing_half(named: Workspace, restarted: PostgresServer) -> None:
    audit.record(named, actor="A", action="test", subject="before")
    save_review(named, REVIEW)
    engine = open_database(named)

    def cut_off() -> None:
        with transaction(engine, lock="index") as session:
            session.add(Study(uid="2.25.1", site="a", patient="P", study_date="20200101"))
            session.flush()
            restarted.stop(signal.SIGKILL)

    assert code_of(cut_off) is Code.DATABASE_UNREACHABLE
    assert code_of(lambda: audit.record(named, actor="A", action="test", subject="x")) is Code.DATABASE_UNREACHABLE
    restarted.start()
    assert Archive(named).studies() == []
    assert [one.study for one in read_reviews(named)] == ["2.25.1"], "what was committed is there"
    audit.record(named, actor="A", action="test", subject="after")
    assert [entry.subject for entry in audit.entries(named)] == ["before", "after"]
    assert audit.verify(named).fault is None


def test_connections_that_were_cut_between_requests_are_made_anew(
    named: Workspace, postgres_server: PostgresServer
) -> None:
    save_review(named, REVIEW)
    with postgres_server.connect("postgres") as admin:
        cut = admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'osler'")
        assert cut.rowcount >= 1
    save_review(named, replace(REVIEW, study="2.25.2"))
    assert len(read_reviews(named)) == 2


def test_two_ways_to_one_disk_that_is_full_are_one_error(named: Workspace) -> None:
    """The server says which error it is by its code; raising it by hand is as near as a full disk can be brought here."""
    raised = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"

    def full() -> None:
        with transaction(open_database(named)) as session:
            session.execute(text(raised))

    assert code_of(full) is Code.DISK_FULL


def test_another_workspace_is_kept_out(named: Workspace, tmp_path: Path) -> None:
    audit.record(named, actor="A", action="test", subject="x")
    other = Workspace.open(tmp_path / "other", create=True)
    with pytest.raises(OslerError, match="another workspace") as caught:
        open_database(other)
    assert caught.value.code is Code.DATABASE_INVALID


def test_an_empty_database_is_not_taken_for_the_one_that_was_used(
    named: Workspace, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.record(named, actor="A", action="test", subject="x")
    monkeypatch.setenv(VARIABLE, postgres_server.new_database())
    with pytest.raises(OslerError, match="has used one"):
        open_database(named)


def test_a_workspace_with_records_in_files_does_not_lose_sight_of_them(
    postgres_url: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_review(workspace, REVIEW)
    monkeypatch.setenv(VARIABLE, postgres_url)
    with pytest.raises(OslerError, match="keeps its records in files"):
        read_reviews(workspace)
    monkeypatch.delenv(VARIABLE)
    assert len(read_reviews(workspace)) == 1


def test_a_claim_that_was_cut_off_is_completed(named: Workspace) -> None:
    open_database(named)
    note = json.loads((named.root / SETTING).read_text())
    (named.root / SETTING).write_text(json.dumps(note | {"claimed": False}))
    forget_engines()
    open_database(named)
    assert json.loads((named.root / SETTING).read_text()) == note


def test_a_shared_database_is_upgraded_when_somebody_says_so(named: Workspace) -> None:
    audit.record(named, actor="A", action="test", subject="x")
    with open_database(named).connect() as connection:
        command.downgrade(alembic_settings(connection), "-1")
        connection.commit()
    forget_engines()
    assert code_of(lambda: open_database(named)) is Code.DATABASE_OLDER
    before, now = upgrade_workspace(named)
    assert before is not None
    assert before < now == HEAD
    assert audit.verify(named).count == 1


def test_a_newer_schema_is_refused(named: Workspace) -> None:
    with open_database(named).begin() as connection:
        connection.execute(text(f"UPDATE {VERSIONS} SET version_num = '9999'"))
    forget_engines()
    assert code_of(lambda: open_database(named)) is Code.DATABASE_NEWER
    assert code_of(lambda: upgrade_workspace(named)) is Code.DATABASE_NEWER


def test_entries_of_the_audit_log_cannot_be_changed_by_mistake(named: Workspace) -> None:
    audit.record(named, actor="A", action="test", subject="x")
    for statement in ("UPDATE audit_entries SET line = ''", "DELETE FROM audit_entries", "TRUNCATE audit_entries"):
        with pytest.raises(Exception, match=r"never changed|refuses"), open_database(named).begin() as connection:
            connection.execute(text(statement))
    assert audit.verify(named).count == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=300), name=st.text(min_size=1, max_size=200))
def test_text_of_any_kind_is_kept(named: Workspace, words: str, name: str) -> None:
    engine = open_database(named)
    with transaction(engine) as session:
        session.merge(Label(study_uid="2.25.1", name=name, value=words))
    with Session(engine) as session:
        assert session.get_one(Label, ("2.25.1", name)).value == clean(words)


def test_nul_and_surrogates_go_and_four_bytes_stay(named: Workspace) -> None:
    assert clean("a\0b\ud800c😀ẞ") == "a\ufffdb\ufffdc😀ẞ"
    save_review(named, replace(REVIEW, comment="a\0b😀\u2028"))
    assert read_reviews(named)[0].comment == "a\0b😀\u2028", "JSON carries what a column could not"


def test_order_is_that_of_bytes_as_in_files(named: Workspace) -> None:
    with transaction(open_database(named)) as session:
        for uid in ("b", "B", "a", "_", "Z", "10", "9", "é"):
            session.add(Study(uid=uid, site="a", patient="P", study_date=""))
    found = [study.uid for study in Archive(named).studies()]
    assert found == sorted(found, key=str.encode)


def _add_many(root: Path, actor: int) -> None:
    workspace = Workspace.open(root)
    for number in range(20):
        audit.record(workspace, actor=f"actor {actor}", action="test", subject=str(number))
        save_review(workspace, replace(REVIEW, reviewer=f"actor {actor}", study=f"2.25.{actor}.{number}", based_on=""))


def test_writers_of_several_processes_make_one_chain_and_lose_no_review(named: Workspace) -> None:
    open_database(named)  # a process that forks has its connections open already
    writers = [get_context("fork").Process(target=_add_many, args=(named.root, actor)) for actor in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = audit.verify(named)
    assert (found.count, found.fault) == (60, None)
    assert len(read_reviews(named)) == 60


def test_one_writer_of_the_archive_over_all_machines(named: Workspace, postgres_server: PostgresServer) -> None:
    engine = open_database(named)
    other = postgres_engine(Address(os.environ[VARIABLE]))
    # Another machine does not see this one's lock of files: its folder stands for that.
    elsewhere = Workspace.open(named.root.parent / "elsewhere", create=True)
    with only_writer(named, engine):
        with pytest.raises(OslerError) as caught, only_writer(elsewhere, other):
            pass
        assert caught.value.code is Code.WORKSPACE_OCCUPIED
    with only_writer(elsewhere, other):
        pass
    other.dispose()


def test_a_change_to_the_index_is_seen_by_all(named: Workspace) -> None:
    before = index_stamp(named)
    with transaction(open_database(named)) as session:
        session.add(Study(uid="1", site="a", patient="P", study_date=""))
        touch(session)
    assert index_stamp(named) != before == ("",)


def test_a_driver_without_osler_reads_the_audit_log(named: Workspace, postgres_url: str) -> None:
    entry = audit.record(named, actor="A", action="test", subject="x")
    with psycopg.connect(postgres_url) as connection:
        [(line,)] = connection.execute("SELECT line FROM audit_entries").fetchall()
    assert json.loads(line)["sha256"] == entry.sha256
