"""Older databases become today's, whole or not at all; and the steps lead to the tables that the code has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydicom.dataset import Dataset
from sqlalchemy import Engine, event, inspect, text

from osler.archive import Archive
from osler.archive.retention import retain
from osler.database import migrate, open_database
from osler.database.engine import postgres_engine, sqlite_engine
from osler.database.schema import HEAD, VERSIONS, prepare, revision_of, tables
from osler.database_address import Address
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# As SQLAlchemy wrote them when the first version of the index was released.
SCHEMA_1 = """
CREATE TABLE studies (uid VARCHAR(64) NOT NULL, site VARCHAR(64) NOT NULL, patient VARCHAR(64) NOT NULL,
    study_date VARCHAR(8) NOT NULL, PRIMARY KEY (uid));
CREATE INDEX ix_studies_site ON studies (site);
CREATE INDEX ix_studies_patient ON studies (patient);
CREATE TABLE runs (id INTEGER NOT NULL, site VARCHAR(64) NOT NULL, contract VARCHAR(64) NOT NULL,
    started VARCHAR(32) NOT NULL, finished VARCHAR(32), PRIMARY KEY (id));
CREATE TABLE labels (study_uid VARCHAR(64) NOT NULL, name VARCHAR(128) NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (study_uid, name));
CREATE TABLE reports (study_uid VARCHAR(64) NOT NULL, text TEXT NOT NULL, PRIMARY KEY (study_uid));
CREATE TABLE settings (name VARCHAR(64) NOT NULL, value VARCHAR(255) NOT NULL, PRIMARY KEY (name));
CREATE TABLE instances (uid VARCHAR(64) NOT NULL, study_uid VARCHAR(64) NOT NULL, series_uid VARCHAR(64) NOT NULL,
    path VARCHAR(255) NOT NULL, source_sha256 VARCHAR(64) NOT NULL, sha256 VARCHAR(64) NOT NULL,
    modality VARCHAR(16) NOT NULL, "view" VARCHAR(16) NOT NULL, eligible_frontal BOOLEAN NOT NULL,
    acquired VARCHAR(32) NOT NULL, rows INTEGER NOT NULL, columns INTEGER NOT NULL, transfer_syntax VARCHAR(64) NOT NULL,
    photometric VARCHAR(16) NOT NULL, warnings JSON NOT NULL, PRIMARY KEY (uid),
    FOREIGN KEY(study_uid) REFERENCES studies (uid), UNIQUE (source_sha256));
CREATE INDEX ix_instances_study_uid ON instances (study_uid);
CREATE TABLE intake (id INTEGER NOT NULL, run_id INTEGER NOT NULL, source_sha256 VARCHAR(64) NOT NULL,
    outcome VARCHAR(16) NOT NULL, code VARCHAR(64) NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(run_id) REFERENCES runs (id));
CREATE INDEX ix_intake_run_id ON intake (run_id);
CREATE INDEX ix_intake_source_sha256 ON intake (source_sha256);
INSERT INTO studies VALUES ('2.25.1', 'a', 'P1', '20200101');
INSERT INTO instances VALUES ('2.25.11', '2.25.1', '2.25.12', 'archive/.1/2.25.1/2.25.11.dcm', 'aa', 'bb', 'DX', 'PA', 1,
    '2020-01-01', 10, 12, '1.2.840.10008.1.2.1', 'MONOCHROME2', '["view-unknown"]');
