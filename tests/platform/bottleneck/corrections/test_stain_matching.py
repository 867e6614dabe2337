"""Two planted stains are found, and carried over to other stains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.bottleneck.corrections.stain_matching import StainMatching, two_stains
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Haematoxylin and eosin of Ruifrok and Johnston (2001), and a pair that another laboratory might have.
FIRST = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
OTHER = np.array([[0.75, 0.60, 0.28], [0.20, 0.85, 0.48]])
WHITE, DIM = np.array([0.97, 0.96, 0.95]), np.array([0.90, 0.86, 0.75])


def unit(stains: np.ndarray) -> np.ndarray:
    return stains / np.linalg.norm(stains, axis=1, keepdims=True)


def draw_amounts(seed: int, count: int = 3, side: int = 64) -> list[np.ndarray]:
    """Draw concentrations: glass, pixels of each stain alone, and mixtures (count, side, side, 2)."""
    draw = np.random.default_rng(seed)
    amounts = draw.gamma(4, 0.12, (count, side, side, 2)).clip(0, 1.2)
    amounts[:, : side // 4] = 0
    amounts[:, side // 4 : side // 2, :, 0] *= 0.0
    amounts[:, side // 2 : 3 * side // 4, :, 1] *= 0.0
    return list(amounts)


def render(amounts: list[np.ndarray], stains: np.ndarray, white: np.ndarray, strength: float = 1.0) -> list[np.ndarray]:
    return [white * 10 ** -(strength * one @ unit(stains)) for one in amounts]


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((one * unit(other)).sum(1), -1, 1)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), swap=st.booleans())
def test_planted_stains_strengths_and_glass_are_found(seed: int, swap: bool):
    amounts = draw_amounts(seed)
    for stains, white in ((FIRST, WHITE), (OTHER, DIM)):
        planted = stains[::-1] if swap else stains
        found = StainMatching().measure(
            render([one[..., ::-1] for one in amounts] if swap else amounts, planted, white)
        )
        assert degrees(found["stains"], stains).max() < 1.0
        np.testing.assert_allclose(found["white"], white, atol=1e-6)
        stained = np.concatenate([one.reshape(-1, 2) for one in amounts])
        stained = stained[(stained @ unit(stains)).mean(1) >= 0.15]
        np.testing.assert_allclose(found["strength"], np.percentile(stained, 99, axis=0), rtol=0.05)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), strength=st.floats(0.6, 1.4))
def test_the_same_tissue_under_other_stains_looks_as_at_the_source(seed: int, strength: float):
    one, amounts = StainMatching(kappa=0), draw_amounts(seed)
    source, site = render(amounts, FIRST, WHITE), render(amounts, OTHER, DIM, strength)
    reference = one.measure(source)
    got = np.stack(list(one.match(site, one.measure(site, reference), reference)))
    before = np.abs(np.stack(site) - source)[:, 16:]
    after = np.abs(got - source)[:, 16:]
    assert after.mean() < 0.015
    assert after.mean() < before.mean() / 5


def test_a_site_is_paired_with_the_source_by_likeness_and_not_by_red():
    # Both stains of the site lie beside the source's, but their order by red is the other way round.
    source = np.array([[0.50, 0.75, 0.43], [0.46, 0.88, 0.10]])
    site = np.array([[0.47, 0.74, 0.48], [0.51, 0.85, 0.13]])
    one, amounts = StainMatching(kappa=0), draw_amounts(4)
    reference = one.measure(render(amounts, source, WHITE))
    own = one.measure(render(amounts, site, DIM), reference)
    assert degrees(own["stains"], site).max() < 1.0
    assert own["stains"][0, 0] < own["stains"][1, 0]
    got = np.stack(list(one.match(render(amounts, site, DIM), own, reference)))
    assert np.abs(got - render(amounts, source, WHITE)).mean() < 0.02


def test_glass_that_is_fixed_at_240_stays_as_it_is():
    one = StainMatching(white="fixed")
    assert one.measure(render(draw_amounts(0), FIRST, WHITE))["white"] == pytest.approx([240 / 255] * 3)


def test_what_two_stains_do_not_explain_stays():
    one = StainMatching(kappa=0)
    reference = one.measure(render(draw_amounts(0), FIRST, WHITE))
    own = one.measure(render(draw_amounts(1), OTHER, WHITE), reference)
    third = np.cross(*own["stains"])
    odd = WHITE * 10 ** -(0.3 * np.abs(third / np.linalg.norm(third)))[None, None]
    got = one.match([odd], own, own)
    np.testing.assert_allclose(got[0], odd, atol=1e-9)
    green = np.full((4, 4, 3), [0.2, 0.9, 0.2])
    assert np.isfinite(one.match([green], own, reference)[0]).all()


def test_one_stain_none_and_black_say_nothing():
    one = StainMatching()
    reference = one.measure(render(draw_amounts(0), FIRST, WHITE))
    single = [image * [1.0, 0.0] for image in draw_amounts(1)]
    for batch in (
        render(single, FIRST, WHITE),
        [np.ones((20, 20, 3)) * 0.9],
        [np.zeros((20, 20, 3))],
    ):
        own = one.measure(batch, reference)
        for key in ("stains", "strength", "white"):
            np.testing.assert_array_equal(own[key], reference[key])
        assert np.isfinite(one.match(batch, own, reference)[0]).all()
        with pytest.raises(OslerError) as caught:
            one.measure(batch)
        assert caught.value.code is Code.NOTHING_ELIGIBLE


def test_a_grey_image_has_no_stain():
    one = StainMatching()
    reference = one.measure(render(draw_amounts(0), FIRST, WHITE))
    wrong: list[Callable[[], object]] = [
        lambda: one.measure([np.zeros((9, 9))]),
        lambda: one.match([np.zeros((9, 9))], reference, reference)[0],
    ]
    for case in wrong:
        with pytest.raises(OslerError) as caught:
            case()
        assert caught.value.code is Code.INPUT_RANGE


def test_directions_through_the_origin_are_found_exactly():
    amounts = np.random.default_rng(0).dirichlet([0.5, 0.5], 5000) * np.random.default_rng(1).uniform(0.5, 2, (5000, 1))
    found = two_stains(amounts @ unit(OTHER), 0.01)
    assert found is not None
    assert degrees(found, OTHER).max() < 0.1
