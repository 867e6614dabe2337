"""Copies of a workspace: each a folder by its time, whole and checked, the files that did not change shared with the one before.

A copy is taken while people read and sign: databases by SQLite's own backup, the audit log between two
entries, so that whatever is written meanwhile is in the copy or after it, and never half. Only taking in studies waits.
The records of a workspace that keeps them in PostgreSQL are copied as the files that they would be without it, so that there
is one form of copy, and it comes back as files or into any PostgreSQL.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from osler.audit.log_files import HEAD, LOG, AuditFiles
from osler.database import Address, only_writer, open_database
from osler.database.move import check_new, move_to_server
from osler.database.schema import HEAD as SCHEMA
from osler.database.to_files import OF_SERVER, RECORDS, records_to_files
from osler.files import locked_lines, move_synced, write_synced
from osler.seals import SealError, opened, written
from osler.workspace import MARKER, Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

FORMAT, MANIFEST, CONTENT = "osler-backup/1", "backup.json", "workspace"
LOCK = ".lock"
LEFT_OUT = ("cache/", "watch/status.json")  # what can be derived again, and the sign of life of a process
COMPANIONS = ("-wal", "-shm", "-journal", ".lock", ".part")
SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Copied:
    """A copy.

    Attributes:
        folder: Where it is.
        files: Number of files.
        bytes: Their size.
        shared: How many of them are shared with the copy before.
    """

    folder: Path
    files: int
    bytes: int
    shared: int = 0


def make_backup(workspace: Workspace, into: Path) -> Copied:
    """Copy a workspace into a new folder below `into`.

    Raises:
        OslerError: `usage` where `into` lies in the workspace; `workspace-occupied` while studies are taken in; `disk-full`,
            `database-unreachable` and the like, and then nothing of the copy stays.
    """
    into = into.resolve()
    if into == workspace.root or workspace.root in into.parents:
        raise OslerError(Code.USAGE, "A copy inside the workspace goes down with it.", "Name a folder on another disk.")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    part = into / f".{stamp}.part"
    engine = open_database(workspace)
    try:
        into.mkdir(parents=True, exist_ok=True)
        with only_writer(workspace, engine), locked_lines(into / LOCK):
            for killed in into.glob(".*.part"):  # nobody else is at work here
                shutil.rmtree(killed)
            (part / CONTENT).mkdir(parents=True, mode=0o700)
            _copy_all(workspace, engine, part / CONTENT)
            held, shared = _entries(part / CONTENT, next(iter(reversed(backups(into))), None))
            made = {"format": FORMAT, "made": stamp, "osler": version("osler"), "schema": SCHEMA, "files": held}
            write_synced(part / MANIFEST, written(made))
            move_synced(part, into / stamp)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise from_os_error(error) from error
        raise
    return Copied(into / stamp, len(held), _size(held), shared)


def backups(into: Path) -> list[Path]:
    """Return the finished copies of a folder, the oldest first."""
    return sorted(path.parent for path in into.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))


def verify_backup(folder: Path) -> Copied:
    """Check every file of a copy.

    Raises:
        OslerError: `unreadable` for what is no copy; `backup-changed` with the file that is another, missing or too many.
    """
    held = _manifest(folder)["files"]
    _check_names(held, folder / CONTENT)
    _check_contents(held, folder / CONTENT)
    return Copied(folder, len(held), _size(held))


def restore_backup(folder: Path, to: Path, *, database: Address | None = None, actor: str = "") -> Copied:
    """Make a workspace of a copy, whole or not at all.

    Args:
        folder: The copy.
        to: A new folder, or an empty one.
        database: An empty PostgreSQL database for index, reviews and audit log; None to keep them in files, whatever they
            were kept in.
        actor: Who does it, for the audit log; needed with a database.

    Raises:
        OslerError: As `verify_backup`; `workspace-invalid` where something is at `to`; `database-newer` where a later version
            made the copy; `disk-full` and the like; what the database fails at, before anything is written or, where it
            fails later, with the workspace restored in files.
    """
    to = to.resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise OslerError(
            Code.WORKSPACE_INVALID, f"{to} is not empty.", "Name a new folder; what is there is not written over."
        )
    made = _manifest(folder)
    _check_known(made)
    if database is not None:
        check_new(database)
    _check_names(made["files"], folder / CONTENT)
    part = to.with_name(f".{to.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(folder / CONTENT, part)
        _check_contents(made["files"], part)  # what came back, so that nothing is read twice
        if to.exists():
            to.rmdir()
        move_synced(part, to)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise from_os_error(error) from error
        raise
    workspace = Workspace.open(to)
    if database is not None:
        _into_server(workspace, database, actor)
    return Copied(to, len(made["files"]), _size(made["files"]))


def _into_server(workspace: Workspace, database: Address, actor: str) -> None:
    try:
        move_to_server(workspace, database, actor=actor)
    except OslerError as error:
        raise OslerError(
            error.code,
            f"{error.message} The workspace is whole at {workspace.root}, with its records in files.",
            f"{error.mend} Then `osler archive move-database --workspace {workspace.root}` does the rest.",
        ) from error


def _check_known(made: Mapping[str, Any]) -> None:
    """Check that this version knows the tables of a copy; copies of before this was noted are older ones."""
    if made.get("schema", "") > SCHEMA:
        raise OslerError(
            Code.DATABASE_NEWER,
            f"Osler {made['osler']} made this copy with schema {made['schema']}, and this version ({version('osler')}) knows"
            f" schemas up to {SCHEMA}.",
            f"Install Osler {made['osler']} or a later one, and restore it with that.",
        )


def _copy_all(workspace: Workspace, engine: Engine, into: Path) -> None:
    """Copy the files of a workspace: records first, so that what they name is there when its turn comes."""
    ready = _copy_records(workspace, engine, into)
    for path in _files(workspace.root):
        name = path.relative_to(workspace.root).as_posix()
        if name in ready or name.startswith(LEFT_OUT) or name.endswith(COMPANIONS):
            continue
        with suppress(FileNotFoundError):  # it was taken away meanwhile, as a draft is that was signed
            _copy(path, into / name)


def _copy_records(workspace: Workspace, engine: Engine, into: Path) -> frozenset[str]:
    """Copy what is of one moment only together; return the names of the files that this settles."""
    if engine.dialect.name != "sqlite":
        records_to_files(engine, into)
        return RECORDS | OF_SERVER
    pair = [workspace.feedback / LOG, workspace.feedback / HEAD]
    with AuditFiles(workspace).reading():  # log and head agree between two entries alone
        for path in filter(Path.is_file, pair):
            _copy(path, into / path.relative_to(workspace.root))
    return frozenset(path.relative_to(workspace.root).as_posix() for path in pair)


def _entries(copied: Path, before: Path | None) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the files of a new copy by name, and how many of them are now those of the copy before."""
    former = _former(before)
    held, shared = {}, 0
    for path in _files(copied):
        name = path.relative_to(copied).as_posix()
        digest = _sha256(path)
        if before is not None and former.get(name, {}).get("sha256") == digest:
            shared += _share(before / CONTENT / name, path, digest)
        held[name] = {"sha256": digest, "bytes": path.stat().st_size}
    return held, shared


