"""The table of an image collection: which column means what, and one validated row at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
VIEWS = frozenset({"PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO"})
MAX_AGE_YEARS = 130


@dataclass(frozen=True)
class Columns:
    """Names of the columns; optional ones that the table lacks are ignored.

    Attributes:
        image: Path of the image, relative to the table's folder.
        patient: Number of the patient.
        view: View Position, of radiographs.
        sex: Patient's sex.
        age: Patient's age in years.
        report: Text to hand on as the report, None for none.
        labels: Columns to hand on as labels; None for all that have no other meaning.
    """

    image: str = "image"
    patient: str = "patient_id"
    view: str = "view"
    sex: str = "sex"
    age: str = "age"
    report: str | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Row:
    """One row with values that DICOM takes; what was not valid is empty and named in `dropped`."""

    number: int
    image: str
    patient: str
    view: str
    sex: str
    age: str
    report: str
    labels: Mapping[str, str]
    dropped: tuple[str, ...]


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read the table as text.

    Raises:
        OslerError: `source-missing`; `table-invalid` where it is no table, has no row, or lacks a column that was named.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no table {path}.", "Check the path.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise _invalid(f"{path} cannot be read as a table ({type(error).__name__}).") from error
    needed = {columns.image, *(columns.labels or ()), *([columns.report] if columns.report else [])}
    if missing := sorted(needed - set(table.columns)):
        raise _invalid(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}.")
    if table.empty:
        raise _invalid(f"{path} has no row.")
    return table


def rows(table: pd.DataFrame, columns: Columns) -> Iterator[Row]:
    """Yield the rows, numbered from 1."""
    taken = {columns.image, columns.patient, columns.view, columns.sex, columns.age, columns.report}
    labels = columns.labels if columns.labels is not None else [name for name in table.columns if name not in taken]
    for number, values in enumerate(table.to_dict("records"), 1):
        given = {str(name): str(value).strip() for name, value in values.items()}
        raw = {
            "view": given.get(columns.view, ""),
            "sex": given.get(columns.sex, ""),
            "age": given.get(columns.age, ""),
        }
        raw["patient"] = given.get(columns.patient, "")
        clean = {
            "view": raw["view"].upper() if raw["view"].upper() in VIEWS else "",
            "sex": SEXES.get(raw["sex"].lower(), ""),
            "age": _age(raw["age"]),
            "patient": raw["patient"] if _is_text(raw["patient"]) else "",
        }
        dropped = tuple(name for name in clean if raw[name] and not clean[name])
        report = given[columns.report] if columns.report else ""
        handed = {name: given[name] for name in labels if given[name]}
        yield Row(number, given[columns.image], **clean, report=report, labels=handed, dropped=dropped)


def _age(text: str) -> str:
    """Return years as an Age String (PS3.5 6.2, AS), empty where the text is no plain age."""
    found = re.fullmatch(r"0*([0-9]{1,3})(?:\.[0-9]+)?", text)
    return f"{int(found[1]):03d}Y" if found and int(found[1]) <= MAX_AGE_YEARS else ""


def _is_text(text: str) -> bool:
    """Return whether a text is a valid Long String (PS3.5 6.2, LO)."""
    return len(text) <= 64 and "\\" not in text and text.isprintable()


def _invalid(message: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, "Give a CSV file in UTF-8 and name its columns by the options.")
