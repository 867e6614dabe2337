"""Features of a site after its look was corrected, with and without a cache, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.correction import FittedCorrection, site_statistics, through_stage
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.corrections import at_site, corrected, corrected_probabilities, with_corrections
from osler_training.fit.methods import fit_method

BOTH: list[tuple[str, Mapping[str, Any]]] = [("feature_moments", {"kappa": 0}), ("image_moments", {"kappa": 0})]


@dataclass(frozen=True)
class Looking:
    """An encoder that sees the mean and deviation of each image, and counts what it was shown."""

    digest: str = "3" * 64
    shown: list[int] = field(default_factory=list)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode."""
        self.shown.append(len(images))
        return Features(np.array([(one.mean(), one.std()) for one in images]).reshape(-1, 2))


@dataclass(frozen=True)
class Shown:
    """Images with keys."""

    pixels: tuple[Array, ...]
    keys: tuple[str, ...]

    def load(self, row: int) -> Array:
        """Return an image."""
        return self.pixels[row]


def site(seed: int, low: float, high: float, count: int = 70) -> Shown:
    draw = np.random.default_rng(seed)
    pixels = tuple(draw.uniform(low, high, (8, 8)) * draw.uniform(0.8, 1.0) for _ in range(count))
    return Shown(pixels, tuple(f"{seed}{row:063d}" for row in range(count)))


SOURCE, TARGET = site(0, 0.3, 0.9), site(1, 0.1, 0.4)


def test_the_source_keeps_its_features_and_lends_its_statistics():
    encoder = Looking()
    x, fitted = corrected(encoder, SOURCE, BOTH)
    np.testing.assert_array_equal(x.pooled, Looking().encode(SOURCE.pixels).pooled)
    assert max(encoder.shown) <= 64
    assert [one.name for one in fitted] == ["feature_moments", "image_moments"]
    again, _ = corrected(Looking(), SOURCE, BOTH, fitted)
    np.testing.assert_array_equal(again.pooled, x.pooled)


def test_a_site_passes_every_stage_in_order(tmp_path: Path):
    _, fitted = corrected(Looking(), SOURCE, BOTH)
    x, same = corrected(Looking(), TARGET, BOTH, fitted)
    assert same == fitted
    looked = list(through_stage(fitted, "image", TARGET.pixels)[0])
    expected = through_stage(fitted, "feature", Looking().encode(looked))[0]
    np.testing.assert_allclose(x.pooled, expected.pooled)
    np.testing.assert_allclose(x.pooled.mean(0), Looking().encode(SOURCE.pixels).pooled.mean(0))
    for _ in range(2):
        np.testing.assert_array_equal(corrected(Looking(), TARGET, BOTH, fitted, tmp_path)[0].pooled, x.pooled)


def test_corrected_images_have_their_own_place_in_a_cache(tmp_path: Path):
    encoder = Looking()
    _, fitted = corrected(encoder, SOURCE, BOTH[1:], cache=tmp_path)
    plain, _ = corrected(encoder, TARGET, [], cache=tmp_path)
    moved, _ = corrected(encoder, TARGET, BOTH[1:], fitted, tmp_path)
    assert np.abs(moved.pooled - plain.pooled).max() > 0.1
    before = sum(encoder.shown)
    corrected(encoder, TARGET, BOTH[1:], fitted, tmp_path)
    assert sum(encoder.shown) == before
    # The same images among others are corrected by other statistics.
    part = Shown(TARGET.pixels[:9], TARGET.keys[:9])
    few, _ = corrected(encoder, part, BOTH[1:], fitted, tmp_path)
    assert sum(encoder.shown) == before + 9
    assert np.abs(few.pooled - moved.pooled[:9]).max() > 1e-4


def test_what_a_site_measured_serves_its_later_images():
    _, fitted = corrected(Looking(), SOURCE, BOTH)
    x, taken = at_site(Looking(), TARGET, fitted)
    own = site_statistics(fitted, taken, images=len(TARGET.keys))
    later = Shown(TARGET.pixels[:3], TARGET.keys[:3])
    np.testing.assert_allclose(at_site(Looking(), later, fitted, own=own)[0].pooled, x.pooled[:3])


def test_probabilities_wait_for_the_head():
    _, fitted = corrected(Looking(), SOURCE, [("prior_shift", {"kappa": 0}), *BOTH])
    prior = np.array([0.5, 0.5])
    draw = np.random.default_rng(0)
    prob = draw.beta(0.3, 1.0, 500)
    prob = np.column_stack([prob, 1 - prob])
    got = corrected_probabilities(prob, fitted, prior)
    assert got.mean(0)[0] < prob.mean(0)[0]
    np.testing.assert_array_equal(corrected_probabilities(prob, fitted[1:], prior), prob)
    with pytest.raises(OslerError) as caught:
        corrected_probabilities(prob, fitted)
    assert caught.value.code is Code.MODEL_INVALID


def test_a_fitted_pipeline_corrects_as_its_features_were(planted: Callable[..., Any]):
    problem = planted(2).problem
    pipeline = fit_method("bottleneck_prior", problem, {}, seed=0).pipeline  # type: ignore[attr-defined]
    moments = FittedCorrection.at_source("feature_moments", problem.train.features)
    both = with_corrections(pipeline, [FittedCorrection("prior_shift", {}), moments])
    assert both.digest != pipeline.digest
    shares = np.bincount(problem.train.y) / len(problem.train)
    np.testing.assert_allclose(both.corrections[0].reference["prior"], shares)
    assert both.corrections[1] is moments


def test_what_does_not_belong_together_is_refused():
    _, fitted = corrected(Looking(), SOURCE, BOTH)
    cases: list[tuple[Code, Callable[[], object]]] = [
        (Code.USAGE, lambda: corrected(Looking(), TARGET, BOTH[:1], fitted)),
        (Code.USAGE, lambda: corrected(Looking(), TARGET, [("feature_moments", {}), BOTH[1]], fitted)),
        (Code.USAGE, lambda: corrected(Looking(), SOURCE, [("nothing", {})])),
        (Code.NOTHING_ELIGIBLE, lambda: corrected(Looking(), Shown((), ()), BOTH, fitted)),
        (Code.NOTHING_ELIGIBLE, lambda: corrected(Looking(), Shown((), ()), BOTH)),
    ]
    for code, case in cases:
        with pytest.raises(OslerError) as caught:
            case()
        assert caught.value.code is code
