"""PH2 (Mendonca et al., EMBC 2013): 200 dermoscopic images of Hospital Pedro Hispano, Matosinhos, with annotated criteria.

Read: `PH2_dataset.txt`, whose groups stand between `||` and the six criteria between `|`, and `PH2 Dataset images/IMD003/IMD003_Dermoscopic_Image/IMD003.bmp`;
the lesion's mask beside (`IMD003_lesion/IMD003_lesion.bmp`) is the attribute `mask`. Clinical diagnosis: 0 common nevus,
1 atypical nevus, 2 melanoma; both kinds of nevus are `nevus` here, the kind is the attribute `diagnosis`. Criteria: asymmetry
0, 1 (one axis), 2 (both); network AT or T; dots and globules A, AT, T; streaks, regression, veil A or P; colours by number.
There are no patient numbers. The table as `.xlsx` says the same and is not read.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.concept_maps import PH2
from osler_training.datasets.images import Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows

SUMMARY = "PH2"
CLASSES = ("melanoma", "nevus")
TABLE = "PH2_dataset.txt"
_DIAGNOSES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}
_WORDS = {"A": "absent", "P": "present", "T": "typical", "AT": "atypical"}
_CRITERIA = ("asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas", "blue_whitish_veil")


def read(root: Path, *, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, and what `Rows.images` refuses.
    """
    path = root / TABLE
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no {TABLE} in {root}.", "Name the folder that holds it.")
    rows = Rows("ph2", root, missing)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip().startswith("||"):
            continue
        groups = [cell.strip() for cell in line.strip().removeprefix("||").removesuffix("||").split("||")]
        name, _, diagnosis, criteria, colours = (*groups, "", "", "", "")[:5]
        if name == "Name":
            continue
        given = _criteria([cell.strip() for cell in criteria.split("|")], colours.split())
        if diagnosis not in _DIAGNOSES or given is None:
            rows.fault(Code.ROW_INVALID, name)
            continue
        label = "melanoma" if diagnosis == "2" else "nevus"
        folder = f"PH2 Dataset images/{name}"
        rows.add(
            f"{folder}/{name}_Dermoscopic_Image/{name}.bmp",
            label=label,
            view="dermoscopy",
            concepts={str(key): float(value) for key, value in PH2.apply(pd.DataFrame([given])).iloc[0].items()},
            findings=one_hot(label, CLASSES),
            diagnosis=_DIAGNOSES[diagnosis],
            mask=f"{folder}/{name}_lesion/{name}_lesion.bmp",
        )
    return rows.images(
        site="Hospital Pedro Hispano", reading=Reading(colour=True), concepts=PH2.concepts, findings=CLASSES
    )


def _criteria(cells: list[str], colours: list[str]) -> dict[str, str] | None:
    """Return the criteria in the words of the concept map, None where a cell has another value."""
    values = [_WORDS.get(cell, cell) for cell in cells]
    if len(values) != len(_CRITERIA) or values[0] not in ("0", "1", "2") or not set(values[1:]) <= set(_WORDS.values()):
        return None
    if not set(colours) <= set("123456"):
        return None
    flags = {name: str(int(str(number) in colours)) for number, name in enumerate(PH2.colours, 1)}
    return dict(zip(_CRITERIA, values, strict=True)) | flags
