"""What every method must pass: clamping, contributions, order of the bank, rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Head, Scorer
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WIDTH = 6


def draw_features(seed: int, rows: int = 7) -> Features:
    draw = np.random.default_rng(seed)
    return Features(draw.normal(size=(rows, WIDTH)), draw.normal(size=(rows, 6, WIDTH)), (2, 3))


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(WIDTH)


def test_parts_fill_their_slots(pipeline: Pipeline):
    assert isinstance(pipeline.scorer, Scorer)
    assert isinstance(pipeline.head, Head)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), clamping=st.sampled_from(["probability", "percentile"]))
def test_clamping_nothing_is_the_identity_and_something_is_exact(pipeline: Pipeline, seed: int, clamping: str):
    scorer = replace(pipeline.scorer, clamping=clamping)
    state = scorer.score(draw_features(seed), pipeline.bank)
    truth = np.random.default_rng(seed).integers(0, 2, state.static.shape).astype(float)
    nothing = scorer.clamp(state, np.zeros(truth.shape, bool), truth)
    for name in ("value", "prob", "logit", "clamped"):
        np.testing.assert_array_equal(getattr(nothing, name), getattr(state, name))
    mask = truth > 0
    some = scorer.clamp(state, mask, truth)
    expected = 1.0 if clamping == "probability" else expit(3.0)
    np.testing.assert_array_equal(some.static[mask], expected)
    np.testing.assert_array_equal(some.static[~mask], state.static[~mask])
    np.testing.assert_array_equal(some.clamped[:, 0], mask)
    assert np.isfinite(some.logit).all()


def test_clamping_refuses_what_is_no_truth(pipeline: Pipeline):
    state = pipeline.scorer.score(draw_features(0), pipeline.bank)
    everything = np.ones(state.static.shape, bool)
    for wrong in (np.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match="Truth"):
            pipeline.scorer.clamp(state, everything, np.full(state.static.shape, wrong))


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_contributions_and_bias_sum_to_the_logits(pipeline: Pipeline, seed: int):
    output = pipeline.predict_features(draw_features(seed))
    np.testing.assert_allclose(output.contrib.sum(-1) + pipeline.head.bias, output.logits, rtol=0, atol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), order=st.permutations(range(5)))
def test_the_order_of_the_bank_moves_states_and_leaves_logits(pipeline: Pipeline, seed: int, order: list[int]):
    moved = replace(pipeline, bank=pipeline.bank.subset([pipeline.bank.ids[place] for place in order]))
    before, after = (one.predict_features(draw_features(seed)) for one in (pipeline, moved))
    np.testing.assert_array_equal(after.state.static, before.state.static[:, order])
    np.testing.assert_array_equal(after.state.maps, before.state.maps[:, :, order])
    np.testing.assert_array_equal(after.contrib, before.contrib[..., order])
    np.testing.assert_allclose(after.logits, before.logits, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(moved.neutral, pipeline.neutral[order])


def test_a_batch_of_one_is_a_row_of_a_batch(pipeline: Pipeline):
    features = draw_features(4)
    together = pipeline.predict_features(features)
    for row in range(len(features)):
        alone = pipeline.predict_features(features.rows(slice(row, row + 1)))
        np.testing.assert_allclose(alone.logits[0], together.logits[row], rtol=0, atol=1e-12)
        np.testing.assert_allclose(alone.state.maps[0], together.state.maps[row], rtol=0, atol=1e-12)


def test_grounding_is_the_librarys_logistic_regression():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, WIDTH))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    model = LogisticRegression().fit(unit, unit[:, 0] > 0)
    from osler_knowledge.bank import Citation, Concept, ConceptBank

    bank = ConceptBank("t", 1, "DX", (), (Concept("only", "only", "?", "lung", Citation("e", "t", "", 0, 0), {}),))
    scorer = LogisticScorer(("only",), model.coef_, model.intercept_)
    state = scorer.score(Features(x), bank)
    np.testing.assert_allclose(state.static[:, 0], model.predict_proba(unit)[:, 1], atol=1e-12)
    percent = scorer.score(Features(x * 7), bank)
    np.testing.assert_allclose(percent.static, state.static, atol=1e-12)


def test_a_map_is_the_logit_that_one_token_alone_would_give(pipeline: Pipeline):
    pooled = np.random.default_rng(1).normal(size=(3, WIDTH))
    features = Features(pooled, np.repeat(pooled[:, None], 6, axis=1), (2, 3))
    state = pipeline.scorer.score(features, pipeline.bank)
    assert state.maps.shape == (3, 1, 5, 2, 3)
    np.testing.assert_allclose(state.maps, np.broadcast_to(state.logit[..., None, None], state.maps.shape), atol=1e-12)


def test_a_binary_row_is_expanded_to_two_classes():
    draw = np.random.default_rng(2)
    x, y = draw.uniform(size=(80, 3)), draw.integers(0, 2, 80)
    model = LogisticRegression().fit(x, y)
    head = LinearHead.from_binary(("a", "b", "c"), model.coef_, float(model.intercept_[0]))
    margin = x @ (head.weight[1] - head.weight[0]) + head.bias[1] - head.bias[0]
    np.testing.assert_allclose(margin, model.decision_function(x), atol=1e-12)
    np.testing.assert_allclose(head.weight.sum(axis=0), 0)


def test_concepts_that_disagree_are_named(pipeline: Pipeline):
    for bank in (pipeline.bank.subset(pipeline.bank.ids[1:]),):
        with pytest.raises(OslerError, match=pipeline.bank.ids[0]) as caught:
            replace(pipeline, bank=bank)
        assert caught.value.code is Code.UNKNOWN_CONCEPT
    state = pipeline.scorer.score(draw_features(0), pipeline.bank.subset(pipeline.bank.ids[1:]))
    with pytest.raises(OslerError) as caught:
        pipeline.head.predict(state, draw_features(0))
    assert caught.value.code is Code.UNKNOWN_CONCEPT


def test_every_change_that_moves_a_logit_moves_the_digest(pipeline: Pipeline):
    scorer, head = pipeline.scorer, pipeline.head
    variants = [
        pipeline,
        replace(pipeline, encoder_digest="1" * 64),
        replace(pipeline, scorer=replace(scorer, weights=scorer.weights + 1e-9)),
        replace(pipeline, scorer=replace(scorer, normalised=False)),
        replace(pipeline, head=replace(head, bias=head.bias + 1e-9)),
        replace(pipeline, classes=("a", "b", "c")),
        replace(pipeline, bank=pipeline.bank.subset(pipeline.bank.ids[::-1])),
    ]
    digests = [one.digest for one in variants]
    assert len(set(digests)) == len(digests)
    assert replace(pipeline, notes={"who": "someone"}).digest == pipeline.digest
    assert all(len(one) == 64 for one in digests)
    assert all(a != b for a, b in pairwise(digests))
