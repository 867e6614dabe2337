"""HAM10000 (Tschandl et al., Sci. Data 2018; Harvard Dataverse DBW86T): 10,015 dermoscopic images of 7,470 lesions.

Read: `HAM10000_metadata.csv` (also without suffix, or `.tab`) and the JPEG files in `HAM10000_images_part_1/`, `_part_2/` or
`images/`. Classes (`dx`): akiec (actinic keratosis and Bowen's disease), bcc, bkl, df, mel, nv, vasc; `dx_type` says how each
was made sure, by histology in over half. Patients are not given: the lesion stands for the patient, so that images of one lesion
stay together; two lesions of one person may part. Site is the source (`dataset`) where the table has it.
"""

from __future__ import annotations

from pathlib import Path

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import DERMOSCOPY, one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, first_file, read_csv, records

SUMMARY = "HAM10000"
CODES = ("mel", "nv", "bcc", "bkl", "akiec", "df", "vasc")
CLASSES = tuple(DERMOSCOPY[code] for code in CODES)


def read(root: Path, *, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    path = first_file(root, "HAM10000_metadata*")
    table = read_csv(path, ("lesion_id", "image_id", "dx"), sep="\t" if path.suffix == ".tab" else ",")
    place = by_name(root, ("HAM10000_images_part_*/*.jpg", "images/*.jpg", "*.jpg"), stem=True)
    rows = Rows("ham10000", root, missing)
    for cells in records(table):
        if cells["dx"] not in CODES or not cells["lesion_id"]:
            rows.fault(Code.ROW_INVALID, cells["image_id"])
            continue
        label = DERMOSCOPY[cells["dx"]]
        rows.add(
            place(cells["image_id"]),
            patient=cells["lesion_id"],
            label=label,
            site=cells.get("dataset", ""),
            view="dermoscopy",
            sex=cells.get("sex", ""),
            age=cells.get("age", ""),
            findings=one_hot(label, CLASSES),
            dx_type=cells.get("dx_type", ""),
            localization=cells.get("localization", ""),
        )
    return rows.images(reading=Reading(colour=True), findings=CLASSES)
