"""PadChest (Bustos et al., Med. Image Anal. 2020): 160,868 radiographs of 67,000 patients of Hospital San Juan, Alicante.

Read: `PADCHEST_chest_x_ray_images_labels_160K*.csv` (also `.gz`) and the 16-bit PNG files in the folders that `ImageDir`
numbers, or all in one. `Labels` is a Python list; 27% were written by physicians and the rest by a network (`MethodLabel`).
What a row does not list is taken as absent. `exclude`, `suboptimal study` and an empty list say nothing of disease: all
findings are then unknown. Files differ in how many of the 16 bits they use, so each image is stretched to its own range. Age is
the year of the study less the year of birth. The owners do not say whether MONOCHROME1 images were turned when they became PNG:
look at some, and set `invert_monochrome1` where they were not.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import NAN, class_of, finding_name, listed
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, first_file, read_csv, records

SUMMARY = "PadChest"
_VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP", "L": "LL"}
_NO_ANSWER = frozenset({"exclude", "suboptimal_study"})


def read(
    root: Path,
    *,
    target: str = "",
    projections: Sequence[str] = ("PA", "AP", "AP_horizontal"),
    physicians: bool = False,
    invert_monochrome1: bool = False,
    missing: Missing = "refuse",
) -> Images:
    """Read the set.

    Args:
        root: Folder with the table.
        target: As in `class_of`.
        projections: Values of `Projection` to keep; the others are counted.
        physicians: Whether to keep only rows that physicians labelled.
        invert_monochrome1: Whether to turn images whose DICOM file was MONOCHROME1.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    needed = ("ImageID", "ImageDir", "StudyDate_DICOM", "PatientID", "PatientBirth", "PatientSex_DICOM")
    table = read_csv(first_file(root, "PADCHEST*.csv*"), (*needed, "Projection", "MethodLabel", "Labels"))
    parsed = [_labels(text) for text in table["Labels"]]
    names = sorted({name for labels in parsed for name in labels or ()} - _NO_ANSWER)
    place = by_name(root, ("*.png", "*/*.png"))
    rows = Rows("padchest", root, missing)
    for cells, labels in zip(records(table), parsed, strict=True):
        if cells["Projection"] not in projections:
            rows.leave_out("view")
            continue
        if physicians and cells["MethodLabel"] != "Physician":
            rows.leave_out("not-by-physicians")
            continue
        if labels is None or not cells["PatientID"]:
            rows.fault(Code.ROW_INVALID, cells["ImageID"])
            continue
        answered = bool(labels) and not labels & _NO_ANSWER
        findings = listed(labels, names) if answered else dict.fromkeys(names, NAN)
        photometric = cells.get("PhotometricInterpretation_DICOM", "")
        rows.add(
            place(cells["ImageID"]),
            patient=cells["PatientID"],
            label=class_of(findings, target),
            view=_VIEWS.get(cells["Projection"], ""),
            sex=cells["PatientSex_DICOM"],
            age=_age(cells["StudyDate_DICOM"], cells["PatientBirth"]),
            text=cells.get("Report", ""),
            findings=findings,
            inverted=invert_monochrome1 and photometric == "MONOCHROME1",
            photometric=photometric,
            projection=cells["Projection"],
            labelled_by=cells["MethodLabel"],
        )
    return rows.images(
        site="Hospital San Juan de Alicante", reading=Reading(colour=False, stretched=True), findings=names
    )


def _labels(text: str) -> frozenset[str] | None:
    """Return the names in a Python list, None where the cell is no such list. Nothing of it is run."""
    if text in ("", "nan"):
        return frozenset()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return None
    return frozenset(finding_name(one) for one in value) - {""}


def _age(study: str, birth: str) -> str:
    year = birth.removesuffix(".0")
    return str(int(study[:4]) - int(year)) if study[:4].isdigit() and year.isdigit() else ""
