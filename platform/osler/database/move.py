"""Moving the records of a workspace from its files into a server: all of them or none, compared row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.orm import Session

from osler import audit
from osler.audit.log_files import AuditFiles
from osler.audit.log_table import AuditTable
from osler.database.base import clean
from osler.database.engine import open_database, postgres_engine, sqlite_engine
from osler.database.models import Fact
from osler.database.ownership import MARK
from osler.database.rows import DifferError, Origin, Rows, compare_rows, index_rows, insert_rows
from osler.database.schema import check_revision, prepare, revision_of, tables
from osler.database_address import Address, Setting, read_setting, write_setting
from osler.feedback.store import FILE, ReviewFile
from osler.files import move_synced, only_writer, write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

BEGUN = "database.moving.json"
KEPT = "before-move"


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Attributes:
        database: Where to.
        rows: Number of rows, by table; each was compared with its origin.
        audit_head: Number and hash of the last entry of the audit log, equal on both sides.
        kept: Folder within the workspace that holds the files of before.
    """

    database: str
    rows: Mapping[str, int]
    audit_head: str
    kept: str


def move_to_server(workspace: Workspace, address: Address, *, actor: str) -> Moved:
    """Move index, reviews and audit log into an empty database. Whatever stops it, the files or the database have all.

    Args:
        workspace: Keeps its records in files; no service works on it meanwhile.
        address: The database.
        actor: Who does it, for the audit log.

    Raises:
        OslerError: `database-invalid` where the workspace uses one already or the database is not empty; `audit-broken` where
            the log is not sound; `workspace-occupied`; what the database fails at.
    """
    audit.check_words(actor, "actor", audit.MAX_ACTOR)
    if read_setting(workspace) is not None:
        if (workspace.root / BEGUN).exists():
            return _completed(workspace, address, actor)
        raise _invalid("This workspace keeps its records in a database already.", "Move a database with pg_dump.")
    source, target = sqlite_engine(workspace.index_url), postgres_engine(address)
    log = AuditFiles(workspace)
    prepare(source, workspace, upgrade=True)
    prepare(target, workspace, upgrade=False)
    reviews = ReviewFile(workspace)
    # Under all three locks nobody adds to what is being moved. The mark is noted first, so that a move whose last step was
    # prevented knows its own work again.
    with only_writer(workspace.archive), reviews.appending(), log.appending() as end:
        mark = _begun(workspace)
        origin = {**index_rows(source), **_line_rows(workspace, reviews, (end.number, end.sha256))}
        with target.begin() as connection:
            held = connection.scalar(select(Fact.value).where(Fact.name == MARK))
            if held != mark:
                _check_empty(connection)
                _copy(connection, origin)
                connection.execute(insert(Fact).values(name=MARK, value=mark))
            rows = _compare(connection, origin)
            _check_chain(connection, (end.number, end.sha256))
        write_setting(workspace, Setting(address.text, mark))
        source.dispose()
        _set_aside(workspace)
    target.dispose()
    audit.record(
        workspace, actor=actor, action="archive.move-database", subject="records", details={"to": address.shown}
    )
    return Moved(address.shown, rows, f"{end.number}:{end.sha256}", KEPT)


def _completed(workspace: Workspace, address: Address, actor: str) -> Moved:
    """Put the files away that a move left in place when it was stopped after the workspace had named its database."""
    _set_aside(workspace)
    audit.record(
        workspace, actor=actor, action="archive.move-database", subject="records", details={"to": address.shown}
    )
    with open_database(workspace).connect() as connection:
        rows = {
            table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in tables().sorted_tables
        }
    found = audit.verify(workspace)
    return Moved(address.shown, rows, f"{found.count}:{found.head}", KEPT)


