"""What every method must pass: clamping, contributions, order of the bank, rows of a batch."""

from __future__ import annotations

import pkgutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from osler.bottleneck import heads, scorers
from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.heads.edited import EditedHead, HeadEdit, Step
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.heads.softmax_weights import SoftmaxHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Head, Scorer
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.joined import JoinedScorer, Part
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.scorers.margin import MarginScorer
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler.bottleneck.scorers.projection import ProjectionScorer
from osler.bottleneck.scorers.spatial import SpatialScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WIDTH = 6


def draw_features(seed: int, rows: int = 7) -> Features:
    draw = np.random.default_rng(seed)
    return Features(draw.normal(size=(rows, WIDTH)), draw.normal(size=(rows, 6, WIDTH)), (2, 3))


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(WIDTH)


def draw_scorer(kind: str, ids: tuple[str, ...]) -> Scorer:
    draw = np.random.default_rng(3)
    vectors, column = draw.normal(size=(len(ids), WIDTH)) * 3, draw.normal(size=len(ids))
    limits = np.tile([-2.0, 3.0], (len(ids), 1)) + draw.uniform(size=(len(ids), 1))
    return {
        "joined": lambda: JoinedScorer(
            (
                Part(MarginScorer(ids[1::2], vectors[1::2, :4], column[1::2], limits[1::2]), 2, 6),
                Part(LogisticScorer(ids[::2], vectors[::2, :2], column[::2], limits[::2], normalised=False), 0, 2),
            )
        ),
        "logistic": lambda: LogisticScorer(ids, vectors, column, limits),
        "measured": lambda: MeasuredScorer(ids, vectors, column, Standard(*draw.uniform(0.5, 1, (3, WIDTH))), limits),
        "margin": lambda: MarginScorer(ids, vectors, column, limits),
        "projection": lambda: ProjectionScorer(ids, vectors, column, np.exp(column), limits),
        "spatial": lambda: SpatialScorer(
            ids, vectors, column, limits, query=np.outer(column, column), key=np.eye(len(ids))
        ),
    }[kind]()


def draw_head(kind: str, linear: LinearHead) -> Head:
    draw = np.random.default_rng(4)
    return {
        "linear": lambda: linear,
        "hybrid": lambda: HybridHead(linear, draw.normal(size=(3, WIDTH)), draw.normal(size=3)),
        "edited": lambda: EditedHead(
            linear, ("one", "two", "three"), (HeadEdit("cut", (Step("two", linear.ids[1], "prune_normalise"),)),)
        ),
        "softmax_weights": lambda: SoftmaxHead(linear.ids, linear.weight, 20.0),
    }[kind]()


def modules_of(package: ModuleType) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(package.__path__)]


@pytest.fixture(scope="module", params=list(product(modules_of(scorers), modules_of(heads))), ids="-".join)
def either(request: pytest.FixtureRequest, pipeline: Pipeline) -> Pipeline:
    """Every kind of scorer that there is, with every kind of head."""
    scorer, head = request.param
    return replace(pipeline, scorer=draw_scorer(scorer, pipeline.bank.ids), head=draw_head(head, pipeline.head))


def test_parts_fill_their_slots(either: Pipeline):
    assert isinstance(either.scorer, Scorer)
    assert isinstance(either.head, Head)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_clamping_nothing_is_the_identity_of_every_kind(either: Pipeline, seed: int):
    state = either.scorer.score(draw_features(seed), either.bank)
    truth = np.random.default_rng(seed).integers(0, 2, state.static.shape).astype(float)
    nothing = either.scorer.clamp(state, np.zeros(truth.shape, bool), np.full(truth.shape, np.nan))
    for name in ("value", "prob", "logit", "clamped", "maps"):
        np.testing.assert_array_equal(getattr(nothing, name), getattr(state, name))
    mask = truth > 0
    some = either.scorer.clamp(state, mask, truth)
    np.testing.assert_array_equal(some.static[~mask], state.static[~mask])
    np.testing.assert_array_equal(some.clamped[:, 0], mask)
    again = either.scorer.clamp(some, mask, truth)
    np.testing.assert_array_equal(again.static, some.static)
    for wrong in (np.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match="Truth"):
            either.scorer.clamp(state, np.ones(truth.shape, bool), np.full(truth.shape, wrong))


@pytest.mark.parametrize("kind", ["margin", "projection"])
def test_values_without_a_range_are_clamped_to_percentiles_of_their_own_concept(pipeline: Pipeline, kind: str):
    ids = pipeline.bank.ids[::-1]
    scorer = draw_scorer(kind, pipeline.bank.ids)
    state = scorer.score(draw_features(1), pipeline.bank.subset(ids))
    everything = np.ones(state.static.shape, bool)
    for truth, wanted in (
        (0.0, scorer.percentiles[:, 0]),
        (0.5, scorer.percentiles.mean(1)),
        (1.0, scorer.percentiles[:, 1]),
    ):
        clamped = scorer.clamp(state, everything, np.full(state.static.shape, truth))
        np.testing.assert_allclose(clamped.static, np.broadcast_to(wanted[::-1], state.static.shape), atol=1e-12)


@settings(max_examples=30, deadline=None)
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


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_contributions_bias_and_residual_sum_to_the_logits(either: Pipeline, seed: int):
    output = either.predict_features(draw_features(seed))
    beside = 0 if output.residual_logits is None else output.residual_logits
    np.testing.assert_allclose(output.contrib.sum(-1) + either.head.bias + beside, output.logits, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), order=st.permutations(range(5)))
