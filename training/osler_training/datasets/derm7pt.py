"""Derm7pt (Kawahara et al., IEEE JBHI 2019): 1,011 cases with a dermoscopic and a clinical image and the 7-point checklist.

Read, below `release_v0` or its parent: `meta/meta.csv`, `meta/{train,valid,test}_indexes.csv` (row numbers, column `indexes`)
and `images/`. Each case is one lesion and stands for its patient. Diagnosis: the 15 of the authors, of which melanoma of any
depth and its metastasis are `melanoma` and all nevi are `nevus`; the attribute `diagnosis` keeps the words. The seven criteria
become concepts by the map `derm7pt`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from osler_contracts.codes import Code
from osler_training.datasets.concept_maps import DERM7PT
from osler_training.datasets.images import Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, read_csv, records

SUMMARY = "Derm7pt"
CLASSES = (
    "melanoma",
    "nevus",
    "basal_cell_carcinoma",
    "benign_keratosis",
    "dermatofibroma",
    "vascular_lesion",
    "lentigo",
    "melanosis",
    "miscellaneous",
)
_OTHERS = {"basal cell carcinoma": "basal_cell_carcinoma", "seborrheic keratosis": "benign_keratosis"}
_OTHERS |= {"vascular lesion": "vascular_lesion"}
_PARTS = {"train": "train", "valid": "val", "test": "test"}


def read(root: Path, *, image: Literal["derm", "clinic"] = "derm", missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: `release_v0` or the folder that holds it.
        image: Which image of each case.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    root = root / "release_v0" if (root / "release_v0").is_dir() else root
    table = read_csv(root / "meta" / "meta.csv", ("case_num", "diagnosis", image, *DERM7PT.columns))
    concepts = DERM7PT.apply(table)
    parts = _parts(root)
    rows = Rows("derm7pt", root, missing)
    for number, cells in enumerate(records(table)):
        label = _label(cells["diagnosis"])
        if label not in CLASSES or not cells["case_num"]:
            rows.fault(Code.ROW_INVALID, f"row {number + 1}")
            continue
        rows.add(
            f"images/{cells[image]}" if cells[image] else "",
            patient=cells["case_num"],
            label=label,
            view="dermoscopy" if image == "derm" else "clinical",
            sex=cells.get("sex", ""),
            part=parts.get(str(number), ""),
            concepts=dict(zip(DERM7PT.concepts, concepts.iloc[number].tolist(), strict=True)),
            findings=one_hot(label, CLASSES),
            diagnosis=cells["diagnosis"],
            localization=cells.get("location", ""),
            seven_point_score=cells.get("seven_point_score", ""),
        )
    return rows.images(
        site="Atlas of dermoscopy", reading=Reading(colour=True), concepts=DERM7PT.concepts, findings=CLASSES
    )


def _label(diagnosis: str) -> str:
    if diagnosis.startswith("melanoma"):
        return "melanoma"
    return "nevus" if diagnosis.endswith("nevus") else _OTHERS.get(diagnosis, diagnosis)


def _parts(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, part in _PARTS.items():
        path = root / "meta" / f"{name}_indexes.csv"
        if path.is_file():
            found |= dict.fromkeys(read_csv(path, ("indexes",))["indexes"], part)
    return found
