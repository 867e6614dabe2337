"""The header table: one row a file, one text column for each header value that a contract may speak of.

A column that is absent could not be read at all, so its clauses cannot be checked; a null says that the file lacks the
value. The two are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Column to DICOM keyword (PS3.6), for values that are copied from the header. Several values are joined by a backslash.
KEYWORDS: Mapping[str, str] = {
    "sop_class_uid": "SOPClassUID",
    "sop_instance_uid": "SOPInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "transfer_syntax_uid": "TransferSyntaxUID",
    "modality": "Modality",
    "rows": "Rows",
    "columns": "Columns",
    "number_of_frames": "NumberOfFrames",
    "samples_per_pixel": "SamplesPerPixel",
    "photometric_interpretation": "PhotometricInterpretation",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "high_bit": "HighBit",
    "pixel_representation": "PixelRepresentation",
    "pixel_spacing": "PixelSpacing",
    "imager_pixel_spacing": "ImagerPixelSpacing",
    "body_part_examined": "BodyPartExamined",
    "view_position": "ViewPosition",
    "image_laterality": "ImageLaterality",
    "patient_orientation": "PatientOrientation",
    "study_date": "StudyDate",
    "acquisition_date": "AcquisitionDate",
    "content_date": "ContentDate",
    "patient_age": "PatientAge",
    "patient_birth_date": "PatientBirthDate",
    "burned_in_annotation": "BurnedInAnnotation",
    "presentation_intent_type": "PresentationIntentType",
    "lossy_image_compression": "LossyImageCompression",
}

# What the reader works out about a file. Flags are YES or NO, lengths are bytes.
DERIVED: Mapping[str, str] = {
    "pixel_data_present": "YES where the file holds pixel data, integer or float",
    "pixel_data_length": "length of the pixel data found in the file; null where it is compressed",
    "pixel_length_expected": "length that the header promises; null where the pixel data is compressed",
    "decoded_length": "length of all frames once decoded, compressed or not",
    "decoder_available": "YES where an installed decoder takes the transfer syntax",
    "private_identifier": "YES where a private element repeats the patient's name, number or birth date",
}

# Values that exports through floating point print as 16.0.
INTEGERS = frozenset(
    {"rows", "columns", "number_of_frames", "samples_per_pixel", "bits_allocated", "bits_stored", "high_bit"}
    | {"pixel_representation", "pixel_data_length", "pixel_length_expected", "decoded_length"}
)

COLUMNS: tuple[str, ...] = (*KEYWORDS, *DERIVED)


def header_table(rows: Iterable[Mapping[str, object]], columns: Iterable[str] = COLUMNS) -> pd.DataFrame:
    """Build a header table.

    Args:
        rows: One mapping a file: `key`, which names the file and must hold nothing of the patient, and any of
            `COLUMNS`. Booleans become YES and NO, blank text becomes null, sequences are joined by a backslash.
        columns: The columns that the reader looked for. What it did not look for stays absent.

    Returns:
        Text columns, null where a file lacks the value, indexed by `key`.

    Raises:
        OslerError: `table-invalid` for an unknown column, a missing key or a repeated one.
    """
    names = list(columns)
    records = list(rows)
    unknown = sorted({*names, *(name for record in records for name in record)} - {*COLUMNS, "key"})
    if unknown:
        raise _invalid(f"The header table has no column {', '.join(unknown)}.", "See osler_contracts.headers.COLUMNS.")
    try:
        keys = [str(record["key"]) for record in records]
    except KeyError:
        raise _invalid("A row of the header table has no key.", "Give each row a unique `key`.") from None
    return _table({name: [record.get(name) for record in records] for name in names}, keys)


def read_header_csv(path: Path, key: str | None = None) -> pd.DataFrame:
    """Read headers that somebody exported, whatever way they wrote the attribute names.

    `SOP Class UID`, `SOPClassUID` and `sop_class_uid` name the same column; other columns are dropped unread.

    Args:
        path: A CSV table, gzipped if its name ends in `.gz`.
        key: Column that names the rows; the row number, which cannot identify a patient, where it is left out.

    Raises:
        OslerError: `source-missing`, or `table-invalid` where it is no table or holds no known column.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path.")
    known = {_plain(name): name for name in COLUMNS} | {_plain(word): name for name, word in KEYWORDS.items()}
    try:
        raw = pd.read_csv(path, dtype=object, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:
        raise _invalid(
            f"{path} cannot be read as a table ({type(error).__name__}).", "Export it as CSV, UTF-8."
        ) from error
    chosen = {column: known[_plain(column)] for column in raw.columns if _plain(column) in known}
    if not chosen or len(set(chosen.values())) < len(chosen):
        why = "holds no DICOM attribute that is known" if not chosen else "names an attribute twice"
        raise _invalid(f"{path} {why}.", "Name the columns by DICOM keyword, for example Modality or Rows.")
    if key is not None and key not in raw.columns:
        raise _invalid(f"{path} has no column {key}.", "Name one of its columns as the key, or none.")
    data = {name: [_exported(value, name) for value in raw[column]] for column, name in chosen.items()}
    return _table(data, raw[key] if key else (f"row {number}" for number in range(1, len(raw) + 1)))


def _table(data: Mapping[str, Iterable[object]], keys: Iterable[object]) -> pd.DataFrame:
    """Put columns and unique keys together (`table-invalid`), every value as text."""
    index = pd.Index([str(key) for key in keys], dtype="object", name="key")
    if not index.is_unique:
        repeated = int(index.duplicated().sum())
        raise _invalid(f"{repeated} rows of the header table repeat a key.", "Give each row a unique key.")
    columns = {name: [_text(value) for value in values] for name, values in data.items()}
    return pd.DataFrame(columns, index=index, columns=list(columns), dtype="object")


def _exported(value: str, name: str) -> str:
    """Undo what exports make of values: printed lists, such as `['L', 'F']`, and decimals of whole numbers."""
    if value.startswith("[") and value.endswith("]"):
        return "\\".join(item.strip(" '\"") for item in value[1:-1].split(","))
    return value.removesuffix(".0") if name in INTEGERS else value


def _text(value: object) -> str | None:
    """Return a header value as text: None for blank, YES or NO for a flag, backslashes between several values."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        value = "\\".join(str(item).strip() for item in value)
    return str(value).strip(" \t\r\n\0") or None


def _plain(name: str) -> str:
    """Reduce an attribute's name or keyword to letters and digits: `Patient's Age` becomes `patientage`."""
    return "".join(filter(str.isalnum, name.lower().replace("'s", "")))


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, mend)
