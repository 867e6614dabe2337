"""Concept maps as evidence (M10): pooling, locality, clamping, and grids that are not square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import jaccard_score

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.stage import StageEncoder
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.spatial import SpatialScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

C, D, GRID = 5, 8, (3, 4)
N = GRID[0] * GRID[1]


def scorer_of(bank, attention: str = "own", layer_norm: bool = False, seed: int = 0) -> SpatialScorer:
    draw = np.random.default_rng(seed)
    extra = {"gain": np.ones(C), "shift": np.zeros(C)} if layer_norm else {}
    return SpatialScorer(
        bank.ids,
        draw.normal(size=(C, D)),
        draw.normal(size=C),
        np.tile([-2.0, 2.0], (C, 1)),
        attention=attention,
        query=draw.normal(size=(C, C)),
        key=draw.normal(size=(C, C)),
        sharpness=draw.normal(size=C),
        layer_norm=layer_norm,
        normalised=False,
        **extra,
    )


def features_of(seed: int, rows: int = 4) -> Features:
    draw = np.random.default_rng(seed)
    return Features(draw.normal(size=(rows, D)), draw.normal(size=(rows, N, D)), GRID)


@pytest.fixture(scope="module")
def bank(make_bank):
    return make_bank(C)


def test_uniform_attention_gives_the_mean_of_the_maps(bank):
    state = scorer_of(bank, "uniform").score(features_of(0), bank)
    assert state.maps.shape == (4, 1, C, *GRID)
    np.testing.assert_allclose(state.static, state.maps.mean((3, 4))[:, 0], atol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), attention=st.sampled_from(["query", "own", "uniform"]))
def test_the_map_is_the_evidence(bank, seed, attention):
    """The logit is the attention-weighted sum of the map; weights over a map sum to one."""
    state = scorer_of(bank, attention, seed=seed).score(features_of(seed), bank)
    weight = state.aux["attention"]
    np.testing.assert_allclose(weight.sum((2, 3)), 1)
    assert weight.min() >= 0
    np.testing.assert_allclose((weight * state.maps[:, 0]).sum((2, 3)), state.logit[:, 0], atol=1e-12)
    np.testing.assert_array_equal(state.prob, expit(state.logit))
    low, high = state.maps[:, 0].min((2, 3)), state.maps[:, 0].max((2, 3))
    assert ((state.static >= low - 1e-12) & (state.static <= high + 1e-12)).all()


def test_own_attention_lies_between_the_mean_and_the_maximum(bank):
    features = features_of(3)
    scorer = scorer_of(bank)
    maps = scorer.score(features, bank).maps[:, 0]
    for sharpness, wanted in ((-30.0, maps.mean((2, 3))), (12.0, maps.max((2, 3)))):
        state = replace(scorer, sharpness=np.full(C, sharpness)).score(features, bank)
        np.testing.assert_allclose(state.static, wanted, atol=1e-3)


def planted(bank, attention: str) -> tuple[SpatialScorer, Features, tuple[int, int]]:
    """Concept c reads axis c alone; the second concept shows at one patch of an otherwise empty image."""
    tokens = np.zeros((1, N, D))
    place = (1, 3)
    tokens[0, place[0] * GRID[1] + place[1], 1] = 4.0
    scorer = replace(scorer_of(bank, attention), weights=np.eye(C, D), intercept=np.zeros(C), sharpness=np.zeros(C))
    return scorer, Features(np.zeros((1, D)), tokens, GRID), place


@pytest.mark.parametrize("attention", ["query", "own", "uniform"])
def test_a_planted_patch_is_where_its_map_points_and_its_removal_lowers_that_concept_alone(bank, attention):
    scorer, features, place = planted(bank, attention)
    state = scorer.score(features, bank)
    seen = state.maps[0, 0, 1]
    assert np.unravel_index(seen.argmax(), GRID) == place
    truth = np.zeros(GRID, bool)
    truth[place] = True
    assert jaccard_score(truth.ravel(), (seen > seen.max() / 2).ravel()) == 1
    without = scorer.score(replace(features, tokens=np.zeros((1, N, D))), bank)
    change = without.static - state.static
    assert change[0, 1] < 0
    np.testing.assert_array_equal(change[0, [0, 2, 3, 4]], 0)


def test_a_map_scaled_to_its_own_range_lies_in_zero_to_one(bank):
    """What a reader is shown: by itself, not by all images together, and without dividing by nothing."""
    from osler.bottleneck.scorers.spatial import shown

    maps = scorer_of(bank).score(features_of(2), bank).maps[:, 0]
    scaled = shown(maps)
    np.testing.assert_allclose(scaled.min((2, 3)), 0)
    np.testing.assert_allclose(scaled.max((2, 3)), 1)
    np.testing.assert_array_equal(shown(np.full((1, 1, 2, 3), 7.0)), 0)


@pytest.mark.parametrize("attention", ["query", "own"])
def test_over_concepts_normalised_values_have_mean_zero_and_deviation_one(bank, attention):
    state = scorer_of(bank, attention, layer_norm=True).score(features_of(1), bank)
    np.testing.assert_allclose(state.static.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(state.static.std(1), 1, atol=1e-2)
    np.testing.assert_allclose(state.maps[:, 0].mean(1), 0, atol=1e-12)


def test_what_a_place_usually_shows_is_no_evidence(bank):
    features = features_of(5, rows=6)
    plain = scorer_of(bank)
    usual = plain.score(features, bank).maps[:, 0].mean(0).reshape(C, N).T
    centred = replace(plain, places=usual).score(features, bank).maps[:, 0]
    np.testing.assert_allclose(centred.mean(0), 0, atol=1e-12)
    with pytest.raises(OslerError, match="places") as caught:
        replace(plain, places=usual[:-1]).score(features, bank)
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize(("attention", "layer_norm"), [("query", True), ("own", False), ("uniform", False)])
def test_every_form_survives_the_artefact_and_another_order_of_the_bank(bank, attention, layer_norm):
    scorer, features = scorer_of(bank, attention, layer_norm), features_of(7)
    tensors, record = scorer.to_artefact()
    back = SpatialScorer.from_artefact(tensors, record)
    first = scorer.score(features, bank)
    np.testing.assert_array_equal(back.score(features, bank).static, first.static)
    order = [3, 0, 4, 2, 1]
    moved = scorer.score(features, bank.subset([bank.ids[place] for place in order]))
    np.testing.assert_array_equal(moved.static, first.static[:, order])
    np.testing.assert_array_equal(moved.aux["attention"], first.aux["attention"][:, order])


def test_a_clamped_concept_says_what_it_was_set_to(bank):
    scorer = replace(scorer_of(bank), percentiles=np.stack([-np.arange(C) - 1.0, np.arange(C) + 2.0], axis=1))
    state = scorer.score(features_of(8), bank)
    everything = np.ones(state.static.shape, bool)
    high = scorer.clamp(state, everything, np.ones(state.static.shape))
    np.testing.assert_array_equal(high.static, np.tile(np.arange(C) + 2.0, (4, 1)))
    np.testing.assert_array_equal(high.prob, 1)
    assert np.isfinite(high.logit).all()


def test_features_without_tokens_and_parts_that_do_not_fit_are_refused(bank):
    with pytest.raises(OslerError, match="tokens") as caught:
        scorer_of(bank).score(Features(np.zeros((1, D))), bank)
    assert caught.value.code is Code.PART_MISSING
    for change in (
        {"sharpness": None},
        {"attention": "none"},
        {"weights": np.zeros((2, D))},
        {"layer_norm": True},
        {"attention": "query", "key": np.zeros((2, 2))},
    ):
        with pytest.raises(OslerError) as caught:
            replace(scorer_of(bank), **change)
        assert caught.value.code is Code.MODEL_INVALID


def test_tokens_of_an_earlier_stage_are_finer_and_the_pooled_feature_stays():
    encoder = open_encoder()
    assert isinstance(encoder, OpenClipEncoder)
    images = list(np.random.default_rng(0).random((2, 128, 128), dtype=np.float32))
    third = StageEncoder(encoder)
    features = third.encode(images, tokens=True)
    assert features.tokens.shape[:2] == (2, 64)
    assert features.grid == third.grid == (8, 8)
    np.testing.assert_array_equal(features.pooled, encoder.encode(images).pooled)
    assert third.encode(images).tokens is None
    assert len({encoder.digest, third.digest, StageEncoder(encoder, 2).digest}) == 3
    # A change in one corner leaves the tokens of the opposite corner as they were.
    images[0] = images[0].copy()
    images[0][:16, :16] = 0
    other = third.encode(images, tokens=True)
    np.testing.assert_allclose(other.tokens[0, -1], features.tokens[0, -1], atol=1e-5)
    assert np.abs(other.tokens[0, 0] - features.tokens[0, 0]).max() > 1e-3
    with pytest.raises(OslerError):
        StageEncoder(encoder, 5)
