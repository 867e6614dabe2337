"""RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiol. AI 2019): 26,684 labelled NIH radiographs.

Read: `stage_2_train_labels.csv` (a row a box; `Target`), `stage_2_detailed_class_info.csv` (three classes) and
`stage_2_train_images/<patientId>.dcm`. Radiologists marked opacities that suggest pneumonia; the class is `pneumonia` for
`Lung Opacity`, `normal` for `Normal`, `other` for the rest. `patientId` numbers images, not patients: where the folder has
`pneumonia-challenge-dataset-mappings_2018.json`, which RSNA gave out later, patients are those of NIH ChestX-ray14, else each
image is its own. The images are NIH's: never train on one set and test on the other. Views, sex and age come from the headers.
"""

from __future__ import annotations

import json
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Reading, header_values
from osler_training.datasets.tables import Missing, Rows, inside, read_csv

SUMMARY = "RSNA Pneumonia Detection Challenge 2018"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
CLASSES = {"Normal": "normal", "Lung Opacity": "pneumonia", "No Lung Opacity / Not Normal": "other"}


def read(root: Path, *, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the tables and `stage_2_train_images/`.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    boxes = read_csv(root / "stage_2_train_labels.csv", ("patientId", "Target"))
    classes = read_csv(root / "stage_2_detailed_class_info.csv", ("patientId", "class"))
    targets = boxes.groupby("patientId", sort=False)["Target"].agg(set).to_dict()
    detailed = classes.groupby("patientId")["class"].agg(set).to_dict()
    patients = _patients(root / MAPPING)
    rows = Rows("rsna_pneumonia", root, missing)
    for image, target in targets.items():
        names = detailed.get(image, set())
        label = CLASSES.get(next(iter(names)), "") if len(names) == 1 else ""
        if not label or target != {str(int(label == "pneumonia"))}:
            rows.fault(Code.ROW_INVALID, str(image))  # the two tables contradict each other
            continue
        name = f"stage_2_train_images/{image}.dcm"
        view, sex, age = _header(rows, name)
        rows.add(
            name,
            patient=patients.get(str(image), ""),
            label=label,
            view=view,
            sex=sex,
            age=age,
            findings=one_hot(label, tuple(CLASSES.values())),
        )
    return rows.images(site="NIH Clinical Center", reading=Reading(colour=False), findings=tuple(CLASSES.values()))


def _patients(path: Path) -> dict[str, str]:
    """Return the NIH patient of each image: `00000165_001.png` is of patient 165."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(one["subset_img_id"]): str(int(str(one["img_id"]).split("_")[0])) for one in content}
    except (ValueError, KeyError, TypeError) as error:
        raise OslerError(
            Code.TABLE_INVALID, f"{path.name} is not RSNA's mapping ({type(error).__name__}).", "Get the file again."
        ) from error


def _header(rows: Rows, name: str) -> tuple[str, ...]:
    try:
        path = inside(rows.root, name)
    except OslerError:
        return "", "", ""  # `Rows.add` refuses the row
    return header_values(path, "ViewPosition", "PatientSex", "PatientAge")