def _former(before: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """Return the files of the copy before, none where it is damaged: that must not keep a new copy from being made."""
    try:
        return {} if before is None else _manifest(before)["files"]
    except OslerError:
        return {}


def _share(former: Path, target: Path, digest: str) -> bool:
    """Put a link to a file of the copy before in place of an equal one; keep the new one where that cannot be."""
    link = target.with_name(f"{target.name}.link")
    try:
        if _sha256(former) != digest or former.stat().st_mode != target.stat().st_mode:
            return False
        os.link(former, link)
        link.replace(target)
    except OSError:
        link.unlink(missing_ok=True)
        return False
    return True


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream:
        database = stream.read(len(SQLITE)) == SQLITE
    if not database:
        shutil.copyfile(path, target)
        shutil.copymode(path, target)  # accounts and tokens are refused where others may read them
        return
    with closing(sqlite3.connect(path, timeout=30)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    shutil.copymode(path, target)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_names(held: Mapping[str, Any], content: Path) -> None:
    found = {path.relative_to(content).as_posix() for path in _files(content)}
    for name in sorted(held.keys() ^ found):
        raise _changed(f"{name} is {'missing' if name in held else 'not of this copy'}")


def _check_contents(held: Mapping[str, Mapping[str, Any]], content: Path) -> None:
    for name, one in held.items():
        if _sha256(content / name) != one["sha256"]:
            raise _changed(f"{name} is not what was copied")


def _size(held: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(one["bytes"] for one in held.values())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        made = opened((folder / MANIFEST).read_bytes(), FORMAT)
        if MARKER not in made["files"]:
            raise ValueError("no workspace")
        return made
    except SealError as error:
        raise _changed(f"{MANIFEST} was changed") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OslerError(
            Code.UNREADABLE,
            f"{folder} is no copy of a workspace that this version of Osler knows.",
            "Name a folder that `osler backup make` wrote: `osler backup list` names them.",
        ) from error


def _changed(what: str) -> OslerError:
    return OslerError(
        Code.BACKUP_CHANGED, f"The copy is damaged: {what}.", "Use another copy: `osler backup list` names them."
    )
