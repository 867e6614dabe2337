"""A small word-level tokenizer: a vocabulary of a few thousand words instead of the stock one of 25 MB."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

PAD, START, UNKNOWN, END = "<pad>", "<start>", "<unk>", "<end>"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[.,;:?]")


def words_of(text: str) -> list[str]:
    """Split lower-cased text into words, numbers and the marks that end a phrase."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their numbers.

    The end token has the largest number, because open_clip's text tower pools where the token number is largest.

    Attributes:
        tokens: `<pad>`, `<start>`, `<unk>`, the words, `<end>`.
        context_length: Length to which every text is cut or padded, start and end included.
    """

    tokens: tuple[str, ...]
    context_length: int

    def __post_init__(self) -> None:
        if self.tokens[:3] != (PAD, START, UNKNOWN) or self.tokens[-1] != END or len(self._numbers) != len(self.tokens):
            raise OslerError(
                Code.MODEL_INVALID,
                f"A vocabulary is {PAD}, {START}, {UNKNOWN}, words that differ, and {END}.",
                "Restore vocabulary.txt from the encoder's source.",
            )

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def build(cls, texts: Iterable[str], *, size: int, context_length: int) -> Vocabulary:
        """Collect the most frequent words of `texts`, at most `size` tokens in all; ties go by the alphabet."""
        counts = Counter(word for text in texts for word in words_of(text))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))[: size - 4]
        return cls((PAD, START, UNKNOWN, *ranked, END), context_length)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return token numbers (B, context_length)."""
        numbers, last = self._numbers, len(self.tokens) - 1
        rows = np.zeros((len(texts), self.context_length), np.int64)
        for row, text in zip(rows, texts, strict=True):
            words = [numbers.get(word, 2) for word in words_of(text)][: self.context_length - 2]
            row[: len(words) + 2] = [1, *words, last]
        return rows

    def save(self, path: Path) -> None:
        """Write one token a line."""
        path.write_text("\n".join(self.tokens) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, context_length: int) -> Vocabulary:
        """Read the vocabulary at `path`."""
        return cls(tuple(path.read_text(encoding="utf-8").split("\n")[:-1]), context_length)
