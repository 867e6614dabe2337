"""Studies are drawn as the parameters say: rates within binomial bounds, severities within their ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_training.phantom.parameters import DEVICES, DIAGNOSES, FINDINGS, PARAMETERS, Mixture
from osler_training.phantom.spec import SIDES, ZONES, sample_patient, sample_study

DRAWS = 1500


def mixtures_of(diagnosis: str) -> dict[str, Mixture]:
    """What the docstring of `Parameters` promises: the diagnosis first, then what is incidental; normal is normal."""
    if diagnosis == "normal":
        return {}
    return {**PARAMETERS.incidental, **PARAMETERS.mixtures[diagnosis]}


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_findings_come_as_often_as_the_mixture_says(diagnosis: str) -> None:
    rng = np.random.default_rng([4, DIAGNOSES.index(diagnosis)])
    studies = [sample_study(diagnosis, rng) for _ in range(DRAWS)]
    for kind in FINDINGS:
        share = mixtures_of(diagnosis)[kind].share if kind in mixtures_of(diagnosis) else 0.0
        seen = sum(bool(one.of(kind)) for one in studies)
        bound = 4.5 * np.sqrt(DRAWS * share * (1 - share))
        assert abs(seen - DRAWS * share) <= bound, f"{diagnosis}: {kind} in {seen} of {DRAWS}, expected {share:.2f}"


def test_every_diagnosis_but_normal_rests_on_a_finding_of_its_own() -> None:
    assert set(PARAMETERS.mixtures) == set(DIAGNOSES)
    for diagnosis, mixture in PARAMETERS.mixtures.items():
        assert set(mixture) <= set(FINDINGS)
        assert diagnosis == "normal" or max(one.share for one in mixture.values()) >= 0.95


@given(diagnosis=st.sampled_from(DIAGNOSES), seed=st.integers(0, 2**32))
def test_severity_side_and_zone_stay_in_their_ranges(diagnosis: str, seed: int) -> None:
    spec = sample_study(diagnosis, np.random.default_rng(seed))
    for finding in spec.findings:
        low, high = mixtures_of(diagnosis)[finding.kind].severity
        least = 0.6 * low if finding.kind == "consolidation" and finding is not spec.of("consolidation")[0] else low
        assert least <= finding.severity <= high
        assert finding.side in ("", "both", *SIDES)
        assert finding.zone in ("", *ZONES)
        assert all(0 <= value <= 1 for value in finding.detail.values())
    places = [(one.kind, one.side, one.zone) for one in spec.findings]
    assert len(places) == len(set(places)), "two findings of a kind in one place"
    kinds = [one.kind for one in spec.findings if one.kind != "consolidation"]
    assert len(kinds) == len(set(kinds))
    assert all(spec.severity(kind) == max((one.severity for one in spec.of(kind)), default=0) for kind in FINDINGS)


@given(seed=st.integers(0, 2**32))
def test_a_patient_without_disease_is_within_what_is_healthy(seed: int) -> None:
    patient = sample_patient(np.random.default_rng(seed))
    assert 0.37 <= patient.ratio < 0.5
    assert 19 <= patient.age <= 94
    assert 0.75 < patient.width < 1.25
    assert abs(patient.rotation) <= 5
    assert patient.breast == 0 or patient.sex == "F"


@given(seed=st.integers(0, 2**32), present=st.sets(st.sampled_from(DEVICES)))
def test_devices_are_those_that_are_sure_and_no_others(seed: int, present: set[str]) -> None:
    rates = {name: float(name in present) for name in DEVICES}
    assert set(sample_study("normal", np.random.default_rng(seed), device_rates=rates).devices) == present


def test_same_seed_same_study_and_a_given_patient_is_kept() -> None:
    patient = sample_patient(np.random.default_rng(1))
    once, again, other = (sample_study("pneumonia", np.random.default_rng(seed), patient=patient) for seed in (5, 5, 6))
    assert once == again != other
    assert once.patient is other.patient is patient
    assert once.view == "PA"
    assert sample_study("pneumonia", np.random.default_rng(5), view="AP", patient=patient).view == "AP"
