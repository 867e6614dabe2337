"""Reports out of a CSV table, row by row: a row that cannot be read is named with its reason, and the next one follows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

LONGEST_LINE = 4_000_000  # characters; a longer line is no report
BETWEEN = "\n\n"  # an empty line between the cells of a report, so that no sentence runs from one into the next


@dataclass(frozen=True)
class Report:
    """One row: its number (the first below the header is 1), its identifier, and the cells that hold the report."""

    row: int
    id: str
    cells: tuple[str, ...]

    @property
    def text(self) -> str:
        """The cells as one text."""
        return BETWEEN.join(self.cells)

    def place(self, offset: int) -> tuple[int, int]:
        """Return the number of the cell at an offset of the text, and the offset within that cell."""
        for number, cell in enumerate(self.cells):
            if offset <= len(cell):
                return number, offset
            offset -= len(cell) + len(BETWEEN)
        raise ValueError(offset)


@dataclass(frozen=True)
class BadRow:
    """A row that is left out, with the code that says why; nothing of what it holds is told."""

    row: int
    code: Code


class ReportTable:
    """The reports of a CSV table; iterating reads it from its start, in bounded memory.

    Args:
        path: The table, with a header.
        columns: Names of the columns that hold the report, in reading order.
        id_column: Name of the column that holds a report's identifier; without one, the row's number is taken.
        encoding: How the text is written.
    """

    def __init__(
        self, path: Path, columns: Sequence[str], id_column: str | None = None, encoding: str = "utf-8-sig"
    ) -> None:
        self.path, self.columns, self.id_column, self.encoding = path, tuple(columns), id_column, encoding

    def __iter__(self) -> Iterator[Report | BadRow]:
        """Yield every row that is not blank, as a report or as a bad row.

        Raises:
            OslerError: `unreadable`; `table-invalid` where the header lacks a column or is no text.
        """
        csv.field_size_limit(LONGEST_LINE)
        try:
            with self.path.open(newline="", encoding=self.encoding, errors="surrogateescape") as stream:
                yield from self._rows(csv.reader(_lines(stream), strict=True))
        except OSError as error:
            raise from_os_error(error) from error
        except (LookupError, UnicodeError) as error:
            raise _invalid(f"The table cannot be read as {self.encoding}") from error

    def _rows(self, reader: Iterator[list[str]]) -> Iterator[Report | BadRow]:
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise _invalid("The table has no readable header") from error
        wanted = [*self.columns, *([self.id_column] if self.id_column else [])]
        lacking = [name for name in wanted if header.count(name) != 1]
        if lacking:
            raise _invalid(f"The table has no column {', '.join(map(repr, lacking))}, or more than one")
        places = [header.index(name) for name in self.columns]
        id_place = header.index(self.id_column) if self.id_column else None
        seen: set[str] = set()
        for number, cells in enumerate(_rows_of(reader), start=1):
            if cells == []:
                continue
            yield _row(number, cells, len(header), places, id_place, seen)


def _rows_of(reader: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """Yield the rows, or None where one breaks the rules of CSV; the reader goes on behind it."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield the lines; of one that is too long, what breaks its row, without holding the rest of it."""
    while line := stream.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith("\n"):
            yield line
            continue
        while part := stream.readline(LONGEST_LINE):
            if part.endswith("\n"):
                break
        yield '"too long"x\n'  # text behind a closing quote: no row in strict CSV


def _row(
    number: int, cells: list[str] | None, width: int, places: list[int], id_place: int | None, seen: set[str]
) -> Report | BadRow:
    if cells is None or len(cells) != width:
        return BadRow(number, Code.ROW_INVALID)
    name = cells[id_place] if id_place is not None else str(number)
    texts = tuple(cells[place] for place in places)
    if any("\ud800" <= one <= "\udfff" for text in (*texts, name) for one in text):
        return BadRow(number, Code.ROW_ENCODING)
    if not any(text.strip() for text in texts):
        return BadRow(number, Code.ROW_EMPTY)
    if not name.strip() or name in seen:
        return BadRow(number, Code.ROW_REPEATED)
    seen.add(name)
    return Report(number, name, texts)


def _invalid(what: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, f"{what}.", "Name columns of the table's first line, and its encoding.")
