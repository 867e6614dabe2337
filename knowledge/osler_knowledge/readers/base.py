"""What every reader shares: limits, what it yields, and how a document is put together from parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry, Section

_UNHELD = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}") | {0: " "}


@dataclass(frozen=True)
class Limits:
    """How much one input may ask for before it is refused.

    Attributes:
        record: Bytes of a line, of an XML record, and of a file that has to be read whole.
        text: Characters of one document.
        ratio: How many times its size a compressed file may grow, once it has grown beyond `record`.
        pages: Pages of a PDF.
    """

    record: int = 64 * 2**20
    text: int = 20_000_000
    ratio: int = 200
    pages: int = 10_000


@dataclass(frozen=True)
class Options:
    """What the user adds to what the files say.

    Attributes:
        licence: Licence of documents that state none.
        edition: Edition or date of documents that state none.
        source: Name of the collection; by default the name of the file.
        columns: Columns of a CSV that hold text, each a section.
        id_column: Column of a CSV that identifies a row; by default the first of `id`, `uid` and `pmid` that is there.
        limits: How much one input may ask for.
    """

    licence: str = ""
    edition: str = ""
    source: str = ""
    columns: tuple[str, ...] = ()
    id_column: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Refusal:
    """A document, or the rest of a file, that was not taken.

    Attributes:
        name: The file, with the number of the record where there are several; never a value from inside it.
        code: Why, as a stable code.
        message: Why, as a sentence.
    """

    name: str
    code: Code
    message: str


Reading: TypeAlias = Iterator[Entry | Refusal]


def refused(code: Code, message: str, mend: str = "") -> OslerError:
    """Return the error by which a reader gives up the rest of a file."""
    return OslerError(code, message, mend)


def finish(entry: Entry, name: str, options: Options) -> Entry | Refusal:
    """Return the entry with what the options add and characters that no file can hold replaced; or its refusal."""
    if len(entry.text) > options.limits.text:
        most = f"{options.limits.text:,} characters"
        return Refusal(name, Code.DOCUMENT_TOO_LARGE, f"The text is longer than {most}: split the document.")
    if not entry.text.strip():
        return Refusal(name, Code.DOCUMENT_EMPTY, "There is no text in it.")
    if not entry.id.strip():
        return Refusal(name, Code.DOCUMENT_INVALID, "It has no identifier.")
    return replace(
        entry,
        id=clean(entry.id),
        title=clean(entry.title),
        text=clean(entry.text),
        references=tuple(clean(one) for one in entry.references),
        licence=clean(entry.licence or options.licence),
        edition=clean(entry.edition or options.edition),
        source=clean(entry.source or options.source),
        sections=tuple(replace(one, title=clean(one.title)) for one in entry.sections),
    )


def clean(text: str) -> str:
    """Replace NUL and lone surrogates, one character for one: offsets stay."""
    return text if text.isascii() and "\0" not in text else text.translate(_UNHELD)


def compose(parts: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, tuple[Section, ...]]:
    """Put titled paragraphs together: a line a paragraph, and sections that say which lines are theirs."""
    lines: list[str] = []
    sections: list[Section] = []
    length = 0
    for title, paragraphs in parts:
        kept = [line for line in (" ".join(one.split()) for one in paragraphs) if line]
        if not kept:
            continue
        start = length
        length += sum(len(line) + 1 for line in kept)
        lines += kept
        if title := " ".join(title.split()):
            sections.append(Section(title, start, length - 1))
    return "\n".join(lines), tuple(sections)


def read_whole(path: Path, limits: Limits) -> bytes:
    """Read a file that cannot be streamed.

    Raises:
        OslerError: `document-too-large`.
    """
    from osler_knowledge.readers.streams import open_stream

    with open_stream(path, limits) as stream:
        content = stream.read(limits.record + 1)
    if len(content) > limits.record:
        raise too_large(limits)
    return content


def too_large(limits: Limits) -> OslerError:
    """Return the error of a line, record or file beyond the limit."""
    return refused(
        Code.DOCUMENT_TOO_LARGE,
        f"A line, a record or the whole file is larger than {limits.record:,} bytes.",
        "Split it, or leave it out.",
    )


def decode(content: bytes) -> str:
    """Decode UTF-8, with or without its mark.

    Raises:
        OslerError: `document-encoding`.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused(Code.DOCUMENT_ENCODING, "It is not UTF-8 text throughout.", "Convert it to UTF-8.") from None
