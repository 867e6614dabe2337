"""The database behind the index: opened the same way everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from osler.archive.models import Base

SCHEMA = "1"


def open_engine(url: str) -> Engine:
    """Open the index at a SQLAlchemy URL and make its tables.

    SQLite runs with a write-ahead log, so that readers never wait, and is synchronised at checkpoints: after a power
    cut the last commits may be missing but the file is whole, and ingesting again brings them back.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    Base.metadata.create_all(engine)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
