"""Codes of terminologies (RadLex, SNOMED CT, WBCAtt attributes), as a table that the user brings: none is shipped."""

from __future__ import annotations

import csv
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

COLUMNS = ("concept", "system", "code")
_MEND = "Write a table in CSV with the columns concept, system and code, such as: kerley_b_lines,RadLex,RID35802"


def read_codes(path: Path) -> dict[str, dict[str, str]]:
    """Read codes by concept and terminology.

    Raises:
        OslerError: `source-missing`, or `table-invalid` with the number of the row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise _invalid("The table of codes lacks a column.")
            codes: dict[str, dict[str, str]] = {}
            for row in reader:
                concept, system, code = ((row[name] or "").strip() for name in COLUMNS)
                if not (concept and system and code):
                    raise _invalid(f"Row {reader.line_num} of the table of codes has an empty cell.")
                if codes.setdefault(concept, {}).setdefault(system, code) != code:
                    raise _invalid(f"Row {reader.line_num} of the table gives a concept a second code of one system.")
    except (FileNotFoundError, IsADirectoryError):
        raise OslerError(Code.SOURCE_MISSING, f"There is no table of codes at {path}.", _MEND) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _invalid(f"The table of codes cannot be read ({type(error).__name__}).") from error
    if not codes:
        raise _invalid("The table of codes has no row.")
    return codes


def _invalid(message: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, _MEND)
