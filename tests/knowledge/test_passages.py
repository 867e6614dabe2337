"""Passages cut by rule keep their place, stay short and lose nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_knowledge.corpus import SNIPPET_TOKENS, Corpus, Entry, Section
from osler_knowledge.language import english
from osler_knowledge.passages import passages, token_count

WORDS = ["Kerley", "lines", "oedema", ".", "!", "\n", "  ", "3.5", "e.g.", "é", "(A", "b)", "x" * 90, "12,000", "🫁"]


def entry_of(text: str, *sections: Section) -> Entry:
    return Entry("x", "X", text, (), "", False, sections=sections)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """An entry with up to three sections, some of which touch."""
    text = " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=120)))
    edges = sorted(
        draw(st.lists(st.integers(0, len(text)), min_size=0, max_size=6).filter(lambda one: len(one) % 2 == 0))
    )
    return entry_of(text, *(Section(f"s{i}", edges[i], edges[i + 1]) for i in range(0, len(edges), 2)))


@given(entries(), st.integers(3, 30))
def test_passages_stand_at_their_offsets_are_short_and_lose_nothing(entry: Entry, most: int) -> None:
    cut = list(passages(entry, most))
    assert all(entry.text[one.start : one.end] == one.text for one in cut)
    assert all(one.text == one.text.strip() != "" for one in cut)
    assert all(first.end <= second.start for first, second in pairwise(cut))
    assert all(token_count(one.text) <= most for one in cut)
    assert "".join("".join(one.text for one in cut).split()) == "".join(entry.text.split())


@given(entries(), st.integers(3, 30))
def test_no_passage_crosses_the_edge_of_a_section(entry: Entry, most: int) -> None:
    for one in passages(entry, most):
        inside = [part.title for part in entry.sections if part.start <= one.start and one.end <= part.end]
        assert one.section in (inside or [""])
        assert not [
            part for part in entry.sections if one.start < part.start < one.end or one.start < part.end < one.end
        ]


def test_the_pipeline_counts_no_more_tokens_on_real_prose(corpus: Corpus) -> None:
    counts = [len(english().make_doc(one.text)) for entry in corpus.entries for one in passages(entry)]
    assert len(counts) >= len(corpus.entries)
    assert max(counts) <= SNIPPET_TOKENS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three four.", ["One two.", "Three four."]),
        ("A mass of 3.5 cm. It grows.", ["A mass of 3.5 cm.", "It grows."]),
        ("First line\nSecond line", ["First line", "Second line"]),
        ("seen, e.g. here and there", ["seen, e.g. here", "and there"]),
    ],
)
def test_passages_are_whole_sentences_where_these_fit(text: str, expected: list[str]) -> None:
    most = max(token_count(one) for one in expected)
    assert [one.text for one in passages(entry_of(text), most)] == expected
