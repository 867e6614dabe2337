"""Tables of the watch. Every value in them is a pseudonym, a hash, a code, a figure, or sealed."""

from __future__ import annotations

from sqlalchemy import Float
from sqlalchemy.orm import Mapped, mapped_column

from osler.database.base import Base, Words


class WatchStudy(Base):
    """A study on its way; see `osler.watch.records.Watched`."""

    __tablename__ = "watch_studies"
    uid: Mapped[str] = mapped_column(Words(64), primary_key=True)
    sealed: Mapped[str] = mapped_column(Words(255))
    stage: Mapped[str] = mapped_column(Words(16), index=True)
    title: Mapped[str] = mapped_column(Words(64), default="")
    site: Mapped[str] = mapped_column(Words(64), default="")
    mark: Mapped[str] = mapped_column(Words(64), default="")
    version: Mapped[int] = mapped_column(default=1)
    looked: Mapped[int] = mapped_column(default=0)
    listed: Mapped[str] = mapped_column(Words(64), default="")
    pending: Mapped[str] = mapped_column(Words(64), default="")
    revision: Mapped[str] = mapped_column(Words(64), default="")
    content: Mapped[str] = mapped_column(Words(), default="")
    reports: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    code: Mapped[str] = mapped_column(Words(64), default="")
    reason: Mapped[str] = mapped_column(Words(), default="")
    seen: Mapped[float] = mapped_column(Float)
    touched: Mapped[float] = mapped_column(Float)
    due: Mapped[float] = mapped_column(Float, index=True)
    settled: Mapped[float] = mapped_column(Float, default=0.0)


class WatchStep(Base):
    """One step of one study, as it was done; rows are only added."""

    __tablename__ = "watch_steps"
    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(Words(64), index=True)
    step: Mapped[str] = mapped_column(Words(16))
    at: Mapped[float] = mapped_column(Float)
    detail: Mapped[str] = mapped_column(Words(255), default="")


class WatchCursor(Base):
    """How far a feed was followed."""

    __tablename__ = "watch_cursors"
    feed: Mapped[str] = mapped_column(Words(255), primary_key=True)
    cursor: Mapped[str] = mapped_column(Words(255))
