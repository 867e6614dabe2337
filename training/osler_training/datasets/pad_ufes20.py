"""PAD-UFES-20 (Pacheco et al., Data in Brief 2020; Mendeley zr7vgbcyr2): 2,298 smartphone photographs of 1,641 lesions.

Read: `metadata.csv` and the PNG files in `images/`, or in `imgs_part_1/` to `_3/` there or at the root. Diagnoses: BCC, SCC
(with Bowen's disease), ACK (actinic keratosis), SEK (seborrhoeic keratosis), MEL, NEV; all cancers are proved by biopsy
(`biopsed`), most others are not. Clinical photographs, not dermoscopy: view is `clinical`. Patients are given (`patient_id`).
"""

from __future__ import annotations

from pathlib import Path

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import DERMOSCOPY, one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, read_csv, records

SUMMARY = "PAD-UFES-20"
CODES = ("MEL", "NEV", "BCC", "SEK", "ACK", "SCC")
CLASSES = tuple(DERMOSCOPY[code.lower()] for code in CODES)


def read(root: Path, *, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    table = read_csv(root / "metadata.csv", ("patient_id", "lesion_id", "diagnostic", "img_id"))
    place = by_name(root, ("images/*.png", "imgs_part_*/*.png", "images/imgs_part_*/*.png", "imgs_part_*/*/*.png"))
    rows = Rows("pad_ufes20", root, missing)
    for cells in records(table):
        if cells["diagnostic"] not in CODES or not cells["patient_id"]:
            rows.fault(Code.ROW_INVALID, cells["img_id"])
            continue
        label = DERMOSCOPY[cells["diagnostic"].lower()]
        rows.add(
            place(cells["img_id"]),
            patient=cells["patient_id"],
            label=label,
            view="clinical",
            sex=cells.get("gender", ""),
            age=cells.get("age", ""),
            findings=one_hot(label, CLASSES),
            lesion=cells["lesion_id"],
            fitzpatrick=cells.get("fitspatrick", "").removesuffix(".0"),  # the table spells it so
            localization=cells.get("region", ""),
            biopsied=cells.get("biopsed", ""),
        )
    return rows.images(site="Federal University of Espirito Santo", reading=Reading(colour=True), findings=CLASSES)