INSERT INTO labels VALUES ('2.25.1', 'finding', 'normal');
"""
OF_1 = "INSERT INTO settings VALUES ('schema', '1');"
OF_2 = """
ALTER TABLE instances ADD COLUMN decoder VARCHAR(128) NOT NULL DEFAULT '';
UPDATE instances SET decoder = 'native (pydicom 3.0.1)';
INSERT INTO settings VALUES ('schema', '2');
"""
ADDED = {"1": OF_1, "2": OF_2}


def index_of(workspace: Workspace) -> Path:
    """Return where the file is."""
    return workspace.archive / "index.sqlite"


def older(workspace: Workspace, schema: str) -> Workspace:
    """Give a workspace the index of an older version."""
    with closing(sqlite3.connect(index_of(workspace))) as connection:
        connection.executescript(SCHEMA_1 + ADDED[schema])
    return workspace


def shape(engine: Engine) -> dict[str, object]:
    """Return tables, columns, keys, indexes and triggers, whatever their order."""
    found = inspect(engine)
    told: dict[str, object] = {}
    for table in found.get_table_names():
        columns = [(one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(table)]
        keys = [(one["constrained_columns"], one["referred_table"]) for one in found.get_foreign_keys(table)]
        indexes = [(one["name"], one["column_names"], bool(one["unique"])) for one in found.get_indexes(table)]
        unique = [one["column_names"] for one in found.get_unique_constraints(table)]
        primary = found.get_pk_constraint(table)["constrained_columns"]
        told[table] = (sorted(columns), sorted(keys), sorted(indexes, key=str), sorted(unique), primary)
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            query = "SELECT tgname, tgtype FROM pg_trigger WHERE NOT tgisinternal"
            told["triggers"] = sorted(tuple(row) for row in connection.execute(text(query)))
            query = "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE data_type = 'text' "
            query += "AND table_schema = 'public'"
            told["order"] = sorted(tuple(row) for row in connection.execute(text(query)))
    return told


def through_all_steps(engine: Engine) -> None:
    """Make the tables of an empty database by the steps alone."""
    with engine.connect() as connection:
        command.upgrade(migrate.settings(connection), "head")
        connection.commit()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Return an empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_engine(f"sqlite:///{tmp_path / 'new.sqlite'}")
    return postgres_engine(Address(request.getfixturevalue("postgres_url")))


def test_head_is_the_last_step_and_steps_follow_each_other(workspace: Workspace) -> None:
    with open_database(workspace).connect() as connection:
        scripts = ScriptDirectory.from_config(migrate.settings(connection))
    assert scripts.get_heads() == [HEAD]
    assert [one.revision for one in scripts.walk_revisions()] == [f"{n:04d}" for n in range(int(HEAD), 0, -1)]


def test_the_steps_lead_to_the_tables_of_the_code(empty: Engine, workspace: Workspace) -> None:
    through_all_steps(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSIONS, "compare_type": True})
        assert compare_metadata(context, tables()) == []
    by_steps = shape(empty)
    tables().drop_all(empty)
    with empty.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSIONS}"))
    prepare(empty, workspace, upgrade=False)
    made = shape(empty)
    assert made.keys() == by_steps.keys()
    for name, form in made.items():
        assert by_steps[name] == form, name


def test_every_step_can_be_undone(empty: Engine) -> None:
    through_all_steps(empty)
    with empty.connect() as connection:
        command.downgrade(migrate.settings(connection), "base")
        connection.commit()
    assert inspect(empty).get_table_names() == [VERSIONS]
    through_all_steps(empty)


@pytest.mark.parametrize("schema", ADDED)
def test_an_older_index_is_upgraded_when_it_is_opened_and_a_copy_is_kept(workspace: Workspace, schema: str) -> None:
    before = older(workspace, schema)
    study = Archive(before).study("2.25.1")
    decoder = "" if schema == "1" else "native (pydicom 3.0.1)"
    assert [(one.uid, one.decoder, one.view) for one in study.instances] == [("2.25.11", decoder, "PA")]
    assert (study.labels, study.warnings) == ({"finding": "normal"}, ("view-unknown",))
    [copy] = migrate.copies(workspace)
    assert copy.name == f"before-upgrade-000{schema}.sqlite"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM settings WHERE name = 'schema'").fetchone() == (schema,)
        assert connection.execute("SELECT count(*) FROM instances").fetchone() == (1,)
    Archive(workspace)
    assert migrate.copies(workspace) == [copy], "an upgrade is made once"
    with open_database(workspace).connect() as connection:
        assert revision_of(connection) == HEAD


def test_an_upgraded_index_takes_new_files(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], workspace: Workspace
) -> None:
    folder = write_dicom(make_radiograph(2)).parent
    options = {"site": "a", "workspace": older(workspace, "1"), "key": b"k" * 32, "workers": 0}
    assert ingest(folder, **options).accepted == 1  # type: ignore[arg-type]
    found = [image.decoder for study in Archive(workspace).studies() for image in study.instances]
    assert sorted(found) == ["", f"native (pydicom {version('pydicom')})"]


def test_an_upgrade_that_fails_leaves_the_index_as_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(workspace, "1")
    with closing(sqlite3.connect(index_of(workspace))) as connection:
        connection.execute("CREATE TABLE audit_head (mine TEXT)")  # the last step stumbles over it
        connection.commit()
        before = list(connection.iterdump())
    with pytest.raises(Exception, match="audit_head"):
        Archive(workspace)
    with closing(sqlite3.connect(index_of(workspace))) as connection:
        assert list(connection.iterdump()) == before
        connection.execute("DROP TABLE audit_head")
        connection.commit()
    assert len(Archive(workspace).studies()) == 1


def test_copies_of_before_an_upgrade_go_when_a_study_is_taken_out(workspace: Workspace) -> None:
    archive = Archive(older(workspace, "2"))
    assert len(migrate.copies(workspace)) == 1
    retain(archive, older_than_days=1, actor="A", reason="time is over")
    assert archive.studies() == []
    assert migrate.copies(workspace) == []


def test_a_newer_database_is_refused_by_name(workspace: Workspace) -> None:
    Archive(workspace)
    with closing(sqlite3.connect(index_of(workspace))) as connection:
        connection.execute(f"UPDATE {VERSIONS} SET version_num = '9999'")
        connection.commit()
    with pytest.raises(OslerError, match="schema 9999") as caught:
        Archive(workspace)
    assert caught.value.code is Code.DATABASE_NEWER


def test_tables_of_something_else_are_left_alone(workspace: Workspace) -> None:
    with closing(sqlite3.connect(index_of(workspace))) as connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT)")
        connection.commit()
    with pytest.raises(OslerError, match="a table runs that is not") as caught:
        Archive(workspace)
    assert caught.value.code is Code.DATABASE_INVALID


def test_tables_that_another_process_makes_meanwhile_are_all_seen_or_none(workspace: Workspace) -> None:
    engine, other = sqlite_engine(workspace.index_url), sqlite_engine(workspace.index_url)
    with engine.connect() as connection:
        event.listen(connection, "after_cursor_execute", lambda *_: prepare(other, workspace, upgrade=False), once=True)
        assert revision_of(connection) is None
        assert revision_of(connection) == HEAD
