"""Documents and passages on disk: metadata in SQLite, text in one file, each passage by its number."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from osler_knowledge.corpus import Entry, Section, Snippet, entry_record
from osler_knowledge.index.layout import DOCUMENTS, TEXTS, invalid

_SCHEMA = """
CREATE TABLE entry (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, place INTEGER NOT NULL,
                    bytes INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE snippet (number INTEGER PRIMARY KEY, entry INTEGER NOT NULL, place INTEGER NOT NULL,
                      bytes INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, section TEXT NOT NULL);
CREATE TABLE term (word TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
_MOST_PARAMETERS = 500


class DocumentWriter:
    """Writes documents in the order they come; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / DOCUMENTS)
        # No journal: a build that is cut short is thrown away as a whole.
        self._base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
        self._texts = (folder / TEXTS).open("wb")
        self.entries = self.snippets = self._place = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.commit()
        self._base.close()
        self._texts.close()

    def add(self, entry: Entry, snippets: Iterable[Snippet]) -> list[Snippet] | None:
        """Write a document and its passages, which must be in reading order; None where its identifier is taken."""
        content = entry.text.encode()
        record = {name: value for name, value in entry_record(entry).items() if name not in ("id", "text")}
        row = (self.entries, entry.id, self._place, len(content), json.dumps(record, ensure_ascii=False))
        added = self._base.execute("INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?)", row)
        if added.rowcount == 0:
            return None
        cut = list(snippets)
        self._base.executemany("INSERT INTO snippet VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows(entry, cut, len(content)))
        self._texts.write(content)
        self._place += len(content)
        self.entries += 1
        self.snippets += len(cut)
        return cut

    def _rows(self, entry: Entry, cut: Sequence[Snippet], size: int) -> list[tuple[int, int, int, int, int, int, str]]:
        plain = size == len(entry.text)  # then a character is a byte
        rows, done, place = [], 0, 0
        for number, one in enumerate(cut, self.snippets):
            place += one.start - done if plain else len(entry.text[done : one.start].encode())
            length = len(one.text) if plain else len(one.text.encode())
            rows.append((number, self.entries, self._place + place, length, one.start, one.end, one.section))
            place, done = place + length, one.end
        return rows

    def add_terms(self, vocabulary: dict[str, int]) -> None:
        """Write the words and their numbers."""
        self._base.executemany("INSERT INTO term VALUES (?, ?)", sorted(vocabulary.items()))


class DocumentReader:
    """Fetches documents, passages and words of a finished index; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        address = f"{(folder / DOCUMENTS).resolve().as_uri()}?mode=ro&immutable=1"
        self._base = sqlite3.connect(address, uri=True, check_same_thread=False)
        self._texts = os.open(folder / TEXTS, os.O_RDONLY)

    def close(self) -> None:
        """Let go of the files."""
        self._base.close()
        os.close(self._texts)

    def snippets(self, numbers: Sequence[int]) -> list[Snippet]:
        """Return passages in the order of the numbers."""
        found: dict[int, Snippet] = {}
        for first in range(0, len(numbers), _MOST_PARAMETERS):
            some = [int(number) for number in numbers[first : first + _MOST_PARAMETERS]]
            marks = ",".join("?" * len(some))
            rows = self._base.execute(
                "SELECT snippet.number, id, snippet.place, snippet.bytes, start, end, section FROM snippet "
                f"JOIN entry ON entry.number = snippet.entry WHERE snippet.number IN ({marks})",  # nosec B608
                some,
            )
            for number, entry, place, size, start, end, section in rows:
                found[number] = Snippet(entry, self._text(place, size), start, end, section)
        return [found[int(number)] for number in numbers]

    def entry(self, entry_id: str) -> Entry | None:
        """Return a document with its text, or None."""
        row = self._base.execute("SELECT place, bytes, record FROM entry WHERE id = ?", (entry_id,)).fetchone()
        if row is None:
            return None
        place, size, text = row
        record = json.loads(text)
        record["references"] = tuple(record["references"])
        record["sections"] = tuple(Section(**one) for one in record.get("sections", ()))
        return Entry(id=entry_id, text=self._text(place, size), **record)

    def terms(self, words: Iterable[str]) -> list[int]:
        """Return the numbers of the words that the index knows, in order and as often as they are given."""
        known = {}
        for word in set(words := list(words)):
            row = self._base.execute("SELECT number FROM term WHERE word = ?", (word,)).fetchone()
            known[word] = None if row is None else int(row[0])
        return [number for word in words if (number := known[word]) is not None]

    def _text(self, place: int, size: int) -> str:
        content = os.pread(self._texts, size, place)
        if len(content) != size:
            raise invalid("The texts of the index are cut short.")
        return content.decode()
