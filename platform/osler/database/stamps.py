"""When something was written last: what was read is read again once that has changed."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy.orm import Session

from osler.database.engine import open_database
from osler.database.models import Fact
from osler.database_address import address_of
from osler.files import file_stamp
from osler.workspace import Workspace

INDEX = "index-written"


def index_stamp(workspace: Workspace) -> tuple[object, ...]:
    """Return something that changes with each change to the index."""
    if address_of(workspace) is not None:
        with Session(open_database(workspace)) as session:
            fact = session.get(Fact, INDEX)
            return ("" if fact is None else fact.value,)
    return file_stamp(*(workspace.archive / f"index.sqlite{end}" for end in ("", "-journal", "-wal")))


def touch(session: Session, name: str = INDEX) -> None:
    """Say, within a transaction, that it changes something; not on SQLite, whose file says so."""
    if session.get_bind().dialect.name != "sqlite":
        session.merge(Fact(name=name, value=uuid4().hex))
