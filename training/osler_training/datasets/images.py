"""Images of a data set with what is known of each: the one form that experiments take, wherever the images come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

COLUMNS = ("key", "path", "site", "patient", "patient_known", "label", "view", "sex", "age", "part", "text")


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels, concepts and attributes, row by row.

    Attributes:
        table: A row an image, with at least `COLUMNS`: `key` (name in a feature cache), `path`, `site`, `patient`
            (never empty: an image of nobody known is its own patient, and `patient_known` is False), `label` (class or
            ""), `view`, `sex` (M, F, O or ""), `age` (years or NaN), `part` (train, val, test or ""), `text`.
        concepts: Truth of concepts (n, concept ids of a shipped bank) in {0.0, 1.0, NaN}.
        findings: Truth of findings (n, finding names) in {0.0, 1.0, NaN}.
        load: Reads the image of a row: (H, W) or (H, W, 3) in [0, 1], dense tissue bright.
        left_out: Rows of the source that are not here, by reason; counts only.
    """

    table: pd.DataFrame
    concepts: pd.DataFrame
    findings: pd.DataFrame
    load: Callable[[int], Array]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if lacking := [name for name in COLUMNS if name not in self.table.columns]:
            raise _invalid(f"The table of images has no column {', '.join(lacking)}.")
        for name, values in (("concepts", self.concepts), ("findings", self.findings)):
            if len(values) != len(self.table):
                raise _invalid(f"There are {len(values)} rows of {name} for {len(self.table)} images.")
            numbers = values.to_numpy(float)
            if not np.isin(numbers[~np.isnan(numbers)], (0.0, 1.0)).all():
                raise _invalid(f"The {name} hold other values than 0, 1 and NaN.")
        if (self.table["patient"] == "").any():
            raise _invalid("Some images have an empty patient.")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient of each image."""
        return tuple(self.table["patient"])

    @property
    def keys(self) -> tuple[str, ...]:
        """Name of each image in a feature cache."""
        return tuple(self.table["key"])

    def rows(self, index: NDArray[Any] | Sequence[int]) -> Images:
        """Return some of the images, by indices (m,) in any order or by a mask (n,)."""
        chosen = np.arange(len(self))[np.asarray(index, dtype=None if len(index) else np.intp)]
        table, concepts, findings = (
            frame.iloc[chosen].reset_index(drop=True) for frame in (self.table, self.concepts, self.findings)
        )
        return Images(table, concepts, findings, partial(_load_chosen, self.load, chosen), self.left_out)

    @staticmethod
    def concat(several: Sequence[Images]) -> Images:
        """Return the images of several sets as one; what one set does not annotate is NaN, or empty, in its rows.

        Raises:
            OslerError: `empty-source` where there is no set.
        """
        if not several:
            raise OslerError(Code.EMPTY_SOURCE, "There is no data set to join.", "Name at least one.")
        table, concepts, findings = (
            pd.concat(frames, ignore_index=True)
            for frames in zip(*((one.table, one.concepts, one.findings) for one in several), strict=True)
        )
        texts = [name for name in table.columns if table[name].isna().any() and not _is_number(table[name])]
        table[texts] = table[texts].fillna("")
        starts = np.cumsum([0, *(len(one) for one in several)])
        load = partial(_load_joined, tuple(one.load for one in several), starts)
        left_out: Counter[str] = sum((Counter(one.left_out) for one in several), Counter())
        return Images(table, concepts.astype(float), findings.astype(float), load, dict(left_out))


def _load_chosen(load: Callable[[int], Array], chosen: NDArray[np.intp], row: int) -> Array:
    return load(int(chosen[row]))


def _load_joined(loads: Sequence[Callable[[int], Array]], starts: NDArray[np.intp], row: int) -> Array:
    place = int(np.searchsorted(starts, row, side="right")) - 1
    return loads[place](row - int(starts[place]))


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _invalid(message: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, "Correct the module of the data set.")
