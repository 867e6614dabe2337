"""What every registered method must pass on one small planted hospital; a new method is in it by being there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.explain.contrast import explain
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.methods import fit_method, method_names, parse_options
from osler_training.fit.problem import Classifier, Cohort, Problem

World = Callable[..., Any]
WithConcepts = Callable[[Problem, Sequence[int]], Problem]

# What a method is given so that it is quick here; one that is not named runs with its defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "fine_tuned_cnn": {"side": 32, "epochs": 1},
    "fine_tuned_densenet": {"side": 32, "epochs": 1},
    "fine_tuned_vit": {"side": 32, "epochs": 1, "patch": 16},
    "label_free": {"projection": {"lr": 1e-2, "steps": 300}},
}
# Trained on pixels: slow, so that few images must do.
ON_PIXELS = ("fine_tuned_cnn", "fine_tuned_densenet", "fine_tuned_vit")
# What the planted encoder cannot give: `test_methods` fits these with a network of open_clip, `test_joined` with two.
REFUSED = {"fine_tuned_encoder": Code.MODEL_INVALID, "joined": Code.USAGE}
COPES = ("linear_probe", "measured", "report_probe")  # with features that are missing
# How far probabilities may move with the bank's order, where the start of a training is drawn by a concept's place.
LOOSE: dict[str, float] = {}
ALONE_REFUSED = {"permuted_concepts": Code.USAGE}  # one concept cannot be exchanged

METHODS = [name for name in method_names() if name not in REFUSED]


@pytest.fixture(scope="module")
def fit(planted: World) -> Callable[[str, int], Classifier]:
    """A method fitted on the hospital of K classes; once."""

    @cache
    def once(name: str, K: int) -> Classifier:
        return fitted(name, planted(K).problem)

    return once


def fitted(name: str, problem: Problem, seed: int = 0) -> Classifier:
    if name in ON_PIXELS:
        problem = replace(problem, **{part: few(getattr(problem, part)) for part in ("train", "select", "calibrate")})
    return fit_method(name, problem, OPTIONS.get(name, {}), seed=seed)


def few(cohort: Cohort, each: int = 6) -> Cohort:
    classes = range(int(cohort.y.max()) + 1)
    return cohort.rows(np.concatenate([np.flatnonzero(cohort.y == k)[:each] for k in classes]))


def pipeline_of(classifier: Classifier) -> Pipeline | None:
    return getattr(classifier, "pipeline", None)


def test_every_method_is_either_tried_or_known_to_need_more(planted: World) -> None:
    assert set(OPTIONS) | set(ON_PIXELS) | set(REFUSED) <= set(method_names())
    for name, code in REFUSED.items():
        with pytest.raises(OslerError) as caught:
            fit_method(name, planted(2).problem, {}, seed=0)
        assert caught.value.code is code


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_probabilities_are_some_and_the_seed_decides_them(planted: World, fit: Any, name: str, K: int) -> None:
    test = planted(K).test
    prob = fit(name, K).probabilities(test)
    assert prob.shape == (len(test), K)
    assert np.isfinite(prob).all()
    np.testing.assert_allclose(prob.sum(axis=1), 1)
    json.dumps(fit(name, K).record(), allow_nan=False)
    if K == 2:  # once is enough
        fresh = replace(planted(K).problem, reference=replace(planted(K).problem.reference))  # nothing kept from before
        np.testing.assert_array_equal(fitted(name, fresh).probabilities(test), prob)


@pytest.mark.parametrize("name", METHODS)
def test_a_study_is_judged_alone(planted: World, fit: Any, name: str) -> None:
    test = planted(2).test
    together = fit(name, 2).probabilities(test.rows(np.arange(6)))
    alone = np.concatenate([fit(name, 2).probabilities(test.rows(np.array([i]))) for i in range(6)])
    np.testing.assert_allclose(alone, together, atol=1e-5 if name in ON_PIXELS else 1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_contributions_add_up_and_the_disk_changes_nothing(planted: World, fit: Any, name: str, tmp_path: Path) -> None:
    classifier = fit(name, 3)
    pipeline = pipeline_of(classifier)
    if pipeline is None:  # a black box: no concept is claimed
        assert "concepts" not in classifier.record()
        return
    test = planted(3).test
    output = pipeline.predict_features(test.features)
    np.testing.assert_array_equal(pipeline.calibration.probabilities(output.logits), classifier.probabilities(test))
    if pipeline.head.weights() is not None:
        beside = 0.0 if output.residual_logits is None else output.residual_logits
        assert output.contrib is not None
        total = output.contrib.sum(axis=-1) + pipeline.head.bias + beside
        np.testing.assert_allclose(total, output.logits, atol=1e-9)
    back = load_bottleneck(save_bottleneck(pipeline, tmp_path / "one", card="# A model\n"))
    assert back.digest == pipeline.digest
    np.testing.assert_array_equal(back.predict_features(test.features).logits, output.logits)
    mask = np.zeros(output.state.static.shape, bool)
    same = pipeline.predict_features(test.features, clamp=(mask, np.full(mask.shape, np.nan)))
    np.testing.assert_array_equal(same.logits, output.logits)


@pytest.mark.parametrize("name", METHODS)
def test_an_explanation_adds_up_to_the_margin(planted: World, fit: Any, name: str) -> None:
    """Over all test studies; and what is added to a column of the weights, which no probability notices, changes nothing."""
    pipeline = pipeline_of(fit(name, 3))
    if pipeline is None:
        return
    test = planted(3).test
    logits = pipeline.predict_features(test.features).logits
    moved = shifted(pipeline)
    for row in range(len(test)):
        features = test.features.rows(np.array([row]))
        told = explain(pipeline, features, study="s", site="")
        first, second = np.sort(logits[row])[[-1, -2]]
        assert told.margin == pytest.approx(first - second, abs=1e-5)
        total = told.baseline + sum(one.contribution for one in told.concepts)
        assert total + told.residual == pytest.approx(told.margin, abs=1e-5)
        assert (told.residual == 0) == (told.residual_share == 0)
        if moved is not None and row < 10:
            again = explain(moved, features, study="s", site="")
            assert (again.finding.id, again.runner_up.id) == (told.finding.id, told.runner_up.id)
            assert again.margin == pytest.approx(told.margin, abs=1e-9)
            for one in told.concepts:
                assert again.concept(one.id).contribution == pytest.approx(one.contribution, abs=1e-9)


def shifted(pipeline: Pipeline) -> Pipeline | None:
    """The same pipeline with 3 added to one column of its head's weights; None for heads of another kind."""
    if not isinstance(pipeline.head, LinearHead):
        return None
    weight = pipeline.head.weight.copy()
    weight[:, 0] += 3.0
    return replace(pipeline, head=replace(pipeline.head, weight=weight))


