"""Tables of labels and reports that come with the files, keyed by the original study UID."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STUDY, REPORT = "study_instance_uid", "report"
# Columns that name a patient have no place in the archive, whatever they were meant for.
IDENTIFYING = frozenset(
    {
        "accession_number",
        "birth_date",
        "date_of_birth",
        "dob",
        "medical_record_number",
        "mrn",
        "name",
        "patient",
        "patient_birth_date",
        "patient_id",
        "patient_name",
        "series_instance_uid",
        "sop_instance_uid",
    }
)


@dataclass(frozen=True)
class StudyNotes:
    """What a table says of one study."""

    labels: Mapping[str, str]
    report: str | None


def read_labels(path: Path) -> dict[str, StudyNotes]:
    """Read a table with the columns `study_instance_uid`, `report` (optional) and any others, which become labels.

    They are stored for studies that the archive holds and the source has a file of. Blank cells and columns that name a patient are left out.

    Returns:
        The notes by original study UID.

    Raises:
        OslerError: `source-missing`; `table-invalid` where it is no table, lacks the column of studies or repeats one.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no table {path}.", "Check the path given with --labels.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise _invalid(f"{path} cannot be read as a table ({type(error).__name__}).") from error
    if STUDY not in table.columns:
        raise _invalid(f"{path} has no column {STUDY}.")
    if table[STUDY].duplicated().any():
        raise _invalid(f"{path} names a study more than once.")
    names = [name for name in table.columns if name not in (STUDY, REPORT) and _plain(name) not in IDENTIFYING]
    return {
        str(row[STUDY]).strip(): StudyNotes({name: row[name] for name in names if row[name]}, row.get(REPORT) or None)
        for row in table.to_dict("records")
    }


def scrub(text: str, identifiers: frozenset[str]) -> str:
    """Blank out in a report what its study's headers say of the patient: name, number, birth date."""
    for word in sorted(identifiers, key=len, reverse=True):
        text = re.sub(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", "[removed]", text, flags=re.IGNORECASE)
    return text


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]+", "_", name.lower()).strip("_")


def _invalid(message: str) -> OslerError:
    return OslerError(
        Code.TABLE_INVALID, message, f"Give a CSV file in UTF-8 with one row a study and the column {STUDY}."
    )
