"""A whole table: each row becomes a file or gets a code that says why not."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from osler.deid.basic_profile import to_bytes
from osler.dicomize.build import Collection, Kind, build
from osler.dicomize.images import read_picture
from osler.dicomize.table import Columns, Row, read_table, rows
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FILES, LABELS = "dicom", "labels.csv"


@dataclass
class DicomizeSummary:
    """What became of a table.

    Attributes:
        rows: Rows of the table.
        written: Files written.
        refused: Code by number of a refused row.
        dropped: Values that were not valid and left empty, by column's meaning.
        files: Folder of the files.
        labels: Table of labels for `osler ingest --labels`.
    """

    files: Path
    labels: Path
    rows: int = 0
    written: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        return {
            "rows": self.rows,
            "written": self.written,
            "refused": [{"row": number, "code": code} for number, code in self.refused.items()],
            "by_reason": dict(sorted(Counter(self.refused.values()).items())),
            "dropped": dict(sorted(self.dropped.items())),
            "files": str(self.files),
            "labels": str(self.labels),
        }

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        lines = [f"Wrote {self.written} of {self.rows} rows to {self.files}, their labels to {self.labels}."]
        lines += [f"  row {number}: {code}" for number, code in self.refused.items()]
        return lines + [
            f"  {count} values of {name} were not valid and left empty" for name, count in self.dropped.items()
        ]


def dicomize(
    table: Path,
    folder: Path,
    *,
    kind: str,
    site: str,
    columns: Columns | None = None,
    body_part: str = "",
    orientation: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> DicomizeSummary:
    """Wrap the images of a table into DICOM.

    Each row becomes a study of its own. Files go to `folder/dicom`, and `folder/labels.csv` has what the table says.

    Args:
        table: CSV table; paths of images are relative to its folder and may not leave it.
        folder: Where to write.
        kind: `radiograph`, `dermoscopy` or `microscopy`.
        site: Name of the site.
        columns: Which column means what.
        body_part: Body Part Examined of all images, such as CHEST.
        orientation: Patient Orientation of all images, such as L and F for frontal radiographs.
        progress: Called with the number of rows done and of all rows.

    Raises:
        OslerError: `source-missing`, `table-invalid`, `usage` for an unknown kind.
    """
    if kind not in list(Kind):
        raise OslerError(Code.USAGE, f"There is no kind {kind}.", f"Kinds: {', '.join(Kind)}.")
    chosen = columns or Columns()
    if kind != Kind.RADIOGRAPH:
        chosen = replace(chosen, view="")  # View Position is of radiographs
    content = read_table(table, chosen)
    collection = Collection(Kind(kind), site, body_part, tuple(orientation))
    summary = DicomizeSummary(folder / FILES, folder / LABELS)
    notes: dict[str, dict[str, str]] = {}
    for row in rows(content, chosen):
        summary.rows += 1
        try:
            dataset = _convert(row, table.parent, collection, notes)
        except OslerError as error:
            summary.refused[row.number] = str(error.code)
        else:
            write_atomically(summary.files / f"{dataset.SOPInstanceUID}.dcm", to_bytes(dataset))
            notes[dataset.StudyInstanceUID] = {**row.labels} | ({"report": row.report} if row.report else {})
            summary.written += 1
            summary.dropped.update(row.dropped)
        if progress:
            progress(summary.rows, len(content))
    write_atomically(summary.labels, _labels(notes).encode())
    return summary


def _convert(row: Row, folder: Path, collection: Collection, done: Mapping[str, object]) -> Dataset:
    """Return the object of a row, or raise its refusal."""
    picture = read_picture(_image_path(row.image, folder), colour=collection.kind is not Kind.RADIOGRAPH)
    dataset = build(row, picture, collection)
    if dataset.StudyInstanceUID in done:
        raise OslerError(Code.DUPLICATE, "An earlier row has this image of this patient.", "Nothing to do.")
    return dataset


def _image_path(name: str, folder: Path) -> Path:
    """Return the path of a row's image, links resolved; it must lie below the table's folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise OslerError(
            Code.PATH_OUTSIDE, "The path leads out of the table's folder.", "Move the image below the table."
        )
    if not name or not path.is_file():
        raise OslerError(Code.IMAGE_MISSING, "There is no such image.", "Check the path; it is relative to the table.")
    return path


def _labels(notes: Mapping[str, Mapping[str, str]]) -> str:
    names = dict.fromkeys(name for note in notes.values() for name in note)
    buffer = StringIO()
    writer = csv.DictWriter(buffer, ["study_instance_uid", *names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"study_instance_uid": uid, **note} for uid, note in notes.items())
    return buffer.getvalue()
