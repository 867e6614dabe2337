"""What the archive answers with: plain records, free of the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    """What became of a received file; each has exactly one."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class InstanceRecord:
    """One archived image.

    Attributes:
        uid: Pseudonymous SOP Instance UID.
        path: The de-identified file.
        sha256: Hash of that file.
        modality: Modality (0008,0060).
        view: View such as PA, AP or LL, empty where the header does not say.
        eligible_frontal: Whether a frontal model may see it.
        acquired: Shifted date and time of acquisition as digits, for ordering.
        rows: Height in pixels.
        columns: Width in pixels.
        transfer_syntax: Transfer Syntax UID.
        photometric: Photometric Interpretation.
        decoder: What decoded its pixels at the gate, with its version; empty where the index is too old to say.
    """

    uid: str
    path: Path
    sha256: str
    modality: str
    view: str
    eligible_frontal: bool
    acquired: str
    rows: int
    columns: int
    transfer_syntax: str
    photometric: str
    decoder: str = ""


@dataclass(frozen=True)
class StudyRecord:
    """One study with its images, labels and report; `study_date` is shifted, `patient` a pseudonym."""

    uid: str
    site: str
    patient: str
    study_date: str
    instances: tuple[InstanceRecord, ...]
    labels: Mapping[str, str]
    report: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class IntakeRecord:
    """What became of one received file."""

    source_sha256: str
    outcome: Outcome
    code: str
    detail: str
