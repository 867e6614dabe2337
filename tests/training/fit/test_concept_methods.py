"""PCBM, PCBM-h and the label-free bottleneck on a linear-Gaussian world with planted concepts; no encoder is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.records import Array, Features
from osler.bottleneck.scorers.margin import MarginScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank
from osler_training.fit.bottleneck import BottleneckClassifier, unit
from osler_training.fit.grounding import fit_grounding
from osler_training.fit.margins import MarginRule, VectorRule, fit_margin_head
from osler_training.fit.methods import fit_method, parse_options
from osler_training.fit.problem import Cohort, Problem, Reference
from osler_training.fit.residual import fit_residual

D, C = 16, 6
DIRECTIONS = np.linalg.qr(np.random.default_rng(42).normal(size=(D, D)))[
    0
]  # the first C are concepts, the next is hidden
IDS = tuple(f"concept_{c}" for c in range(C))


@dataclass(frozen=True)
class PlantedEncoder:
    """Its text space holds the planted directions, by the names of the concepts."""

    digest: str = "1" * 64

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Refuse: the world has features and no images."""
        raise AssertionError("No image is encoded here")

    def encode_text(self, texts: Sequence[str]) -> Array:
        """Return the planted directions."""
        return np.stack([DIRECTIONS[:, int(text.rpartition(" ")[2])] for text in texts])


def cohort(name: str, n: int, seed: int, K: int, hidden: float = 0.0) -> tuple[Cohort, np.ndarray]:
    """Studies whose class follows from concepts 0 to 2, and where `hidden` also from a direction that no concept names."""
    rng = np.random.default_rng(seed)
    s = rng.normal(size=(n, D))
    W = np.zeros((K, D))
    W[:, :3] = 6 * np.random.default_rng(1).normal(size=(K, 3))
    W[:, C] = hidden * np.linspace(-1, 1, K)
    y = (s @ W.T + rng.gumbel(size=(n, K))).argmax(1)
    return Cohort(Features(s @ DIRECTIONS.T, text_space=True), y, tuple(f"{name}{i}" for i in range(n))), s[:, :C]


@cache
def world(K: int = 2, hidden: float = 0.0) -> Problem:
    """A problem of K classes at one hospital; the same object each time, so that what is fitted on it is fitted once."""
    cited = Citation("entry", "An entry", "a passage", 0, 9)
    classes = tuple(f"class_{k}" for k in range(K))
    concepts = tuple(Concept(one, f"concept {c}", "Is it there?", "lung", cited, {}) for c, one in enumerate(IDS))
    sizes = {"t": 300, "s": 200, "c": 200}
    train, select, calibrate = (cohort(name, n, i, K, hidden)[0] for i, (name, n) in enumerate(sizes.items()))
    seen, s = cohort("r", 400, 7, K, hidden)
    reference = Reference(seen.features, seen.patients, (s > 0).astype(float), np.eye(K)[seen.y])
    bank = ConceptBank("planted", 1, "test", classes, concepts)
    return Problem(classes, train, select, calibrate, reference, bank, PlantedEncoder())


METHODS: dict[str, dict[str, Any]] = {
    "pcbm": {},
    "pcbm_hybrid": {},
    "label_free": {},
}


@cache
def by_default(name: str, K: int = 2, hidden: float = 0.0) -> BottleneckClassifier:
    return fitted(name, world(K, hidden))


