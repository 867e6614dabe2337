"""The reviews in a database that several machines share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, or_, select, text, update
from sqlalchemy.orm import Session

from osler.database.models import Fact, ReviewLine
from osler.database.stamps import touch
from osler.database.transactions import transaction
from osler.feedback.store import REDACTED, Held, encoded

LOCK = "reviews"
CHANGED = "reviews-redacted"


@dataclass(frozen=True)
class ReviewTable:
    """The reviews in a table; see `osler.feedback.store.ReviewStore`."""

    engine: Engine

    @contextmanager
    def appending(self) -> Iterator[Held]:
        """Hold the table: numbers are given in the order in which lines are seen."""
        with transaction(self.engine, lock=LOCK) as session:
            yield _HeldTable(session)

    def read(self) -> bytes:
        """Return all lines."""
        with Session(self.engine) as session:
            return b"".join(lines_of(session))

    def stamp(self) -> tuple[object, ...]:
        """Return the number of the last line, and a mark of the last redaction."""
        with Session(self.engine) as session:
            last = session.scalar(select(func.max(ReviewLine.number)))
            return last or 0, session.scalar(select(Fact.value).where(Fact.name == CHANGED)) or ""

    def redact(self, names: Sequence[str]) -> int:
        """Overwrite lines that hold one of the names."""
        if not names:
            return 0
        with transaction(self.engine, lock=LOCK) as session:
            named = or_(*(ReviewLine.line.contains(name, autoescape=True) for name in names))
            changed = select(ReviewLine.number).where(named)
            numbers = list(session.scalars(changed))
            if numbers:
                emptied = update(ReviewLine).where(ReviewLine.number.in_(numbers))
                session.execute(emptied.values(line=REDACTED.decode(), study=""))
                touch(session, CHANGED)
        if numbers and self.engine.dialect.name == "postgresql":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM FULL reviews"))  # else the old rows stay in the table's pages
        return len(numbers)


@dataclass(frozen=True)
class _HeldTable:
    session: Session

    def lines(self, study: str) -> bytes:
        """Return the lines of a study."""
        chosen = select(ReviewLine.line).where(ReviewLine.study == study).order_by(ReviewLine.number)
        return _joined(self.session.scalars(chosen))

    def append(self, study: str, record: Mapping[str, Any]) -> None:
        """Add a line."""
        self.session.add(ReviewLine(study=study, line=encoded(record)))
        self.session.flush()


def lines_of(session: Session) -> Iterator[bytes]:
    """Return all lines as a session sees them, each with its end."""
    query = select(ReviewLine.line).order_by(ReviewLine.number).execution_options(yield_per=2000)
    return (line.encode() + b"\n" for line in session.scalars(query))


def _joined(lines: Iterator[str]) -> bytes:
    return b"".join(line.encode() + b"\n" for line in lines)
