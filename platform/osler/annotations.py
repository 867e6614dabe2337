"""Annotations of many reports as a file: CSV with a line for each concept of each report, or JSON with every mention.

States, sides and character offsets are written, and the identifiers of the reports; no word of a report is. The file
appears when it is whole.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from osler.files import move_synced
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error
from osler_knowledge.annotate import Mention, summary
from osler_knowledge.annotate_batch import Mentions, Reader, annotate_batch
from osler_knowledge.report_table import BadRow, Report

FIELDS = ("report", "concept", "state", "doubt", "side", "change", "section", "column", "start", "end")
NOT_MENTIONED = "not mentioned"


@dataclass
class Sheet:
    """What became of a table: reports read, those among them that an earlier run had read, states, and rows left out."""

    reports: int = 0
    kept: int = 0
    states: Counter[str] = field(default_factory=Counter)
    bad: list[BadRow] = field(default_factory=list)


def write_sheet(
    rows: Iterable[Report | BadRow],
    reader: Reader,
    out: Path,
    *,
    columns: Sequence[str],
    concepts: Sequence[str],
    every: bool = False,
    cache: Path | None = None,
) -> Sheet:
    """Annotate reports and write the answer.

    Args:
        rows: Reports, and rows that are left out.
        reader: What reads them.
        out: A .csv or .json file; it is replaced.
        columns: Names of the cells of a report.
        concepts: Identifiers in the order in which they are written.
        every: Whether to write what a report does not mention.
        cache: File that keeps annotations between runs.

    Raises:
        OslerError: `usage` where the file is of another kind; `empty-source` where no report could be read; `unreadable`,
            `disk-full` where the file cannot be written. An older file then stays as it was.
    """
    if out.suffix.lower() not in (".csv", ".json"):
        raise OslerError(Code.USAGE, "Annotations are written as .csv or .json.", "Give --out a name that ends so.")
    sheet = Sheet()
    with _whole(out) as stream:
        write = _csv_writer(stream) if out.suffix.lower() == ".csv" else _json_writer(stream)
        for report, mentions in _annotated(rows, reader, cache, sheet):
            records = [_record(report, concept, mentions.get(concept, []), columns) for concept in concepts]
            sheet.states.update(one["state"] for one in records if one["state"] != NOT_MENTIONED)
            chosen = [one for one in records if every or one["state"] != NOT_MENTIONED]
            write(report, chosen, mentions, columns)
        write(None, [], {}, columns)
        if not sheet.reports:
            raise OslerError(
                Code.EMPTY_SOURCE, "No report of the table could be read.", "Look at the columns you named."
            )
    return sheet


def _annotated(
    rows: Iterable[Report | BadRow], reader: Reader, cache: Path | None, sheet: Sheet
) -> Iterator[tuple[Report, Mentions]]:
    """Yield the reports that were read; the sheet counts, and lists the rows that were not."""
    waiting: list[Report] = []

    def texts() -> Iterator[str]:
        for row in rows:
            if isinstance(row, BadRow):
                sheet.bad.append(row)
            else:
                waiting.append(row)
                yield row.text

    for outcome in annotate_batch(texts(), reader, cache):
        report = waiting.pop(0)
        if outcome.mentions is None:
            sheet.bad.append(BadRow(report.row, outcome.code or Code.ROW_INVALID))
            continue
        sheet.reports += 1
        sheet.kept += outcome.kept
        yield report, outcome.mentions


def _record(report: Report, concept: str, mentions: list[Mention], columns: Sequence[str]) -> dict[str, Any]:
    if not mentions:
        return {"report": report.id, "concept": concept, "state": NOT_MENTIONED}
    return {"report": report.id, "concept": concept, **_told(report, summary(mentions), columns)}


def _told(report: Report, mention: Mention, columns: Sequence[str]) -> dict[str, Any]:
    """Return a mention with its place: the column, and offsets within the column's cell."""
    cell, start = report.place(mention.start)
    told = {"state": mention.state, "doubt": mention.doubt, "side": mention.side, "change": mention.change}
    place = {"column": columns[cell], "start": start, "end": start + mention.end - mention.start}
    return {**told, "section": mention.section, **place}


def _csv_writer(stream: TextIO) -> Any:
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()

    def write(report: Report | None, records: list[dict[str, Any]], _: Mentions, __: Sequence[str]) -> None:
        writer.writerows(records)

    return write


def _json_writer(stream: TextIO) -> Any:
    """Write one report at a time, so that a large table is never held."""
    stream.write("[")
    first = True

    def write(report: Report | None, records: list[dict[str, Any]], mentions: Mentions, columns: Sequence[str]) -> None:
        nonlocal first
        if report is None:
            stream.write("\n]\n")
            return
        concepts = {
            one["concept"]: {key: value for key, value in one.items() if key not in ("report", "concept")}
            | {"mentions": [_told(report, mention, columns) for mention in mentions.get(one["concept"], [])]}
            for one in records
        }
        stream.write("\n" if first else ",\n")
        stream.write(json.dumps({"report": report.id, "row": report.row, "concepts": concepts}, ensure_ascii=False))
        first = False

    return write


@contextmanager
def _whole(out: Path) -> Iterator[TextIO]:
    """Give a stream to a file that takes its name when the block ends well, and is gone when it does not."""
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        move_synced(part, out)
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        part.unlink(missing_ok=True)
