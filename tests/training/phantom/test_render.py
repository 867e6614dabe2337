"""Physics against closed forms, and each finding against the same patient without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler_training.phantom.parameters import DEVICES, FINDINGS
from osler_training.phantom.render import BONE, LUNG, WATER, Projection, detected, line_integral, project
from osler_training.phantom.spec import Finding, StudySpec, sample_patient

COUNTLESS = 1e12
DETAIL = {"x": 0.6, "y": 0.6, "size": 0.6, "texture": 0.6}
EVERYWHERE = {"cardiomegaly": "", "oedema": "both", "hyperinflation": "both"}
IN_A_ZONE = ("effusion", "consolidation", "nodule", "atelectasis")
LESS_DENSE = ("pneumothorax", "hyperinflation")


def finding(kind: str, severity: float, side: str = "right") -> Finding:
    return Finding(kind, EVERYWHERE.get(kind, side), "lower" if kind in IN_A_ZONE else "", severity, DETAIL)


def shown(*findings: Finding, size: int = 128, devices: tuple[str, ...] = (), seed: int = 7) -> Projection:
    """Project a patient without scatter or noise."""
    patient = sample_patient(np.random.default_rng(3))
    spec = StudySpec("normal", "PA", patient, findings, devices, seed)
    return project(spec, size, photons=COUNTLESS, scatter=0)


def flat(value: float, size: int = 256) -> np.ndarray:
    return np.full((size, size), value, np.float32)


def test_attenuation_adds_up_along_the_beam() -> None:
    slab = line_integral(flat(10, 4), flat(5, 4), flat(0.5, 4))
    transmitted = np.exp(-WATER * 10) * np.exp(-LUNG * 5) * np.exp(-BONE * 0.5)
    assert np.exp(-slab) == pytest.approx(np.full((4, 4), transmitted))
    assert LUNG < WATER < WATER + BONE


def test_a_perfect_detector_returns_the_attenuation() -> None:
    attenuation = np.random.default_rng(0).uniform(0, 6, (128, 128)).astype(np.float32)
    assert np.abs(detected(attenuation, 0.0, COUNTLESS, np.random.default_rng(1)) - attenuation).max() < 1e-3


@pytest.mark.parametrize("attenuation", [0.5, 2.0])
@pytest.mark.parametrize("photons", [1e4, 4e4])
def test_noise_is_that_of_counting_photons(attenuation: float, photons: float) -> None:
    """A count of N exp(-a) has a relative deviation of 1 over its root, and so has the logarithm."""
    recorded = detected(flat(attenuation), 0.0, photons, np.random.default_rng(2))
    assert recorded.std() == pytest.approx(np.sqrt(np.exp(attenuation) / photons), rel=0.03)
    counted = np.random.default_rng(3).poisson(photons * np.exp(-attenuation), (256, 256))
    assert recorded.std() == pytest.approx(np.log(photons / counted).std(), rel=0.03)


def test_smaller_pixels_catch_fewer_photons() -> None:
    spec = StudySpec("normal", "PA", sample_patient(np.random.default_rng(3)), (), (), 7)
    noise = {}
    for size in (128, 256):
        quiet, loud = (project(spec, size, photons=photons, scatter=0).attenuation for photons in (COUNTLESS, 6e4))
        middle = slice(size // 4, -size // 4)
        noise[size] = (loud - quiet)[middle, middle].std()
    assert noise[256] / noise[128] == pytest.approx(2, rel=0.06)


def test_scatter_leaves_an_even_field_alone_and_veils_what_is_dense() -> None:
    assert detected(flat(2), 0.5, COUNTLESS, np.random.default_rng(0)) == pytest.approx(flat(2), abs=2e-3)
    bar = flat(1)
    bar[:, 120:136] = 8
    veiled = detected(bar, 0.4, COUNTLESS, np.random.default_rng(0))[128, 128]
    assert veiled < -np.log(0.4 * np.exp(-1)) + 0.5, "behind the bar little but scatter arrives"
    assert veiled > -np.log(0.4 * np.exp(-1)), "scatter behind the bar cannot exceed the scatter of an open field"


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_finding_changes_the_picture_where_its_mask_says(kind: str) -> None:
    without, there = shown(), shown(finding(kind, 0.5))
    assert without.masks == {}
    mask, change = there.masks[kind], there.attenuation - without.attenuation
    within, elsewhere = np.abs(change[mask]).mean(), np.abs(change[~mask]).mean()
    assert within > 4 * elsewhere, f"{kind}: {within:.3f} in its mask, {elsewhere:.3f} elsewhere"
    assert within > 0.1, f"{kind} changes log attenuation by {within:.3f} only"
    assert np.sign(change[mask].mean()) == (-1 if kind in LESS_DENSE else 1)


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_finding_grows_with_its_severity(kind: str) -> None:
    base = shown().attenuation
    change = [float(np.abs(shown(finding(kind, one)).attenuation - base).sum()) for one in (0.35, 0.9)]
    assert change[1] > 1.15 * change[0]


@pytest.mark.parametrize("kind", [one for one in FINDINGS if one not in EVERYWHERE])
def test_a_finding_lies_on_the_side_it_is_given(kind: str) -> None:
    for side, halves in (("right", (slice(0, 64), slice(64, None))), ("left", (slice(64, None), slice(0, 64)))):
        mask = shown(finding(kind, 0.5, side)).masks[kind]
        here, there = (int(mask[:, half].sum()) for half in halves)
        assert here > 0, f"{side} {kind} lies nowhere"
        assert there <= 0.02 * here, f"{side} {kind}: {here} pixels here, {there} on the other side"


def test_a_nodule_leaves_the_rest_of_the_picture_alone() -> None:
    change = shown(finding("nodule", 0.6)).attenuation - shown().attenuation
    assert np.abs(change[:, 64:]).max() < 1e-5
    assert change.min() > -1e-5


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_seen_as_dense_lines(device: str) -> None:
    change = shown(devices=(device,), size=256).attenuation - shown(size=256).attenuation
    drawn = change > 0.08
    assert 20 < drawn.sum() < 0.05 * drawn.size, f"{device} covers {int(drawn.sum())} of {drawn.size} pixels"


def test_anatomy_is_in_the_order_a_reader_knows() -> None:
    """Lungs let most through, the heart less, the heart before the spine the least; outside the body everything passes."""
    attenuation = shown(size=256).attenuation

    def at(x: float, y: float) -> float:
        row, column = int(y / 400 * 256), int((x + 200) / 400 * 256)
        return float(np.median(attenuation[row - 3 : row + 4, column - 3 : column + 4]))

    air, lung, heart, spine = at(-190, 30), at(-80, 170), at(40, 235), at(2, 245)
    assert air < 0.05 < lung < heart < spine, (air, lung, heart, spine)
    assert 0.5 < lung < 3
    assert spine < 6


def test_what_overlies_the_patient_is_added_before_the_detector() -> None:
    spec = StudySpec("normal", "PA", sample_patient(np.random.default_rng(3)), (), (), 7)
    plain = project(spec, 64, photons=COUNTLESS, scatter=0)
    plate = project(spec, 64, photons=COUNTLESS, scatter=0, overlay=lambda a, x, y: a + 1.0 * (x > 0))
    assert (plate.attenuation - plain.attenuation)[:, 32:].mean() == pytest.approx(1, abs=0.01)
    assert np.abs(plate.attenuation - plain.attenuation)[:, :32].max() < 1e-4


def test_same_seed_same_bytes_and_another_seed_other_vessels() -> None:
    spec = StudySpec(
        "heart_failure", "AP", sample_patient(np.random.default_rng(3)), (finding("oedema", 0.9),), DEVICES, 7
    )
    once, again, other = (project(one, 128) for one in (spec, spec, replace(spec, texture_seed=8)))
    assert once.attenuation.tobytes() == again.attenuation.tobytes()
    assert {kind: mask.tobytes() for kind, mask in once.masks.items()} == {
        kind: mask.tobytes() for kind, mask in again.masks.items()
    }
    assert once.attenuation.tobytes() != other.attenuation.tobytes()
    assert once.concepts == again.concepts == other.concepts
    assert once.attenuation.dtype == np.float32
    assert np.isfinite(once.attenuation).all()
