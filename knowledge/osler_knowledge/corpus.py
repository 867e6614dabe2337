"""A corpus: short entries of medical prose with their references, cut into snippets that keep their place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.tasks import DEFAULT_TASK, starter_file

if TYPE_CHECKING:
    from spacy.tokens import Span

SNIPPET_TOKENS = 120
_LATER_FIELDS = ("edition", "source", "sections")


@dataclass(frozen=True)
class Section:
    """A titled part of an entry: the characters `start` to `end` of its text."""

    title: str
    start: int
    end: int


@dataclass(frozen=True)
class Entry:
    """One document: its text has a line a paragraph, as Markdown folds lines.

    Attributes:
        id: Unique in its corpus.
        title: What a citation calls it.
        text: What is searched and cited; offsets count its characters.
        references: Bibliographic references, ready to print.
        licence: As the document or its collection states it; empty where neither does.
        clinically_reviewed: Whether a clinician has read it.
        edition: Edition or date of the document, as it states it; empty where it does not.
        source: Collection and, where there is one, the name within it (`PubMed 123`, `textbook.pdf`).
        sections: In reading order, without overlap; text before the first belongs to none.
    """

    id: str
    title: str
    text: str
    references: tuple[str, ...]
    licence: str
    clinically_reviewed: bool
    edition: str = ""
    source: str = ""
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Snippet:
    """A passage of an entry: `entry.text[start:end] == text`; `section` is the title of the part it stands in."""

    entry: str
    text: str
    start: int
    end: int
    section: str = ""


@dataclass(frozen=True)
class Corpus:
    """Entries in the order of their identifiers."""

    entries: tuple[Entry, ...]

    @cached_property
    def by_id(self) -> dict[str, Entry]:
        """Entries by identifier."""
        return {entry.id: entry for entry in self.entries}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all entries: another text is another corpus."""
        return hashlib.sha256(json.dumps([entry_record(entry) for entry in self.entries]).encode()).hexdigest()

    @cached_property
    def snippets(self) -> tuple[Snippet, ...]:
        """All snippets, in the order of entries and of reading."""
        return tuple(snippet for entry in self.entries for snippet in snippets(entry))


def entry_record(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON holds it; what an entry does not state is left out, so that digests outlive new fields."""
    record = {name: value for name, value in vars(entry).items() if value or name not in _LATER_FIELDS}
    if entry.sections:
        record["sections"] = [dict(vars(one)) for one in entry.sections]
    return record


def _invalid(message: str) -> OslerError:
    return OslerError(
        Code.CORPUS_INVALID,
        message,
        "An entry is a Markdown file with front matter: id, title, licence, clinically_reviewed and references.",
    )


def parse_entry(text: str, name: str) -> Entry:
    """Read one Markdown file with YAML front matter.

    Args:
        text: Content of the file.
        name: What to call the file in an error.

    Raises:
        OslerError: `corpus-invalid`.
    """
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise _invalid(f"The entry {name} has no front matter between two lines of three dashes.")
    try:
        head = yaml.safe_load(parts[1])
        paragraphs = [" ".join(block.split()) for block in parts[2].split("\n\n")]
        return Entry(
            id=str(head["id"]),
            title=str(head["title"]),
            text="\n".join(block for block in paragraphs if block),
            references=tuple(str(one) for one in head["references"]),
            licence=str(head["licence"]),
            clinically_reviewed=head["clinically_reviewed"] is True,
        )
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise _invalid(f"The front matter of the entry {name} cannot be read ({type(error).__name__}).") from error


def load_corpus(folder: Path | None = None, task: str = DEFAULT_TASK) -> Corpus:
    """Load every Markdown entry of a folder; by default the entries that the package ships for a task.

    Raises:
        OslerError: `source-missing` where the folder does not exist, `corpus-invalid` where it has no entry, an entry
            cannot be read or two share an identifier, `unknown-task`.
    """
    if folder is not None and not folder.is_dir():
        raise OslerError(Code.SOURCE_MISSING, f"There is no folder {folder}.", "Name a folder of Markdown entries.")
    root: Traversable = folder or starter_file(task, "corpora")
    files = sorted((one for one in root.iterdir() if one.name.endswith(".md")), key=lambda one: one.name)
    entries = sorted((_read(file) for file in files), key=lambda entry: entry.id)
    if not entries:
        raise _invalid("The folder holds no Markdown entry.")
    doubled = {first.id for first, second in pairwise(entries) if first.id == second.id}
    if doubled:
        raise _invalid(f"Entries share an identifier: {', '.join(sorted(doubled))}.")
    return Corpus(tuple(entries))


def _read(file: Traversable) -> Entry:
    try:
        return parse_entry(file.read_text(encoding="utf-8"), file.name)
    except UnicodeDecodeError as error:
        raise _invalid(f"The entry {file.name} is not UTF-8 text.") from error


def sentences(text: str) -> list[tuple[int, int]]:
    """Return character offsets of the sentences of a text, without the space around them."""
    from osler_knowledge.language import english  # spaCy takes seconds to import: only who cuts sentences pays

    return [trimmed(span) for span in english()(text).sents if span.text.strip()]


def trimmed(span: Span) -> tuple[int, int]:
    """Return character offsets of a span without the space around it."""
    start, text = span.start_char, span.text
    return start + len(text) - len(text.lstrip()), start + max(len(text.rstrip()), len(text) - len(text.lstrip()))


def snippets(entry: Entry, most: int = SNIPPET_TOKENS) -> Iterator[Snippet]:
    """Cut an entry into passages of whole sentences with at most `most` tokens; a longer sentence is cut at `most`."""
    from osler_knowledge.language import english

    doc = english()(entry.text)
    ends = [min(start + most, one.end) for one in doc.sents for start in range(one.start, one.end, most)]
    first = 0
    for end, next_end in pairwise([*ends, len(doc) + most + 1]):
        if next_end - first > most:
            start_char, end_char = trimmed(doc[first:end])
            if start_char < end_char:
                yield Snippet(entry.id, entry.text[start_char:end_char], start_char, end_char)
            first = end
