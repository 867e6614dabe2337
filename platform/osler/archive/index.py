"""The database behind the index: opened the same way everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from osler.archive.models import Base

SCHEMA = "1"


def open_engine(url: str) -> Engine:
    """Open the index at a SQLAlchemy URL and make its tables.

    SQLite runs with a write-ahead log, so that readers never wait, and each commit is on the disk when it returns: what
    leaves the quarantine for the archive has no other copy.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    Base.metadata.create_all(engine)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
