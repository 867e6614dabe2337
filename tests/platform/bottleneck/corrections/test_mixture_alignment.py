"""Alignment to a mixture: a site's place and scale are found whatever its mix, moments are led astray by it."""

from __future__ import annotations

import numpy as np
import pytest

from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.corrections.feature_moments import FeatureMoments
from osler.bottleneck.corrections.mixture_alignment import MixtureAlignment
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KINDS = np.array([[-2.0, 1.0, 0.0, 2.0], [2.0, 1.0, -2.0, -1.0], [0.0, -2.0, 2.0, -1.0]])
PLACE, SPREAD = np.array([5.0, -3.0, 0.0, 100.0]), np.array([2.0, 0.5, 1.0, 30.0])
OPTIONS = MixtureAlignment(components=3)


def draw(mix: tuple[int, int, int], seed: int) -> Array:
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(3), mix)
    return np.asarray(KINDS[kind] + rng.normal(0, 0.6, (len(kind), 4)))


@pytest.fixture(scope="module")
def source() -> Features:
    return Features(draw((300, 300, 300), 0))


def error(correction: MixtureAlignment | FeatureMoments, source: Features, site: Array) -> float:
    """Root mean square of what is left between a site's features and what they would be at the source."""
    reference = correction.measure(source)
    batch = Features(site * SPREAD + PLACE)
    matched = correction.match(batch, correction.measure(batch, reference), reference).pooled
    return float(np.sqrt(np.nanmean((matched - site) ** 2)))


@pytest.mark.parametrize("mix", [(20, 140, 140), (180, 60, 60), (30, 30, 240)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_place_and_scale_are_found_whatever_the_mix(source: Features, mix: tuple[int, int, int], seed: int) -> None:
    site = draw(mix, seed)
    assert error(OPTIONS, source, site) < 0.5 * error(FeatureMoments(), source, site)


def test_the_sites_mix_is_found(source: Features) -> None:
    reference = OPTIONS.measure(source)
    own = OPTIONS.measure(Features(draw((180, 60, 60), 3) * SPREAD + PLACE), reference)
    np.testing.assert_allclose(np.sort(own["weights"]), [0.2, 0.2, 0.6], atol=0.04)
    assert own["weights"].sum() == pytest.approx(1)


def test_what_was_not_measured_counts_for_nothing_and_stays_so(source: Features) -> None:
    site = draw((180, 60, 60), 4)
    site[np.random.default_rng(0).random(site.shape) < 0.2] = np.nan
    assert error(OPTIONS, source, site) < 0.25
    reference = OPTIONS.measure(source)
    gone = site.copy()
    gone[:, 2] = np.nan
    own = OPTIONS.measure(Features(gone), reference)
    matched = OPTIONS.match(Features(gone), own, reference).pooled
    assert np.isnan(matched[:, 2]).all()
    np.testing.assert_array_equal(np.isnan(matched), np.isnan(gone))
    assert own["mean"][2] == reference["mean"][2]


def test_one_cut_gone_wrong_moves_a_site_little(source: Features) -> None:
    site = draw((180, 60, 60), 5)
    site[0] = 1000.0
    reference = OPTIONS.measure(source)
    batch = Features(site)
    matched = OPTIONS.match(batch, OPTIONS.measure(batch, reference), reference).pooled[1:]
    assert np.sqrt(((matched - site[1:]) ** 2).mean()) < 0.5


def test_own_statistics_are_the_identity_and_the_source_stays_in_place(source: Features) -> None:
    reference = OPTIONS.measure(source)
    np.testing.assert_allclose(OPTIONS.match(source, reference, reference).pooled, source.pooled, atol=1e-12)
    again = OPTIONS.measure(source, reference)
    assert np.abs(OPTIONS.match(source, again, reference).pooled - source.pooled).max() < 0.1


def test_few_studies_move_little_and_order_says_nothing(source: Features) -> None:
    reference = OPTIONS.measure(source)
    own = OPTIONS.measure(Features(draw((1, 0, 0), 6) + 9.0), reference)
    assert (np.abs(own["mean"] - reference["mean"]) < 9 / 4).all()
    batch = draw((30, 60, 30), 7)
    there, back = (OPTIONS.measure(Features(one), reference) for one in (batch, batch[::-1]))
    for key in there:
        np.testing.assert_allclose(there[key], back[key], atol=1e-9)


def test_a_constant_feature_is_left_in_its_scale(source: Features) -> None:
    pooled = source.pooled.copy()
    pooled[:, 1] = 7.0
    reference = OPTIONS.measure(Features(pooled))
    own = OPTIONS.measure(Features(pooled[:50]), reference)
    assert np.isfinite(OPTIONS.match(Features(pooled[:50]), own, reference).pooled).all()


def test_what_cannot_be_aligned_is_refused(source: Features) -> None:
    reference = OPTIONS.measure(source)
    for call, code in (
        (lambda: OPTIONS.measure(Features(np.zeros((0, 4))), reference), Code.NOTHING_ELIGIBLE),
        (lambda: OPTIONS.measure(Features(np.zeros((3, 5))), reference), Code.MODEL_INVALID),
        (lambda: parse_correction("mixture_alignment", {"components": 0}), Code.USAGE),
        (lambda: parse_correction("mixture_alignment", {"pull": 0.0}), Code.USAGE),
        (lambda: parse_correction("mixture_alignment", {"kappa": -1.0}), Code.USAGE),
    ):
        with pytest.raises(OslerError) as caught:
            call()
        assert caught.value.code is code
