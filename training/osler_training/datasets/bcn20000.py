"""BCN20000 (Combalia et al. 2019; Hernandez-Perez et al., Sci. Data 2024): dermoscopic images of Hospital Clinic, Barcelona.

Read, as the owners give it out (figshare 24140028): `bcn_20k_train.csv`, and the JPEG files in a folder beside it
or one deeper (`BCN_20k_train/bcn_20k_train/`). Else, as the ISIC challenge of 2019 gave it out:
`ISIC_2019_Training_Metadata.csv` with `ISIC_2019_Training_GroundTruth.csv` and `ISIC_2019_Training_Input/`, of which only the
lesions named `BCN_...` are of this set; the others are counted. Diagnoses: MEL, NV, BCC, BKL, AK, SCC, DF, VASC. The lesion
stands for the patient, who is not given; an image without a lesion is its own patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import DERMOSCOPY, one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, first_file, read_csv, records

SUMMARY = "BCN20000"
CODES = ("MEL", "NV", "BCC", "BKL", "AK", "SCC", "DF", "VASC")
CLASSES = tuple(DERMOSCOPY[code.lower()] for code in CODES)
_ISIC = "ISIC_2019_Training"


def read(root: Path, *, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    rows = Rows("bcn20000", root, missing)
    challenge = (root / f"{_ISIC}_Metadata.csv").is_file()
    folders = (f"{_ISIC}_Input/*.jpg",) if challenge else ("*/*.jpg", "*/*/*.jpg")
    place = by_name(root, folders, stem=True)
    for cells in _challenge(root, rows) if challenge else records(_own(root)):
        name, code = cells["bcn_filename"].removesuffix(".jpg"), cells["diagnosis"]
        if not code:
            rows.leave_out("unlabelled")  # the owners' test part
            continue
        if code not in CODES:
            rows.fault(Code.ROW_INVALID, name)
            continue
        label = DERMOSCOPY[code.lower()]
        rows.add(
            place(name),
            patient=cells.get("lesion_id", ""),
            label=label,
            view="dermoscopy",
            sex=cells.get("sex", ""),
            age=cells.get("age_approx", ""),
            part=cells.get("split", ""),
            findings=one_hot(label, CLASSES),
            localization=cells.get("anatom_site_general", ""),
        )
    return rows.images(site="Hospital Clinic, Barcelona", reading=Reading(colour=True), findings=CLASSES)


def _own(root: Path) -> pd.DataFrame:
    return read_csv(first_file(root, "[Bb][Cc][Nn]_20[Kk]_train.csv"), ("bcn_filename", "diagnosis", "lesion_id"))


def _challenge(root: Path, rows: Rows) -> Iterator[dict[str, str]]:
    """Yield the challenge's rows of this set in the names of the owners' table."""
    truth = read_csv(root / f"{_ISIC}_GroundTruth.csv", ("image", *CODES)).set_index("image")
    for cells in records(read_csv(root / f"{_ISIC}_Metadata.csv", ("image", "lesion_id"))):
        if not cells["lesion_id"].startswith("BCN_"):
            rows.leave_out("not-of-this-set")
            continue
        marked = [code for code in CODES if cells["image"] in truth.index and _marked(truth.at[cells["image"], code])]
        yield cells | {"bcn_filename": cells["image"], "diagnosis": marked[0] if len(marked) == 1 else "?"}


def _marked(value: object) -> bool:
    return str(value) in ("1", "1.0")
