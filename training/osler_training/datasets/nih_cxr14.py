"""NIH ChestX-ray14 (Wang et al., CVPR 2017): 112,120 frontal radiographs of 30,805 patients.

Read: `Data_Entry_2017.csv` (or `_v2020`), the PNG files in `images/` or in the twelve `images_*/images/`, and where they are
there `train_val_list.txt` and `test_list.txt`. The table's header holds names with commas in brackets; the columns used here
come before them. Labels were mined from reports by software (the authors say over 90% right): what a row does not list is
taken as absent. `No Finding` is none of the 14, not a healthy chest. Ages above 130 occur and become unknown.
"""

from __future__ import annotations

from pathlib import Path

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import class_of, finding_name, listed
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, first_file, names_in, read_csv, records

SUMMARY = "NIH ChestX-ray14"
LABELS = (
    "No Finding",
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)


def read(root: Path, *, target: str = "", missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        target: As in `class_of`.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    needed = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
    table = read_csv(first_file(root, "Data_Entry_2017*.csv"), needed, index_col=False)
    sex = "Patient Gender" if "Patient Gender" in table else "Patient Sex"
    parts = names_in(root / "train_val_list.txt", "train") | names_in(root / "test_list.txt", "test")
    place = by_name(root, ("images/*.png", "images_*/images/*.png"))
    names = tuple(map(finding_name, LABELS))
    rows = Rows("nih_cxr14", root, missing)
    for cells in records(table):
        labels = cells["Finding Labels"].split("|")
        if not set(labels) <= set(LABELS) or not cells["Patient ID"]:
            rows.fault(Code.ROW_INVALID, cells["Image Index"])
            continue
        findings = listed(map(finding_name, labels), names)
        rows.add(
            place(cells["Image Index"]),
            patient=cells["Patient ID"],
            label=class_of(findings, target),
            view=cells["View Position"],
            sex=cells.get(sex, ""),
            age=cells["Patient Age"],
            part=parts.get(cells["Image Index"], ""),
            findings=findings,
        )
    return rows.images(site="NIH Clinical Center", reading=Reading(colour=False), findings=names)
