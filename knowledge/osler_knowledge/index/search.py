"""Search an index on disk: BM25 by bm25s over memory-mapped files, fused with dense vectors where asked."""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
from numpy.typing import NDArray

from osler_knowledge.corpus import Entry
from osler_knowledge.index.dense import Encoder, nearest, unit_vectors
from osler_knowledge.index.documents import DocumentReader
from osler_knowledge.index.fuse import fuse
from osler_knowledge.index.layout import SCORES, SNIPPETS, STARTS, invalid, read_marker
from osler_knowledge.retrieval import K1, METHOD, B, Hit, unknown_entry
from osler_knowledge.words import terms

# Compiling the scorer takes seconds, which only pays where NumPy's takes tens of milliseconds and queries are many.
COMPILE_FROM = 50_000
_BLOCK = 1024
FUSED_DEPTH = 50  # methods.md M1.1: k = 50 of each ranking


class DiskIndex:
    """A finished index, opened without loading it; a `Searcher`.

    Args:
        folder: The index.
        corpus: Digest of the corpus that the caller means; any where None.
        encoder: Makes a vector of the query; without it only BM25 is used.
        encoder_name: Its name, which must be the one that the index was built with.
        compiled: Whether to compile the scorer; by default where the index has `COMPILE_FROM` passages. Hits are the
            same either way.

    Raises:
        OslerError: `index-invalid`.
    """

    def __init__(
        self,
        folder: Path,
        corpus: str | None = None,
        encoder: Encoder | None = None,
        encoder_name: str = "",
        compiled: bool | None = None,
    ) -> None:
        self.marker = read_marker(folder, corpus)
        if encoder is not None and encoder_name != self.marker.encoder:
            built = f"vectors of {self.marker.encoder!r}" if self.marker.encoder else "no vectors"
            raise invalid(f"The index {folder.name} holds {built}, and the encoder is {encoder_name!r}.")
        self.folder, self._encoder = folder, encoder
        self._documents = DocumentReader(folder)
        self._scorer = bm25s.BM25(method=METHOD, k1=K1, b=B)
        self._scorer.nonoccurrence_array = None
        self._scorer.scores = {
            "data": np.load(folder / SCORES, mmap_mode="r"),
            "indices": np.load(folder / SNIPPETS, mmap_mode="r"),
            "indptr": np.load(folder / STARTS, mmap_mode="r"),
            "num_docs": self.marker.snippets,
        }
        if compiled or (compiled is None and self.marker.snippets >= COMPILE_FROM):
            self._scorer.activate_numba_scorer()

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Return the best `k` passages; without an encoder those that share a word with the query.

        A hit's score is that of BM25, or the fused one where an encoder is given. Equal scores come in the corpus's
        order.
        """
        if k < 1:
            return []
        if self._encoder is None:
            numbers, scores = self._best(query, k)
            found = list(zip(numbers.tolist(), scores.tolist(), strict=True))
        else:
            words, _ = self._best(query, max(k, FUSED_DEPTH))
            vector = unit_vectors(self._encoder, [query])[0]
            near = nearest(self.folder, vector, max(k, FUSED_DEPTH))
            found = fuse([words.tolist(), near.tolist()], k)
        snippets = self._documents.snippets([number for number, _ in found])
        return [Hit(snippet, score) for snippet, (_, score) in zip(snippets, found, strict=True)]

    def entry(self, entry_id: str) -> Entry:
        """Return a document with its text.

        Raises:
            OslerError: `unknown-entry`.
        """
        entry = self._documents.entry(entry_id)
        if entry is None:
            raise unknown_entry()
        return entry

    def close(self) -> None:
        """Let go of the files."""
        self._documents.close()

    def _best(self, query: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return numbers and scores of the best passages that share a word with the query."""
        numbers = self._documents.terms(terms(query))
        if not numbers:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        scores = self._scorer.get_scores_from_ids(numbers)
        best = best_of(scores, k)
        return best, scores[best]


def best_of(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the `k` highest scores above zero, equal ones in order.

    The k-th highest of the maxima of blocks is a floor under the k-th highest score: two quick passes leave little to
    sort, where sorting or partitioning a million scores would take most of a query.
    """
    blocks = scores[: len(scores) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    floor = np.partition(blocks.max(axis=1), len(blocks) - k)[len(blocks) - k] if len(blocks) > k else 0.0
    places = np.flatnonzero(scores >= max(floor, np.finfo(np.float32).tiny))
    kept = scores[places]
    if len(kept) > k:  # whatever ties with the last one stays until the order of the corpus has decided
        places = places[kept >= np.partition(kept, len(kept) - k)[len(kept) - k]]
    return places[np.lexsort((places, -scores[places]))[:k]]
