"""BM25 as a sparse matrix on disk: counted in one pass over the text, laid out word by word in a second over files."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler_knowledge.index.layout import SCORES, SNIPPETS, STARTS
from osler_knowledge.retrieval import K1, B
from osler_knowledge.words import STOPWORDS, normalise, surface_words

SNIPPETS_AT_ONCE = 50_000
_SHIFT = 32


class PostingsWriter:
    """Counts the words of passages and lays out their BM25 scores.

    The matrix equals what bm25s computes in memory (Lucene's formula), to the last bit: document frequencies and the
    mean length are those of the whole corpus, and the precision of every step is the same.

    Args:
        folder: Where the matrix goes.
        scratch: An empty folder for counts, with room for 12 bytes a word and passage.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch
        self.vocabulary: dict[str, int] = {}
        self._numbers: dict[str, int] = dict.fromkeys(STOPWORDS, -1)  # by the word as written: normalised once
        self._words, self._lengths = array("i"), array("i")
        self._all_lengths: list[NDArray[np.int32]] = []
        self._frequencies = np.zeros(0, np.int64)
        self._parts = 0

    def add(self, text: str) -> None:
        """Count the words of the next passage."""
        numbers = self._numbers
        found = [numbers[word] if word in numbers else self._learn(word) for word in surface_words(text)]
        kept = [number for number in found if number >= 0]
        self._words.extend(kept)
        self._lengths.append(len(kept))
        if len(self._lengths) >= SNIPPETS_AT_ONCE:
            self._flush()

    def _learn(self, word: str) -> int:
        number = self.vocabulary.setdefault(normalise(word), len(self.vocabulary))
        self._numbers[word] = number
        return number

    def _flush(self) -> None:
        """Write the counts of the passages at hand, ordered by word and then by passage."""
        lengths = np.array(self._lengths, np.int32)
        words = np.array(self._words, np.int64)
        passages = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
        keys, counts = np.unique(words << _SHIFT | passages, return_counts=True)
        self._frequencies = np.pad(self._frequencies, (0, len(self.vocabulary) - len(self._frequencies)))
        self._frequencies += np.bincount(keys >> _SHIFT, minlength=len(self._frequencies))
        np.save(self._scratch / f"keys{self._parts}.npy", keys)
        np.save(self._scratch / f"counts{self._parts}.npy", counts.astype(np.int32))
        self._all_lengths.append(lengths)
        self._parts += 1
        self._words, self._lengths = array("i"), array("i")

    def finish(self) -> None:
        """Lay out the matrix: for each word the passages that hold it, in order, and what it adds to their score."""
        if self._lengths:
            self._flush()
        self._numbers.clear()
        lengths = np.concatenate(self._all_lengths) if self._all_lengths else np.zeros(0, np.int32)
        starts = np.concatenate([[0], np.cumsum(self._frequencies)]).astype(np.int64)
        np.save(self._folder / STARTS, starts)
        entries = int(starts[-1])
        scores = np.lib.format.open_memmap(self._folder / SCORES, "w+", np.float32, (entries,))
        snippets = np.lib.format.open_memmap(self._folder / SNIPPETS, "w+", np.int32, (entries,))
        idf, mean = self._idf(len(lengths)), lengths.mean() if len(lengths) else np.float64(1.0)
        ahead = starts[:-1].copy()
        for first, keys, counts in self._counted():
            words, passages = keys >> _SHIFT, first + (keys & ((1 << _SHIFT) - 1))
            held = np.bincount(words, minlength=len(ahead))
            before = np.concatenate([[0], np.cumsum(held)[:-1]])
            places = (ahead - before)[words] + np.arange(len(words))
            frequency = counts.astype(np.float32)
            snippets[places] = passages
            scores[places] = idf[words] * (frequency / (K1 * ((1 - B) + B * lengths[passages] / mean) + frequency))
            ahead += held
        scores.flush()
        snippets.flush()

    def _idf(self, passages: int) -> NDArray[np.float32]:
        return np.array([math.log(1 + (passages - n + 0.5) / (n + 0.5)) for n in self._frequencies], np.float32)

    def _counted(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int32]]]:
        first = 0
        for part, lengths in enumerate(self._all_lengths):
            keys, counts = (self._scratch / f"{name}{part}.npy" for name in ("keys", "counts"))
            yield first, np.load(keys), np.load(counts)
            keys.unlink()
            counts.unlink()
            first += len(lengths)
