"""Each feature gets the source's mean and deviation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.corrections.feature_moments import FeatureMoments
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def draw(seed: int, rows: int = 40, width: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) * rng.uniform(0.5, 3, width) + rng.normal(size=width) * 4


def matched(one: FeatureMoments, batch: np.ndarray, source: np.ndarray) -> np.ndarray:
    reference = one.measure(Features(source))
    return one.match(Features(batch), one.measure(Features(batch), reference), reference).pooled


def test_the_moments_are_the_librarys():
    x = draw(0)
    scaler = StandardScaler().fit(x)
    found = FeatureMoments().measure(Features(x))
    np.testing.assert_allclose(found["mean"], scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(found["std"], scaler.scale_, rtol=1e-12)


@given(seed=st.integers(0, 999), robust=st.booleans(), gain=st.floats(0.01, 50), shift=st.floats(-50, 50))
def test_what_an_affine_change_of_a_feature_did_is_undone(seed: int, robust: bool, gain: float, shift: float):
    one = FeatureMoments(robust=robust, kappa=0)
    x, source = draw(seed), draw(seed + 1)
    np.testing.assert_allclose(matched(one, gain * x + shift, source), matched(one, x, source), atol=1e-8)


@given(seed=st.integers(0, 999), robust=st.booleans())
def test_a_batch_without_kappa_gets_the_sources_moments(seed: int, robust: bool):
    one = FeatureMoments(robust=robust, kappa=0)
    source = draw(seed + 1)
    got = one.measure(Features(matched(one, draw(seed), source)))
    wanted = one.measure(Features(source))
    for key in ("mean", "std"):
        np.testing.assert_allclose(got[key], wanted[key], atol=1e-9)


def test_what_is_missing_stays_missing_and_counts_for_nothing():
    x = draw(0)
    x[::3, 1] = np.nan
    x[:, 2] = np.nan
    one = FeatureMoments(kappa=0)
    got = matched(one, x, draw(1))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(x))
    known = ~np.isnan(x[:, 1])
    np.testing.assert_allclose(got[known, 1].mean(), draw(1)[:, 1].mean())
    reference = one.measure(Features(draw(1)))
    own = one.measure(Features(x), reference)
    assert own["count"].tolist() == [40, 26, 0, 40, 40]
    assert own["mean"][2] == reference["mean"][2]


def test_a_constant_feature_is_moved_and_not_divided():
    x = np.ones((6, 2))
    x[:, 1] = np.arange(6)
    one = FeatureMoments(kappa=0)
    got = matched(one, x, draw(0, width=2))
    np.testing.assert_allclose(got[:, 0], draw(0, width=2)[:, 0].mean())
    flat = np.column_stack([np.full(9, 7.0), np.arange(9.0)])
    np.testing.assert_allclose(matched(one, x + 0.5, flat)[:, 0], 7.0)


def test_few_studies_move_little_and_many_move_all():
    one, source = FeatureMoments(), draw(0, rows=500)
    reference = one.measure(Features(source))
    alone = one.measure(Features(source[:1] + 9), reference)
    np.testing.assert_allclose(alone["mean"], reference["mean"] + (source[0] + 9 - reference["mean"]) / 9)
    np.testing.assert_allclose(alone["std"], reference["std"] * np.sqrt(8 / 9))
    many = one.measure(Features(np.tile(source, (20, 1)) + 9), reference)
    np.testing.assert_allclose(many["mean"], reference["mean"] + 9, atol=0.02)


def test_tokens_and_steps_move_as_their_mean_does():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(8, 6, 3))
    batch = Features(tokens.mean(1), tokens, (2, 3), steps=tokens[:, :2])
    one = FeatureMoments()
    reference = one.measure(Features(draw(1, width=3)))
    got = one.match(batch, one.measure(batch), reference)
    np.testing.assert_allclose(got.tokens.mean(1), got.pooled, atol=1e-12)
    np.testing.assert_array_equal(got.steps, got.tokens[:, :2])


def test_another_width_and_a_negative_kappa_are_refused():
    one = FeatureMoments()
    with pytest.raises(OslerError) as caught:
        one.measure(Features(draw(0, width=4)), one.measure(Features(draw(0))))
    assert caught.value.code is Code.MODEL_INVALID
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(OslerError) as caught:
            FeatureMoments(kappa=wrong)
        assert caught.value.code is Code.USAGE
