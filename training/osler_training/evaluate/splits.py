"""Patient-disjoint splits: train, select, calibrate, test.

Models are fitted on `train`, chosen on `select`, calibrated on `calibrate` and reported on `test` (methods, house rule 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DEFAULT_FRACTIONS = {"train": 0.5, "select": 0.15, "calibrate": 0.15, "test": 0.2}


@dataclass(frozen=True)
class Splits:
    """Row indices of each split.

    Attributes:
        rows: Row indices (n,) by name of split, ascending.
        digest: SHA-256 of which patient is in which split.
    """

    rows: Mapping[str, NDArray[np.intp]]
    digest: str

    def __getitem__(self, name: str) -> NDArray[np.intp]:
        return self.rows[name]


def split_patients(
    patients: Sequence[str],
    y: NDArray[np.intp],
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    *,
    seed: int,
) -> Splits:
    """Split rows by patient, stratified by the class that most of a patient's rows have.

    Args:
        patients: Pseudonym of each row's patient (n,).
        y: Class of each row (n,).
        fractions: Share of the patients of each class by split; they sum to 1.
        seed: Seed of the draw. The order of the rows does not matter.

    Raises:
        OslerError: `usage` where the fractions do not sum to 1.
    """
    if abs(sum(fractions.values()) - 1.0) > 1e-9 or min(fractions.values()) <= 0:
        raise OslerError(Code.USAGE, f"The fractions are {dict(fractions)}.", "Give positive fractions that sum to 1.")
    names, inverse = np.unique(np.asarray(patients), return_inverse=True)
    votes = np.zeros((len(names), int(np.max(y)) + 1))
    np.add.at(votes, (inverse, y), 1)
    stratum = votes.argmax(1)
    rng = np.random.default_rng(seed)
    home = np.empty(len(names), dtype=np.intp)
    edges = np.cumsum(list(fractions.values()))[:-1]
    for k in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == k))
        home[members] = np.searchsorted(np.round(edges * len(members)), np.arange(len(members)), side="right")
    rows = {name: np.flatnonzero(home[inverse] == i) for i, name in enumerate(fractions)}
    groups = {name: names[home == i].tolist() for i, name in enumerate(fractions)}
    check_disjoint(groups)
    return Splits(rows, split_digest(groups))


def check_disjoint(patients: Mapping[str, Sequence[str]]) -> None:
    """Check that no patient is in two groups.

    Raises:
        OslerError: `patient-overlap`, with the number of patients (never who they are).
    """
    for (one, first), (other, second) in combinations(patients.items(), 2):
        if shared := len(set(first) & set(second)):
            raise OslerError(
                Code.PATIENT_OVERLAP,
                f"{shared} patients are in both {one} and {other}.",
                "Split by patient, for example with `split_patients`.",
            )


def split_digest(patients: Mapping[str, Sequence[str]]) -> str:
    """Return the SHA-256 of the (patient, split) pairs, whatever their order."""
    pairs = sorted({f"{patient}\t{name}" for name, group in patients.items() for patient in group})
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()
