"""A column of reports in a CSV file: each row a document, each column of text a section."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, Refusal, compose, finish, refused
from osler_knowledge.readers.streams import lines, open_stream

_IDS = ("id", "uid", "pmid")


def read_table(path: Path, name: str, options: Options) -> Reading:
    """Read one document a row; a row that cannot be used is refused by its number and the rest goes on.

    Raises:
        OslerError: `document-missing`, `document-too-large`, or `document-invalid` where a column is missing or the
            file stops being a table; messages hold no name and no value out of the file.
    """
    if not options.columns:
        raise refused(Code.DOCUMENT_INVALID, "Which column holds the text is not said.", "Name it with --column.")
    with open_stream(path, options.limits) as stream:
        rows = csv.reader(_decoded(lines(stream, options.limits)))
        try:
            header = next(rows, [])
            id_place = _id_place(header, options)
            places = [_place(header, column) for column in options.columns]
            for number, row in enumerate(rows, 1):
                if row:
                    yield _entry(row, number, name, options, id_place, places)
        except csv.Error:
            raise refused(
                Code.DOCUMENT_INVALID, "The table cannot be followed beyond some row.", "Look for an open quote."
            ) from None


def _decoded(found: Iterator[bytes | OslerError]) -> Iterator[str]:
    """Decode lines, keeping what is not UTF-8 as surrogates: only a row that uses it is refused."""
    for number, line in enumerate(found):
        if isinstance(line, OslerError):
            raise line  # who knows whether the line ended inside a quote
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape") + "\n"


def _place(header: Sequence[str], column: str) -> int:
    if column not in header:
        raise refused(Code.DOCUMENT_INVALID, f"The table has no column {column!r}.", "Look at its first line.")
    return header.index(column)


def _id_place(header: Sequence[str], options: Options) -> int | None:
    if options.id_column is not None:
        return _place(header, options.id_column)
    return next((header.index(one) for one in _IDS if one in header), None)


def _entry(
    row: Sequence[str], number: int, name: str, options: Options, id_place: int | None, places: Sequence[int]
) -> Entry | Refusal:
    where, stem = f"{name}:{number}", Path(name).stem
    needed = places if id_place is None else [*places, id_place]
    if len(row) <= max(needed):
        return Refusal(where, Code.DOCUMENT_INVALID, "The row is shorter than the header.")
    if any("\udc80" <= character <= "\udcff" for place in needed for character in row[place]):
        return Refusal(where, Code.DOCUMENT_ENCODING, "The row is not UTF-8 text throughout.")
    own = str(number) if id_place is None else row[id_place].strip()
    columns = zip(options.columns, places, strict=True)
    text, sections = compose((column, row[place].splitlines()) for column, place in columns)
    return finish(
        Entry(f"{stem}:{own}" if own else "", f"Report {own}", text, (), "", False, "", f"{stem} {own}", sections),
        where,
        options,
    )
