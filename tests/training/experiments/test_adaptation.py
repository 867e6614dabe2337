"""Adaptation over many draws, in a world where a concept misfires at the new site."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osler.adapt.adapters.tti_reading import TtiReading
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.tracking import Tracker
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.experiments.adaptation import draw_supports, log_adaptation, run_adaptation, target_estimates
from osler_training.experiments.confounded import Trial, run_method
from osler_training.fit.problem import Cohort


@pytest.fixture(scope="module")
def world(world_of: Any) -> Any:
    """Concepts that say more than they must, so that one can be spared."""
    return world_of(signal=1.0)


@pytest.fixture(scope="module")
def trial(world: Any) -> Trial:
    return world.trial()


@pytest.fixture(scope="module")
def pipeline(trial: Trial) -> Pipeline:
    classifier: Any = run_method("bottleneck_prior", trial, {}, seed=0).classifier
    return classifier.pipeline


def misfiring(cohort: Cohort, pipeline: Pipeline, concept: int, by: float) -> Cohort:
    """Make one concept fire in every image of a site, whatever the class."""
    direction = pipeline.scorer.weights[concept] / np.linalg.norm(pipeline.scorer.weights[concept])
    return replace(cohort, features=Features(cohort.features.pooled + by * direction))


@pytest.fixture(scope="module")
def site(world: Any, pipeline: Pipeline) -> tuple[Cohort, Cohort]:
    return tuple(
        misfiring(world.cohort(name, 200, -1, seed), pipeline, 1, 10.0) for name, seed in (("p", 70), ("t", 71))
    )


@pytest.fixture(scope="module")
def adapted(pipeline: Pipeline, site: tuple[Cohort, Cohort], trial: Trial) -> Any:
    pool, test = site
    return run_adaptation(
        pipeline, TtiReading(), pool, test, trial.source_test, site="b", created="2025-01-31", draws=20, seed=3
    )


def test_a_misfiring_concept_is_masked_and_the_target_gains(adapted: Any, pipeline: Pipeline) -> None:
    record = adapted.record
    misfired = pipeline.bank.ids[1]
    changing = [patch for patch in adapted.patches if not patch.changes_nothing]  # the guards refuse the rest
    assert len(changing) == round(20 * (1 - record.unchanged)) >= 10
    assert np.mean([misfired in patch.masked for patch in changing]) > 0.9
    assert record.gain > 0
    assert record.ci["gain"][0] > 0
    assert record.target_after == pytest.approx(record.target_before + record.gain)


def test_the_source_is_untouched_while_gated(adapted: Any) -> None:
    assert adapted.record.source_after == adapted.record.source_before
    assert abs(adapted.record.source_after_ungated - adapted.record.source_before) < 0.1


def test_where_nothing_shifted_little_is_changed(world: Any, pipeline: Pipeline, trial: Trial) -> None:
    pool, test = world.cohort("q", 200, 1, 80), world.cohort("u", 200, 1, 81)
    record = run_adaptation(
        pipeline, TtiReading(), pool, test, trial.source_test, site="b", created="2025-01-31", draws=20, seed=3
    ).record
    assert record.masked + record.amplified <= 0.05 * len(pipeline.bank.ids)
    assert abs(record.gain) < 0.02


def test_supports_hold_each_class_and_each_patient_once() -> None:
    y = np.repeat([0, 1, 2], 20)
    pool = Cohort(Features(np.zeros((60, 1))), y, tuple(f"p{i // 2}" for i in range(60)))
    supports = draw_supports(pool, 4, 25, seed=0)
    assert len(supports) == 25
    for rows in supports:
        assert np.bincount(y[rows]).tolist() == [4, 4, 4]
        assert len({pool.patients[i] for i in rows}) == 12
    assert len({tuple(sorted(rows)) for rows in supports}) == 25
    assert all(np.array_equal(a, b) for a, b in zip(supports, draw_supports(pool, 4, 25, seed=0), strict=True))


def test_too_few_patients_are_told() -> None:
    pool = Cohort(Features(np.zeros((8, 1))), np.repeat([0, 1], 4), ("a", "a", "b", "c", "d", "e", "f", "g"))
    with pytest.raises(OslerError) as caught:
        draw_supports(pool, 4, 1, seed=0)
    assert caught.value.code == Code.SUPPORT_INSUFFICIENT


def test_the_interval_holds_the_spread_of_patients_and_of_draws() -> None:
    n, S = 400, 20
    patients = [str(i) for i in range(n)]
    before = np.zeros(n)
    alike = np.tile((np.arange(n) < n // 2).astype(float), (S, 1))  # draws agree: patients alone vary
    patients_only = target_estimates(before, alike, patients, seed=0)["gain"]
    assert patients_only.value == 0.5
    assert np.diff(patients_only.ci)[0] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(n), rel=0.1)
    unlike = np.repeat([[1.0], [0.0]], S // 2, axis=0) * np.ones(n)  # patients agree: draws alone vary
    draws_only = target_estimates(before, unlike, patients, seed=0)["gain"]
    assert draws_only.value == 0.5
    assert np.diff(draws_only.ci)[0] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(S), rel=0.2)


def test_a_pool_that_shares_a_patient_with_the_test_is_refused(pipeline: Pipeline, site: Any, trial: Trial) -> None:
    with pytest.raises(OslerError) as caught:
        run_adaptation(
            pipeline, TtiReading(), site[1], site[1], trial.source_test, site="b", created="2025-01-31", seed=0
        )
    assert caught.value.code == Code.PATIENT_OVERLAP


def test_the_run_keeps_every_patch(adapted: Any, tracker: Tracker) -> None:
    log_adaptation(adapted, tracker, {"adapter": "tti_reading", "seed": 3})
    (run,) = tracker.client.search_runs([tracker.client.get_experiment_by_name("adaptation").experiment_id])
    assert run.data.metrics["gain"] == adapted.record.gain
    assert len(list(tracker.artifacts.rglob("patches/*.json"))) == 20
