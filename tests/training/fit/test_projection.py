"""The cubed cosine and the projection that it teaches: closed cases and planted directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_training.fit.projection import ProjectionRule, cubed_cosine, fit_projection, similarity

IDS = ("a", "b", "c")


def planted(n: int, seed: int, D: int = 8, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and similarities that are linear in them by planted directions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D)) / D**0.5
    return x, x @ np.random.default_rng(9).normal(size=(D, 3)) + noise * rng.normal(size=(n, 3))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_it_is_one_for_a_positive_affine_map_and_minus_one_for_its_negative(
    seed: int, scale: float, shift: float
) -> None:
    p = np.random.default_rng(seed).normal(size=(40, 3))
    np.testing.assert_allclose(similarity(scale * p + shift, p), 1, atol=1e-6)
    np.testing.assert_allclose(similarity(-scale * p + shift, p), -1, atol=1e-6)
    other = np.random.default_rng(seed + 1).normal(size=(40, 3))
    np.testing.assert_allclose(similarity(scale * other + shift, p), similarity(other, p), atol=1e-6)


def test_it_is_the_cosine_of_centred_cubes() -> None:
    q, p = (np.random.default_rng(seed).normal(size=(30, 2)) for seed in (0, 1))
    cubes = [(one - one.mean(0)) ** 3 for one in (q, p)]
    expected = (cubes[0] * cubes[1]).sum(0) / np.linalg.norm(cubes[0], axis=0) / np.linalg.norm(cubes[1], axis=0)
    np.testing.assert_allclose(similarity(q, p), expected, atol=1e-12)
    # No concept looks at another, and a constant one is like nothing.
    np.testing.assert_allclose(similarity(q[:, :1], p[:, :1]), expected[:1], atol=1e-12)
    assert similarity(np.ones((30, 1)), p[:, :1]).tolist() == [0.0]
    tiny = torch.from_numpy(q * 1e-4).float()
    np.testing.assert_allclose(cubed_cosine(tiny, torch.from_numpy(p).float()), expected, atol=1e-4)


def test_it_learns_the_planted_directions_on_images_it_has_not_seen() -> None:
    train, select, test = (planted(n, seed, noise=0.05) for n, seed in ((400, 0), (200, 1), (200, 2)))
    start = fit_projection(train, select, IDS, ProjectionRule(steps=1, check=1), seed=0)
    W = fit_projection(train, select, IDS, ProjectionRule(lr=1e-2), seed=0)
    x, p = planted(200, 2)
    assert test[0].shape == x.shape
    assert similarity(x @ W.T, p).min() > 0.97
    assert similarity(x @ start.T, p).mean() < 0.7


def test_the_first_look_that_sees_no_improvement_ends_the_fit() -> None:
    """On noise the select split turns against more steps; what is kept is the best that was seen."""
    rng = np.random.default_rng(0)
    train, select = ((rng.normal(size=(30, 20)), rng.normal(size=(30, 3))) for _ in range(2))
    reached = [
        similarity(
            select[0] @ fit_projection(train, select, IDS, ProjectionRule(lr=0.01, steps=k, check=1), seed=0).T,
            select[1],
        ).mean()
        for k in (1, 5, 200, 400)
    ]
    assert np.all(np.diff(reached) >= 0)
    assert reached[2] == reached[3]


def test_a_concept_starts_from_its_own_draw_whatever_the_order() -> None:
    train, select = planted(100, 0), planted(60, 1)
    rule = ProjectionRule(steps=100)
    W = fit_projection(train, select, IDS, rule, seed=3)
    order = [2, 0, 1]
    first, second = ((x, p[:, order]) for x, p in (train, select))
    again = fit_projection(first, second, [IDS[c] for c in order], rule, seed=3)
    np.testing.assert_allclose(again, W[order], atol=1e-9)
    assert not np.allclose(fit_projection(train, select, IDS, rule, seed=4), W)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_fit_is_the_same_each_time(seed: int) -> None:
    train, select = planted(100, 0), planted(60, 1)
    first, second = (fit_projection(train, select, IDS, ProjectionRule(steps=100), seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first, second)
