"""Many reports, annotated once: results are kept by content, so that a second run, or one after a kill, reads only the rest.

The key is a hash of the report's text and one of everything that decides the answer (phrases, context rules, code, library
versions). Kept are states and offsets, no word of a report.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from importlib import metadata, resources
from itertools import islice
from pathlib import Path
from typing import Protocol

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import Annotator, Mention, Phrases

_DECIDING = ("annotate.py", "context.py", "context.yaml", "language.py", "modifiers.py")
_LIBRARIES = ("negspacy", "spacy")

Mentions = dict[str, list[Mention]]


def rules_digest(phrases: Mapping[str, Phrases]) -> str:
    """Return a hash of all that decides what is read from a report."""
    package = resources.files("osler_knowledge")
    digest = hashlib.sha256(json.dumps({key: list(one) for key, one in phrases.items()}).encode())
    for name in _DECIDING:
        digest.update(package.joinpath(name).read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name} {metadata.version(name)}".encode())
    return digest.hexdigest()


class AnnotationCache:
    """Annotations by rules and content, in one SQLite file.

    Raises:
        OslerError: `workspace-invalid` where the file is something else, or cannot be read or written.
    """

    def __init__(self, path: Path, rules: str) -> None:
        self._rules, self._name = rules, path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._faults():
            self._store = sqlite3.connect(path, timeout=60)
            self._store.execute(
                "CREATE TABLE IF NOT EXISTS annotations"
                " (rules TEXT, report TEXT, mentions TEXT, PRIMARY KEY (rules, report)) WITHOUT ROWID"
            )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OslerError(
                Code.WORKSPACE_INVALID,
                f"The annotations kept in {self._name} cannot be read or written ({type(error).__name__}).",
                "See that the disk has room and that no other run holds it; else delete it: it is made again.",
            ) from error

    def close(self) -> None:
        """Close the file; what was put into it is there already."""
        self._store.close()

    def get(self, report: str) -> Mentions | None:
        """Return what is kept for a report's hash."""
        with self._faults():
            found = self._store.execute(
                "SELECT mentions FROM annotations WHERE rules = ? AND report = ?", (self._rules, report)
            ).fetchone()
        if found is None:
            return None
        return {key: [Mention(*one) for one in ones] for key, ones in json.loads(found[0]).items()}

    def put(self, mentions: Mapping[str, Mentions]) -> None:
        """Keep annotations by their report's hash: all of them, or after a kill none."""
        rows = [
            (self._rules, report, json.dumps({key: [astuple(one) for one in ones] for key, ones in found.items()}))
            for report, found in mentions.items()
        ]
        with self._faults(), self._store:
            self._store.executemany("INSERT OR REPLACE INTO annotations VALUES (?, ?, ?)", rows)


class Reader(Protocol):
    """What reads reports.

    Attributes:
        rules: Hash of all that decides what it reads.
        chunk: Reports between two commits of the cache.
    """

    rules: str
    chunk: int

    def read(self, reports: Iterable[str]) -> Iterator[Mentions | Code]:
        """Yield for each report every mention by key, or the code of why it cannot be read."""


class PhraseReader:
    """Reads by phrases and rules of context, offline."""

    chunk = 256

    def __init__(self, phrases: Mapping[str, Phrases]) -> None:
        self._phrases = dict(phrases)
        self.rules = rules_digest(phrases)
        self._annotator: Annotator | None = None

    def read(self, reports: Iterable[str]) -> Iterator[Mentions]:
        """Yield for each report every mention by key."""
        self._annotator = self._annotator or Annotator(self._phrases)
        return self._annotator.all_mentions(reports)


@dataclass(frozen=True)
class Outcome:
    """What became of a report: its mentions by key, or the code of why it was not read.

    Attributes:
        mentions: None where it was not read.
        code: None where it was read.
        kept: Whether an earlier run had read it.
    """

    mentions: Mentions | None
    code: Code | None = None
    kept: bool = False


def annotate_batch(reports: Iterable[str], reader: Reader, cache: Path | None = None) -> Iterator[Outcome]:
    """Yield the outcome of each report.

    Args:
        reports: Texts; they are taken as they are needed.
        reader: What reads them.
        cache: File to keep annotations in; without one, nothing is kept.
    """
    with closing(AnnotationCache(cache or Path(":memory:"), reader.rules)) as kept:
        for texts in _chunks(reports, reader.chunk):
            hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
            outcomes = {one: Outcome(found, kept=True) for one in hashes if (found := kept.get(one)) is not None}
            missing = {one: text for one, text in zip(hashes, texts, strict=True) if one not in outcomes}
            for one, answer in zip(missing, reader.read(missing.values()) if missing else (), strict=True):
                outcomes[one] = Outcome(None, answer) if isinstance(answer, Code) else Outcome(answer)
            kept.put({one: read for one in missing if (read := outcomes[one].mentions) is not None})
            yield from (outcomes[one] for one in hashes)


def _chunks(reports: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    stream = iter(reports)
    while chunk := list(islice(stream, size)):
        yield chunk
