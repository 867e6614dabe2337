"""The header table: one row a file, one text column for each header value that a contract may speak of.

A column that is absent could not be read at all, so its clauses cannot be checked; a null says that the file lacks the
value. The two are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_contracts.header_columns import COLUMNS, DERIVED, IDENTIFYING, INTEGERS, KEYWORDS

__all__ = [
    "CHUNK_ROWS",
    "COLUMNS",
    "DERIVED",
    "IDENTIFYING",
    "INTEGERS",
    "KEYWORDS",
    "header_table",
    "read_header_chunks",
    "read_header_csv",
]

# Large enough that the fixed cost of a check is small beside it, small enough that a chunk takes some 200 MB.
CHUNK_ROWS = 100_000


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
    return _unique(pd.concat(list(read_header_chunks(path, key))))


def read_header_chunks(path: Path, key: str | None = None, rows: int = CHUNK_ROWS) -> Iterator[pd.DataFrame]:
    """Read exported headers, as `read_header_csv` does, in tables of at most `rows` rows; at least one is given.

    Keys are unique within each table; whoever joins them checks the rest.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path.")
    chosen = _known_columns(path, key)
    names = list(chosen) if key is None else [*chosen, *({key} - {*chosen})]
    try:
        with pd.read_csv(path, dtype=object, keep_default_na=False, usecols=names, chunksize=rows) as chunks:
            read = 0
            for raw in chunks:
                numbers = range(read + 1, read + len(raw) + 1)
                read += len(raw)
                data = {name: _each(raw[column], partial(_exported_text, name)) for column, name in chosen.items()}
                index = raw[key] if key else [f"row {number}" for number in numbers]
                yield _unique(pd.DataFrame(data).set_axis(_index(index), axis="index"))
            if not read:
                yield pd.DataFrame({name: [] for name in chosen.values()}, index=_index([]), dtype="object")
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def _known_columns(path: Path, key: str | None) -> dict[str, str]:
    """Return the columns of a CSV that are known, with the names that they have here (`table-invalid`)."""
    known = {_plain(name): name for name in COLUMNS} | {_plain(word): name for name, word in KEYWORDS.items()}
    try:
        found = list(pd.read_csv(path, dtype=object, nrows=0).columns)
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    chosen = {column: known[_plain(column)] for column in found if _plain(column) in known}
    if not chosen or len(set(chosen.values())) < len(chosen):
        why = "holds no DICOM attribute that is known" if not chosen else "names an attribute twice"
        raise _invalid(f"{path} {why}.", "Name the columns by DICOM keyword, for example Modality or Rows.")
    if key is not None and key not in found:
        raise _invalid(f"{path} has no column {key}.", "Name one of its columns as the key, or none.")
    return chosen


def _unreadable(path: Path, error: Exception) -> OslerError:
    return _invalid(f"{path} cannot be read as a table ({type(error).__name__}).", "Export it as CSV, UTF-8.")


def _table(data: Mapping[str, Iterable[object]], keys: Iterable[object]) -> pd.DataFrame:
    """Put columns and unique keys together (`table-invalid`), every value as text."""
    columns = {name: [_text(value) for value in values] for name, values in data.items()}
    return _unique(pd.DataFrame(columns, index=_index(keys), columns=list(columns), dtype="object"))


def _index(keys: Iterable[object]) -> pd.Index:
    return pd.Index([_storable(str(key)) for key in keys], dtype="object", name="key")


def _unique(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, or refuse it where its keys repeat (`table-invalid`)."""
    if not table.index.is_unique:
        repeated = int(table.index.duplicated().sum())
        raise _invalid(f"{repeated} rows of the header table repeat a key.", "Give each row a unique key.")
    return table


def _each(values: pd.Series, convert: Callable[[str], str | None]) -> np.ndarray:
    """Convert text value by value, each distinct one once."""
    codes, distinct = pd.factorize(values)
    converted = np.empty(len(distinct), dtype=object)
    converted[:] = [convert(value) for value in distinct]
    return converted[codes]


def _exported_text(name: str, value: str) -> str | None:
    """Undo what exports make of values: printed lists, such as `['L', 'F']`, and decimals of whole numbers."""
    if value.startswith("[") and value.endswith("]"):
        return _text("\\".join(item.strip(" '\"") for item in value[1:-1].split(",")))
    return _text(value.removesuffix(".0") if name in INTEGERS else value)


def _text(value: object) -> str | None:
    """Return a header value as text: None for blank, YES or NO for a flag, backslashes between several values."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        value = "\\".join(str(item).strip() for item in value)
    return _storable(str(value).strip(" \t\r\n\0")) or None


def _storable(text: str) -> str:
    """Write out what UTF-8 cannot hold, such as half of a surrogate pair: no table could be hashed with it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _plain(name: str) -> str:
    """Reduce an attribute's name or keyword to letters and digits: `Patient's Age` becomes `patientage`."""
    return "".join(filter(str.isalnum, name.lower().replace("'s", "")))


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, mend)
