"""What a database refuses or fails at, told as every other error is told."""

from __future__ import annotations

import errno
import re
import sqlite3

from sqlalchemy.exc import DBAPIError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

# While it connects, libpq gives words and no code.
_REFUSED = re.compile(
    r"password|authentication|pg_hba|(role|user|database) .* does not exist|permission denied|certificate",
    re.IGNORECASE,
)
_LOST = ("08", "57P")  # classes of SQLSTATE: connection lost or refused, server stopping or starting
_RIGHTS = ("28", "3D", "42501", "25006")


def told(error: BaseException, database: str) -> OslerError | None:
    """Return the error to tell for a failure of a database driver, None where it is a fault of ours.

    Args:
        error: As the driver raised it.
        database: The database, as it is called in a sentence.
    """
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    state = getattr(error, "sqlstate", None)
    if state == "53100":
        return from_os_error(OSError(errno.ENOSPC, ""))
    if state == "55P03":
        return occupied()
    if state is None and not _of_connection(error):
        return None
    if (state is None and _REFUSED.search(str(error))) or (state or "").startswith(_RIGHTS):
        return OslerError(
            Code.DATABASE_REFUSED,
            f"The database {database} refuses this login, or does not let it write.",
            "Check the user's name, its password (PGPASSWORD, PGPASSFILE or OSLER_DATABASE_PASSWORD_FILE) and its rights; "
            "the server's own log says which of them.",
        )
    if state is None or state.startswith(_LOST) or state in ("53300", "53200"):
        return OslerError(
            Code.DATABASE_UNREACHABLE,
            f"The database {database} does not answer. What was not finished did not happen.",
            "Start it, or check the network between the machines, and try again.",
        )
    return None


def occupied() -> OslerError:
    """Return the error of one who waited in vain for another writer."""
    return OslerError(
        Code.WORKSPACE_OCCUPIED,
        "Another process is writing to this workspace.",
        "Wait until it is done, or name another workspace.",
    )


def _of_connection(error: BaseException) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout", "AdminShutdown")


def _of_sqlite(error: sqlite3.Error) -> OslerError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return from_os_error(OSError(errno.ENOSPC, ""))
    if code is not None and code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return OslerError(
            Code.DATABASE_INVALID,
            "The index of this workspace is damaged.",
            "Restore archive/index.sqlite from a backup; the archived files themselves are not touched.",
        )
    return occupied() if code is not None and code & 0xFF == sqlite3.SQLITE_BUSY else None


def cause(error: BaseException) -> BaseException:
    """Return what a driver raised, out of SQLAlchemy's wrapping."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
