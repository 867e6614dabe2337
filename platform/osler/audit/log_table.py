"""The audit log in a database that several machines share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from osler.audit.entry import START, Entry, parse
from osler.audit.store import Recorded, check_end
from osler.database.models import AuditHead, AuditLine
from osler.database.transactions import transaction

KEEP = "keep a dump of the database as evidence, and ask its administrator"
LOCK = "audit"


@dataclass(frozen=True)
class AuditTable:
    """The log in tables; see `osler.audit.store.AuditStore`.

    Line and head are written in one transaction, so that no crash leaves one without the other.
    """

    engine: Engine

    @contextmanager
    def appending(self) -> Iterator[_End]:
        """Hold the log."""
        with transaction(self.engine, lock=LOCK) as session:
            row = session.scalar(select(AuditLine).order_by(AuditLine.number.desc()).limit(1))
            entry = None if row is None else parse(row.line.encode())
            check_end([entry], empty=row is None, head=_head(session), ahead=0, keep=KEEP)
            yield _End(session, *((entry.number, entry.sha256) if entry else (0, START)))

    @contextmanager
    def snapshot(self) -> Iterator[Recorded]:
        """Give the log as it is at one moment."""
        with Session(self.engine.execution_options(isolation_level="REPEATABLE READ")) as session:
            yield self.recorded(session)

    @staticmethod
    def recorded(session: Session) -> Recorded:
        """Return the log as a session sees it."""
        head = _head(session)
        query = select(AuditLine.line).order_by(AuditLine.number).execution_options(yield_per=2000)
        return Recorded((line.encode() + b"\n" for line in session.scalars(query)), lambda: head)

    def stamp(self) -> tuple[object, ...]:
        """Return something that changes with each entry."""
        with Session(self.engine) as session:
            return _head(session)


@dataclass
class _End:
    """The last entry, in the transaction that adds to it."""

    session: Session
    number: int
    sha256: str

    def append(self, *entries: Entry) -> None:
        """Add entries and bring the head up."""
        lines = [AuditLine(number=one.number, line=one.line().rstrip(b"\n").decode()) for one in entries]
        self.session.add_all(lines)
        self.number, self.sha256 = entries[-1].number, entries[-1].sha256
        self.session.merge(AuditHead(id=1, number=self.number, sha256=self.sha256))
        self.session.flush()


def _head(session: Session) -> tuple[int, str]:
    row = session.get(AuditHead, 1)
    return (0, START) if row is None else (row.number, row.sha256)
