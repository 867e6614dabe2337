"""The confounded protocol in a world whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.artefact import load_bottleneck
from osler.tracking import Tracker
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.experiments.confounded import Fitted, Trial, leads, run_confounded, run_method
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import method_names, parse_options

METHODS: dict[str, dict[str, Any]] = {"linear_probe": {}, "report_probe": {}, "bottleneck": {}, "bottleneck_prior": {}}


@pytest.fixture(scope="module")
def fitted(trial: Trial) -> dict[str, Fitted]:
    return run_confounded(trial, METHODS, seed=0)


def test_the_probe_takes_the_shortcut_and_the_bottleneck_does_not(fitted: dict[str, Fitted]) -> None:
    probe, prior = fitted["linear_probe"].record, fitted["bottleneck_prior"].record
    assert probe.id > 0.97
    assert probe.ood < 0.5
    assert prior.ood > 0.8
    assert prior.gap < 0.05
    assert fitted["report_probe"].record.ood > 0.8  # its reports never saw the shortcut either


def test_a_shortcut_that_no_label_names_leaves_the_bottleneck_as_it_is(
    world_of: Any, fitted: dict[str, Fitted]
) -> None:
    """Stronger or weaker, the mark changes the out-of-domain accuracy by no more than chance."""
    for strength in (1.0, 6.0):
        other = run_method("bottleneck_prior", world_of(shortcut=strength).trial(), {}, seed=0).record
        assert other.ood == pytest.approx(fitted["bottleneck_prior"].record.ood, abs=0.05)


def test_leads_are_paired_and_agree_with_the_records(fitted: dict[str, Fitted]) -> None:
    lead = leads(fitted, "bottleneck_prior", seed=0)
    assert set(lead) == set(METHODS) - {"bottleneck_prior"}
    mine, theirs = fitted["bottleneck_prior"].record, fitted["linear_probe"].record
    assert lead["linear_probe"]["ood"].value == pytest.approx(mine.ood - theirs.ood)
    low, high = lead["linear_probe"]["ood"].ci
    assert 0.2 < low < mine.ood - theirs.ood < high


def test_the_same_seed_gives_the_same_numbers(trial: Trial, fitted: dict[str, Fitted]) -> None:
    again = run_confounded(trial, METHODS, seed=0)
    assert {name: one.record for name, one in again.items()} == {name: one.record for name, one in fitted.items()}


@pytest.mark.parametrize("K", [2, 3])
def test_any_number_of_classes(world_of: Any, K: int) -> None:
    fitted = run_confounded(world_of(K=K).trial(), {"linear_probe": {}, "bottleneck_prior": {}}, seed=1)
    assert fitted["bottleneck_prior"].target.prob.shape[1] == K
    assert fitted["bottleneck_prior"].record.ood > fitted["linear_probe"].record.ood + 0.1


def test_one_concept_is_a_bottleneck(trial: Trial) -> None:
    problem = trial.problem
    one = replace(
        problem,
        bank=problem.bank.subset(problem.bank.ids[:1]),
        reference=replace(problem.reference, concepts=problem.reference.concepts[:, :1]),
    )
    record = run_method("bottleneck_prior", replace(trial, problem=one), {}, seed=0).record
    assert 0.55 < record.ood < 0.9


def test_permuting_the_bank_leaves_the_predictions(trial: Trial, fitted: dict[str, Fitted]) -> None:
    problem = trial.problem
    order = np.random.default_rng(0).permutation(len(problem.bank.ids))
    permuted = replace(
        problem,
        bank=problem.bank.subset([problem.bank.ids[i] for i in order]),
        reference=replace(problem.reference, concepts=problem.reference.concepts[:, order]),
    )
    other = run_method("bottleneck_prior", replace(trial, problem=permuted), {}, seed=0)
    np.testing.assert_allclose(other.target.prob, fitted["bottleneck_prior"].target.prob, atol=2e-3)


def test_a_patient_on_both_sides_is_refused(trial: Trial) -> None:
    with pytest.raises(OslerError) as caught:
        run_confounded(replace(trial, target_test=trial.source_test), {}, seed=0)
    assert caught.value.code == Code.PATIENT_OVERLAP


def test_nothing_to_ground_on_is_told(trial: Trial) -> None:
    reference = replace(trial.problem.reference, concepts=np.full_like(trial.problem.reference.concepts, np.nan))
    with pytest.raises(OslerError) as caught:
        run_method("bottleneck", replace(trial, problem=replace(trial.problem, reference=reference)), {}, seed=0)
    assert caught.value.code == Code.NOTHING_ELIGIBLE


def test_every_run_says_what_it_rests_on(trial: Trial, tracker: Tracker) -> None:
    fitted = run_confounded(trial, {"bottleneck_prior": {}}, seed=0, tracker=tracker)["bottleneck_prior"]
    (run,) = tracker.client.search_runs([tracker.client.get_experiment_by_name("confounded").experiment_id])
    wanted = {"seed", "split_digest", "bank_digest", "encoder_digest", "phantom_digest", "method", "sizes.train"}
    assert wanted <= set(run.data.params)
    assert run.data.metrics["ood"] == fitted.record.ood
    assert run.data.metrics["ci.ood.0"] == fitted.record.ci["ood"][0]
    stored = load_bottleneck(next(tracker.artifacts.rglob("bottleneck")))
    assert isinstance(fitted.classifier, BottleneckClassifier)
    assert stored.digest == fitted.classifier.pipeline.digest


def test_options_are_checked() -> None:
    assert {"linear_probe", "report_probe", "fine_tuned_cnn", "bottleneck", "bottleneck_prior"} <= set(method_names())
    assert parse_options("bottleneck_prior", {"head": {"strength": 2}}).head.strength == 2
    for name, options, said in (
        ("black_box", {}, "linear_probe"),
        ("linear_probe", {"epochs": 3}, "no option epochs"),
        ("fine_tuned_cnn", {"epochs": "many"}, "epochs"),
        ("bottleneck", {"grounding": {"C": 1}}, "no option grounding.C"),
    ):
        with pytest.raises(OslerError, match=said):
            parse_options(name, options)
