"""BM25 over snippets with bm25s: deterministic, in memory, and kept on disk beside the digest of its corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bm25s
import numpy as np

from osler_knowledge.corpus import Corpus, Snippet
from osler_knowledge.language import normalise

MARKER = "corpus.sha256"


@dataclass(frozen=True)
class Hit:
    """A snippet that was found, with its BM25 score."""

    snippet: Snippet
    score: float


def _words(texts: list[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(
        texts,
        stopwords="en",
        stemmer=lambda vocabulary: [normalise(word) for word in vocabulary],
        return_ids=False,
        show_progress=False,
    )
    return words


class Retriever:
    """Searches the snippets of one corpus (Lucene's BM25, k1 = 1.5, b = 0.75)."""

    def __init__(self, corpus: Corpus, index: bm25s.BM25 | None = None) -> None:
        self.corpus = corpus
        if index is None:
            index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
            index.index(_words([_searched(corpus, snippet) for snippet in corpus.snippets]), show_progress=False)
        self._index = index

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Return the best `k` snippets that share a word with the query; equal scores in the corpus's order."""
        words = _words([query])[0]
        if not words or k < 1:
            return []
        scores = self._index.get_scores(words)
        order = np.lexsort((np.arange(len(scores)), -scores))[:k]
        return [Hit(self.corpus.snippets[i], float(scores[i])) for i in order if scores[i] > 0]

    def save(self, folder: Path) -> None:
        """Write the index, then the digest of its corpus: a folder without the digest holds no index."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).unlink(missing_ok=True)
        self._index.save(str(folder), show_progress=False)
        (folder / MARKER).write_text(self.corpus.digest, encoding="utf-8")

    @classmethod
    def open(cls, corpus: Corpus, folder: Path) -> Retriever:
        """Load the index of this corpus from a folder; build and save it where none, or another's, is there."""
        marker = folder / MARKER
        if marker.is_file() and marker.read_text(encoding="utf-8") == corpus.digest:
            return cls(corpus, bm25s.BM25.load(str(folder), show_progress=False))
        retriever = cls(corpus)
        retriever.save(folder)
        return retriever


def _searched(corpus: Corpus, snippet: Snippet) -> str:
    """Return what is indexed of a snippet: its entry's title says what a passage from the middle is about."""
    return f"{corpus.by_id[snippet.entry].title}. {snippet.text}"
