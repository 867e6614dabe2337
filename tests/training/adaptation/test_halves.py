"""No patient is in both halves, each class keeps its test cases, and every adapter meets the same draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.halves import Halves, halves_of, split_site, stream_of
from osler_training.adaptation.recipe import AdaptRecipe

Recipes = Callable[..., AdaptRecipe]


@dataclass
class FewImages:
    """What halves look at of images."""

    patients: tuple[str, ...]


@dataclass
class FewSite:
    """What halves look at of a site."""

    name: str
    images: FewImages
    y: np.ndarray

    @property
    def members(self) -> np.ndarray:
        """Rows of the classes."""
        return np.flatnonzero(self.y >= 0)


def site_of(counts: tuple[int, ...], *, others: int = 0, images: int = 1) -> FewSite:
    """A site with some patients of each class, several images each, and some of other classes."""
    y = np.concatenate([np.full(count * images, k) for k, count in enumerate(counts)] + [np.full(others, -1)])
    patients = [f"p{row // images}" for row in range(len(y))]
    return FewSite("away", FewImages(tuple(patients)), y)


def halved(recipe: AdaptRecipe, site: FewSite, seed: int = 3) -> Halves:
    """Halves of a stand-in site."""
    return halves_of(recipe, site, seed)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 2)), min_size=1, max_size=150), st.integers(0, 5))
def test_halves_share_no_patient_and_no_row(pairs: list[tuple[int, int]], seed: int) -> None:
    patients, y = np.array([f"p{one}" for one, _ in pairs]), np.array([k for _, k in pairs])
    test, pool = split_site(patients, y, 3, 8, seed=seed)
    assert not set(patients[test]) & set(patients[pool])
    assert (y[test] >= 0).all()
    assert len(np.unique(np.concatenate([test, pool]))) == len(test) + len(pool)
    lost = np.setdiff1d(np.arange(len(y)), np.concatenate([test, pool]))
    assert (y[lost] < 0).all()  # images of other classes of patients who are tested


def test_a_small_class_gives_the_rest_to_the_pool() -> None:
    site = site_of((40, 12))
    test, pool = split_site(np.array(site.images.patients), site.y, 2, 8, seed=0)
    assert np.bincount(site.y[test]).tolist() == [20, 8]
    assert np.bincount(site.y[pool]).tolist() == [20, 4]


def test_supports_are_of_the_pool_nested_and_of_as_many_patients(recipe_of: Recipes) -> None:
    recipe = recipe_of(shots=(1, 2, 4, 8), draws=7, least_test=8)
    site = site_of((20, 20, 11), images=2)
    halves = halved(recipe, site)
    patients = np.array(site.images.patients)[halves.pool]
    y = site.y[halves.pool]
    assert set(halves.supports) == {1, 2, 4}  # the third class keeps 11 test images and has 5 or 6 patients left
    for n, draws in halves.supports.items():
        assert draws.shape == (7, 3 * n)
        for rows in draws:
            assert y[rows].tolist() == np.repeat(np.arange(3), n).tolist()
            assert len(set(patients[rows])) == len(rows)
    for small, large in zip(halves.supports[2], halves.supports[4], strict=True):
        assert set(small) < set(large)


def test_the_digest_names_halves_and_draws(recipe_of: Recipes) -> None:
    site = site_of((20, 20, 20))
    first = halved(recipe_of(), site)
    assert first.digest == halved(recipe_of(), site).digest
    assert first.digest != halved(recipe_of(), site, seed=4).digest
    assert first.digest != halved(recipe_of(draws=7), site).digest
    assert first.digest == halved(recipe_of(adapters={"tti_reading": {}}, rival=""), site).digest


def test_a_balanced_stream_has_each_class_alike_and_each_study_as_often(recipe_of: Recipes) -> None:
    y = np.repeat([0, 1, 2], [60, 25, 5])
    rows = stream_of(y, "balanced", seed=1)
    assert np.bincount(y[rows]).tolist() == [30, 30, 30]
    times = np.bincount(rows, minlength=len(y))
    for k in range(3):
        assert np.ptp(times[y == k]) <= 1
    assert stream_of(y, "natural", seed=1).tolist() == list(range(90))


def test_other_classes_are_measured_only_where_the_recipe_says_so(recipe_of: Recipes) -> None:
    site = site_of((20, 20, 20), others=30)
    without, halves = halved(recipe_of(), site), halved(recipe_of(other_classes=True), site)
    assert (site.y[without.pool] >= 0).all()
    assert (site.y[halves.pool] < 0).sum() == 30
    assert (site.y[halves.pool[halves.streams["balanced"]]] >= 0).all()
    assert (site.y[halves.test] >= 0).all()
    assert all((site.y[halves.pool[rows]] >= 0).all() for rows in halves.supports.values())


def test_a_site_too_small_for_test_and_one_shot_is_refused(recipe_of: Recipes) -> None:
    with pytest.raises(OslerError, match="8 images of class 'eosinophil', too few for 8 to test and 1") as refused:
        halved(recipe_of(least_test=8), site_of((20, 20, 8)))
    assert refused.value.code is Code.SUPPORT_INSUFFICIENT
    assert "away" in str(refused.value)
