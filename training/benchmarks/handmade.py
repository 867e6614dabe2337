"""What a careful user would write instead of `osler ingest`: the script that the benchmark holds beside it.

pydicom reads the headers, Great Expectations judges each batch of them once, dicom-anonymizer writes the de-identified
file, MONAI's `LoadImage` decodes it, and SQLite keeps the index; a pool works on every core. It does less than Osler:
pseudonyms and dates are not kept consistent by a key, nothing is synchronised to the disk, and a decoder that crashes
leaves it waiting for ever. With a third argument of `text` it reads each image for burned-in text, by RapidOCR as it comes.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dicomanonymizer import anonymize_dicom_file
from monai.transforms import LoadImage  # type: ignore[import-not-found,unused-ignore]
from pydicom import dcmread

BATCH = 500
KEYWORDS = [
    "Modality",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "StudyDate",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BurnedInAnnotation",
    "BodyPartExamined",
    "PhotometricInterpretation",
    "ViewPosition",
    "PatientAge",
]
LOAD = LoadImage(image_only=True)


def header(path: Path) -> dict[str, Any] | None:
    """Read one header; None for what is no DICOM file."""
    try:
        content = path.read_bytes()
        dataset = dcmread(path, stop_before_pixels=True)
        row = {keyword: str(dataset.get(keyword, "")) or None for keyword in KEYWORDS}
    except Exception:  # noqa: BLE001 - whatever a file is, the script goes on
        return None
    return row | {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}


@cache
def reader() -> Any:
    """Return this process's reader of text."""
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "error"} | one)


def shows_text(pixels: Any) -> bool:
    """Read an image, stretched to 8 bits."""
    values = np.squeeze(np.asarray(pixels, np.float32))
    grey = ((values - values.min()) * (255 / max(float(np.ptp(values)), 1.0))).astype(np.uint8)
    return bool(reader()(np.repeat(grey[..., None], 3, axis=2)).txts)


def convert(job: tuple[str, str, bool]) -> tuple[str, tuple[int, ...] | None]:
    """De-identify one file and decode what was written; no shape where either fails, or where text was looked for and seen."""
    source, target, look = job
    warnings.simplefilter("ignore")
    try:
        anonymize_dicom_file(source, target)
        pixels = LOAD(target)
        return target, None if look and shows_text(pixels) else tuple(pixels.shape)
    except Exception:  # noqa: BLE001 - as above
        Path(target).unlink(missing_ok=True)
        return target, None


def suspects(table: pd.DataFrame) -> set[int]:
    """Return the rows that break an expectation, by Great Expectations over the whole batch."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    suite = gx.ExpectationSuite(name="headers")
    uid = r"^[0-9.]{1,64}$"
    for expectation in (
        gxe.ExpectColumnValuesToBeInSet(column="Modality", value_set=["CR", "DX"]),
        gxe.ExpectColumnValuesToMatchRegex(column="SOPInstanceUID", regex=uid),
        gxe.ExpectColumnValuesToMatchRegex(column="StudyInstanceUID", regex=uid),
        gxe.ExpectColumnValuesToBeUnique(column="SOPInstanceUID"),
        gxe.ExpectColumnValuesToMatchRegex(column="StudyDate", regex=r"^(19|20)[0-9]{6}$"),
        gxe.ExpectColumnValuesToNotBeNull(column="Rows"),
        gxe.ExpectColumnValuesToNotBeNull(column="Columns"),
        gxe.ExpectColumnValuesToBeInSet(column="BitsAllocated", value_set=["8", "16"]),
        gxe.ExpectColumnValuesToNotBeInSet(column="BurnedInAnnotation", value_set=["YES"]),
        gxe.ExpectColumnValuesToBeInSet(column="PhotometricInterpretation", value_set=["MONOCHROME1", "MONOCHROME2"]),
    ):
        suite.add_expectation(expectation)
    report = batch.get_batch({"dataframe": table}).validate(
        suite, result_format={"result_format": "COMPLETE", "exclude_unexpected_values": True}
    )
    return {row for result in report.results for row in result.result.get("unexpected_index_list") or []}


def batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Cut a list into batches."""
    return (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))


def main(folder: Path, out: Path, workers: int, look: bool = False) -> None:
    """Take a folder in; prints how many files were accepted and refused."""
    out.mkdir(parents=True)
    index = sqlite3.connect(out / "index.sqlite")
    index.execute("CREATE TABLE files (sha256 TEXT, path TEXT, outcome TEXT, rows INTEGER, columns INTEGER)")
    accepted = refused = 0
    with Pool(workers) as pool:
        for paths in batches(sorted(path for path in folder.rglob("*") if path.is_file())):
            rows = [row for row in pool.map(header, paths, chunksize=16) if row is not None]
            table = pd.DataFrame(rows)
            bad = suspects(table) if len(table) else set()
            good = [row for number, row in enumerate(rows) if number not in bad]
            jobs = [(row["path"], str(out / f"{row['sha256']}.dcm"), look) for row in good]
            done = pool.map(convert, jobs, chunksize=8)
            for row, (target, shape) in zip(good, done, strict=True):
                outcome = "refused" if shape is None else "accepted"
                index.execute(
                    "INSERT INTO files VALUES (?, ?, ?, ?, ?)", (row["sha256"], target, outcome, *(shape or (0, 0))[:2])
                )
                accepted += shape is not None
            refused += len(paths) - sum(shape is not None for _, shape in done)
            index.commit()
    print(accepted, refused)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "text" in sys.argv[4:])
