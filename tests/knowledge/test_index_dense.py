"""Dense vectors by a real encoder, and fusion by reciprocal rank against its closed form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_pipeline

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Corpus, Entry
from osler_knowledge.index.build import build_index
from osler_knowledge.index.dense import Encoder, nearest, sentence_transformer, unit_vectors
from osler_knowledge.index.fuse import CONSTANT, fuse
from osler_knowledge.index.search import DiskIndex
from osler_knowledge.passages import passages
from osler_knowledge.retrieval import searched

NAME = "hashed-words"


@pytest.fixture(scope="module")
def encoder(corpus: Corpus) -> Encoder:
    """Latent semantic analysis of the corpus: small, real and deterministic."""
    texts = [searched(entry.title, one.text) for entry in corpus.entries for one in passages(entry)]
    model = make_pipeline(
        HashingVectorizer(n_features=2**12, stop_words="english"), TruncatedSVD(24, random_state=0)
    ).fit(texts)
    return lambda some: model.transform(list(some))


@pytest.fixture(scope="module")
def folder(corpus: Corpus, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dense") / "index"
    build_index(corpus.entries, target, encoder=encoder, encoder_name=NAME)
    return target


def test_the_nearest_are_those_of_the_full_product(folder: Path, corpus: Corpus, encoder: Encoder) -> None:
    texts = [searched(entry.title, one.text) for entry in corpus.entries for one in passages(entry)]
    vectors = unit_vectors(encoder, texts)
    query = unit_vectors(encoder, ["fluid in the pleural space"])[0]
    exact = vectors @ query
    found = nearest(folder, query, 10)
    assert exact[found] == pytest.approx(np.sort(exact)[::-1][:10], abs=2e-3)  # kept in half precision


def test_dense_and_words_are_fused_by_rank(folder: Path, encoder: Encoder) -> None:
    query = "septal lines heart failure"
    words, both = DiskIndex(folder), DiskIndex(folder, encoder=encoder, encoder_name=NAME)
    by_words = [hit.snippet for hit in words.search(query, 50)]
    near = nearest(folder, unit_vectors(encoder, [query])[0], 50)
    by_vector = both._documents.snippets(near.tolist())
    hits = both.search(query, 10)
    for hit in hits:
        ranks = [ranking.index(hit.snippet) + 1 for ranking in (by_words, by_vector) if hit.snippet in ranking]
        assert hit.score == pytest.approx(sum(1 / (100 + rank) for rank in ranks))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert [hit.snippet for hit in hits] != by_words[:10]


def test_a_query_without_a_known_word_still_finds_by_vector(folder: Path, encoder: Encoder) -> None:
    assert DiskIndex(folder).search("pulmonarily") == []
    assert len(DiskIndex(folder, encoder=encoder, encoder_name=NAME).search("pulmonarily", 3)) == 3


def test_another_encoder_than_that_of_the_index_is_refused(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(OslerError, match="'hashed-words', and the encoder is 'other'"):
        DiskIndex(folder, encoder=encoder, encoder_name="other")
    build_index([Entry("a", "", "text", (), "", False)], tmp_path / "index")
    with pytest.raises(OslerError, match="no vectors") as caught:
        DiskIndex(tmp_path / "index", encoder=encoder, encoder_name=NAME)
    assert caught.value.code == Code.INDEX_INVALID
    narrow = DiskIndex(folder, encoder=lambda some: encoder(some)[:, :5], encoder_name=NAME)
    with pytest.raises(OslerError, match="24 dimensions; the encoder gives 5"):
        narrow.search("lung")


def short(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.ones((len(texts) - 1, 3))


def infinite(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.full((len(texts), 3), np.nan)


@pytest.mark.parametrize("broken", [short, infinite, lambda texts: np.ones(len(texts))])
def test_an_encoder_that_returns_nonsense_leaves_no_index(tmp_path: Path, broken: Encoder) -> None:
    with pytest.raises(OslerError) as caught:
        build_index([Entry("a", "", "some text", (), "", False)], tmp_path / "index", encoder=broken)
    assert caught.value.code == Code.MODEL_INVALID
    assert not (tmp_path / "index").exists()


def test_a_model_is_only_ever_taken_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        sentence_transformer(tmp_path / "all-mpnet-base-v2")
    assert caught.value.code == Code.SOURCE_MISSING


rankings = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), min_size=1, max_size=4)


@given(rankings, st.integers(1, 40))
def test_fusion_is_the_sum_of_reciprocal_ranks(given_rankings: list[list[int]], k: int) -> None:
    items = sorted({item for ranking in given_rankings for item in ranking})
    scores = {one: sum(1 / (100 + 1 + r.index(one)) for r in given_rankings if one in r) for one in items}
    found = fuse(given_rankings, k)
    assert CONSTANT == 100
    assert len(found) == min(k, len(items))
    assert all(score == pytest.approx(scores[item]) for item, score in found)
    assert [item for item, _ in found] == sorted(dict(found), key=lambda one: (-dict(found)[one], one))
    if len(found) < len(items):
        assert max(scores[one] for one in items if one not in dict(found)) <= found[-1][1] + 1e-12


def test_first_in_both_rankings_has_the_closed_form() -> None:
    assert fuse([[5, 2], [5, 9]], 3) == [(5, 2 / 101), (2, 1 / 102), (9, 1 / 102)]
