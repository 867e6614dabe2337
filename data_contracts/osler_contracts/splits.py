"""Whether a division of files into training and test parts keeps each patient on one side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_contracts.rules.across_rows import has_one_partner


@dataclass(frozen=True)
class SplitReport:
    """What was found; keys only, no patient.

    Attributes:
        overlapping: Keys of the rows whose patient is in another part too.
        unchecked: Keys of the rows that name no patient or no part: nobody can say whether they overlap.
    """

    overlapping: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def state(self) -> str:
        """`held`, `violated` or `could not be checked`."""
        if self.overlapping:
            return "violated"
        return "could not be checked" if self.unchecked else "held"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        code = str(Code.PATIENT_OVERLAP)
        return {"code": code, "state": self.state, **{name: list(keys) for name, keys in vars(self).items()}}

    def require_disjoint(self) -> SplitReport:
        """Return the report.

        Raises:
            OslerError: `patient-overlap` where a patient is in two parts.
        """
        if self.overlapping:
            raise OslerError(
                Code.PATIENT_OVERLAP,
                f"{len(self.overlapping)} rows belong to patients who are in more than one part.",
                "Divide by patient, not by image.",
            )
        return self


def check_splits(rows: Iterable[tuple[str, str | None, str | None]]) -> SplitReport:
    """Check that no patient is in two parts.

    Args:
        rows: For each file its key (which names no patient), its patient and its part, such as `train` or `test`;
            None or an empty text where they are not known.
    """
    table = pd.DataFrame(list(rows), columns=["key", "patient", "split"], dtype=object)
    columns = table[["patient", "split"]].replace("", None)
    known = columns.notna().all(axis="columns")
    holds = has_one_partner(columns)
    return SplitReport(tuple(table.loc[~holds, "key"]), tuple(table.loc[~known, "key"]))
