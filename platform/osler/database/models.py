"""Tables of the database itself: facts about it, and the reviews and the audit log where no files hold them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Mapped, mapped_column

from osler.database.base import Base, Words


class Fact(Base):
    """A fact about the database: the mark of the archive's key, of the workspace, of the last change to the index, and of what was deleted."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(Words(64), primary_key=True)
    value: Mapped[str] = mapped_column(Words(255))


class ReviewLine(Base):
    """A line of the file of reviews, as JSON; `study` finds the lines of one study."""

    __tablename__ = "reviews"
    number: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(Words(64), index=True)
    line: Mapped[str] = mapped_column(Words())


class AuditLine(Base):
    """An entry of the audit log, as its line of canonical JSON without the line's end."""

    __tablename__ = "audit_entries"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[str] = mapped_column(Words())


class AuditHead(Base):
    """Number and hash of the last entry of the audit log; one row."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(Words(64))


# An entry is never changed: a program that tries by mistake is stopped here, and whoever takes the rule away is found by the chain.
APPEND_ONLY = (
    """
CREATE OR REPLACE FUNCTION audit_entries_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'entries of the audit log are never changed' USING ERRCODE = '42501'; END $$
""",
    """
CREATE TRIGGER audit_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final()
""",
)


def _protect(_table: Any, connection: Connection, **_: Any) -> None:
    if connection.dialect.name == "postgresql":
        for statement in APPEND_ONLY:
            connection.execute(text(statement))


event.listen(AuditLine.__table__, "after_create", _protect)
