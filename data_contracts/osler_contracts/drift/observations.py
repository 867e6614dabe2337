"""The watched values of a batch, in the order of arrival, with each patient counted once.

A patient with forty images says no more about a hospital than one with a single image: each unit (a patient where known,
else a study, else a row) weighs one, spread evenly over its images. Tests then take the number of units as their sample
size, which errs on the side of silence, since a mean of several images varies no more than one of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.drift.fields import FIELDS, HEADER_FIELDS, number_of, word_of
from osler_contracts.errors import OslerError

Numbers = NDArray[np.float64]
Units = NDArray[np.int64]


@dataclass(frozen=True)
class Observations:
    """Watched values of images.

    Attributes:
        units: Number of the unit of each image, (images,), counted from 0 in the order of their first image.
        columns: For each field, its value for each image: words, or numbers with NaN for no number and None for missing.
            A field that was not looked for is absent.
        unit: What a unit is: `patient`, or `row` where nothing tells patients apart.
    """

    units: Units
    columns: Mapping[str, Sequence[Any]]
    unit: str = "patient"

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.units)

    @cached_property
    def count(self) -> int:
        """Number of units."""
        return int(self.units.max()) + 1 if self.images else 0

    @cached_property
    def first(self) -> Units:
        """Index of the first image of each unit, (units,)."""
        return np.unique(self.units, return_index=True)[1].astype(np.int64)

    def take(self, chosen: NDArray[np.bool_]) -> Observations:
        """Return the images of a mask, their units numbered anew."""
        rows = np.flatnonzero(chosen).tolist()
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Observations(_numbered(self.units[rows]), columns, self.unit)


def observe(units: Iterable[Hashable], columns: Mapping[str, Iterable[object]]) -> Observations:
    """Lay raw header values and image statistics out.

    Args:
        units: What names the patient (else the study) of each image, in the order of arrival; not kept.
        columns: Raw values by field; fields that are not watched are passed over.
    """
    read = {
        name: [(number_of if FIELDS[name].number else word_of)(value) for value in values]
        for name, values in columns.items()
        if name in FIELDS
    }
    return Observations(_numbered(list(units)), read)


def read_headers(path: Path, unit: str | None = None) -> Observations:
    """Read the watched columns of an exported header table, rows in the order of arrival.

    Args:
        path: A CSV table, gzipped if its name ends in `.gz`; columns are named by DICOM keyword or name.
        unit: Column that tells patients apart; Patient ID where it is left out and present, else each row stands alone.

    Raises:
        OslerError: `source-missing`, or `table-invalid` where it is no table, lacks the unit or holds no watched field.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path.")
    try:
        raw = pd.read_csv(path, dtype=object, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:
        raise _invalid(f"{path} cannot be read as a table ({type(error).__name__}).", "Export it as CSV.") from error
    known = {name.lower(): name for name in HEADER_FIELDS}
    named = {known[_plain(column)]: column for column in raw.columns if _plain(column) in known}
    if not named or not len(raw):
        raise _invalid(f"{path} holds no field that is watched.", "Name the columns by DICOM keyword, such as KVP.")
    patient = unit or next((column for column in raw.columns if _plain(column) == "patientid"), None)
    if patient is not None and patient not in raw.columns:
        raise _invalid(f"{path} has no column {patient}.", "Name one of its columns as the unit, or none.")
    names = range(len(raw)) if patient is None else [name or row for row, name in enumerate(raw[patient])]
    found = observe(names, {name: raw[column] for name, column in named.items()})
    return found if patient is not None else replace(found, unit="row")


def _numbered(names: Iterable[Hashable]) -> Units:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _plain(name: str) -> str:
    """Reduce an attribute's name or keyword to letters and digits: `Patient's Age` becomes `patientage`."""
    return "".join(filter(str.isalnum, name.lower().replace("'s", "")))


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, mend)
