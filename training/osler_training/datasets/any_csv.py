"""Any CSV table with a folder of images: which column means what is an option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.concept_maps import map_named
from osler_training.datasets.images import COLUMNS, Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, read_csv, records

SUMMARY = "any CSV table with a folder of images"
_FLAGS = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}


def read(
    root: Path,
    *,
    table: str = "metadata.csv",
    image: str = "image",
    patient: str = "patient_id",
    label: str = "label",
    site: str = "",
    site_column: str = "site",
    view: str = "view",
    sex: str = "sex",
    age: str = "age",
    part: str = "split_hint",
    text: str = "text",
    label_map: Mapping[str, str] | None = None,
    findings: Sequence[str] = (),
    concepts_file: str = "",
    concept_map: str = "",
    colour: bool | None = None,
    name: str = "",
    missing: Missing = "refuse",
) -> Images:
    """Read a table; columns without a meaning here are kept as attributes.

    Args:
        root: Folder of the table; paths of images are relative to it.
        table: File name of the table.
        image: Column of the image's path; `concepts_file` is joined by it.
        patient: Column of the patient; where it is empty, or the table has none, each image is its own patient.
        label: Column of the class.
        site: Name of the site of all rows; where it is empty, `site_column` says.
        site_column: Column of the site.
        view: Column of the view.
        sex: Column of the sex.
        age: Column of the age in years.
        part: Column of the part (train, val, test).
        text: Column of the text.
        label_map: Class by raw label; raw labels that it does not name become "". The column keeps its raw values as the
            attribute `raw_label` where the table has no such column.
        findings: Columns that hold 0, 1 or nothing; without any, the findings are the classes, one of which is true.
        concepts_file: Table of concepts beside it; without a `concept_map` its columns are concepts in 0, 1 or nothing.
        concept_map: Name of the map from its columns to a shipped bank (`ph2`, `wbcatt`).
        colour: As in `Reading`.
        name: Name that goes before patient numbers, so that sets never share a patient (default: the folder's name).
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing`, `table-invalid`, `usage`, and what `Rows.images` refuses.
    """
    if concept_map and not concepts_file:
        raise OslerError(Code.USAGE, "There is a concept map but no concepts file.", "Give concepts_file too.")
    source = read_csv(root / table, [image, *findings])
    concepts = _concepts(root, source[image], image, concepts_file, concept_map)
    meanings = {"patient": patient, "label": label, "site": site_column, "view": view, "sex": sex, "age": age}
    meanings |= {"part": part, "text": text}
    attributes = [one for one in source.columns if one not in {*COLUMNS, image, *meanings.values(), *findings}]
    classes = sorted(set(label_map.values()) if label_map else set(source.get(label, pd.Series(dtype=str))) - {""})
    truth = [dict(zip(map(str, concepts.columns), values, strict=True)) for values in concepts.to_numpy(float).tolist()]
    rows = Rows(name or root.resolve().name, root, missing)
    for number, cells in enumerate(records(source)):
        given = {meaning: cells.get(column, "") for meaning, column in meanings.items()}
        raw = given["label"]
        if label_map is not None:
            given["label"] = label_map.get(raw, "")
        flags = {one: _flag(cells[one], one) for one in findings}
        rows.add(
            cells[image],
            findings=flags if findings else one_hot(given["label"], classes),
            concepts=truth[number],
            attributes={"raw_label": raw, **{one: cells[one] for one in attributes}, **given},
            site=site or given["site"],
        )
    return rows.images(
        reading=Reading(colour=colour), concepts=list(concepts.columns), findings=list(findings) or classes
    )


def _concepts(root: Path, images: pd.Series[str], image: str, file: str, map_name: str) -> pd.DataFrame:
    """Return the concepts (n, C) of the images, all NaN where the file does not list one."""
    if not file:
        return pd.DataFrame(index=range(len(images)))
    table = read_csv(root / file, [image])
    if table[image].duplicated().any():
        raise OslerError(Code.TABLE_INVALID, f"{file} lists an image twice.", "Keep one row an image.")
    table = table.set_index(image)
    values = map_named(map_name).apply(table) if map_name else table.apply(_flags)
    return values.reindex(images.to_numpy()).reset_index(drop=True)


def _flags(column: pd.Series[str]) -> pd.Series[float]:
    return pd.Series([_flag(value, str(column.name)) for value in column], index=column.index, dtype=float)


def _flag(value: str, column: str) -> float:
    if not value:
        return float("nan")
    if value not in _FLAGS:
        raise OslerError(
            Code.TABLE_INVALID, f"The column {column} holds {value[:40]!r}.", "Give 0, 1 or nothing, or a concept map."
        )
    return _FLAGS[value]