def fitted(
    name: str, problem: Problem, options: Mapping[str, Any] | None = None, seed: int = 0
) -> BottleneckClassifier:
    classifier = fit_method(name, problem, METHODS[name] | dict(options or {}), seed=seed)
    assert isinstance(classifier, BottleneckClassifier)
    return classifier


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_the_planted_world_and_repeats_itself(name: str, K: int) -> None:
    problem, (test, _) = world(K), cohort("x", 500, 11, K)
    first, second = by_default(name, K), fitted(name, world.__wrapped__(K))
    prob = first.probabilities(test)
    probe = LogisticRegression().fit(problem.train.features.pooled, problem.train.y)
    assert (prob.argmax(1) == test.y).mean() > probe.score(
        test.features.pooled, test.y
    ) - 0.08  # vectors of 50 + 50 images
    np.testing.assert_array_equal(prob, second.probabilities(test))
    assert first.pipeline.digest == second.pipeline.digest
    assert first.record()["head_violation"] < 1e-6
    assert all(isinstance(one, (int, float, str)) for one in first.record().values())


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_bank_changes_no_probability(name: str) -> None:
    problem, (test, _) = world(), cohort("x", 100, 11, 2)
    order = [3, 0, 5, 1, 4, 2]
    reference = replace(problem.reference, concepts=problem.reference.concepts[:, order])
    moved = replace(problem, bank=problem.bank.subset([IDS[c] for c in order]), reference=reference)
    first, second = (one.probabilities(test) for one in (by_default(name), fitted(name, moved)))
    np.testing.assert_allclose(second, first, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_reported_on_is_not_looked_at(name: str) -> None:
    """Other labels of the calibrate split change the temperature and what is measured there, and no weight."""
    problem = world()
    other = replace(problem, calibrate=replace(problem.calibrate, y=1 - problem.calibrate.y))
    first, second = by_default(name).pipeline, fitted(name, other).pipeline
    assert first.digest == second.digest
    assert first.calibration != second.calibration


@pytest.mark.parametrize("name", ["pcbm", "pcbm_hybrid"])
def test_answers_that_are_missing_are_not_used(name: str) -> None:
    problem = world()
    concepts = problem.reference.concepts.copy()
    concepts[:, 5] = np.nan
    concepts[::4, :5] = np.nan
    poisoned = problem.reference.features.pooled.copy()
    poisoned[::4] = 1e6 * np.sign(poisoned[::4])
    reference = replace(problem.reference, concepts=concepts, features=Features(poisoned, text_space=True))
    classifier = fitted(name, replace(problem, reference=reference))
    assert classifier.pipeline.bank.ids == IDS[:5]
    assert classifier.record()["grounding_accuracy"] > 0.8
    assert classifier.record()["skipped"] == 1


@pytest.mark.parametrize("name", METHODS)
def test_a_fitted_bottleneck_keeps_the_contract(name: str, tmp_path: Path) -> None:
    pipeline, (test, _) = by_default(name, 3).pipeline, cohort("x", 9, 11, 3)
    output = pipeline.predict_features(test.features)
    beside = 0 if output.residual_logits is None else output.residual_logits
    np.testing.assert_allclose(output.contrib.sum(-1) + pipeline.head.bias + beside, output.logits, atol=1e-9)
    back = load_bottleneck(save_bottleneck(pipeline, tmp_path / "one", card="# A model\n"))
    np.testing.assert_array_equal(back.predict_features(test.features).logits, output.logits)
    alone = [pipeline.predict_features(test.features.rows(slice(i, i + 1))).logits[0] for i in range(len(test))]
    np.testing.assert_allclose(alone, output.logits, atol=1e-9)
    # Clamped to its 95th percentile of the training split, whatever the order of rows and whoever asks.
    train = pipeline.scorer.score(world(3).train.features, pipeline.bank).static
    mask = np.arange(C) == np.full((len(test), 1), 1)
    clamped = pipeline.predict_features(test.features, clamp=(mask, mask.astype(float)))
    np.testing.assert_allclose(clamped.state.static[:, 1], np.percentile(train[:, 1], 95), atol=1e-9)
    moved = (clamped.state.static - output.state.static) @ pipeline.head.weights().T
    np.testing.assert_allclose(clamped.logits - output.logits, moved, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_and_one_concept_are_enough(name: str) -> None:
    problem = world()
    single = {
        part: replace(one, features=Features(one.features.pooled.astype(np.float32), text_space=True))
        for part in ("train", "select", "calibrate", "reference")
        for one in [getattr(problem, part)]
    }
    single["reference"] = replace(single["reference"], concepts=problem.reference.concepts[:, :1])
    classifier = fitted(name, replace(problem, bank=problem.bank.subset(IDS[:1]), **single))
    assert classifier.pipeline.bank.ids == IDS[:1]
    prob = classifier.probabilities(
        single["calibrate"].rows(problem.calibrate.y == 1)
    )  # a class is missing from the batch
    assert np.isfinite(prob).all()
    assert prob[:, 1].mean() > 0.5


def test_text_vectors_stand_in_for_answers() -> None:
    problem = world()
    silent = replace(problem, reference=replace(problem.reference, concepts=np.full((400, C), np.nan)))
    classifier = fitted("pcbm", silent, {"vectors": "text"})
    scorer = classifier.pipeline.scorer
    assert isinstance(scorer, MarginScorer)
    np.testing.assert_array_equal(scorer.vectors, DIRECTIONS[:, :C].T)
    assert not scorer.intercept.any()
    assert classifier.record()["concepts"] == C
    with pytest.raises(OslerError) as caught:
        fitted("pcbm", silent)
    assert caught.value.code is Code.NOTHING_ELIGIBLE


def test_a_recipe_that_changes_one_thing_keeps_the_rest() -> None:
    options = parse_options("pcbm_hybrid", {"grounding": {"Cs": [1]}, "residual": [0.5]})
    assert (options.grounding.kept, options.grounding.classifier, options.grounding.Cs) == (100, "svm", (1.0,))
    assert parse_options("label_free", {"projection": {"lr": 0.1}}).projection.least_similarity == 0.45
    for name, wrong in (
        ("pcbm", {"residual": [1.0]}),
        ("label_free", {"projection": {"rate": 1}}),
        ("pcbm", {"vectors": "x"}),
    ):
        with pytest.raises(OslerError) as caught:
            parse_options(name, wrong)
        assert caught.value.code is Code.USAGE


def test_a_separable_concept_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(300) % 2
    x = rng.normal(size=(300, 4)) * 0.1
    x[:, 1] += 2 * label - 1
    labels = np.stack([label, 1 - label], axis=1).astype(float)
    grounding = fit_grounding(x, labels, [str(i) for i in range(300)], ["is", "is_not"], seed=0, rule=VectorRule())
    assert [fit.accuracy for fit in grounding.fits] == [1.0, 1.0]
    assert [fit.held_out for fit in grounding.fits] == [100, 100]
    assert np.sign(grounding.vectors[:, 1]).tolist() == [1, -1]
    np.testing.assert_array_equal(np.abs(grounding.vectors).argmax(1), 1)


def test_margins_along_the_axes_of_the_features_reproduce_a_linear_probe() -> None:
    problem = world(3)
    axes = replace(problem.reference, concepts=(problem.reference.features.pooled > 0).astype(float))
    cited = Citation("entry", "An entry", "a passage", 0, 9)
    concepts = tuple(Concept(f"axis_{d}", f"axis {d}", "Is it there?", "lung", cited, {}) for d in range(D))
    bank = ConceptBank("axes", 1, "test", problem.classes, concepts)
    first = fit_margin_head(replace(problem, reference=axes, bank=bank), MarginRule(strength=1e-7), seed=0)
    # The vectors span the features: any linear probe is a linear head on the margins.
    x = unit(problem.train.features)
    margins = first.scorer.score(problem.train.features, bank)
    probe = LogisticRegression(C=np.inf, tol=1e-10, max_iter=20_000).fit(x, problem.train.y)
    prob = softmax(first.head.predict(margins, problem.train.features).logits, axis=1)
    np.testing.assert_allclose(prob, probe.predict_proba(x), atol=5e-3)


def test_a_residual_that_may_not_grow_leaves_the_bottleneck() -> None:
    problem, (test, _) = world(), cohort("x", 200, 11, 2)
    plain, held = by_default("pcbm"), fitted("pcbm_hybrid", problem, {"residual": (1e9,)})
    np.testing.assert_allclose(held.probabilities(test), plain.probabilities(test), atol=0.02)
    assert held.record()["residual_share"] < 0.05


def test_a_residual_finds_what_no_concept_names_and_the_record_says_how_much() -> None:
    test, _ = cohort("x", 500, 11, 2, hidden=8.0)
    plain, hybrid = (by_default(name, 2, 8.0) for name in ("pcbm", "pcbm_hybrid"))
    right = [(one.probabilities(test).argmax(1) == test.y).mean() for one in (plain, hybrid)]
    assert right[1] > right[0] + 0.1
    record = hybrid.record()
    assert record["accuracy_with_residual"] > record["accuracy_of_concepts"] + 0.1
    assert record["residual_share"] > 0.3
    output = hybrid.pipeline.predict_features(test.features)
    assert output.residual_logits is not None
    alone = plain.pipeline.predict_features(test.features).logits
    np.testing.assert_allclose(output.logits - output.residual_logits, alone, atol=1e-12)


def test_the_residual_is_the_optimum_of_its_objective() -> None:
    problem = world(3)
    x, y = unit(problem.train.features), problem.train.y
    frozen = np.random.default_rng(0).normal(size=(len(y), 3))
    R, r = fit_residual(x, y, frozen, 0.1)
    d_logits = (softmax(frozen + x @ R.T + r, axis=1) - np.eye(3)[y]) / len(y)
    np.testing.assert_allclose(d_logits.T @ x + 2 * 0.1 / R.size * R, 0, atol=1e-6)
    np.testing.assert_allclose(d_logits.sum(0), 0, atol=1e-6)


def test_label_free_needs_no_answers_and_says_what_it_dropped() -> None:
    problem = world()
    silent = replace(problem.reference, concepts=np.full_like(problem.reference.concepts, np.nan))
    classifier = fitted("label_free", replace(problem, reference=silent))
    assert classifier.pipeline.bank.ids == IDS
    np.testing.assert_array_equal(classifier.pipeline.head.weights(), by_default("label_free").pipeline.head.weights())
    state = classifier.pipeline.scorer.score(problem.train.features, classifier.pipeline.bank).static
    np.testing.assert_allclose(state.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(state.std(0), 1, atol=1e-9)
    planted = problem.train.features.pooled @ DIRECTIONS[:, :C]
    assert min(np.corrcoef(state[:, c], planted[:, c])[0, 1] for c in range(C)) > 0.9
    reached = [row["similarity"] for row in classifier.grounding.table()]
    strict = {"least_similarity": float(np.median(reached))}
    dropped = fitted("label_free", problem, {"projection": strict})
    why = {row["concept"]: row["skipped"] for row in dropped.grounding.table()}
    assert set(why) == set(IDS)
    assert {one for one, text in why.items() if not text} == set(dropped.pipeline.bank.ids)
    assert "not projected well" in why.values()


def test_label_free_leaves_out_concepts_that_say_nothing() -> None:
    classifier = by_default("label_free", 3)
    weights = classifier.pipeline.head_weights()
    assert np.abs(weights[:, :3]).sum() > 5 * np.abs(weights[:, 3:]).sum()
    sharper = fitted("label_free", world(3), {"errors": 0.0})
    assert sharper.record()["concepts_per_class"] >= classifier.record()["concepts_per_class"]


def test_an_encoder_without_a_text_space_and_a_bank_that_it_never_sees_are_refused() -> None:
    problem = world()
    blind = replace(problem, train=replace(problem.train, features=Features(problem.train.features.pooled)))
    with pytest.raises(OslerError) as caught:
        fitted("label_free", blind)
    assert caught.value.code is Code.PART_MISSING
    with pytest.raises(OslerError) as caught:
        fitted("label_free", problem, {"projection": {"least_activation": 2.0}})
    assert caught.value.code is Code.NOTHING_ELIGIBLE
