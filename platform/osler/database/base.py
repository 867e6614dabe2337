"""What every table is made with, so that SQLite and PostgreSQL keep and order the same text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, String, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

REPLACEMENT = "\ufffd"


class Base(DeclarativeBase):
    """Base of all tables."""


class Words(TypeDecorator[str]):
    """Text of any origin: what one of the databases cannot keep is replaced before it is written.

    PostgreSQL knows no NUL, and neither knows half of a surrogate pair. It orders by the language of the server unless told
    otherwise, and refuses what is longer than a column says, which SQLite never did: there it is text of any length.

    Args:
        length: What a value is expected to have at most; None for free text.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Return how a database declares it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Text(collation="C"))
        return dialect.type_descriptor(Text() if self.length is None else String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is written."""
        return None if value is None else clean(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return what is read, as it is."""
        return None if value is None else str(value)


def clean(text: str) -> str:
    """Return a text without NUL and lone surrogates."""
    if text.isascii():
        return text.replace("\0", REPLACEMENT)
    return "".join(REPLACEMENT if one == "\0" or "\ud800" <= one <= "\udfff" else one for one in text)