def _line_rows(workspace: Workspace, reviews: ReviewFile, end: tuple[int, str]) -> Origin:
    """Return, by table, what reads the lines of the files; a review that a crash cut off is no line."""

    def of_reviews() -> Rows:
        lines = [line for line in reviews.read().split(b"\n") if line.strip()]
        for number, line in enumerate(lines, 1):
            words = line.decode("utf-8", "replace")
            yield {"number": number, "study": clean(_study_of(words))[:64], "line": words}

    def of_audit() -> Rows:
        path = workspace.feedback / audit.LOG
        lines = path.read_bytes().splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            yield {"number": number, "line": line.decode("utf-8", "replace")}

    def of_head() -> Rows:
        if end[0]:
            yield {"id": 1, "number": end[0], "sha256": end[1]}

    return {"reviews": of_reviews, "audit_entries": of_audit, "audit_head": of_head}


def _study_of(line: str) -> str:
    try:
        return str(json.loads(line)["study"])
    except (ValueError, TypeError, KeyError):
        return ""


def _copy(connection: Connection, origin: Origin) -> None:
    insert_rows(connection, origin)
    for table in tables().sorted_tables:
        for column in table.primary_key.columns:
            name = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
            if name is not None:  # the next number follows the last one that was moved
                last = connection.scalar(select(func.max(column)))
                follow = text("SELECT setval(CAST(:name AS regclass), :last, :used)")
                connection.execute(follow, {"name": name, "last": last or 1, "used": last is not None})


def _compare(connection: Connection, origin: Origin) -> dict[str, int]:
    try:
        return compare_rows(connection, origin)
    except DifferError as error:
        raise _invalid(
            f"The table {error.table} is not what the files hold, from row {error.row} on; they stay in use.",
            "Make a new, empty database, and move into that.",
        ) from error


def check_new(address: Address) -> None:
    """Check that a database answers, is new or empty, and has the tables of this version of Osler.

    Raises:
        OslerError: `database-invalid`, `database-older`, `database-newer`; what the database fails at.
    """
    engine = postgres_engine(address)
    try:
        with engine.connect() as connection:
            if (found := revision_of(connection)) is not None:
                check_revision(found, upgrade=False)
                _check_empty(connection)
    finally:
        engine.dispose()


def _check_empty(connection: Connection) -> None:
    for table in tables().sorted_tables:
        if connection.scalar(select(func.count()).select_from(table)):
            raise _invalid(
                "The database holds records already.", "Name an empty one: createdb --owner=osler NAME makes it."
            )


def _check_chain(connection: Connection, end: tuple[int, str]) -> None:
    with Session(connection) as session:
        found = audit.verify_recorded(AuditTable.recorded(session), end if end[0] else None)
    if found.fault is not None:
        raise OslerError(
            Code.AUDIT_BROKEN,
            f"Entry {found.entry} of the audit log: {found.fault} Nothing was moved.",
            "Run `osler audit verify`; keep the log as evidence outside the workspace, then a new log begins.",
        )


def _begun(workspace: Workspace) -> str:
    """Return the mark of this move, of an earlier one that was stopped where there is one."""
    path = workspace.root / BEGUN
    if path.exists():
        return str(json.loads(path.read_bytes())["id"])
    mark = uuid4().hex
    write_atomically(path, json.dumps({"id": mark}).encode())
    return mark


def _set_aside(workspace: Workspace) -> None:
    """Move the files of before out of the way: nobody reads or writes them from here on."""
    kept = workspace.root / KEPT
    kept.mkdir(exist_ok=True)
    files = [*workspace.archive.glob("index.sqlite*"), workspace.feedback / FILE]
    files += [workspace.feedback / name for name in (audit.LOG, audit.HEAD)]
    for path in files:
        if path.exists():
            move_synced(path, kept / path.name)
    (workspace.root / BEGUN).unlink(missing_ok=True)


def kept_records(workspace: Workspace) -> list[Path]:
    """Return those files of before a move that hold records of studies; the audit log is not among them."""
    kept = workspace.root / KEPT
    return sorted([*kept.glob("index.sqlite*"), *kept.glob(FILE)])


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.DATABASE_INVALID, message, mend)
