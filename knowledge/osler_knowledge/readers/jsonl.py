"""JSON lines as MedRAG lays out its corpora: id, title and content, one passage or document a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, Refusal, compose, decode, finish, refused
from osler_knowledge.readers.streams import lines, open_stream

_TEXT = ("content", "contents", "text", "abstract")
_EDITION = ("edition", "date", "year")
_LICENCE = ("licence", "license")


def read_jsonl(path: Path, name: str, options: Options) -> Reading:
    """Read one document a line; a line that cannot be used is refused by its number and the rest goes on.

    Raises:
        OslerError: `document-missing`, `document-invalid` or `document-too-large`, where the file ends.
    """
    with open_stream(path, options.limits) as stream:
        for number, line in enumerate(lines(stream, options.limits), 1):
            where = f"{name}:{number}"
            try:
                if isinstance(line, OslerError):
                    raise line
                if line.strip():
                    yield finish(_entry(decode(line), name), where, options)
            except OslerError as error:
                yield Refusal(where, error.code, error.message)


def _entry(line: str, name: str) -> Entry:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise refused(Code.DOCUMENT_INVALID, "The line is not JSON.") from None
    if not isinstance(record, dict) or not isinstance(record.get("id"), str | int):
        raise refused(Code.DOCUMENT_INVALID, "The line is not an object with an `id`.")
    text, _ = compose([("", _first(record, _TEXT).splitlines())])
    return Entry(
        id=str(record["id"]),
        title=_first(record, ("title",)),
        text=text,
        references=_references(record),
        licence=_first(record, _LICENCE),
        clinically_reviewed=False,
        edition=_first(record, _EDITION),
        source=_first(record, ("source",)) or Path(name).name,
    )


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of the fields that holds a word or a number."""
    values = (record.get(name) for name in names)
    return next((str(value) for value in values if isinstance(value, str | int) and str(value).strip()), "")


def _references(record: dict[str, Any]) -> tuple[str, ...]:
    value = record.get("references", record.get("PMID", ()))
    if isinstance(value, int):
        return (f"PMID {value}",)
    return tuple(str(one) for one in ([value] if isinstance(value, str) else value or ()))
