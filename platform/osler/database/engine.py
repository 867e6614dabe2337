"""The database behind a workspace: opened the same way everywhere, with its tables as this version of Osler has them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from threading import Lock
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection

from osler.database.faults import told
from osler.database.ownership import claim
from osler.database.schema import prepare
from osler.database_address import Address, address_of, password
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WAIT_S = 30  # for another writer
CONNECT_S = 10
_held: dict[tuple[str, str], Engine] = {}
_lock = Lock()


def open_database(workspace: Workspace) -> Engine:
    """Open the database of a workspace, and make or check its tables.

    An older SQLite file is upgraded, after a copy of it was made. A server is shared, so its tables are upgraded only when
    somebody says so (`osler archive upgrade`), all but those of an empty database.

    Raises:
        OslerError: `database-unreachable`, `database-refused`, `database-older`, `database-newer`; `database-invalid` where
            the address is none, or the database belongs to another workspace; `part-missing` without the driver.
    """
    address = address_of(workspace)
    if address is None:
        engine = sqlite_engine(workspace.index_url)
        prepare(engine, workspace, upgrade=True)
        return engine
    key = (str(workspace.root), address.text)
    with _lock:
        engine = _held.get(key) or postgres_engine(address)
        if key not in _held:
            try:
                prepare(engine, workspace, upgrade=False)
                claim(engine, workspace, address)
            except BaseException:
                engine.dispose()
                raise
            _held[key] = engine
    return engine


def sqlite_engine(url: str) -> Engine:
    """Return an engine on a SQLite file.

    It runs with a write-ahead log, so that readers never wait, and each commit is on the disk when it returns: what leaves
    the quarantine for the archive has no other copy.
    """
    engine = create_engine(url)
    event.listen(engine, "connect", _configure_sqlite)
    _tell_faults(engine, "of this workspace")
    return engine


def postgres_engine(address: Address) -> Engine:
    """Return an engine on a PostgreSQL server; nothing is asked of it yet.

    Raises:
        OslerError: `part-missing`.
    """
    if find_spec("psycopg") is None:
        raise OslerError(
            Code.PART_MISSING, "PostgreSQL needs the package psycopg.", "Install it with pip install 'osler[postgres]'."
        )
    # Each commit is on the disk when it returns, whatever the server's own setting. Under READ COMMITTED, what is read after a
    # lock was waited for is what its last holder wrote; a snapshot of before would break the chain of the audit log.
    options = f"-c synchronous_commit=on -c lock_timeout={WAIT_S}s -c client_encoding=UTF8 -c timezone=UTC"
    given = {"connect_timeout": CONNECT_S, "application_name": "osler"} | address.parts | address.options
    engine = create_engine(
        "postgresql+psycopg://",
        connect_args=given | {"options": options},
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _give_password)
    _tell_faults(engine, address.shown)
    return engine


def forget_engines() -> None:
    """Close the connections of this process, as after a restore; the next use opens them again."""
    with _lock:
        for engine in _held.values():
            engine.dispose()
        _held.clear()


def _give_password(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Read the secret file at each connection: it may change while we run, and no address ever holds it."""
    if (secret := password()) is not None:
        parameters["password"] = secret


def _tell_faults(engine: Engine, database: str) -> None:
    def tell(context: ExceptionContext) -> OslerError | None:
        # At a ping, the pool replaces the connection and goes on.
        return None if context.is_pre_ping else told(context.original_exception, database)

    event.listen(engine, "handle_error", tell, retval=True)


def _configure_sqlite(connection: DBAPIConnection, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={WAIT_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _leave_to_parent() -> None:
    """Forget the connections of the process that forked: two processes on one socket would garble each other's answers."""
    global _lock
    _lock = Lock()
    for engine in _held.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_to_parent)
