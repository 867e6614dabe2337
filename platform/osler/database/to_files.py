"""Writing the records of a server as the files that a workspace without a server keeps, as they were at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from osler.audit.log_files import HEAD, LOG
from osler.audit.log_table import AuditTable
from osler.database.engine import sqlite_engine
from osler.database.move import BEGUN
from osler.database.rows import DifferError, Origin, compare_rows, index_rows, insert_rows
from osler.database.schema import UPGRADE_LOCK, prepare
from osler.database_address import SETTING
from osler.feedback.store import FILE
from osler.feedback.table import lines_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

INDEX = "archive/index.sqlite"
RECORDS = frozenset({INDEX, f"feedback/{FILE}", f"feedback/{LOG}", f"feedback/{HEAD}"})
OF_SERVER = frozenset({SETTING, BEGUN})  # files of a workspace that lead to its server


def records_to_files(engine: Engine, folder: Path) -> None:
    """Write index, reviews and audit log of a server below a folder, under the names of `RECORDS`.

    All of it is of one moment, while others go on writing. The mark of the workspace is left out: these files belong to no
    server, so that they make a workspace of files, or move into any empty database.

    Args:
        engine: The server, with the tables of this version.
        folder: A new folder, laid out as a workspace; nobody else writes there.

    Raises:
        OslerError: What the server or the disk fails at; `database-invalid` where a row does not read back as it was.
    """
    with _snapshot(engine) as connection:
        _write_index(folder, index_rows(connection))
        (folder / "feedback").mkdir(exist_ok=True)
        with Session(connection) as session:
            _write_lines(folder / "feedback" / FILE, lines_of(session))
            log = AuditTable.recorded(session)
            _write_lines(folder / "feedback" / LOG, iter(log.lines))
            number, sha256 = log.head()
        if number:
            (folder / "feedback" / HEAD).write_text(f"{number} {sha256}\n", encoding="ascii")


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _write_index(folder: Path, origin: Origin) -> None:
    (folder / INDEX).parent.mkdir(exist_ok=True)
    engine = sqlite_engine(f"sqlite:///{folder / INDEX}")
    try:
        prepare(engine, Workspace(folder), upgrade=False)
        with engine.begin() as connection:
            insert_rows(connection, origin)
        with engine.connect() as connection:
            compare_rows(connection, origin)
    except DifferError as error:
        raise OslerError(
            Code.DATABASE_INVALID,
            f"The table {error.table} did not read back as the server holds it, from row {error.row} on.",
            "Make another copy onto another disk; if that fails alike, copy the server with pg_dump and tell us.",
        ) from error
    finally:
        engine.dispose()
    (folder / INDEX).with_name(UPGRADE_LOCK).unlink(missing_ok=True)


def _write_lines(path: Path, lines: Iterator[bytes]) -> None:
    """Write lines, and no file where there are none."""
    if (first := next(lines, None)) is None:
        return
    with path.open("wb") as stream:
        stream.write(first)
        stream.writelines(lines)
