"""Read any number of files and folders as one stream of documents and refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, Refusal, refused
from osler_knowledge.readers.streams import open_stream

Reader: TypeAlias = Callable[[Path, str, Options], Reading]

AUTO = "auto"
FORMATS = ("pubmed", "jats", "jsonl", "markdown", "text", "pdf", "csv")
_ENDINGS = {".jsonl": "jsonl", ".md": "markdown", ".markdown": "markdown", ".txt": "text", ".pdf": "pdf"}
_ENDINGS |= {".csv": "csv", ".nxml": "jats", ".xml": "xml"}
_PACKED = ".gz"
_SNIFFED = 2**16
_NAMES_SHOWN = 5


def read(sources: Iterable[Path], options: Options, form: str = AUTO) -> Reading:
    """Stream the documents of files and folders, in the order given and then by name.

    Nothing stops the stream: what cannot be read is yielded as a refusal, and the rest goes on. Files and folders
    whose name begins with a dot are passed over.

    Args:
        sources: Files, or folders with files at any depth.
        options: What the user adds to what the files say, and the limits.
        form: One of `FORMATS`, or `auto` to tell by the name's ending and, for XML, by what is inside.
    """
    for source in sources:
        for path, name in _files(source):
            try:
                yield from _reader(path, form, options)(path, name, options)
            except OslerError as error:
                yield Refusal(name, error.code, error.message)


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    if not source.is_dir():
        yield source, source.name
        return
    for path in sorted(source.rglob("*")):
        within = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") for part in within.parts):
            yield path, within.as_posix()


def _reader(path: Path, form: str, options: Options) -> Reader:
    """Return the reader of a format; each is imported when it is first needed.

    Raises:
        OslerError: `document-missing`, `document-unknown-format`.
    """
    if not path.is_file():
        raise refused(Code.DOCUMENT_MISSING, "There is no such file.", "Check the path.")
    match _format(path, form, options):
        case "pubmed":
            from osler_knowledge.readers.pubmed import read_pubmed as reader
        case "jats":
            from osler_knowledge.readers.jats import read_jats as reader
        case "jsonl":
            from osler_knowledge.readers.jsonl import read_jsonl as reader
        case "markdown":
            from osler_knowledge.readers.plain import read_markdown as reader
        case "text":
            from osler_knowledge.readers.plain import read_text as reader
        case "pdf":
            from osler_knowledge.readers.pdf import read_pdf as reader
        case "csv":
            from osler_knowledge.readers.table import read_table as reader
        case _:
            raise refused(Code.DOCUMENT_UNKNOWN_FORMAT, f"Known formats: {', '.join(FORMATS)}.", "Use --format.")
    return reader


def _format(path: Path, form: str, options: Options) -> str:
    if form != AUTO:
        return form
    plain = path.with_suffix("") if path.suffix == _PACKED else path
    told = _ENDINGS.get(plain.suffix.lower(), "")
    return _kind_of_xml(path, options) if told == "xml" else told


def _kind_of_xml(path: Path, options: Options) -> str:
    with open_stream(path, options.limits) as stream:
        start = stream.read(_SNIFFED)
    return "pubmed" if b"<PubmedArticle" in start or b"<PubmedBookArticle" in start else "jats"


@dataclass
class Tally:
    """What was refused: how many by code, and the first names of each. It does not grow with the corpus."""

    counts: Counter[Code] = field(default_factory=Counter)
    first: dict[Code, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of documents, or rests of files, that were refused."""
        return self.counts.total()

    def add(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self.counts[refusal.code] += 1
        names = self.first.setdefault(refusal.code, [])
        if len(names) < _NAMES_SHOWN:
            names.append(f"{refusal.name}: {refusal.message}")

    def accepted(self, readings: Iterable[Entry | Refusal]) -> Iterator[Entry]:
        """Pass on the documents of a stream and count the rest."""
        for reading in readings:
            if isinstance(reading, Refusal):
                self.add(reading)
            else:
                yield reading
