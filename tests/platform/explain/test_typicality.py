"""Distances to the source are Mahalanobis's, and the stated rate of false alarms is the rate that new studies meet."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from osler.explain.typicality import Typical


def drawn(n: int, seed: int = 0, D: int = 4) -> np.ndarray:
    draw = np.random.default_rng(seed)
    mix = np.random.default_rng(9).normal(size=(D, D))
    return draw.normal(size=(n, D)) @ mix + 3


def test_the_distance_is_mahalanobis_to_the_nearest_class():
    y = np.arange(20_000) % 2
    values = drawn(20_000) + 8.0 * y[:, None]
    held = Typical.fit("concepts", values, y)
    rest = np.concatenate([values[y == k] - values[y == k].mean(axis=0) for k in (0, 1)])
    inverse = np.linalg.inv(np.cov(rest.T, bias=True))
    for one in drawn(5, seed=1) + 4:
        wanted = min(mahalanobis(one, values[y == k].mean(axis=0), inverse) for k in (0, 1))
        assert held.distances(one[None])[0] == pytest.approx(wanted, rel=0.03)  # shrunk a little


@pytest.mark.parametrize(("n", "level"), [(400, 0.01), (60, 0.05)])
def test_new_source_studies_are_called_unlike_about_as_rarely_as_stated(n: int, level: float):
    rates = []
    for seed in range(20):
        held = Typical.fit("concepts", drawn(n, seed))
        judged = [held.judge(one) for one in drawn(100, 1000 + seed)]
        assert {one.false_alarm for one in judged} == {level}
        rates.append(np.mean([one.unlike for one in judged]))
    assert np.mean(rates) < 1.6 * level
    assert held.judge(drawn(1)[0] + 100).unlike


def test_too_few_studies_say_nothing():
    assert Typical.fit("concepts", drawn(19)) is None
    assert Typical.fit("concepts", np.full((40, 2), np.nan)) is None
    few = Typical("concepts", np.zeros((1, 2)), np.eye(2), np.arange(10.0))
    assert few.limit(0.05) == float("inf")
    assert few.judge(np.ones(2)) is None
    assert Typical.fit("concepts", drawn(60)).judge(np.array([np.nan, 0, 0, 0])) is None


def test_a_patient_is_never_measured_with_moments_of_their_own():
    """Copies of one patient: with a copy in the other folds each would look usual."""
    values = drawn(60)
    values[:10] = values[0] + 1000.0
    alone = Typical.fit("image features", values, groups=["copied"] * 10 + [f"p{n}" for n in range(50)])
    together = Typical.fit("image features", values)
    assert alone.held[-1] > 5 * together.held[-1]


def test_columns_that_never_vary_and_their_scale_change_nothing():
    values = drawn(300)
    plain = Typical.fit("concepts", values)
    scaled = Typical.fit("concepts", values * [1, 10, 100, 1000])
    np.testing.assert_allclose(scaled.held, plain.held, rtol=1e-6)
    constant = Typical.fit("concepts", np.hstack([values, np.ones((300, 1))]))
    assert np.isfinite(constant.held).all()
