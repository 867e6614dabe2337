"""VinDr-CXR (Nguyen et al., Sci. Data 2022; PhysioNet): 18,000 PA radiographs of two hospitals in Hanoi.

Read: `annotations/image_labels_train.csv` (a row an image and reader, three readers each) and `image_labels_test.csv`
(consensus of five, a row an image), else `annotations_train.csv` or the challenge's `train.csv` (a row a box, with
`class_name` and `rad_id`); files `train/<image_id>.dicom` and `test/<image_id>.dicom`. A finding is present where more than
half of the readers mark it, unknown where they tie. The set has no patient numbers: each image is its own patient. Sex and age
are in some headers and are read with `headers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images
from osler_training.datasets.labels import class_of, finding_name, majority
from osler_training.datasets.reading import Reading, header_values
from osler_training.datasets.tables import Missing, Rows, by_name, read_csv

SUMMARY = "VinDr-CXR"
_WIDE = ("annotations/image_labels_{part}.csv", "image_labels_{part}.csv")
_LONG = ("annotations/annotations_{part}.csv", "annotations_{part}.csv", "{part}.csv")


def read(root: Path, *, target: str = "", headers: bool = False, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with `annotations/`, `train/` and `test/`; either part may be lacking.
        target: As in `class_of`.
        headers: Whether to open each file for sex and age.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    truth = {part: found for part in ("train", "test") if (found := _truth(root, part))}
    if not truth:
        raise OslerError(Code.SOURCE_MISSING, f"There is no table of labels in {root}.", "Name the set's folder.")
    names = list(dict.fromkeys(name for found in truth.values() for one in found.values() for name in one))
    rows = Rows("vindr_cxr", root, missing)
    for part, found in truth.items():
        place = by_name(root, (f"{part}/*.dicom", f"{part}/*.dcm", f"{part}/*.png", f"{part}/*.jpg"), stem=True)
        for image, findings in found.items():
            where = place(image)
            sex, age = header_values(root / where, "PatientSex", "PatientAge") if headers else ("", "")
            rows.add(where, label=class_of(findings, target), view="PA", sex=sex, age=age, part=part, findings=findings)
    return rows.images(site="VinDr (Hanoi)", reading=Reading(colour=False), findings=names)


def _truth(root: Path, part: str) -> dict[str, Mapping[str, float]]:
    """Return the findings of each image of a part; empty where the part has no table."""
    for pattern in _WIDE:
        if (path := root / pattern.format(part=part)).is_file():
            return _by_columns(read_csv(path, ("image_id",)), path.name)
    for pattern in _LONG:
        if (path := root / pattern.format(part=part)).is_file():
            return _by_boxes(read_csv(path, ("image_id", "class_name")))
    return {}


def _by_columns(table: pd.DataFrame, name: str) -> dict[str, Mapping[str, float]]:
    labels = [column for column in table.columns if column not in ("image_id", "rad_id", "rad_ID")]
    if not table[labels].isin(("", "0", "1", "0.0", "1.0")).all(axis=None):
        raise OslerError(Code.TABLE_INVALID, f"{name} holds labels other than 0 and 1.", "Get the file again.")
    votes = table[labels].replace("", None).astype(float).groupby(table["image_id"], sort=False)
    marks, readers = votes.sum(), votes.count()  # an empty cell is no vote
    names = [finding_name(one) for one in labels]
    return {
        str(image): dict(zip(names, map(majority, map(round, mine), total), strict=True))
        for image, mine, total in zip(marks.index, marks.to_numpy(float), readers.to_numpy(int).tolist(), strict=True)
    }


def _by_boxes(table: pd.DataFrame) -> dict[str, Mapping[str, float]]:
    """Count the readers who drew a box of each class; without `rad_id` (the test part) there is one consensus."""
    reader = table["rad_id"] if "rad_id" in table else pd.Series("", index=table.index)
    names = sorted(set(table["class_name"]))
    readers = reader.groupby(table["image_id"], sort=False).nunique()
    marks = Counter(set(zip(table["image_id"], table["class_name"], reader, strict=True)))
    count = Counter((image, name) for image, name, _ in marks)
    return {
        str(image): {finding_name(name): majority(count[image, name], int(total)) for name in names}
        for image, total in readers.items()
    }
