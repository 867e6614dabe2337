"""Markdown, with our front matter or without, and plain text."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry, parse_entry
from osler_knowledge.readers.base import Options, Reading, compose, decode, finish, read_whole, refused

_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")


def read_markdown(path: Path, name: str, options: Options) -> Reading:
    """Read one document; headings become sections, the first of them the title where no front matter states one.

    Raises:
        OslerError: `document-missing`, `document-encoding`, `document-invalid`, `document-too-large`.
    """
    content = decode(read_whole(path, options.limits)).replace("\r\n", "\n")
    if content.startswith("---\n"):
        yield finish(_ours(content, name), name, options)
        return
    parts = _by_heading(content)
    title = next((heading for heading, _ in parts if heading), PurePosixPath(name).stem)
    text, sections = compose(parts)
    yield finish(Entry(identifier(name), title, text, (), "", False, "", name, sections), name, options)


def read_text(path: Path, name: str, options: Options) -> Reading:
    """Read one document without sections: an empty line ends a paragraph.

    Raises:
        OslerError: `document-missing`, `document-encoding`, `document-too-large`.
    """
    content = decode(read_whole(path, options.limits))
    text, _ = compose([("", re.split(r"\n\s*\n", content))])
    yield finish(Entry(identifier(name), PurePosixPath(name).stem, text, (), "", False, "", name), name, options)


def identifier(name: str) -> str:
    """Return the identifier of a document that has only a file: its path without the ending."""
    return str(PurePosixPath(name).with_suffix(""))


def _ours(content: str, name: str) -> Entry:
    try:
        return parse_entry(content, PurePosixPath(name).name)
    except OslerError as error:
        raise refused(Code.DOCUMENT_INVALID, error.message, error.mend) from error


def _by_heading(content: str) -> list[tuple[str, list[str]]]:
    """Return headings, each with the paragraphs under it."""
    parts: list[tuple[str, list[str]]] = [("", [""])]
    fenced = False
    for line in content.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        if heading:
            parts.append((heading[1], [""]))
        elif line.strip():
            parts[-1][1][-1] += line + "\n"
        else:
            parts[-1][1].append("")
    return parts
