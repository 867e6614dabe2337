"""M1 with its ablations and controls, on a planted hospital; each switch does what its name says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.bottleneck import BottleneckClassifier, unit
from osler_training.fit.controls import permuted_concepts, permuted_prior, permuted_studies, random_concepts
from osler_training.fit.grounding import GroundingRule
from osler_training.fit.methods import fit_method, parse_options
from osler_training.fit.prior_head import fit_prior_only
from osler_training.fit.problem import Cohort

World = Callable[..., Any]


def fitted(name: str, problem: Any, **options: Any) -> BottleneckClassifier:
    classifier = fit_method(name, problem, options, seed=0)
    assert isinstance(classifier, BottleneckClassifier)
    return classifier


def accuracy(classifier: Any, cohort: Cohort) -> float:
    return float((classifier.probabilities(cohort).argmax(1) == cohort.y).mean())


def test_a_recipe_that_changes_the_penalty_does_not_turn_the_prior_on() -> None:
    assert parse_options("bottleneck", {"head": {"C": 2}}).head.strength == 0.0
    assert parse_options("bottleneck_prior", {"head": {"C": 2}}).head.strength == 1.0
    assert parse_options("bottleneck_prior", {"head": {"strength": 0}}).head.strength == 0.0


@pytest.mark.parametrize("K", [2, 3])
def test_without_prior_the_head_is_logistic_regression_on_concept_values(planted: World, K: int) -> None:
    world = planted(K)
    pipeline = fitted("bottleneck", world.problem).pipeline
    train = world.problem.train
    a = pipeline.scorer.score(train.features, pipeline.bank).static
    # Two rows of +-w/2 have half the penalty of the one row of a binary fit.
    model = LogisticRegression(C=2.0 if K == 2 else 1.0, tol=1e-10, max_iter=20_000).fit(a, train.y)
    want = model.coef_ if K > 2 else np.vstack([-model.coef_ / 2, model.coef_ / 2])
    np.testing.assert_allclose(pipeline.head_weights(), want, atol=2e-3)


def test_a_strong_prior_gives_its_signs(planted: World) -> None:
    world = planted(3)
    strong = fitted("bottleneck_prior", world.problem, head={"strength": 1e5, "unknown": "pull"})
    W = strong.pipeline.head_weights()
    np.testing.assert_array_equal(np.sign(W[:, :4]), world.W[:, :4])
    np.testing.assert_allclose(W[:, 4:], 0, atol=1e-3)
    np.testing.assert_allclose(np.tanh(W[:, :4]), world.W[:, :4], atol=0.02)
    free = fitted("bottleneck_prior", world.problem, head={"strength": 1e5}).pipeline.head_weights()
    assert np.abs(free[:, 4:]).max() > 0.05


@pytest.mark.parametrize(("name", "lost"), [("bottleneck", 0.12), ("bottleneck_prior", 0.06), ("prior_only", 0.06)])
def test_a_shortcut_that_no_concept_names_changes_no_accuracy_elsewhere(planted: World, name: str, lost: float) -> None:
    """The shortcut goes with the class where one learns, and against it where one is tested: a probe is fooled.

    Directions of some hundred answers are not exact: what little of the shortcut they let through, a head without a prior
    uses a little.
    """
    honest, tempted = planted(2), planted(2, shortcut=3.0)
    assert accuracy(fit_method("linear_probe", tempted.problem, {}, seed=0), tempted.test) < 0.5
    before, after = (accuracy(fitted(name, one.problem), one.test) for one in (honest, tempted))
    assert before > 0.8
    assert after > before - lost


def test_prior_only_has_the_priors_direction_and_the_best_scale(planted: World) -> None:
    world = planted(3)
    classifier = fitted("prior_only", world.problem)
    pipeline, scale = classifier.pipeline, classifier.record()["prior_scale"]
    np.testing.assert_array_equal(pipeline.head_weights(), scale * world.W)
    a = pipeline.scorer.score(world.problem.train.features, pipeline.bank).static
    y, n = world.problem.train.y, len(world.problem.train)

    def loss(flat: np.ndarray) -> float:
        W = flat[0] * world.W
        return float(-log_softmax(a @ W.T + flat[1:], axis=1)[np.arange(n), y].mean() + (W**2).sum() / (2 * n))

    other = minimize(loss, np.r_[1.0, np.zeros(3)], method="Nelder-Mead", options={"maxiter": 5000, "fatol": 1e-12})
    assert scale == pytest.approx(other.x[0], abs=0.02)
    assert accuracy(classifier, world.test) > 0.7


def test_prior_only_without_a_prior_is_refused_and_never_turns_it_round() -> None:
    a, y = np.array([[0.1], [0.2], [0.8], [0.9]]), np.array([0, 0, 1, 1])
    with pytest.raises(OslerError) as caught:
        fit_prior_only(a, y, [[None], [0]])
    assert caught.value.code is Code.NOTHING_ELIGIBLE
    head, scale = fit_prior_only(a, y, [[1], [-1]])  # against the data
    assert scale == 0.0
    assert not head.W.any()


def test_text_grounding_scores_dot_products_with_the_encoders_texts(planted: World) -> None:
    world = planted(2)
    reference = replace(world.problem.reference, concepts=np.full_like(world.problem.reference.concepts, np.nan))
    problem = replace(world.problem, reference=reference)  # not an answer is needed
    classifier = fitted("bottleneck", problem, vectors="text")
    pipeline = classifier.pipeline
    x = unit(problem.train.features)
    dots = x @ problem.encoder.encode_text([f"concept {c}" for c in range(6)]).T
    state = pipeline.scorer.score(problem.train.features, pipeline.bank).static
    np.testing.assert_allclose(state, StandardScaler().fit_transform(dots), atol=1e-9)
    assert accuracy(classifier, world.test) > 0.8
    blind = replace(problem, train=replace(problem.train, features=Features(problem.train.features.pooled)))
    with pytest.raises(OslerError) as caught:
        fitted("bottleneck", blind, vectors="text")
    assert caught.value.code is Code.PART_MISSING


@pytest.mark.parametrize("vectors", ["logistic", "text"])
def test_the_best_grounded_concepts_are_kept(planted: World, vectors: str) -> None:
    problem = planted(2).problem
    noisy = problem.reference.concepts.copy()
    flip = np.random.default_rng(0).random(len(noisy)) < 0.35
    noisy[flip, 2] = 1 - noisy[flip, 2]
    noisy[flip, 4] = 1 - noisy[flip, 4]
    problem = replace(problem, reference=replace(problem.reference, concepts=noisy))
    classifier = fitted("bottleneck_prior", problem, vectors=vectors, grounding={"best": 4})
    assert classifier.pipeline.bank.ids == ("concept_0", "concept_1", "concept_3", "concept_5")
    skipped = {row["concept"]: row["skipped"] for row in classifier.grounding.table() if row["skipped"]}
    assert skipped == dict.fromkeys(("concept_2", "concept_4"), "not among the 4 best grounded")
    assert GroundingRule().best == 150


def test_a_concept_probe_is_logistic_regression_on_concept_values(planted: World) -> None:
    world = planted(3)
    classifier = fitted("concept_probe", world.problem, Cs=[0.1])
    pipeline = classifier.pipeline
    train, test = (
        pipeline.scorer.score(one.features, pipeline.bank).static for one in (world.problem.train, world.test)
    )
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=0.1, max_iter=5000).fit(scaler.transform(train), world.problem.train.y)
    logits = pipeline.predict_features(world.test.features).logits
    want = model.predict_log_proba(scaler.transform(test))
    np.testing.assert_allclose(log_softmax(logits, axis=1), want, atol=1e-6)


def test_random_concepts_mean_nothing_and_are_as_many(planted: World) -> None:
    problem = planted(2).problem
    control = random_concepts(problem, seed=3)
    before, after = problem.reference.concepts, control.reference.concepts
    np.testing.assert_array_equal(after.sum(0), before.sum(0))
    agreement = [abs(np.corrcoef(before[:, c], after[:, c])[0, 1]) for c in range(6)]
    assert np.mean(agreement) < 0.4
    np.testing.assert_array_equal(after, random_concepts(problem, seed=3).reference.concepts)
    assert not np.array_equal(after, random_concepts(problem, seed=4).reference.concepts)
    texts = control.encoder.encode_text(["concept 1", "concept 2", "concept 1"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1)
    np.testing.assert_array_equal(texts[0], texts[2])
    assert abs(texts[0] @ texts[1]) < 0.9
    assert control.encoder.digest == problem.encoder.digest
    hidden = before.copy()
    hidden[::3] = np.nan
    sparse = random_concepts(replace(problem, reference=replace(problem.reference, concepts=hidden)), seed=3)
    np.testing.assert_array_equal(np.isnan(sparse.reference.concepts), np.isnan(hidden))


def test_controls_rob_the_prior_head_of_its_gain(planted: World) -> None:
    world = planted(2, shortcut=3.0)
    real = accuracy(fitted("bottleneck_prior", world.problem), world.test)
    for name, options in (
        ("random_concepts", {}),
        ("permuted_concepts", {"what": "studies"}),
        ("permuted_concepts", {"what": "prior", "options": {"head": {"strength": 100.0}}}),
    ):
        control = np.mean(
            [accuracy(fit_method(name, world.problem, options, seed=seed), world.test) for seed in range(3)]
        )
        assert control < real - 0.1, name


def test_permuting_moves_every_concept_and_leaves_the_rest(planted: World) -> None:
    problem = planted(2).problem
    for seed in range(5):
        by_label = permuted_concepts(problem, seed=seed)
        assert all(a.name != b.name for a, b in zip(by_label.bank.concepts, problem.bank.concepts, strict=True))
        for c, one in enumerate(by_label.bank.concepts):
            source = int(one.name.split()[1])
            np.testing.assert_array_equal(by_label.reference.concepts[:, c], problem.reference.concepts[:, source])
            assert one.prior == problem.bank.concepts[c].prior
        by_prior = permuted_prior(problem, seed=seed)
        assert by_prior.reference is problem.reference
        assert [one.name for one in by_prior.bank.concepts] == [one.name for one in problem.bank.concepts]
        assert by_prior.bank.digest != problem.bank.digest
    shuffled = permuted_studies(problem, seed=0).reference.concepts
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(problem.reference.concepts, axis=0))
    assert not np.array_equal(shuffled, problem.reference.concepts)


def test_controls_check_the_method_that_they_wrap() -> None:
    for wrong in ({"of": "nothing"}, {"of": "pcbm", "options": {"lambda": 1}}, {"what": "names"}):
        with pytest.raises(OslerError) as caught:
            parse_options("permuted_concepts", wrong)
        assert caught.value.code is Code.USAGE
