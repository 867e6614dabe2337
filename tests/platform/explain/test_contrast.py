"""The explanation sums exactly, says what was done, and claims nothing that was not measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from tests.platform.patches import by_hand, masked

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.margin import MarginScorer
from osler.calibrate.conformal import ConformalSets, Reached
from osler.calibrate.record import SiteCalibration
from osler.explain.cautions import RESIDUAL
from osler.explain.contrast import explain
from osler.explain.explanation import CITATION_HEADING, Explanation
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WIDTH, COUNT = 6, 5


def study(seed: int, tokens: bool = True) -> Features:
    draw = np.random.default_rng(seed)
    spatial = draw.normal(size=(1, 4, WIDTH)) if tokens else None
    return Features(draw.normal(size=(1, WIDTH)), spatial, (2, 2) if tokens else None)


def told(pipeline: Pipeline, seed: int = 0, site: str | None = "b", **options: object) -> Explanation:
    return explain(pipeline, study(seed), study="2.25.1", site=site, **options)


def patch_of(pipeline: Pipeline, **changes: object) -> SitePatch:
    amplified = ConceptDelta(float(pipeline.neutral[2]), gain=2.0, sentence="amplified")
    deltas = masked(pipeline, "concept_1") | {"concept_2": amplified}
    return replace(by_hand(pipeline, deltas, value_range=(0.0, 1.0)), **changes)


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    calibration = Calibration(2.0, "b", "2024-04-01", 50, {"pneumonia": 0.2})
    return replace(make_pipeline(WIDTH, COUNT), calibration=calibration)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 9999),
    patched=st.booleans(),
    corrections=st.dictionaries(st.sampled_from([f"concept_{n}" for n in range(COUNT)]), st.floats(0, 1), max_size=3),
)
def test_baseline_and_contributions_sum_to_the_margin(
    pipeline: Pipeline, seed: int, patched: bool, corrections: dict[str, float]
):
    patch = patch_of(pipeline) if patched else None
    explanation = told(pipeline, seed, patch=patch, corrections=corrections)
    total = explanation.baseline + sum(one.contribution for one in explanation.concepts)
    assert total == pytest.approx(explanation.margin, abs=1e-10)
    logits = {one.id: one.logit for one in explanation.findings}
    assert explanation.margin == logits[explanation.finding.id] - logits[explanation.runner_up.id] >= 0
    assert explanation.findings[0].logit >= explanation.findings[1].logit >= explanation.findings[2].logit
    sizes = [abs(one.contribution) for one in explanation.concepts]
    assert sizes == sorted(sizes, reverse=True)
    for one in explanation.concepts:
        assert one.direction == (
            "for" if one.contribution > 1e-9 else "against" if one.contribution < -1e-9 else "neither"
        )
        if one.id in corrections:
            assert one.state == "corrected"
            low, high = pipeline.correction_range[pipeline.bank.ids.index(one.id)]
            assert one.value == pytest.approx(low + corrections[one.id] * (high - low))
            assert one.corrected_to == (low, high)


def test_probabilities_are_three_separate_things(pipeline: Pipeline):
    explanation = told(pipeline, 3)
    logits = np.array([one.logit for one in explanation.findings])
    np.testing.assert_allclose([one.raw_probability for one in explanation.findings], softmax(logits))
    np.testing.assert_allclose([one.calibrated_probability for one in explanation.findings], softmax(logits / 2))
    for one in explanation.findings:
        if one.id == "pneumonia":
            assert one.decision == ("called" if one.calibrated_probability >= 0.2 else "not called")
        else:
            assert (one.decision, one.operating_point) == ("no operating point", None)
    assert explanation.calibrated_here
    assert not told(pipeline, 3, site="elsewhere").calibrated_here
    assert not told(pipeline, 3, patch=patch_of(pipeline)).calibrated_here
    uncalibrated = told(replace(pipeline, calibration=Calibration()), 3)
    assert uncalibrated.finding.calibrated_probability is None
    assert not uncalibrated.calibrated_here


def test_a_margin_is_not_given_out_as_a_probability(pipeline: Pipeline):
    assert all(0 <= one.probability <= 1 for one in told(pipeline, 3).concepts)
    ids = pipeline.bank.ids
    ends = np.tile([-1.0, 1.0], (len(ids), 1))
    margins = MarginScorer(ids, np.ones((len(ids), WIDTH)), np.zeros(len(ids)), ends)
    told_by_margins = told(replace(pipeline, scorer=margins), 3)
    assert [one.probability for one in told_by_margins.concepts] == [None] * len(ids)
    assert any(abs(one.value) > 0 for one in told_by_margins.concepts)


def test_a_patch_is_shown_with_what_it_changed(pipeline: Pipeline):
    patch = patch_of(pipeline)
    plain, patched = told(pipeline, 5), told(pipeline, 5, patch=patch)
    masked, amplified, other = (patched.concept(f"concept_{n}") for n in (1, 2, 0))
    assert masked.state == "ignored at this site"
    assert (masked.contribution, masked.direction) == (0.0, "neither")
    assert masked.probability == plain.concept("concept_1").probability
    assert amplified.state == "amplified at this site"
    assert (other.state, other.contribution) == ("as scored", other.contribution_unpatched)
    assert patched.patch.finding_without == plain.finding
    assert (patched.patch.masked, patched.patch.amplified) == (("concept_1",), ("concept_2",))
    if plain.finding.id == patched.finding.id and plain.runner_up.id == patched.runner_up.id:
        assert masked.contribution_unpatched == pytest.approx(plain.concept("concept_1").contribution)
    unpatched = replace(told(pipeline, 5, site="a", patch=patch), site="b", calibrated_here=True)
    assert unpatched == plain
    assert plain.concept("concept_0").contribution_unpatched is None


def test_a_correction_moves_the_finding_and_the_old_one_is_kept(pipeline: Pipeline):
    weights, flips = pipeline.head_weights(), 0
    for seed in range(20):
        before = told(pipeline, seed)
        assert before.finding_uncorrected is None
        k, r = (pipeline.classes.index(one.id) for one in (before.finding, before.runner_up))
        # Set every concept to what speaks most against the finding.
        against = zip(pipeline.bank.ids, weights[k] - weights[r], strict=True)
        after = told(pipeline, seed, corrections={one: float(weight < 0) for one, weight in against})
        flips += after.finding.id != before.finding.id
        assert after.finding_uncorrected == before.finding
        for one in after.concepts:
            assert one.probability == before.concept(one.id).probability
            assert one.seen == (
                "present"
                if weights[k, pipeline.bank.ids.index(one.id)] < weights[r, pipeline.bank.ids.index(one.id)]
                else "absent"
            )
    assert flips > 5
    with pytest.raises(OslerError) as caught:
        told(pipeline, corrections={"nothing": 1.0})
    assert caught.value.code is Code.UNKNOWN_CONCEPT
    with pytest.raises(OslerError) as caught:
        told(pipeline, corrections={"concept_0": 2.0})
    assert caught.value.code is Code.USAGE


def test_a_weight_against_the_text_is_flagged(pipeline: Pipeline):
    weights, prior = pipeline.head_weights(), pipeline.bank.prior_matrix(pipeline.classes)
    signs = np.array([[cell or 0 for cell in row] for row in prior])
    found = []
    for seed in range(10):
        explanation = told(pipeline, seed)
        k, r = (pipeline.classes.index(one.id) for one in (explanation.finding, explanation.runner_up))
        for c, one in enumerate(pipeline.bank.ids):
            reading = explanation.concept(one)
            assert (reading.prior, reading.prior_runner_up) == (prior[k][c], prior[r][c])
            assert reading.conflict == ((signs[k, c] - signs[r, c]) * (weights[k, c] - weights[r, c]) < 0)
            found.append(reading.conflict)
    assert any(found)
    assert not all(found)


def test_every_concept_is_cited_and_no_place_is_claimed_without_a_map(pipeline: Pipeline):
    explanation = told(pipeline)
    assert all(one.citation.passage and one.citation.heading == CITATION_HEADING for one in explanation.concepts)
    assert {one.location for one in explanation.concepts} == {"unavailable"}  # nobody checked where its maps point
    blind = explain(pipeline, study(0, tokens=False), study="2.25.1", site="b")
    assert {one.location for one in blind.concepts} == {"unavailable"}


def test_the_record_is_json(pipeline: Pipeline):
    record = told(pipeline, patch=patch_of(pipeline), corrections={"concept_3": 1.0}).to_dict()
    assert record["schema"] == "osler-explanation/4"
    assert json.loads(json.dumps(record, allow_nan=False))["finding"] == record["finding"]
    assert "Not a medical device" in record["notice"]


def calibration_of(pipeline: Pipeline, patch: str | None = None, **changes: object) -> SiteCalibration:
    reached = (Reached("all", 40, 4, 0.78, 0.97),)
    thresholds = {"heart_failure": 0.9, "pneumonia": 0.6, "normal": 0.2}
    made = SiteCalibration(
        site="b",
        model=pipeline.digest,
        bank=pipeline.bank.digest,
        patch=patch,
        label="finding",
        temperature=3.0,
        created="2024-05-01",
        expires="2999-01-01",
        operating_points={"normal": 0.5},
        sets=ConformalSets("class-conditional", 0.9, 2.0, thresholds, reached),
        studies={"heart_failure": 40},
    )
    return replace(made, **changes)


def test_a_site_calibration_is_used_for_its_site_model_and_patch_alone(pipeline: Pipeline):
    plain, patch = told(pipeline, 3), patch_of(pipeline)
    here = told(pipeline, 3, calibration=calibration_of(pipeline))
    logits = np.array([one.logit for one in here.findings])
    np.testing.assert_array_equal(logits, [one.logit for one in plain.findings])
    np.testing.assert_allclose([one.calibrated_probability for one in here.findings], softmax(logits / 3))
    np.testing.assert_allclose([one.raw_probability for one in here.findings], softmax(logits))
    assert {one.id: one.operating_point for one in here.findings} == {
        "normal": 0.5,
        "pneumonia": None,
        "heart_failure": None,
    }
    limits = {"heart_failure": 0.1, "pneumonia": 0.4, "normal": 0.8}
    wanted = tuple(one.id for one, p in zip(here.findings, softmax(logits / 2), strict=True) if p >= limits[one.id])
    assert here.prediction_set.classes == wanted
    assert here.abstains == (len(wanted) != 1) == bool(here.abstains_because)
    assert here.calibrated_here
    assert here.calibration["expires"] == "2999-01-01"
    under = told(pipeline, 3, patch=patch, calibration=calibration_of(pipeline, patch.id))
    assert under.calibrated_here
    assert under.patch.finding_without == plain.finding  # by the model's own temperature: here another would hold
    for wrong in (
        {"calibration": calibration_of(pipeline, site="c")},
        {"calibration": calibration_of(pipeline, model="0" * 64)},
        {"calibration": calibration_of(pipeline, expires="2024-06-01")},
        {"calibration": calibration_of(pipeline, status="revoked")},
        {"calibration": calibration_of(pipeline), "patch": patch},
        {"calibration": calibration_of(pipeline, patch.id)},
    ):
        with pytest.raises(OslerError) as caught:
            told(pipeline, 3, **wrong)
        assert caught.value.code is Code.CALIBRATION_INVALID


def test_each_study_gets_one_several_or_no_class_and_only_one_is_a_finding(pipeline: Pipeline):
    sizes = set()
    for seed in range(40):
        explanation = told(pipeline, seed, calibration=calibration_of(pipeline))
        size = len(explanation.prediction_set.classes)
        assert explanation.abstains == (size != 1)
        assert explanation.abstains_because.startswith("I do not know") == (size != 1)
        sizes.add(size)
    assert {1, 2} <= sizes


def test_another_models_patch_is_refused(pipeline: Pipeline):
    with pytest.raises(OslerError) as caught:
        told(pipeline, patch=patch_of(pipeline, model="0" * 64))
    assert caught.value.code is Code.PATCH_INVALID


def test_an_empty_patch_explains_as_no_patch_does(pipeline: Pipeline):
    empty = patch_of(pipeline, deltas={}, reason="nothing to change")
    assert empty.changes_nothing
    for seed in range(20):
        assert told(pipeline, seed, patch=empty) == told(pipeline, seed)


def test_a_patch_says_both_margins_of_the_same_two_classes(pipeline: Pipeline):
    for seed in range(20):
        patched, plain = told(pipeline, seed, patch=patch_of(pipeline)), told(pipeline, seed)
        logits = {one.id: one.logit for one in plain.findings}
        effect = patched.patch
        assert effect.margin_with == patched.margin
        assert effect.margin_without == pytest.approx(logits[patched.finding.id] - logits[patched.runner_up.id])
        assert (effect.margin_without < 0) <= (plain.finding.id != patched.finding.id)


def test_what_no_concept_names_is_told_apart(pipeline: Pipeline):
    draw = np.random.default_rng(3)
    head = HybridHead(pipeline.head, draw.normal(size=(3, WIDTH)) * 5, draw.normal(size=3))
    hybrid = replace(pipeline, head=head)
    for seed in range(20):
        one = told(hybrid, seed)
        total = one.baseline + sum(reading.contribution for reading in one.concepts)
        assert total + one.residual == pytest.approx(one.margin, abs=1e-10)
        sizes = sum(abs(reading.contribution) for reading in one.concepts)
        assert one.residual_share == pytest.approx(abs(one.residual) / (abs(one.residual) + sizes))
        assert (one.residual_share >= 0.05) == (RESIDUAL in [warning.code for warning in one.warnings])
    assert (told(pipeline).residual, told(pipeline).residual_share) == (0.0, 0.0)


def test_the_text_of_the_runner_up_is_flagged_too(pipeline: Pipeline):
    weights, prior = pipeline.head_weights(), pipeline.bank.prior_matrix(pipeline.classes)
    found = set()
    for seed in range(10):
        one = told(pipeline, seed)
        k, r = (pipeline.classes.index(named.id) for named in (one.finding, one.runner_up))
        for c, name in enumerate(pipeline.bank.ids):
            own, other = (row[c] or 0 for row in (prior[k], prior[r]))
            wanted = other * (weights[k, c] - weights[r, c]) > 0 and own != other
            assert one.concept(name).conflict_runner_up == wanted
            assert not wanted or one.concept(name).conflict
            found.add(wanted)
    assert found == {True, False}
