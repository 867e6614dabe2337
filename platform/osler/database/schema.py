"""Which tables there are, and whether a database has them as this version of Osler does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, insert, inspect, select, text

from osler.database.base import Base
from osler.files import locked
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

HEAD = "0004"
# Modules that hold tables. A new one comes with a step in `migrations/versions`, and HEAD names the last of those.
MODULES = ("osler.database.models", "osler.archive.models", "osler.watch.models")
VERSIONS = "osler_schema"  # not Alembic's usual name: MLflow uses that one, and may live in the same database
UPGRADE_LOCK = ".upgrade.lock"  # file beside a SQLite index; it also guards whose database is whose
LOCK = 7_304_563_120  # advisory lock of whoever makes or changes tables
_versions = Table(VERSIONS, MetaData(), Column("version_num", String(32), primary_key=True))


def tables() -> MetaData:
    """Return all tables."""
    for module in MODULES:
        import_module(module)
    return Base.metadata


def revision_of(connection: Connection) -> str | None:
    """Return the schema of a database: the number of its last migration, None where it is empty.

    Raises:
        OslerError: `database-invalid` where it holds tables of something else.
    """
    found = inspect(connection)
    names = set(found.get_table_names())  # asked once: another process may be making them all at this moment
    if VERSIONS in names:
        return connection.scalar(select(_versions.c.version_num))
    if "instances" in names:  # made before migrations were counted
        return "0002" if any(column["name"] == "decoder" for column in found.get_columns("instances")) else "0001"
    if strangers := sorted(names & set(tables().tables)):
        raise OslerError(
            Code.DATABASE_INVALID,
            f"The database holds a table {strangers[0]} that is not Osler's.",
            "Make a database for Osler alone: createdb --owner=osler osler.",
        )
    return None


def prepare(engine: Engine, workspace: Workspace, *, upgrade: bool) -> None:
    """Make the tables of an empty database, and check or upgrade those of an older one.

    Raises:
        OslerError: `database-older` where it is older and `upgrade` is not given; `database-newer`.
    """
    with engine.connect() as connection:
        found = revision_of(connection)
    if found == HEAD:
        return
    if found is not None:
        check_revision(found, upgrade=upgrade)
    with alone(engine, workspace) as connection:
        found = revision_of(connection)  # another process may have been faster
        if found is None:
            tables().create_all(connection)
            _versions.create(connection)
            connection.execute(insert(_versions).values(version_num=HEAD))
            connection.commit()
        elif found != HEAD:
            from osler.database.migrate import migrate

            migrate(connection, workspace, found)


def check_revision(found: str, *, upgrade: bool) -> None:
    """Check that this version of Osler can work with a schema, or bring it up where `upgrade` is given.

    Raises:
        OslerError: `database-older`, `database-newer`.
    """
    if found > HEAD:
        raise OslerError(
            Code.DATABASE_NEWER,
            f"The database has schema {found}, and this version of Osler knows schemas up to {HEAD}.",
            "Install the version of Osler that wrote it, or a later one; or restore the copy from before its upgrade.",
        )
    if found < HEAD and not upgrade:
        raise OslerError(
            Code.DATABASE_OLDER,
            f"The database has schema {found}, and this version of Osler needs schema {HEAD}.",
            "Stop the older services, make a backup (`osler backup make` of the older version, or pg_dump), then run"
            " `osler archive upgrade`.",
        )


@contextmanager
def alone(engine: Engine, workspace: Workspace) -> Iterator[Connection]:
    """Open a connection in a transaction that no other process that makes or changes tables is beside."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            # An upgrade may take longer than a writer would wait.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            yield connection
        return
    with locked(workspace.archive / UPGRADE_LOCK), engine.connect() as connection:
        connection.execute(text("BEGIN IMMEDIATE"))
        yield connection