@pytest.mark.parametrize("name", METHODS)
def test_correcting_everything_gives_the_heads_prediction_on_truth(planted: World, fit: Any, name: str) -> None:
    pipeline = pipeline_of(fit(name, 3))
    if pipeline is None:
        return
    test, ids = planted(3).test, pipeline.bank.ids
    low, high = pipeline.correction_range.T
    for row in range(5):
        truth = np.array([test.concepts[row, int(one.rpartition("_")[2])] for one in ids])
        features = test.features.rows(np.array([row]))
        told = explain(pipeline, features, study="s", site="", corrections=dict(zip(ids, truth, strict=True)))
        beside = pipeline.predict_features(features).residual_logits
        wanted = pipeline.predict_values((low + truth * (high - low))[None]).logits[0]
        wanted = wanted + (0 if beside is None else beside[0])
        found = {one.id: one.logit for one in told.findings}
        np.testing.assert_allclose([found[one] for one in pipeline.classes], wanted, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_PIXELS])
def test_the_order_of_the_bank_is_nothing(planted: World, fit: Any, with_concepts: WithConcepts, name: str) -> None:
    world = planted(2)
    moved = fitted(name, with_concepts(world.problem, [3, 0, 5, 1, 4, 2]))
    first, second = fit(name, 2).probabilities(world.test), moved.probabilities(world.test)
    np.testing.assert_allclose(second, first, atol=LOOSE.get(name, 2e-3))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_PIXELS])
def test_one_concept_is_enough(planted: World, with_concepts: WithConcepts, name: str) -> None:
    problem = with_concepts(planted(2).problem, [0])
    if name in ALONE_REFUSED:
        with pytest.raises(OslerError) as caught:
            fitted(name, problem)
        assert caught.value.code is ALONE_REFUSED[name]
        return
    classifier = fitted(name, problem)
    one_class = planted(2).test.rows(planted(2).test.y == 1)
    assert np.isfinite(classifier.probabilities(one_class)).all()
    if (pipeline := pipeline_of(classifier)) is not None:
        assert pipeline.bank.ids == ("concept_0",)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_PIXELS])
