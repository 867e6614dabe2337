"""M4: the choice against brute force, the head against its limits, the method on the planted hospital."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import log_softmax, softmax

from osler.bottleneck.heads.softmax_weights import SoftmaxHead
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import PriorEvidence
from osler_training.fit.bottleneck import BottleneckClassifier, unit
from osler_training.fit.methods import fit_method
from osler_training.fit.softmax_head import SoftmaxRule, fit_shares, initial_shares, shares_loss
from osler_training.fit.submodular import choose, discriminability, likeness, value_of

World = Callable[..., Any]


def candidates(seed: int, C: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(C), likeness(rng.normal(size=(C, 4)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_the_choice_meets_its_bound_against_every_other(seed: int, count: int, coverage: float) -> None:
    worth, alike = candidates(seed)
    chosen, gains = choose(worth, alike, count, coverage)
    best = max(value_of(list(one), worth, alike, coverage) for one in combinations(range(10), count))
    reached = value_of(chosen, worth, alike, coverage)
    assert (1 - 1 / np.e) * best - 1e-12 <= reached <= best + 1e-12
    assert len(set(chosen)) == count
    assert sum(gains) == pytest.approx(reached)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(gains))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 10))
def test_without_coverage_the_most_telling_are_chosen(seed: int, count: int) -> None:
    worth, alike = candidates(seed)
    assert choose(worth, alike, count, 0.0)[0] == np.argsort(-worth)[:count].tolist()


def test_coverage_alone_is_facility_location() -> None:
    worth, alike = candidates(1)
    chosen, gains = choose(worth, alike, 10, 1.0)
    assert value_of(chosen[:3], worth, alike, 1.0) == pytest.approx(alike[:, chosen[:3]].max(1).mean())
    assert sum(gains) == pytest.approx(1.0)  # each covers itself
    twins = likeness(np.repeat(np.eye(3), 2, axis=0))
    assert sorted(one // 2 for one in choose(np.ones(6), twins, 3, 0.5)[0]) == [0, 1, 2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.4, 1.0]), st.data())
def test_the_value_is_submodular(seed: int, coverage: float, data: st.DataObject) -> None:
    worth, alike = candidates(seed)
    large = data.draw(st.lists(st.integers(0, 8), unique=True, max_size=6))
    small = large[: data.draw(st.integers(0, len(large)))]
    gains = [
        value_of([*one, 9], worth, alike, coverage) - value_of(one, worth, alike, coverage) for one in (small, large)
    ]
    assert gains[0] >= gains[1] - 1e-12
    assert gains[1] >= -1e-12


def test_what_tells_classes_apart_is_worth_more_and_negative_similarities_have_a_worth() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    values = rng.normal(size=(300, 3)) * 0.01 - 0.5
    values[:, 0] += 0.1 * (y == 1)
    values[:, 1] += 0.005 * (y == 2)
    worth = discriminability(values, y, 3)
    assert worth[0] > worth[1] > worth[2] >= 0
    np.testing.assert_allclose(discriminability(values * 40 + 7, y, 3), worth)
    assert discriminability(np.full((4, 1), 0.3), np.array([0, 1, 0, 1]), 2) == pytest.approx(0)


def shares_world() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    written = np.kron(np.eye(3), np.ones(4)).astype(bool)
    parts = []
    for n in (150, 90):
        y = np.arange(n) % 3
        a = rng.normal(size=(n, 12)) * 0.05
        for k in range(3):
            a[y == k, 4 * k] += 0.04
        parts.append((a, y))
    return parts[0], parts[1], written


def test_shares_add_up_to_one_and_the_fit_is_better_than_its_start() -> None:
    train, select, written = shares_world()
    fitted = fit_shares(train, select, written, SoftmaxRule())
    start = fit_shares(train, select, written, SoftmaxRule(steps=0))
    assert start.step == 0
    assert fitted.select_loss < start.select_loss
    head = SoftmaxHead(tuple(map(str, range(12))), fitted.shares, 100.0)
    np.testing.assert_allclose(head.weights().sum(axis=1), 100.0)
    assert (head.weights() >= 0).all()
    assert head.weights().argmax(axis=1).tolist() == [0, 4, 8]
    logits = 100 * select[0] @ softmax(fitted.shares, axis=1).T
    loss = -log_softmax(logits, axis=1)[np.arange(90), select[1]].mean()
    assert fitted.select_loss == pytest.approx(loss)


def test_the_gradient_is_that_of_the_loss_and_vanishes_where_the_fit_ends() -> None:
    (a, y), _, written = shares_world()
    member = np.eye(3)[y]

    def of(part: int) -> Callable[[np.ndarray], Any]:
        return lambda flat: shares_loss(flat, a, member, 100.0)[part]

    first = np.random.default_rng(0).normal(size=36)
    assert check_grad(of(0), of(1), first) < 1e-5
    settled = fit_shares((a, y), (a, y), written, SoftmaxRule(start=0.1, steps=20_000)).shares.ravel()
    assert np.abs(of(1)(settled)).max() < 1e-4 < np.abs(of(1)(first)).max()


def test_a_certain_start_is_the_mean_of_a_classs_own_concepts() -> None:
    train, select, written = shares_world()
    shares = fit_shares(train, select, written, SoftmaxRule(start=1e3, steps=0)).shares
    np.testing.assert_allclose(softmax(shares, axis=1), written / 4, atol=1e-9)
    moved = fit_shares(train, select, written, SoftmaxRule(start=1e3, steps=50)).shares
    assert softmax(moved, axis=1)[~written].max() < 1e-9  # certain of whose they are, whatever their shares become
    weak, strong = (softmax(initial_shares(written, one), axis=1)[0, 0] for one in (0.0, 1.0))
    assert weak == pytest.approx(1 / 12)
    assert strong > 0.2  # of at most a quarter


def fitted(problem: Any, **options: Any) -> BottleneckClassifier:
    classifier = fit_method("labo", problem, options, seed=0)
    assert isinstance(classifier, BottleneckClassifier)
    return classifier


def linked(problem: Any, links: dict[str, dict[str, int]]) -> Any:
    """The problem with another prior."""
    cited = problem.bank.concepts[0].citation
    concepts = tuple(
        replace(one, prior={name: PriorEvidence(value, 1.0, cited) for name, value in links.get(one.id, {}).items()})
        for one in problem.bank.concepts
    )
    return replace(problem, bank=replace(problem.bank, concepts=concepts))


@pytest.mark.parametrize("vectors", ["text", "learned"])
def test_it_learns_from_texts_or_from_answers(planted: World, vectors: str) -> None:
    world = planted(3)
    classifier = fitted(world.problem, vectors=vectors)
    assert (classifier.probabilities(world.test).argmax(1) == world.test.y).mean() > 0.6
    dots = unit(world.test.features) @ classifier.pipeline.scorer.vectors.T
    if vectors == "text":
        assert fitted(world.problem).pipeline.digest == classifier.pipeline.digest  # what `auto` comes to here
        state = classifier.pipeline.scorer.score(world.test.features, classifier.pipeline.bank).static
        np.testing.assert_allclose(state, dots, atol=1e-12)


def test_an_encoder_without_texts_has_its_directions_learned(planted: World) -> None:
    problem = planted(2).problem
    blind = replace(problem, train=replace(problem.train, features=Features(problem.train.features.pooled)))
    learned = fitted(blind).pipeline
    assert learned.digest == fitted(problem, vectors="learned").pipeline.digest
    assert not isinstance(learned.scorer, LogisticScorer)
    with pytest.raises(OslerError) as caught:
        fitted(blind, vectors="text")
    assert caught.value.code is Code.PART_MISSING


def test_a_class_chooses_among_its_own_and_one_without_among_all(planted: World) -> None:
    problem = planted(2).problem
    own = {"concept_3": {"class 0": 1}, "concept_4": {"class 0": 1}, "concept_5": {"class 1": 1}}
    classifier = fitted(linked(problem, own), per_class=1, coverage=0.0)
    assert classifier.pipeline.bank.ids == ("concept_3", "concept_5")
    skipped = {row["concept"]: row["skipped"] for row in classifier.grounding.table() if row["skipped"]}
    assert skipped == dict.fromkeys(("concept_0", "concept_1", "concept_2", "concept_4"), "chosen by no class")
    nobody = fitted(linked(problem, {"concept_5": {"class 1": 1}}), per_class=1, coverage=0.0)
    assert nobody.pipeline.bank.ids[-1] == "concept_5"
    assert nobody.pipeline.bank.ids[0] in ("concept_0", "concept_1", "concept_2", "concept_3")


def test_the_choice_sees_the_training_split_alone(planted: World) -> None:
    problem = planted(2).problem
    other = {
        name: replace(part, features=Features(part.features.pooled[::-1].copy(), text_space=True))
        for name, part in (("select", problem.select), ("calibrate", problem.calibrate))
    }
    first, second = (fitted(one, per_class=2).pipeline.bank.ids for one in (problem, replace(problem, **other)))
    assert first == second


def test_zero_shot_is_the_nearest_name(planted: World) -> None:
    world = planted(3)
    classifier: Any = fit_method("zero_shot", world.problem, {}, seed=0)
    x, classes = unit(world.test.features), world.problem.encoder.encode_text(world.problem.classes)
    prob = classifier.probabilities(world.test)
    np.testing.assert_array_equal(prob.argmax(1), (x @ classes.T).argmax(1))
    assert (prob.argmax(1) == world.test.y).mean() > 0.6
    renamed: Any = fit_method(
        "zero_shot", world.problem, {"names": {"class 0": "class 1", "class 1": "class 0"}}, seed=0
    )
    np.testing.assert_allclose(renamed.vectors, classes[[1, 0, 2]])
    doubled: Any = fit_method("zero_shot", world.problem, {"templates": ["{}", "a film of {}"]}, seed=0)
    np.testing.assert_allclose(doubled.vectors, classes)
    assert doubled.record()["texts"].startswith("class 0; a film of class 0; class 1")
    for wrong in ({"templates": ["film"]}, {"names": {"nevus": "mole"}}):
        with pytest.raises(OslerError) as caught:
            fit_method("zero_shot", world.problem, wrong, seed=0)
        assert caught.value.code is Code.USAGE
