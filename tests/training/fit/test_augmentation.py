"""Copies differ from their images as far as they may, are drawn by key and seed, and follow their patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.augmentation import (
    AugmentationRule,
    augment,
    augmented,
    augmented_problem,
    generator,
    with_copies,
)
from osler_training.fit.methods import fit_method

NOTHING = AugmentationRule(0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Looking:
    """An encoder that sees the mean and deviation of each channel, and remembers how much it was shown."""

    digest: str = "2" * 64

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode."""
        seen = [np.r_[one.mean(axis=(0, 1)), one.std(axis=(0, 1))].ravel() for one in images]
        return Features(np.array(seen).reshape(len(images), -1))


@dataclass(frozen=True)
class Shown:
    """Images with keys."""

    pixels: tuple[Array, ...]
    keys: tuple[str, ...]

    def load(self, row: int) -> Array:
        """Return an image."""
        return self.pixels[row]


def shown(count: int = 3, colour: bool = True) -> Shown:
    draw = np.random.default_rng(0)
    shape = (24, 30, 3) if colour else (24, 30)
    return Shown(
        tuple(draw.uniform(0.2, 0.9, shape) for _ in range(count)), tuple(f"{row:064d}" for row in range(count))
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), colour=st.booleans(), amount=st.floats(0, 0.2))
def test_a_copy_is_an_image_of_the_same_size(seed: int, colour: bool, amount: float):
    image = shown(1, colour).load(0)
    before = image.copy()
    rule = AugmentationRule(amount, amount, amount, amount / 4, amount)
    copy = augment(image, np.random.default_rng(seed), rule)
    assert copy.shape == image.shape
    assert copy.dtype == np.float32
    assert (copy.min() >= 0) & (copy.max() <= 1)
    np.testing.assert_array_equal(image, before)


def test_each_kind_does_what_it_is_called():
    image, rng = shown(1).load(0), lambda: np.random.default_rng(5)
    np.testing.assert_allclose(augment(image, rng(), NOTHING), image, atol=1e-6)
    grey = image[..., 0]
    np.testing.assert_allclose(augment(grey, rng(), replace(NOTHING, stain=0.5)), grey, atol=1e-6)
    stained = augment(image, rng(), replace(NOTHING, stain=0.5))
    assert np.ptp((stained - image).mean(axis=(0, 1))) > 0.01
    light = augment(grey, rng(), replace(NOTHING, gamma=0.5))
    exponent = np.log(light) / np.log(grey)
    np.testing.assert_allclose(exponent, exponent[0, 0], rtol=1e-4)
    assert abs(np.log(exponent[0, 0])) <= 0.5
    flat = augment(grey, rng(), replace(NOTHING, contrast=0.4))
    assert flat.mean() == pytest.approx(grey.mean(), abs=0.02)
    assert 0.01 < abs(flat.std() / grey.std() - 1) <= 0.4
    assert augment(grey, rng(), replace(NOTHING, blur=0.1)).std() < 0.8 * grey.std()
    disc = np.zeros((40, 40))
    disc[15:25, 15:25] = 1
    areas = [augment(disc, np.random.default_rng(seed), replace(NOTHING, scale=0.3)).sum() / 100 for seed in range(20)]
    assert max(areas) > 1.2
    assert min(areas) < 0.8
    assert np.exp(-0.6) * 0.85 < min(areas) < max(areas) < np.exp(0.6) * 1.15


def test_a_copy_depends_on_its_key_its_number_and_the_seed(tmp_path: Path):
    images, encoder = shown(), Looking()
    first = augmented(images, encoder, 2, 7).pooled
    assert first.shape == (6, 6)
    assert len(np.unique(first.round(9), axis=0)) == 6
    np.testing.assert_array_equal(augmented(images, encoder, 2, 7).pooled, first)
    assert np.abs(augmented(images, encoder, 2, 8).pooled - first).max() > 1e-3
    turned = Shown(images.pixels[::-1], images.keys[::-1])
    np.testing.assert_array_equal(augmented(turned, encoder, 1, 7).pooled, first[:3][::-1])
    for _ in range(2):
        np.testing.assert_array_equal(augmented(images, encoder, 2, 7, cache=tmp_path).pooled, first)
    weaker = augmented(images, encoder, 2, 7, AugmentationRule(stain=0.1), tmp_path).pooled
    assert np.abs(weaker - first).max() > 1e-4
    by_hand = augment(images.load(1), generator(images.keys[1], 1, 7), AugmentationRule())
    np.testing.assert_array_equal(encoder.encode([by_hand]).pooled[0], first[4])


def test_copies_follow_their_patient_and_only_where_something_is_learned(planted: Callable[..., Any]):
    problem = planted(2).problem
    rng = np.random.default_rng(0)

    def copies(features: Features, times: int) -> Features:
        pooled = np.tile(features.pooled, (times, 1))
        return Features(pooled + rng.normal(0, 0.01, pooled.shape), text_space=features.text_space)

    plain = replace(problem.train, features=replace(problem.train.features, tokens=None, grid=None))
    reference = replace(problem.reference, features=replace(problem.reference.features, tokens=None, grid=None))
    problem = replace(problem, train=plain, reference=reference)
    more = augmented_problem(problem, copies(plain.features, 2), copies(reference.features, 1))
    n = len(plain)
    assert len(more.train) == 3 * n
    np.testing.assert_array_equal(more.train.features.pooled[:n], plain.features.pooled)
    assert more.train.patients[n : 2 * n] == plain.patients
    np.testing.assert_array_equal(more.train.y[2 * n :], plain.y)
    np.testing.assert_array_equal(more.train.groups[n : 2 * n], plain.groups)
    assert more.reference.patients == reference.patients * 2
    np.testing.assert_array_equal(more.reference.concepts[len(reference.patients) :], reference.concepts)
    assert more.select is problem.select
    assert more.calibrate is problem.calibrate
    for name in ("linear_probe", "bottleneck_prior"):
        prob = fit_method(name, more, {}, seed=0).probabilities(planted(2).test)
        assert (prob.argmax(1) == planted(2).test.y).mean() > 0.6


def test_what_is_no_augmentation_is_refused(planted: Callable[..., Any]):
    cases: list[tuple[Code, Callable[[], object]]] = [
        (Code.USAGE, lambda: augmented(shown(), Looking(), 0, 0)),
        (Code.USAGE, lambda: AugmentationRule(stain=1.5)),
        (Code.USAGE, lambda: AugmentationRule(blur=-0.1)),
        (Code.USAGE, lambda: with_copies(planted(2).problem.train, Features(np.zeros((7, 12))))),
        (Code.INPUT_RANGE, lambda: augment(np.full((9, 9), 2.0), np.random.default_rng(0), AugmentationRule())),
    ]
    for code, case in cases:
        with pytest.raises(OslerError) as caught:
            case()
        assert caught.value.code is code
