"""Tables of the index. Every value in them is a pseudonym, a hash, a code or a figure."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from osler.database.base import Base, Words


class Study(Base):
    """A study, under its pseudonymous UID and with its shifted date."""

    __tablename__ = "studies"
    uid: Mapped[str] = mapped_column(Words(64), primary_key=True)
    site: Mapped[str] = mapped_column(Words(64), index=True)
    patient: Mapped[str] = mapped_column(Words(64), index=True)
    study_date: Mapped[str] = mapped_column(Words(8))
    instances: Mapped[list[Instance]] = relationship(back_populates="study", order_by="Instance.uid")


class Instance(Base):
    """An archived file; `source_sha256` is the content it came from, `sha256` its own.

    `decoder` is what decoded its pixels at the gate, with its version; empty for files of schema 1, which did not say.
    """

    __tablename__ = "instances"
    uid: Mapped[str] = mapped_column(Words(64), primary_key=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("studies.uid"), index=True)
    series_uid: Mapped[str] = mapped_column(Words(64))
    path: Mapped[str] = mapped_column(Words(255))
    source_sha256: Mapped[str] = mapped_column(Words(64), unique=True)
    sha256: Mapped[str] = mapped_column(Words(64))
    modality: Mapped[str] = mapped_column(Words(16))
    view: Mapped[str] = mapped_column(Words(16))
    eligible_frontal: Mapped[bool]
    acquired: Mapped[str] = mapped_column(Words(32))
    rows: Mapped[int]
    columns: Mapped[int]
    transfer_syntax: Mapped[str] = mapped_column(Words(64))
    photometric: Mapped[str] = mapped_column(Words(16))
    decoder: Mapped[str] = mapped_column(Words(128), default="", server_default="")
    warnings: Mapped[list[str]] = mapped_column(JSON)
    study: Mapped[Study] = relationship(back_populates="instances")


class Run(Base):
    """One run of `osler ingest`; `finished` stays empty where it was killed."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(Words(64))
    contract: Mapped[str] = mapped_column(Words(64))
    started: Mapped[str] = mapped_column(Words(32))
    finished: Mapped[str | None] = mapped_column(Words(32))


class Intake(Base):
    """One received file of one run, whatever became of it. Names of files are not kept: they name patients."""

    __tablename__ = "intake"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    source_sha256: Mapped[str] = mapped_column(Words(64), index=True)
    outcome: Mapped[str] = mapped_column(Words(16))
    code: Mapped[str] = mapped_column(Words(64))
    detail: Mapped[str] = mapped_column(Words())


class Label(Base):
    """A value that came with a study in a table of labels."""

    __tablename__ = "labels"
    study_uid: Mapped[str] = mapped_column(Words(64), primary_key=True)
    name: Mapped[str] = mapped_column(Words(128), primary_key=True)
    value: Mapped[str] = mapped_column(Words())


class Report(Base):
    """The report that came with a study."""

    __tablename__ = "reports"
    study_uid: Mapped[str] = mapped_column(Words(64), primary_key=True)
    text: Mapped[str] = mapped_column(Words())
