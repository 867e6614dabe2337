"""The word-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.bottleneck.encoders.vocabulary import Vocabulary, words_of
from osler_contracts.errors import OslerError

TEXTS = ["The heart is enlarged.", "No effusion. The heart is normal.", "the 2.5 cm nodule"]


def test_words_are_ranked_by_frequency_then_alphabet():
    vocabulary = Vocabulary.build(TEXTS, size=9, context_length=8)
    assert vocabulary.tokens == ("<pad>", "<start>", "<unk>", ".", "the", "heart", "is", "2.5", "<end>")


@given(st.lists(st.text(max_size=60), max_size=5))
def test_every_row_starts_ends_and_is_padded(texts: list[str]):
    vocabulary = Vocabulary.build(TEXTS, size=12, context_length=6)
    rows = vocabulary.encode(texts)
    assert rows.shape == (len(texts), 6)
    for row, text in zip(rows, texts, strict=True):
        length = min(len(words_of(text)), 4)
        assert row[0] == 1
        assert row[length + 1] == row.max() == len(vocabulary) - 1
        assert (row[length + 2 :] == 0).all()


def test_it_survives_the_disk(tmp_path: Path):
    vocabulary = Vocabulary.build(TEXTS, size=12, context_length=6)
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.load(tmp_path / "vocabulary.txt", 6) == vocabulary


@pytest.mark.parametrize("tokens", [("<pad>",), ("<pad>", "<start>", "<unk>", "a", "a", "<end>")])
def test_a_broken_vocabulary_is_refused(tokens: tuple[str, ...]):
    with pytest.raises(OslerError):
        Vocabulary(tokens, 8)