def test_the_order_of_the_bank_moves_states_and_leaves_logits(either: Pipeline, seed: int, order: list[int]):
    moved = replace(either, bank=either.bank.subset([either.bank.ids[place] for place in order]))
    before, after = (one.predict_features(draw_features(seed)) for one in (either, moved))
    np.testing.assert_array_equal(after.state.static, before.state.static[:, order])
    np.testing.assert_array_equal(after.state.maps, before.state.maps[:, :, order])
    np.testing.assert_array_equal(after.contrib, before.contrib[..., order])
    np.testing.assert_allclose(after.logits, before.logits, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(moved.neutral, either.neutral[order])


def test_a_batch_of_one_is_a_row_of_a_batch(either: Pipeline):
    features = draw_features(4)
    together = either.predict_features(features)
    for row in range(len(features)):
        alone = either.predict_features(features.rows(slice(row, row + 1)))
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


@pytest.mark.parametrize("kind", ["margin", "projection"])
def test_a_map_is_the_value_that_one_token_alone_would_give(pipeline: Pipeline, kind: str):
    pooled = np.random.default_rng(1).normal(size=(3, WIDTH))
    features = Features(pooled, np.repeat(pooled[:, None], 6, axis=1), (2, 3))
    state = draw_scorer(kind, pipeline.bank.ids).score(features, pipeline.bank)
    np.testing.assert_allclose(state.maps, np.broadcast_to(state.value[..., None], state.maps.shape), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.01, 100))
def test_a_margin_is_the_distance_to_a_hyperplane_whatever_the_length_of_its_vector(
    pipeline: Pipeline, seed: int, scale: float
):
    scorer = draw_scorer("margin", pipeline.bank.ids)
    longer = replace(scorer, vectors=scorer.vectors * scale, intercept=scorer.intercept * scale)
    features = draw_features(seed)
    margin = scorer.score(features, pipeline.bank).static
    np.testing.assert_allclose(longer.score(features, pipeline.bank).static, margin, atol=1e-9)
    unit = features.pooled / np.linalg.norm(features.pooled, axis=1, keepdims=True)
    length = np.linalg.norm(scorer.vectors, axis=1)
    # Moved back by the margin along the unit normal, a point lies on the hyperplane.
    foot = unit[:, None] - margin[..., None] * (scorer.vectors / length[:, None])
    np.testing.assert_allclose((foot * scorer.vectors).sum(-1) + scorer.intercept, 0, atol=1e-9)


def test_a_residual_of_zero_is_no_residual(pipeline: Pipeline):
    none = replace(pipeline, head=HybridHead(pipeline.head, np.zeros((3, WIDTH)), np.zeros(3)))
    features = draw_features(5)
    np.testing.assert_array_equal(none.predict_features(features).logits, pipeline.predict_features(features).logits)


def test_what_concepts_do_not_explain_is_explained_by_nobody(pipeline: Pipeline):
    hybrid = replace(pipeline, head=draw_head("hybrid", pipeline.head))
    np.testing.assert_array_equal(hybrid.neutral_logits(), pipeline.neutral_logits())
    with pytest.raises(OslerError, match="no concept names") as caught:
        hybrid.head_weights()
    assert caught.value.code is Code.MODEL_INVALID


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999))
def test_every_kind_survives_the_disk(either: Pipeline, seed: int):
    with tempfile.TemporaryDirectory() as scratch:
        back = load_bottleneck(save_bottleneck(either, Path(scratch) / "one", card="# A model\n"))
    features = draw_features(seed)
    np.testing.assert_array_equal(back.predict_features(features).logits, either.predict_features(features).logits)
    truth = np.zeros((len(features), 5))
    for one in (either, back):
        assert one.digest == either.digest
    clamped = [one.predict_features(features, clamp=(truth == 0, truth)).logits for one in (either, back)]
    np.testing.assert_array_equal(*clamped)


@pytest.mark.parametrize("kind", ["margin", "projection"])
def test_a_scorer_whose_parts_do_not_fit_is_refused(pipeline: Pipeline, kind: str):
    scorer = draw_scorer(kind, pipeline.bank.ids)
    wrong: list[dict[str, np.ndarray]] = [{"percentiles": scorer.percentiles[1:]}, {"vectors": scorer.vectors[:-1]}]
    wrong.append({"intercept": np.zeros(4)} if kind == "margin" else {"std": np.ones(4)})
    if kind == "margin":
        wrong.append({"vectors": np.zeros_like(scorer.vectors)})
    for change in wrong:
        with pytest.raises(OslerError) as caught:
            replace(scorer, **change)
        assert caught.value.code is Code.MODEL_INVALID
    with pytest.raises(OslerError) as caught:
        HybridHead(pipeline.head, np.zeros((2, WIDTH)), np.zeros(3))
    assert caught.value.code is Code.MODEL_INVALID


def test_shares_are_not_negative_and_add_up_to_their_scale(pipeline: Pipeline):
    head = draw_head("softmax_weights", pipeline.head)
    np.testing.assert_allclose(head.weights().sum(axis=1), 20.0)
    assert (head.weights() > 0).all()
    np.testing.assert_allclose(head.weights() / 20, softmax(pipeline.head.weight, axis=1))
    for wrong in ({"shares": np.zeros((3, 4))}, {"shares": np.zeros((1, 5))}, {"scale": 0.0}):
        with pytest.raises(OslerError) as caught:
            replace(head, **wrong)
        assert caught.value.code is Code.MODEL_INVALID


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
