"""Reading one of our SRs back, for `osler report show` and for tests: what it says, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from osler.dicom.refusals import from_header_error, refusing
from osler.report.codes import SCHEME
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_QUIET = frozenset({"Tracking Unique Identifier", "Source of Measurement"})
_GROUP = "Measurement Group"


@dataclass(frozen=True)
class Group:
    """One measurement group: its name, and what it says by name of the item, in order."""

    name: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shown:
    """An SR as read back.

    Attributes:
        patient: Patient ID.
        study: Study Instance UID.
        sop_uid: SOP Instance UID.
        status: `FINAL` or `PRELIMINARY`.
        verification: `VERIFIED` or `UNVERIFIED`.
        verified_by: Names of those who verified it.
        replaces: SOP Instance UIDs of the SRs that it replaces.
        groups: The finding first, then the concepts.
    """

    patient: str
    study: str
    sop_uid: str
    status: str
    verification: str
    verified_by: tuple[str, ...]
    replaces: tuple[str, ...]
    groups: tuple[Group, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report as text."""
        lines = [
            f"patient {self.patient}, study {self.study}",
            f"report {self.sop_uid}: {self.status.lower()}, {self.verification.lower()}",
        ]
        lines += [f"verified by {name}" for name in self.verified_by]
        lines += [f"replaces {uid}" for uid in self.replaces]
        for group in self.groups:
            lines += ["", group.name, *(f"  {name}: {value}" for name, value in group.items)]
        return lines


def reports_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and the SRs in the folders named.

    Raises:
        OslerError: `source-missing` for a folder without one.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("sr-*.dcm")) if path.is_dir() else [path]
        if not inside:
            raise OslerError(
                Code.SOURCE_MISSING, f"There is no SR in {path}.", "`osler report make` writes them as sr-*.dcm."
            )
        found += inside
    return found


def read_report(path: Path) -> Shown:
    """Read an SR that Osler made.

    Raises:
        OslerError: `source-missing`, `not-dicom`; `wrong-sop-class` for what is no report of Osler's; `truncated`,
            `header-invalid` for a damaged one.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path given.")
    with refusing(from_header_error):
        dataset = dcmread(path)
        schemes = {
            str(one.get("CodingSchemeDesignator")) for one in dataset.get("CodingSchemeIdentificationSequence") or ()
        }
        if dataset.get("SOPClassUID") != Comprehensive3DSRStorage or SCHEME not in schemes:
            raise OslerError(
                Code.WRONG_SOP_CLASS, "The file is not a report that Osler made.", "Name an SR of `osler report make`."
            )
        return shown(dataset)


def shown(dataset: Dataset) -> Shown:
    """Return what an SR of ours says."""
    groups = tuple(_group(item) for item in _walk(dataset) if _name(item) == _GROUP)
    return Shown(
        patient=str(dataset.get("PatientID") or ""),
        study=str(dataset.StudyInstanceUID),
        sop_uid=str(dataset.SOPInstanceUID),
        status=str(dataset.PreliminaryFlag),
        verification=str(dataset.VerificationFlag),
        verified_by=tuple(str(one.VerifyingObserverName) for one in dataset.get("VerifyingObserverSequence") or ()),
        replaces=tuple(
            str(instance.ReferencedSOPInstanceUID)
            for study in dataset.get("PredecessorDocumentsSequence") or ()
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        ),
        groups=groups,
    )


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or ():
        yield child
        yield from _walk(child)


def _group(item: Dataset) -> Group:
    children = list(item.ContentSequence)
    name = next((_value(one) for one in children if _name(one) == "Tracking Identifier"), "unnamed")
    told = [(_name(one), _value(one)) for one in children if _name(one) not in (*_QUIET, "Tracking Identifier")]
    return Group(name, tuple((label, value) for label, value in told if value))


def _name(item: Dataset) -> str:
    named = item.get("ConceptNameCodeSequence")
    return str(named[0].CodeMeaning) if named else ""


def _value(item: Dataset) -> str:
    kind = item.ValueType
    if kind == "TEXT":
        return str(item.TextValue)
    if kind == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    if kind == "NUM":
        return str(item.MeasuredValueSequence[0].NumericValue)
    return ""
