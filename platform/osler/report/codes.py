"""The coding scheme 99OSLER: every code that Osler's reports use and no terminology has, with values that never change.

Codes of concepts and findings are made from their identifiers, so that another bank with the same concept has the same
code; standard codes that a bank brings go with them as equivalents (PS3.3 8.9, PS3.16 TID 1500).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

SCHEME = "99OSLER"
SCHEME_UID = "2.25.188743029114536042790581167934521708263"
SCHEME_NAME = "Osler concept bottlenecks"
LONGEST_MEANING = 64  # characters of an LO (PS3.5 6.2)
# How banks name terminologies, folded, and their designators (PS3.16 8).
DESIGNATORS = {"radlex": "RADLEX", "snomedct": "SCT", "snomed": "SCT", "sct": "SCT", "umls": "UMLS", "ncit": "NCIt"}
# Findings that DICOM's own dictionary codes.
_KNOWN = {"heart_failure": codes.SCT.HeartFailure, "normal": codes.SCT.Normal}


class Own(Enum):
    """Codes of our own, by meaning. A value is never given to another meaning."""

    FINDING = ("OSL-100", "Finding of the model")
    RAW_PROBABILITY = ("OSL-101", "Raw probability")
    CALIBRATED_PROBABILITY = ("OSL-102", "Calibrated probability")
    OPERATING_POINT = ("OSL-103", "Operating point")
    DECISION = ("OSL-104", "Decision at the operating point")
    PREDICTION_SET = ("OSL-105", "Prediction set")
    ABSTENTION = ("OSL-106", "Abstention")
    RUNNER_UP = ("OSL-107", "Class that came next")
    CALIBRATION = ("OSL-108", "Calibration")
    CONCEPT_PROBABILITY = ("OSL-200", "Probability that the concept is present")
    CONCEPT_EFFECT = ("OSL-201", "Effect on the finding")
    CITATION = ("OSL-202", "Supports the general association; not evidence from patient")
    GROUNDING = ("OSL-203", "How well the concept is recognised at this site")
    LOCATION = ("OSL-204", "Location of the concept")
    STATE = ("OSL-205", "State of the concept at this site")
    CONFLICT = ("OSL-206", "Conflict with the text")
    IGNORED = ("OSL-300", "Ignored at this site")
    CALLED = ("OSL-301", "Called")
    NOT_CALLED = ("OSL-302", "Not called")
    NO_OPERATING_POINT = ("OSL-303", "No operating point")
    NOTICE = ("OSL-400", "Notice")
    WARNING = ("OSL-401", "Warning")
    PATCH = ("OSL-402", "Correction for this site")
    READER_CORRECTION = ("OSL-403", "Correction by a reader")
    SIGNATURE = ("OSL-404", "Review by a reader")
    READER_FINDING = ("OSL-406", "Finding that the reader leaves the study with")
    READER_COMMENT = ("OSL-407", "Comment of the reader")
    READER_ANSWER = ("OSL-408", "What the reader says of the concept")
    REPLACES = ("OSL-409", "Replaces an earlier report")
    RESIDUAL = ("OSL-405", "Part of the decision that no concept explains")

    @property
    def code(self) -> CodedConcept:
        """The code as a content item holds it."""
        value, meaning = self.value
        return CodedConcept(value, SCHEME, meaning)


# Values of a qualitative evaluation (PS3.16 CID 240), and our own for what a patch leaves aside: it is never "absent".
SEEN = {"present": codes.SCT.Present, "absent": codes.cid240.Absent, "uncertain": codes.SCT.Undetermined}
DECISIONS = {
    "called": Own.CALLED,
    "not called": Own.NOT_CALLED,
    "no operating point": Own.NO_OPERATING_POINT,
}


def seen_code(seen: str) -> CodedConcept:
    """Return the value of a concept's evaluation: `present`, `absent`, `uncertain` or `ignored`."""
    return Own.IGNORED.code if seen == "ignored" else CodedConcept.from_code(SEEN[seen])


def concept_code(concept_id: str, name: str, known: Mapping[str, str] | None = None) -> CodedConcept:
    """Return a concept's code, with the standard ones that its bank brings as equivalents."""
    return _coded(f"concept:{concept_id}", "C", name, _equivalents(name, known or {}))


def finding_code(finding: str) -> CodedConcept:
    """Return the code of a class of the model."""
    known = _KNOWN.get(finding)
    standard = [] if known is None else [(known.value, known.scheme_designator, known.meaning)]
    return _coded(f"finding:{finding}", "F", readable(finding), standard)


def readable(identifier: str) -> str:
    """Return an identifier in words: `heart_failure` is `heart failure`."""
    return identifier.replace("_", " ").strip() or identifier


def meaning_of(text: str) -> str:
    """Return a text as a code meaning may be: one line of at most 64 characters without a backslash (VR LO)."""
    line = " ".join("".join(one if one.isprintable() and one != "\\" else " " for one in text).split()) or "unnamed"
    return line if len(line) <= LONGEST_MEANING else line[: LONGEST_MEANING - 3].rstrip() + "..."


def scheme_identification() -> Dataset:
    """Return the item of the Coding Scheme Identification Sequence that says what 99OSLER is (PS3.3 C.12.1.1.8)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = SCHEME_UID
    item.CodingSchemeName = SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = "Osler"
    return item


def _equivalents(name: str, known: Mapping[str, str]) -> list[tuple[str, str, str]]:
    found = []
    for system, value in sorted(known.items()):
        designator = DESIGNATORS.get(re.sub(r"[\W_]+", "", system.casefold()))
        if designator and re.fullmatch(r"[A-Za-z0-9.\-_]{1,16}", value):
            found.append((value, designator, meaning_of(name)))
    return found


def _coded(key: str, letter: str, name: str, equivalents: list[tuple[str, str, str]]) -> CodedConcept:
    value = letter + hashlib.sha256(key.encode()).hexdigest()[:12].upper()
    code = CodedConcept(value, SCHEME, meaning_of(name))
    if equivalents:
        code.EquivalentCodeSequence = [CodedConcept(*one) for one in equivalents]
    return code
