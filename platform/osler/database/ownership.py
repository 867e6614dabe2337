"""One database, one workspace: neither an empty database nor another's is taken for the workspace's own."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from osler.database.models import Fact
from osler.database.schema import UPGRADE_LOCK
from osler.database.transactions import transaction
from osler.database_address import Address, Setting, read_setting, write_setting
from osler.files import locked
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

MARK = "workspace"
FILES = ("archive/index.sqlite", "feedback/reviews.jsonl", "feedback/audit.jsonl")


def claim(engine: Engine, workspace: Workspace, address: Address) -> None:
    """Check that a database is the workspace's, or mark it as such where both are new.

    Args:
        engine: The database, with its tables.
        workspace: The workspace.
        address: Where the database is; noted, so that the workspace finds it again without the environment.

    Raises:
        OslerError: `database-invalid` where one of the two knows another, or the workspace keeps its records in files.
    """
    setting = read_setting(workspace)
    if setting is not None and setting.claimed:
        with Session(engine) as session:
            _check(setting, _mark(session))
        return
    with locked(workspace.archive / UPGRADE_LOCK), transaction(engine, lock=MARK) as session:
        setting = read_setting(workspace)  # another process may have been faster
        held = _mark(session)
        ours = setting is not None and held == setting.id
        new = held is None and not (setting is not None and setting.claimed)
        if not ours and not new:
            _check(setting, held)
        if setting is None and any((workspace.root / name).exists() for name in FILES):
            raise _invalid(
                "This workspace keeps its records in files, and a database is named.",
                "Move them with `osler archive move-database`, or unset OSLER_DATABASE_URL.",
            )
        mark = setting.id if setting is not None else uuid4().hex
        if held is None:
            # Noted before and after: whichever of the two a crash prevents, the next start completes it.
            write_setting(workspace, Setting(address.text, mark, claimed=False))
            session.add(Fact(name=MARK, value=mark))
            session.commit()
        write_setting(workspace, Setting(address.text, mark))


def _mark(session: Session) -> str | None:
    return session.scalar(select(Fact.value).where(Fact.name == MARK))


def _check(setting: Setting | None, held: str | None) -> None:
    if held is None:
        raise _invalid(
            "The database is empty, and this workspace has used one.", "Name that one, or restore it from its backup."
        )
    if setting is None or held != setting.id:
        raise _invalid(
            "The database belongs to another workspace.",
            f"Name this workspace's own. If it is its own, and database.json was lost, restore that file: its mark is {held}.",
        )


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.DATABASE_INVALID, message, mend)
