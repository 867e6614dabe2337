"""Where maps point: planted pixels, random maps, and chance by area and by place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from osler_training.evaluate.bootstrap import patient_weights
from osler_training.evaluate.localisation import (
    ConceptLocation,
    located,
    mass_ratio,
    mean_estimate,
    near_centre,
    overlap,
    pointing_hit,
    prior_hits,
    top_share,
    upsampled,
)


def box(row: int, column: int, side: int = 4, size: int = 24) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def test_one_planted_pixel_is_found_by_every_measure() -> None:
    mask = box(8, 12, side=1)
    values = mask.astype(float)
    assert (pointing_hit(values, mask), overlap(values, mask)) == (1, 1)
    assert mass_ratio(values, mask) == pytest.approx(mask.size)
    maps = values[None, None]
    centre = np.array([[[8.5 / 24, 12.5 / 24]]])
    found = ConceptLocation(top=1).compute(maps, np.ones((1, 1)), centre, ["p"])
    assert [one.value for one in found.values()] == [1, 1, 1]


def test_a_flat_map_is_chance() -> None:
    mask = box(3, 5)
    flat = np.full(mask.shape, 0.3)
    share = mask.mean()
    assert pointing_hit(flat, mask) == pytest.approx(share)
    assert mass_ratio(flat, mask) == pytest.approx(1)
    assert overlap(flat, mask) == pytest.approx(share / (2 - share))
    assert near_centre(flat, (5, 5), 3) == pytest.approx(0.25)


def test_a_map_without_positive_mass_has_no_ratio() -> None:
    assert np.isnan(mass_ratio(-np.ones((4, 4)), box(0, 0, 2, 4)))


def test_random_maps_hit_as_often_as_the_area_says() -> None:
    draw = np.random.default_rng(0)
    maps = draw.normal(size=(1500, 2, 12, 12))
    centres = draw.uniform(size=(1500, 2, 2))
    found = ConceptLocation(top=2).compute(maps, np.ones((1500, 2)), centres, [str(i) for i in range(1500)])
    for alpha in (1, 3, 6):
        low, high = found[f"location_{alpha}"].ci
        assert found[f"location_{alpha}"].value == pytest.approx(alpha / 12, abs=0.035)
        assert low < alpha / 12 + 0.02 < high + 0.04


def test_only_concepts_that_are_leant_on_and_present_are_asked_for() -> None:
    maps = np.zeros((1, 3, 4, 4))
    maps[0, 0, 0, 0] = maps[0, 1, 3, 3] = 1
    centres = np.array([[[0.1, 0.1], [0.1, 0.1], [np.nan, np.nan]]])
    by = {c: np.eye(3)[[c]] for c in range(3)}
    hit, miss, absent = (
        ConceptLocation(top=1, alphas=(1,)).compute(maps, by[c], centres, ["p"])["location_1"].value for c in range(3)
    )
    assert (hit, miss) == (1, pytest.approx((16 / 12 - 1) / 15))
    assert np.isnan(absent)


@settings(max_examples=40)
@given(seed=st.integers(0, 9999))
def test_overlap_is_the_librarys_jaccard_where_nothing_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values, mask = draw.permutation(144).reshape(12, 12).astype(float), draw.random((12, 12)) < 0.3
    mask[0, 0] = True
    chosen = values >= np.sort(values.ravel())[-mask.sum()]
    assert overlap(values, mask) == pytest.approx(jaccard_score(mask.ravel(), chosen.ravel()))


@settings(max_examples=40)
@given(seed=st.integers(0, 9999), count=st.floats(0.5, 60))
def test_the_top_share_sums_to_what_was_asked_for(seed: int, count: float) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (6, 9)).astype(float)
    share = top_share(values, count)
    assert share.sum() == pytest.approx(min(count, 54))
    assert share.min() >= 0
    assert share.max() <= 1 + 1e-12


def test_upsampling_leaves_cells_in_their_place_on_grids_that_are_not_square() -> None:
    maps = np.zeros((1, 2, 3))
    maps[0, 1, 2] = 1
    fine = upsampled(maps, (16, 24))
    assert fine[0][12, 20] == fine.max()
    assert fine[0, :8, :8].max() == 0


def test_pointing_without_looking_never_sees_the_patients_own_masks() -> None:
    masks = [box(0, 0), box(0, 0), box(12, 12)]
    np.testing.assert_array_equal(prior_hits(masks, ["a", "a", "b"]), [0, 0, 0])
    np.testing.assert_array_equal(prior_hits(masks, ["a", "b", "c"])[:2], [pytest.approx(16 / 32)] * 2)


def test_permuting_images_changes_nothing() -> None:
    draw = np.random.default_rng(1)
    maps, masks = draw.normal(size=(9, 3, 4)), [box(i, 2 * i) for i in range(9)]
    order = draw.permutation(9)
    first, second = located(maps, masks), located(maps[order], [masks[i] for i in order])
    for name, scores in first.items():
        np.testing.assert_array_equal(second[name], scores[order])


def test_a_mean_leaves_out_what_is_unknown() -> None:
    values = np.array([1.0, np.nan, 0.0, 1.0])
    found = mean_estimate(values, patient_weights(list("abcd"), seed=0, replicates=50))
    assert found.value == pytest.approx(2 / 3)
    assert found.replicates[~np.isnan(found.replicates)].max() <= 1
