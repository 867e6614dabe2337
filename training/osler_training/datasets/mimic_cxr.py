"""MIMIC-CXR-JPG (Johnson et al. 2019; PhysioNet): 377,110 radiographs of 65,379 patients of Beth Israel Deaconess, Boston.

Read, as PhysioNet lays them out: `mimic-cxr-2.x.x-chexpert.csv.gz` or `-negbio` (labels of studies), `-metadata` (images and
views), `-split` where it is there, and `files/p10/p10000032/s50414267/<dicom_id>.jpg` (or `.dcm`, of MIMIC-CXR itself).
Labels are of the report, 1, 0, -1 (uncertain) or empty (not mentioned). Sex and age are in MIMIC-IV and not here. With
`reports`, the folder of `mimic-cxr-reports`, the report of each study is its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from osler_contracts.codes import Code
from osler_training.datasets.images import Images
from osler_training.datasets.labels import CHEXPERT, Uncertain, Unmentioned, chexpert_findings, class_of, finding_name
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, first_file, inside, read_csv, records

SUMMARY = "MIMIC-CXR-JPG and MIMIC-CXR"
_PARTS = {"train": "train", "validate": "val", "test": "test"}


def read(
    root: Path,
    *,
    labeller: Literal["chexpert", "negbio"] = "chexpert",
    target: str = "",
    uncertain: Uncertain = "ignore",
    unmentioned: Unmentioned = "ignore",
    views: Sequence[str] = ("AP", "PA"),
    reports: Path | None = None,
    missing: Missing = "refuse",
) -> Images:
    """Read the set.

    Args:
        root: Folder with the tables and `files/`.
        labeller: Whose labels.
        target: As in `class_of`.
        uncertain: What -1 becomes: `ignore` (NaN), `ones` or `zeros`.
        unmentioned: What an empty cell becomes: `ignore` (NaN) or `zeros`.
        views: View positions to keep; the others are counted.
        reports: Folder of the reports, which holds `files/` too.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    metadata = read_csv(
        first_file(root, "mimic-cxr-2*-metadata.csv*"), ("dicom_id", "subject_id", "study_id", "ViewPosition")
    )
    labels = read_csv(first_file(root, f"mimic-cxr-2*-{labeller}.csv*"), ("subject_id", "study_id", "No Finding"))
    truth = {
        (cells["subject_id"], cells["study_id"]): chexpert_findings(cells, uncertain, unmentioned)
        for cells in records(labels)
    }
    parts = _parts(root)
    rows = Rows("mimic_cxr", root, missing)
    for cells in records(metadata):
        if cells["ViewPosition"] not in views:
            rows.leave_out("view")
            continue
        patient, study, image = cells["subject_id"], cells["study_id"], cells["dicom_id"]
        if (patient, study) not in truth:
            rows.leave_out("unlabelled")  # studies whose report the labeller could not read are not in its table
            continue
        findings = truth[patient, study]
        if findings is None or not (patient.isdigit() and study.isdigit()):
            rows.fault(Code.ROW_INVALID, image)
            continue
        folder = f"files/p{patient[:2]}/p{patient}/s{study}"
        rows.add(
            f"{folder}/{image}.dcm" if (root / folder / f"{image}.dcm").is_file() else f"{folder}/{image}.jpg",
            patient=patient,
            label=class_of(findings, target),
            view=cells["ViewPosition"],
            part=parts.get(image, ""),
            text=_report(reports, f"{folder}.txt"),
            findings=findings,
            study=study,
        )
    return rows.images(
        site="Beth Israel Deaconess Medical Center",
        reading=Reading(colour=False),
        findings=tuple(map(finding_name, CHEXPERT)),
    )


def _parts(root: Path) -> dict[Any, str]:
    found = sorted(root.glob("mimic-cxr-2*-split.csv*"))
    if not found:
        return {}
    table = read_csv(found[0], ("dicom_id", "split"))
    return {image: _PARTS.get(part, "") for image, part in zip(table["dicom_id"], table["split"], strict=True)}


def _report(folder: Path | None, name: str) -> str:
    if folder is None:
        return ""
    path = inside(folder, name)
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
