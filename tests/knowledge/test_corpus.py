"""The starter corpus is what it claims to be, and passages keep their place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import SNIPPET_TOKENS, Corpus, Entry, load_corpus, parse_entry, sentences, snippets
from osler_knowledge.language import english

ENTRY = (
    "---\nid: one\ntitle: One\nlicence: Apache-2.0\nclinically_reviewed: false\nreferences: [A book]\n---\n\nText.\n"
)


def test_starter_corpus_is_complete_and_marked_as_unreviewed(corpus: Corpus) -> None:
    assert len(corpus.entries) >= 40
    for entry in corpus.entries:
        assert 80 <= len(entry.text.split()) <= 200, entry.id
        assert entry.references, entry.id
        assert entry.licence == "Apache-2.0"
        assert not entry.clinically_reviewed


def test_no_sentence_appears_in_two_entries(corpus: Corpus) -> None:
    seen = [entry.text[start:end] for entry in corpus.entries for start, end in sentences(entry.text)]
    assert len(seen) == len(set(seen))


def test_snippets_stand_at_their_offsets_and_are_short(corpus: Corpus) -> None:
    for snippet in corpus.snippets:
        assert corpus.by_id[snippet.entry].text[snippet.start : snippet.end] == snippet.text
        assert len(english().make_doc(snippet.text)) <= SNIPPET_TOKENS


@given(
    st.lists(
        st.sampled_from(["Kerley", "lines", "favour", "oedema", ".", ";", "\n", " ", "3.5", "e.g.", "é"]), max_size=80
    ),
    st.integers(3, 20),
)
def test_snippets_lose_no_word_of_any_text(words: list[str], most: int) -> None:
    text = " ".join(words)
    entry = Entry("x", "X", text, (), "", False)
    cut = list(snippets(entry, most))
    assert all(text[one.start : one.end] == one.text for one in cut)
    assert all(first.end <= second.start for first, second in pairwise(cut))
    assert "".join("".join(one.text for one in cut).split()) == "".join(text.split())
    assert all(len(english().make_doc(one.text)) <= most for one in cut)


def test_digest_changes_with_the_text(corpus: Corpus) -> None:
    assert Corpus(corpus.entries[1:]).digest != corpus.digest
    assert load_corpus().digest == corpus.digest


def test_digest_counts_what_is_stated_and_outlives_fields_that_are_not() -> None:
    entry = Entry("a", "A", "Text.", (), "CC0", False)
    first_form = {"id": "a", "title": "A", "text": "Text.", "references": [], "licence": "CC0"}
    first_form["clinically_reviewed"] = False
    assert Corpus((entry,)).digest == hashlib.sha256(json.dumps([first_form]).encode()).hexdigest()
    dated = {Corpus((replace(entry, edition=edition),)).digest for edition in ("", "2020", "2021")}
    assert len(dated) == 3


def test_folded_lines_become_one_paragraph() -> None:
    assert parse_entry(ENTRY.replace("Text.", "A line\nthat goes on.\n\nAnother."), "one.md").text == (
        "A line that goes on.\nAnother."
    )


@pytest.mark.parametrize(
    "text",
    ["no front matter", "---\nid: [\n---\ntext", "---\ntitle: no id\n---\ntext", "---\n- a list\n---\ntext"],
)
def test_an_unreadable_entry_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.md").write_text(text)
    with pytest.raises(OslerError, match=r"bad\.md") as caught:
        load_corpus(tmp_path)
    assert caught.value.code == Code.CORPUS_INVALID


def test_bad_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as missing:
        load_corpus(tmp_path / "nowhere")
    assert missing.value.code == Code.SOURCE_MISSING
    with pytest.raises(OslerError, match="no Markdown entry") as empty:
        load_corpus(tmp_path)
    assert empty.value.code == Code.CORPUS_INVALID
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(ENTRY)
    with pytest.raises(OslerError, match="share an identifier: one"):
        load_corpus(tmp_path)
    (tmp_path / "b.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OslerError, match=r"b\.md is not UTF-8"):
        load_corpus(tmp_path)
