"""Bringing older tables to the form of this version, one step after the other, all of them or none."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from osler.database.engine import postgres_engine, sqlite_engine
from osler.database.schema import HEAD, prepare, revision_of
from osler.database_address import address_of
from osler.workspace import Workspace

FOLDER = Path(__file__).parent / "migrations"
COPIES = "before-upgrade-*.sqlite"


def settings(connection: Connection) -> Config:
    """Return Alembic's settings, with the connection that its steps run on."""
    for noisy in ("alembic", "alembic.runtime.migration"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection, workspace: Workspace, found: str) -> None:
    """Upgrade a database from schema `found` to this version's, in the connection's transaction.

    A copy of a SQLite file is kept beside it; how to bring one back is in docs/deployment.md.
    """
    if connection.dialect.name == "sqlite":
        _copy(workspace, found)
    config = settings(connection)
    # A database of before migrations were counted is told where it stands; for the others this changes nothing.
    command.stamp(config, found)
    command.upgrade(config, HEAD)
    connection.commit()


def upgrade_workspace(workspace: Workspace) -> tuple[str | None, str]:
    """Upgrade the database of a workspace, a server too; return its schema before and now.

    Raises:
        OslerError: `database-newer`, `database-invalid`; what the database fails at.
    """
    address = address_of(workspace)
    engine = sqlite_engine(workspace.index_url) if address is None else postgres_engine(address)
    try:
        with engine.connect() as connection:
            before = revision_of(connection)
        prepare(engine, workspace, upgrade=True)
    finally:
        engine.dispose()
    return before, HEAD


def copies(workspace: Workspace) -> list[Path]:
    """Return the copies that upgrades have made of the workspace's SQLite file."""
    return sorted(workspace.archive.glob(COPIES))


def _copy(workspace: Workspace, found: str) -> None:
    """Copy the file as it is now: what was committed, its write-ahead log included."""
    place = workspace.archive / COPIES.replace("*", found)
    part = place.with_suffix(".part")
    part.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(workspace.archive / "index.sqlite")) as source,
        closing(sqlite3.connect(part)) as target,
    ):
        source.backup(target)
    part.replace(place)
