"""CheXpert (Irvin et al., AAAI 2019): 224,316 radiographs of 65,240 patients of Stanford Health Care.

Read: `train.csv` and `valid.csv`, and the JPEG files that their column `Path` names; its first part is the folder as
distributed (`CheXpert-v1.0`, `-small`) and may be the root itself. Labels: 1 positive, 0 negative, -1 uncertain, empty not
mentioned, mined from the impressions of reports; those of `valid.csv` are the majority of three radiologists and have no gaps.
Path carries patient, study and view. Age 0 with sex Unknown stands for neither known.
"""

from __future__ import annotations

import re
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images
from osler_training.datasets.labels import CHEXPERT, Uncertain, Unmentioned, chexpert_findings, class_of, finding_name
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, read_csv, records

SUMMARY = "CheXpert"
_PARTS = {"train": "train", "valid": "val"}


def read(
    root: Path,
    *,
    target: str = "",
    uncertain: Uncertain = "ignore",
    unmentioned: Unmentioned = "ignore",
    frontal: bool = True,
    missing: Missing = "refuse",
) -> Images:
    """Read the set.

    Args:
        root: Folder with `train.csv`, `valid.csv` or both.
        target: As in `class_of`.
        uncertain: What -1 becomes: `ignore` (NaN), `ones` or `zeros`.
        unmentioned: What an empty cell becomes: `ignore` (NaN) or `zeros`.
        frontal: Whether to leave out, and count, lateral views.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, and what `Rows.images` refuses.
    """
    rows = Rows("chexpert", root, missing)
    tables = [name for name in _PARTS if (root / f"{name}.csv").is_file()]
    if not tables:
        raise OslerError(Code.SOURCE_MISSING, f"There is no train.csv or valid.csv in {root}.", "Name their folder.")
    for name in tables:
        table = read_csv(root / f"{name}.csv", ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding"))
        for cells in records(table):
            _add(rows, cells, target, uncertain, unmentioned, frontal, _PARTS[name])
    return rows.images(
        site="Stanford Health Care", reading=Reading(colour=False), findings=tuple(map(finding_name, CHEXPERT))
    )


def _add(
    rows: Rows,
    cells: dict[str, str],
    target: str,
    uncertain: Uncertain,
    unmentioned: Unmentioned,
    frontal: bool,
    part: str,
) -> None:
    if frontal and cells["Frontal/Lateral"] == "Lateral":
        rows.leave_out("lateral")
        return
    found = re.search(r"(patient\d+)/(study\d+)/", cells["Path"])
    findings = chexpert_findings(cells, uncertain, unmentioned)
    if not found or findings is None:
        rows.fault(Code.ROW_INVALID, cells["Path"])
        return
    head, _, rest = cells["Path"].partition("/")
    inside = rest if head.startswith("CheXpert") and not (rows.root / head).is_dir() else cells["Path"]
    known = cells["Sex"] != "Unknown" or cells["Age"] != "0"
    rows.add(
        inside,
        patient=found[1],
        label=class_of(findings, target),
        view=cells["AP/PA"] or cells["Frontal/Lateral"],
        sex=cells["Sex"],
        age=cells["Age"] if known else "",
        part=part,
        findings=findings,
        study=found[2],
    )
