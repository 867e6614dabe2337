"""The Open-i reports: their text, the findings that experts indexed them with, and a split fixed once by a hash.

The reports are those of Indiana University (Open-i, chest radiographs). Experts indexed each with MeSH headings, one
`Heading/qualifier/...` after another. A reference label is "the report has one of the finding's headings". The headings
are never read by what is measured here: findings and impression are.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.modifiers import Side, together

SPLIT_SALT = "osler-openi-1"
Half = Literal["development", "reporting"]
HALVES: tuple[Half, Half] = ("development", "reporting")
COLUMNS = ("uid", "mesh_major", "findings", "impression")

# Finding -> headings; after a slash, a qualifier that must be among the heading's.
FINDINGS: Mapping[str, tuple[str, ...]] = {
    "cardiomegaly": ("Cardiomegaly",),
    "atelectasis": ("Pulmonary Atelectasis",),
    "pleural_effusion": ("Pleural Effusion",),
    "granuloma": ("Calcified Granuloma", "Granuloma", "Granulomatous Disease"),
    "scoliosis": ("Scoliosis",),
    "emphysema": (
        "Emphysema",
        "Pulmonary Emphysema",
        "Bullous Emphysema",
        "Subcutaneous Emphysema",
        "Mediastinal Emphysema",
    ),
    "nodule": ("Nodule",),
    "opacity": ("Opacity",),
    "airspace_disease": ("Airspace Disease", "Infiltrate", "Consolidation"),
    "cicatrix": ("Cicatrix",),
    "indwelling_catheter": ("Catheters, Indwelling",),
    "degenerative_spine": ("Spondylosis", "Osteophyte", "Thoracic Vertebrae/degenerative", "Spine/degenerative"),
}
RARE_FINDINGS: Mapping[str, tuple[str, ...]] = {
    "pneumothorax": ("Pneumothorax",),
    "pulmonary_edema": ("Pulmonary Edema",),
    "hiatal_hernia": ("Hernia, Hiatal",),
}

# Findings that are on one side or on both.
SIDED = ("atelectasis", "pleural_effusion", "granuloma", "nodule", "opacity", "airspace_disease", "cicatrix")
_SIDES: Mapping[str, Side] = {"left": "left", "lingula": "left", "right": "right", "bilateral": "bilateral"}


@dataclass(frozen=True)
class IndexedReport:
    """A report: its identifier, findings and impression as one text, and its MeSH headings with their qualifiers."""

    uid: str
    text: str
    headings: tuple[str, ...]


def half_of(uid: str) -> Half:
    """Return the half of a report: the parity of a hash of its identifier, so that it never changes."""
    return HALVES[hashlib.sha256(f"{SPLIT_SALT}:{uid}".encode()).digest()[0] % 2]


def read_openi(path: Path) -> list[IndexedReport]:
    """Return the reports of the table in its order.

    Raises:
        OslerError: `source-missing` where the table is not there; `table-invalid` where it lacks a column.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, "The table of reports is not there.", "Name openi_reports.csv.")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if lacking:
            raise OslerError(Code.TABLE_INVALID, f"The table lacks {', '.join(lacking)}.", "Name openi_reports.csv.")
        return [_report(row) for row in rows]


def _report(row: Mapping[str, str]) -> IndexedReport:
    text = f"FINDINGS: {row['findings'].strip()}\nIMPRESSION: {row['impression'].strip()}"
    headings = tuple(" ".join(part.split()) for part in row["mesh_major"].split(";") if part.strip())
    return IndexedReport(row["uid"], text, headings)


def split_digest(reports: Iterable[IndexedReport], half: Half) -> str:
    """Return the SHA-256 of the sorted identifiers of a half, by which a split is recognised."""
    uids = sorted(report.uid for report in reports if half_of(report.uid) == half)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


def indexed(report: IndexedReport, wanted: Sequence[str]) -> bool:
    """Say whether a report has one of the headings, with its qualifier where one is named."""
    return any(_matches(heading, wanted) for heading in report.headings)


def _matches(heading: str, wanted: Sequence[str]) -> bool:
    name, *qualifiers = heading.split("/")
    for want in wanted:
        head, _, qualifier = want.partition("/")
        if name.lower() == head.lower() and (not qualifier or qualifier in qualifiers):
            return True
    return False


def reference(reports: Sequence[IndexedReport], findings: Mapping[str, Sequence[str]]) -> NDArray[np.bool_]:
    """Return which report is indexed with which finding (n, F)."""
    return np.array([[indexed(one, wanted) for wanted in findings.values()] for one in reports], bool)


def indexed_side(report: IndexedReport, wanted: Sequence[str]) -> Side | None:
    """Return the side that the qualifiers of the finding's headings name; the lingula is on the left."""
    sides: set[Side] = set()
    for heading in report.headings:
        if _matches(heading, wanted):
            sides |= {_SIDES[qualifier] for qualifier in heading.split("/")[1:] if qualifier in _SIDES}
    return together(sides) if sides else None