def test_answers_that_are_missing_are_not_taken_for_no(planted: World, name: str) -> None:
    """Studies that show every concept, and whose answers are missing: taken for absent, they would turn directions round."""
    world = planted(2)
    reference = world.problem.reference
    hidden, pooled, tokens = reference.concepts.copy(), reference.features.pooled.copy(), reference.features.tokens
    assert tokens is not None
    tokens = tokens.copy()
    hidden[::4] = np.nan
    shown = world.problem.encoder.encode_text([f"concept {c}" for c in range(6)]).sum(axis=0)
    pooled[::4] += 2 * shown
    tokens[::4] += 2 * shown
    features = replace(reference.features, pooled=pooled, tokens=tokens)
    known = replace(reference, concepts=hidden, features=features)
    if name == "report_probe":
        known = replace(known, findings=np.where(np.isnan(hidden[:, :1]), np.nan, reference.findings))
    classifier = fitted(name, replace(world.problem, reference=known))
    prob = classifier.probabilities(world.test)
    assert np.isfinite(prob).all()
    if name in ("random_concepts", "permuted_concepts"):  # their concepts mean nothing, whatever is missing
        return
    assert (prob.argmax(axis=1) == world.test.y).mean() > 0.75
    if (pipeline := pipeline_of(classifier)) is not None:
        state = pipeline.scorer.score(world.test.features, pipeline.bank).static
        truth = [world.test.concepts[:, int(one.rpartition("_")[2])] for one in pipeline.bank.ids]
        auroc = [roc_auc_score(one, state[:, c]) for c, one in enumerate(truth)]
        assert np.mean(auroc) > 0.89  # at most 0.86 where a missing answer counts as no


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_PIXELS])
def test_single_precision_is_enough(planted: World, fit: Any, name: str) -> None:
    world = planted(2)
    parts = {
        part: replace(getattr(world.problem, part), features=single(getattr(world.problem, part).features))
        for part in ("train", "select", "calibrate", "reference")
    }
    first = fit(name, 2).probabilities(world.test)
    second = fitted(name, replace(world.problem, **parts)).probabilities(
        replace(world.test, features=single(world.test.features))
    )
    np.testing.assert_allclose(second, first, atol=5e-3)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_PIXELS])
def test_features_that_are_missing_are_coped_with_or_refused_before_training(planted: World, name: str) -> None:
    world = planted(2)
    parts = {
        part: replace(getattr(world.problem, part), features=holed(getattr(world.problem, part).features))
        for part in ("train", "select", "calibrate", "reference")
    }
    problem = replace(world.problem, **parts)
    if name not in COPES:
        with pytest.raises(OslerError) as caught:
            fitted(name, problem)
        assert caught.value.code is Code.TABLE_INVALID
        return
    test = replace(world.test, features=holed(world.test.features))
    assert np.isfinite(fitted(name, problem).probabilities(test)).all()


def test_a_control_copes_where_what_it_wraps_does(planted: World) -> None:
    world = planted(2)
    parts = {
        part: replace(getattr(world.problem, part), features=holed(getattr(world.problem, part).features))
        for part in ("train", "select", "calibrate", "reference")
    }
    for name in ("random_concepts", "permuted_concepts"):
        classifier = fit_method(name, replace(world.problem, **parts), {"of": "measured"}, seed=0)
        assert np.isfinite(classifier.probabilities(world.test)).all()


def holed(features: Features) -> Features:
    """Features of which every eleventh was not measured."""
    pooled = features.pooled.copy()
    pooled.ravel()[::11] = np.nan
    return replace(features, pooled=pooled)


def single(features: Features) -> Features:
    assert features.tokens is not None
    return replace(features, pooled=features.pooled.astype(np.float32), tokens=features.tokens.astype(np.float32))


@pytest.mark.parametrize("name", method_names())
def test_options_are_a_dataclass_with_defaults_and_strangers_are_refused(name: str) -> None:
    options = parse_options(name, {})
    assert is_dataclass(options)
    assert all(one.init for one in fields(options))
    with pytest.raises(OslerError) as caught:
        parse_options(name, {"no_such_option": 1})
    assert caught.value.code is Code.USAGE
    assert "no_such_option" in caught.value.message
