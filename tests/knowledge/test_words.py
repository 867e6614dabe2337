"""The words of retrieval are bm25s's own, normalised."""

from __future__ import annotations

import bm25s
from hypothesis import given
from hypothesis import strategies as st

from osler_knowledge.words import normalise, terms

PIECES = [
    "The",
    "lungs",
    "ARE",
    "clear",
    ",",
    "b",
    "12",
    "x-ray",
    "naïve",
    "\n",
    "oedema",
    "atelectases",
    "_",
    "it's",
    "𝒳y",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_terms_are_what_bm25s_cuts(pieces: list[str]) -> None:
    text = " ".join(pieces)
    (expected,) = bm25s.tokenize(
        [text],
        stopwords="en",
        stemmer=lambda words: [normalise(word) for word in words],
        return_ids=False,
        show_progress=False,
    )
    assert terms(text) == expected
