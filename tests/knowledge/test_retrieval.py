"""BM25 agrees with its formula, orders ties by place and survives the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osler_knowledge.corpus import Corpus, Entry
from osler_knowledge.retrieval import MARKER, Retriever


def small_corpus(*texts: str) -> Corpus:
    return Corpus(tuple(Entry(f"e{i}", "Note", text, (), "", False) for i, text in enumerate(texts)))


def test_scores_follow_lucene_bm25() -> None:
    corpus = small_corpus("pleural line pleural", "septal line", "haze round hila hila hila")
    documents = [["note", *entry.text.split()] for entry in corpus.entries]
    lengths = np.array([len(words) for words in documents])

    def score(query: list[str], i: int) -> float:
        total = 0.0
        for word in query:
            frequency, containing = documents[i].count(word), sum(word in words for words in documents)
            idf = np.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            total += idf * frequency / (frequency + 1.5 * (1 - 0.75 + 0.75 * lengths[i] / lengths.mean()))
        return total

    hits = Retriever(corpus).search("pleural line", 3)
    assert [hit.snippet.entry for hit in hits] == ["e0", "e1"]
    for hit in hits:
        assert hit.score == pytest.approx(score(["pleural", "line"], int(hit.snippet.entry[1])), rel=1e-5)


def test_equal_scores_keep_the_order_of_the_corpus() -> None:
    hits = Retriever(small_corpus("same words", "same words", "same words")).search("words", 3)
    assert [hit.snippet.entry for hit in hits] == ["e0", "e1", "e2"]


def test_spelling_and_number_do_not_matter(retriever: Retriever) -> None:
    assert retriever.search("interstitial edema", 3) == retriever.search("interstitial oedemas", 3)


@pytest.mark.parametrize("query", ["", "the of", "zzzz"])
def test_a_query_without_known_words_finds_nothing(retriever: Retriever, query: str) -> None:
    assert retriever.search(query) == []


def test_a_kept_index_answers_alike_and_a_stale_one_is_rebuilt(
    tmp_path: Path, corpus: Corpus, retriever: Retriever
) -> None:
    query = "visceral pleural line"
    assert Retriever.open(corpus, tmp_path).search(query) == retriever.search(query)
    assert Retriever.open(corpus, tmp_path).search(query) == retriever.search(query)
    fewer = Corpus(tuple(entry for entry in corpus.entries if entry.id != "pleural-line"))
    hits = Retriever.open(fewer, tmp_path).search(query, 50)
    assert hits
    assert all(hit.snippet.entry != "pleural-line" for hit in hits)


def test_a_kept_index_of_another_form_is_rebuilt(tmp_path: Path, corpus: Corpus, retriever: Retriever) -> None:
    Retriever.open(corpus, tmp_path)
    (tmp_path / MARKER).write_text(corpus.digest)  # as the first form wrote it
    (tmp_path / "vocab.index.json").write_text("{}")
    assert Retriever.open(corpus, tmp_path).search("pleural line") == retriever.search("pleural line")
    assert corpus.digest in (tmp_path / MARKER).read_text()
