"""BM25 over snippets with bm25s: deterministic, in memory, and kept on disk beside the digest of its corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import bm25s
import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Corpus, Entry, Snippet
from osler_knowledge.words import terms

MARKER = "corpus.sha256"
KEPT_FORM = "2"  # of what is kept: another form is built anew
METHOD, K1, B = "lucene", 1.5, 0.75


@dataclass(frozen=True)
class Hit:
    """A snippet that was found, with its BM25 score."""

    snippet: Snippet
    score: float


class Searcher(Protocol):
    """What proposal, review and search ask of an index, in memory or on disk."""

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Return the best `k` snippets that share a word with the query; equal scores in the corpus's order."""
        ...

    def entry(self, entry_id: str) -> Entry:
        """Return a document with its title, references, licence and text.

        Raises:
            OslerError: `unknown-entry`.
        """
        ...


def unknown_entry() -> OslerError:
    """Return the error of a document that an index does not hold."""
    return OslerError(
        Code.UNKNOWN_ENTRY,
        "The corpus holds no document with this identifier.",
        "Take the identifier from a result of `osler knowledge search` in the same index.",
    )


class Retriever:
    """Searches the snippets of one corpus (Lucene's BM25, k1 = 1.5, b = 0.75)."""

    def __init__(self, corpus: Corpus, index: bm25s.BM25 | None = None) -> None:
        self.corpus = corpus
        if index is None:
            index = bm25s.BM25(method=METHOD, k1=K1, b=B)
            found = [searched(corpus.by_id[snippet.entry].title, snippet.text) for snippet in corpus.snippets]
            index.index([terms(text) for text in found], show_progress=False)
        self._index = index

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Return the best `k` snippets that share a word with the query; equal scores in the corpus's order."""
        words = terms(query)
        if not words or k < 1:
            return []
        scores = self._index.get_scores(words)
        order = np.lexsort((np.arange(len(scores)), -scores))[:k]
        return [Hit(self.corpus.snippets[i], float(scores[i])) for i in order if scores[i] > 0]

    def entry(self, entry_id: str) -> Entry:
        """Return a document of the corpus.

        Raises:
            OslerError: `unknown-entry`.
        """
        try:
            return self.corpus.by_id[entry_id]
        except KeyError:
            raise unknown_entry() from None

    def save(self, folder: Path) -> None:
        """Write the index, then the digest of its corpus: a folder without the digest holds no index."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).unlink(missing_ok=True)
        self._index.save(str(folder), show_progress=False)
        (folder / MARKER).write_text(f"{KEPT_FORM} {self.corpus.digest}", encoding="utf-8")

    @classmethod
    def open(cls, corpus: Corpus, folder: Path) -> Retriever:
        """Load the index of this corpus from a folder; build and save it where none, or another's, is there."""
        marker = folder / MARKER
        if marker.is_file() and marker.read_text(encoding="utf-8") == f"{KEPT_FORM} {corpus.digest}":
            return cls(corpus, bm25s.BM25.load(str(folder), show_progress=False))
        retriever = cls(corpus)
        retriever.save(folder)
        return retriever


def searched(title: str, text: str) -> str:
    """Return what is indexed of a snippet: its document's title says what a passage from the middle is about."""
    return f"{title}. {text}"
