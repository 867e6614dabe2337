"""The database behind the index: opened the same way everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text, update
from sqlalchemy.engine.interfaces import DBAPIConnection

from osler.archive.models import Base, Instance, Setting

SCHEMA = "2"


def open_engine(url: str) -> Engine:
    """Open the index at a SQLAlchemy URL and make its tables.

    SQLite runs with a write-ahead log, so that readers never wait, and each commit is on the disk when it returns: what
    leaves the quarantine for the archive has no other copy.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    Base.metadata.create_all(engine)
    _migrate(engine)
    return engine


def _migrate(engine: Engine) -> None:
    """Bring an index of schema 1 to schema 2, which adds the decoder of each instance."""
    if any(column["name"] == "decoder" for column in inspect(engine).get_columns(Instance.__tablename__)):
        return
    with engine.begin() as connection:
        kind = Instance.__table__.c.decoder.type.compile(engine.dialect)
        connection.execute(text(f"ALTER TABLE instances ADD COLUMN decoder {kind} NOT NULL DEFAULT ''"))
        connection.execute(update(Setting).where(Setting.name == "schema").values(value=SCHEMA))


def _configure_sqlite(connection: DBAPIConnection, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
