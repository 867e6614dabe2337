"""Transactions of which one at a time runs, over all processes and machines that share a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from osler import files
from osler.database.faults import occupied
from osler.workspace import Workspace


@contextmanager
def transaction(engine: Engine, lock: str | None = None) -> Iterator[Session]:
    """Open a session whose work is done as a whole when the block ends, and not at all where it raises.

    Args:
        engine: The database.
        lock: Name of a lock that is held until then; blocks of one name follow each other, and each sees all that those
            before it wrote. On SQLite there is one such lock for the whole file.

    Raises:
        OslerError: `workspace-occupied` where the lock is not free for half a minute; what the database fails at.
    """
    with Session(engine) as session:
        if lock is not None:
            if engine.dialect.name == "sqlite":
                session.execute(text("BEGIN IMMEDIATE"))
            else:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(lock)})
        yield session
        session.commit()


@contextmanager
def only_writer(workspace: Workspace, engine: Engine) -> Iterator[None]:
    """Hold the archive's lock, on this machine and, with a server, on all that share it.

    Raises:
        OslerError: `workspace-occupied` where another process holds it.
    """
    with files.only_writer(workspace.archive):
        if engine.dialect.name == "sqlite":
            yield
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            key = {"key": lock_key("archive")}
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
                raise occupied()
            try:
                yield
            finally:
                if not connection.invalidated:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def lock_key(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock: 63 bits of the name's hash."""
    return int.from_bytes(hashlib.sha256(f"osler {name}".encode()).digest()[:8], "big") >> 1
