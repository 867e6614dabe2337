"""PBC (Acevedo et al., Data in Brief 2020; Mendeley snkd93bnjr) with WBCAtt (Tsutsui et al., NeurIPS 2023): blood cells.

Read: `PBC_dataset_normal_DIB/<class>/*.jpg`, 17,092 cells of Hospital Clinic, Barcelona, in eight classes by folder, and the
tables `pbc_attr_v1_{train,val,test}.csv` with 11 attributes of the 10,298 cells of the five kinds of white cell. Without the
tables there are no concepts. There are no patient numbers: cells of one person may be in two parts, also in those of WBCAtt.
"""

from __future__ import annotations

from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.concept_maps import WBCATT
from osler_training.datasets.images import Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, read_csv

SUMMARY = "PBC blood cells with WBCAtt attributes"
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "erythroblast", "ig", "platelet")
FOLDER = "PBC_dataset_normal_DIB"


def read(root: Path, *, annotated: bool = False, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with `PBC_dataset_normal_DIB/` and the tables of WBCAtt.
        annotated: Whether to keep only the cells that WBCAtt annotates; the others are counted.
        missing: As in `Rows`; a cell of WBCAtt that PBC does not hold counts as missing.

    Raises:
        OslerError: `source-missing` where there is no image, `table-invalid`, and what `Rows.images` refuses.
    """
    paths = sorted((root / FOLDER).glob("*/*.jpg"))
    if not paths:
        raise OslerError(Code.SOURCE_MISSING, f"There is no image in {root / FOLDER}.", "Unpack the set there.")
    concepts, parts = _attributes(root)
    rows = Rows("pbc", root, missing)
    for path in paths:
        label, truth = path.parent.name, concepts.pop(path.name, None)
        if label not in CLASSES:
            rows.fault(Code.ROW_INVALID, f"{label}/{path.name}")
        elif annotated and truth is None:
            rows.leave_out("not-annotated")
        else:
            rows.add(
                path.relative_to(root).as_posix(),
                label=label,
                part=parts.get(path.name, ""),
                concepts=truth,
                findings=one_hot(label, CLASSES),
            )
    for name in concepts:
        rows.fault(Code.IMAGE_MISSING, name)
    return rows.images(
        site="Hospital Clinic, Barcelona",
        reading=Reading(colour=True),
        concepts=WBCATT.concepts if parts else (),
        findings=CLASSES,
    )


def _attributes(root: Path) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return the concepts and the part of each cell of WBCAtt by the name of its file."""
    concepts: dict[str, dict[str, float]] = {}
    parts: dict[str, str] = {}
    for part in ("train", "val", "test"):
        path = root / f"pbc_attr_v1_{part}.csv"
        if not path.is_file():
            continue
        table = read_csv(path, ("img_name",))
        values = WBCATT.apply(table).to_numpy(float).tolist()
        for name, row in zip(table["img_name"], values, strict=True):
            if name in parts:
                raise OslerError(Code.TABLE_INVALID, f"{path.name} lists a cell again.", "Get the tables again.")
            parts[name], concepts[name] = part, dict(zip(WBCATT.concepts, row, strict=True))
    return concepts, parts
