"""Which studies were deleted on purpose: a PACS that sends one again must not bring it back.

Kept is a hash of each study's pseudonym, which says nothing to who does not know that pseudonym, and the day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from osler.database.models import Fact

KIND = "deleted:"


def note_deleted(session: Session, studies: Iterable[str]) -> None:
    """Note, within a transaction, that studies were deleted.

    Args:
        session: The transaction.
        studies: Pseudonymous UIDs.
    """
    today = datetime.now(UTC).date().isoformat()
    for study in studies:
        session.merge(Fact(name=_name(study), value=today))


def deleted_on(session: Session, study: str) -> str | None:
    """Return the day on which a study was deleted, ISO 8601 in UTC; None where it was not."""
    held = session.get(Fact, _name(study))
    return None if held is None else held.value


def undo_deleted(session: Session, study: str) -> bool:
    """Let a study come in again, within a transaction; return whether it had been deleted."""
    held = session.get(Fact, _name(study))
    if held is not None:
        session.delete(held)
    return held is not None


def _name(study: str) -> str:
    return KIND + hashlib.sha256(f"osler deleted {study}".encode()).hexdigest()[:48]
