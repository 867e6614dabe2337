"""Covariances of the source, by closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power

from osler.bottleneck.corrections.coral import Coral
from osler.bottleneck.corrections.feature_moments import FeatureMoments
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def draw(seed: int, rows: int = 400, width: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width) * 3


def matched(one: Coral | FeatureMoments, batch: np.ndarray, source: np.ndarray) -> np.ndarray:
    reference = one.measure(Features(source))
    return one.match(Features(batch), one.measure(Features(batch), reference), reference).pooled


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_a_large_batch_gets_the_sources_mean_and_covariance(seed: int):
    source = draw(seed + 1)
    got = matched(Coral(shrinkage=0.0, kappa=0), draw(seed), source)
    np.testing.assert_allclose(got.mean(axis=0), source.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(np.cov(got.T), np.cov(source.T), rtol=1e-5, atol=1e-6)


def test_with_shrinkage_they_agree_in_the_limit_of_many():
    rng = np.random.default_rng(0)
    turns = [np.eye(4) + 0.3 * rng.normal(size=(4, 4)) for _ in range(2)]
    errors = []
    for rows in (100, 20_000):
        source, batch = (rng.normal(size=(rows, 4)) @ turn for turn in turns)
        got = matched(Coral(kappa=0), batch, source)
        errors.append(np.abs(np.cov(got.T) - np.cov(source.T)).max())
    assert errors[1] < 0.005 < errors[0]


def test_the_map_is_that_of_the_paper():
    x, source = draw(0), draw(1)
    own, wanted = (np.cov(one.T, bias=True) for one in (x, source))
    turn = fractional_matrix_power(own, -0.5) @ fractional_matrix_power(wanted, 0.5)
    expected = (x - x.mean(0)) @ turn + source.mean(0)
    np.testing.assert_allclose(matched(Coral(shrinkage=0.0, kappa=0), x, source), expected, atol=1e-6)


def test_the_shrinkage_is_that_of_ledoit_and_wolf():
    # Their consistent estimators (2004, section 3.2), row by row as they are written there.
    x = draw(3, rows=12, width=20)
    centred = x - x.mean(0)
    sample = centred.T @ centred / len(x)
    middle = np.trace(sample) / 20
    spread = ((sample - middle * np.eye(20)) ** 2).sum() / 20
    noise = sum(((np.outer(row, row) - sample) ** 2).sum() for row in centred) / len(x) ** 2 / 20
    share = min(noise, spread) / spread
    found = Coral().measure(Features(x))["covariance"]
    np.testing.assert_allclose(found, share * middle * np.eye(20) + (1 - share) * sample, rtol=1e-8)
    assert np.linalg.eigvalsh(found).min() > 0.1
    assert np.linalg.matrix_rank(sample) < 12


def test_a_batch_smaller_than_its_width_is_matched_without_blowing_up():
    source = draw(1, rows=500, width=30)
    for rows in (1, 2, 5, 20):
        got = matched(Coral(), draw(2, rows=rows, width=30), source)
        assert np.isfinite(got).all()
        assert np.abs(got - source.mean(0)).max() < 60 * source.std()


def test_where_features_are_independent_it_is_standardisation():
    rng = np.random.default_rng(0)
    x, source = (np.linalg.qr(rng.normal(size=(50, 4)) - 0.0)[0] for _ in range(2))
    x, source = (
        np.linalg.qr(one - one.mean(0))[0] * scale + 1 for one, scale in ((x, [1, 2, 3, 4]), (source, [4, 3, 2, 1]))
    )
    coral, moments = (matched(one, x, source) for one in (Coral(shrinkage=0.0, kappa=0), FeatureMoments(kappa=0)))
    np.testing.assert_allclose(coral, moments, atol=1e-8)


def test_constant_features_are_kept_finite():
    x = draw(0, rows=50)
    x[:, 1] = 3.0
    for shrinkage in (0.0, "ledoit_wolf"):
        got = matched(Coral(shrinkage=shrinkage, kappa=0), x, draw(1))  # type: ignore[arg-type]
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got.mean(0), draw(1).mean(0), atol=1e-6)


def test_tokens_are_turned_as_their_mean_is():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(8, 6, 3))
    one, batch = Coral(), Features(tokens.mean(1), tokens, (2, 3))
    got = one.match(batch, one.measure(batch), one.measure(Features(draw(1, width=3))))
    np.testing.assert_allclose(got.tokens.mean(1), got.pooled, atol=1e-9)


def test_a_missing_feature_is_refused():
    x = draw(0)
    x[3, 1] = np.nan
    with pytest.raises(OslerError) as caught:
        Coral().measure(Features(x))
    assert caught.value.code is Code.INPUT_RANGE
    assert "feature_moments" in str(caught.value)
