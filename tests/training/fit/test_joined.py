"""Measured and learned concepts in one bottleneck: each is read by the part of the encoder that knows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.joined import JoinedEncoder
from osler.bottleneck.encoders.morphometry import MorphometryEncoder
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.grounding import ConceptFit, Grounding
from osler_training.fit.joined import choose
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Cohort, Problem, Reference

CLASSES = ("dark", "pale")
CITED = Citation("entry", "An entry", "a passage", 0, 9)
DEEP = 12


class Network:
    """An encoder that saw everything long ago."""

    name, digest, width = "network", "3" * 64, DEEP


class SameWidth:
    """One encoder with as many features as the two have together."""

    name, digest, width = "alone", "4" * 64, DEEP + MorphometryEncoder().width


ENCODER = JoinedEncoder((Network(), MorphometryEncoder()), "both")  # type: ignore[arg-type]
START, STOP = ENCODER.columns[1]


def studies(seed: int, count: int) -> tuple[Features, Array, np.ndarray]:
    """Draw features whose first half tells one concept and whose measurements, with gaps, tell the other."""
    rng = np.random.default_rng(seed)
    concepts = rng.integers(0, 2, (count, 2)).astype(float)
    deep = rng.normal(size=(count, DEEP))
    deep[:, 0] += 3 * (2 * concepts[:, 0] - 1)
    taken = rng.normal(size=(count, STOP - START)) * 40 + 500
    taken[:, 1] += 80 * (2 * concepts[:, 1] - 1)
    taken[rng.random(taken.shape) < 0.03] = np.nan
    y = (concepts.sum(axis=1) + rng.normal(0, 0.1, count) > 1.5).astype(np.intp)
    return Features(np.hstack([deep, taken])), concepts, y


def cohort(name: str, seed: int, count: int) -> Cohort:
    features, concepts, y = studies(seed, count)
    return Cohort(features, y, tuple(f"{name}{one}" for one in range(count)), concepts=concepts)


@pytest.fixture(scope="module")
def problem() -> Problem:
    train, select, calibrate = cohort("t", 0, 500), cohort("s", 1, 80), cohort("c", 2, 80)
    prior = {"dark": PriorEvidence(-1, 1.0, CITED), "pale": PriorEvidence(1, 1.0, CITED)}
    concepts = tuple(Concept(one, one, f"Is it {one}?", "cell", CITED, prior) for one in ("learned", "measured"))
    assert train.concepts is not None
    reference = Reference(train.features, train.patients, train.concepts, np.eye(2)[train.y])
    bank = ConceptBank("both", 1, "SM", CLASSES, concepts)
    return Problem(CLASSES, train, select, calibrate, reference, bank, ENCODER)


@pytest.fixture(scope="module")
def model(problem: Problem) -> BottleneckClassifier:
    fitted = fit_method("joined", problem, {}, seed=0)
    assert isinstance(fitted, BottleneckClassifier)
    return fitted


def test_each_concept_is_read_where_it_was_planted(model: BottleneckClassifier):
    record = model.record()
    assert record["read_by"] == {"learned": "network", "measured": MorphometryEncoder().name}
    assert record["concepts"] == 2
    json.dumps(record, allow_nan=False)
    test = cohort("x", 9, 300)
    assert test.concepts is not None
    seen = model.pipeline.predict_features(test.features).state.static
    assert ((seen > 0.5) == test.concepts).mean() > 0.9
    assert balanced_accuracy(test.y, model.probabilities(test), np.ones((1, 300)))[0] > 0.8


def test_neither_part_alone_can_read_both(model: BottleneckClassifier, problem: Problem):
    test = cohort("x", 9, 300)
    joined = balanced_accuracy(test.y, model.probabilities(test), np.ones((1, 300)))[0]
    for hidden in ((0, START), (START, STOP)):
        pooled = problem.reference.features.pooled.copy()
        rng = np.random.default_rng(4)
        pooled[:, hidden[0] : hidden[1]] = rng.permutation(pooled[:, hidden[0] : hidden[1]])
        blind = replace(problem, reference=replace(problem.reference, features=Features(pooled)))
        less = fit_method("joined", blind, {}, seed=0).probabilities(test)
        assert balanced_accuracy(test.y, less, np.ones((1, 300)))[0] < joined - 0.05


def test_the_fit_survives_the_disk_and_clamps(model: BottleneckClassifier, tmp_path: Path):
    test = cohort("x", 9, 20)
    back = load_bottleneck(save_bottleneck(model.pipeline, tmp_path / "model", card="# A model\n"))
    logits = model.pipeline.predict_features(test.features).logits
    assert back.digest == model.pipeline.digest
    np.testing.assert_array_equal(back.predict_features(test.features).logits, logits)
    truth = np.ones((20, 2))
    clamped = back.predict_features(test.features, clamp=(truth == 1, truth)).logits
    assert (clamped.argmax(axis=1) == 1).all()


def test_a_margin_keeps_concepts_with_what_can_be_checked_by_eye(problem: Problem):
    strict = fit_method("joined", problem, {"margin": 1.0}, seed=0)
    assert set(strict.record()["read_by"].values()) == {MorphometryEncoder().name}


def test_of_equals_the_first_is_chosen_and_what_was_skipped_never_is():
    def one(auroc: dict[str, float], skipped: str = "") -> Grounding:
        ids = tuple(name for name in auroc if name != skipped)
        fits = tuple(
            ConceptFit(name, 9, 9, auroc=value, skipped="too few" if name == skipped else "")
            for name, value in auroc.items()
        )
        return Grounding(ids, np.zeros((len(ids), 2)), np.zeros(len(ids)), fits)

    groundings = [one({"a": 0.8, "b": 0.9, "c": 0.7}, skipped="c"), one({"a": 0.8, "b": 0.85, "c": 0.6})]
    assert choose(("a", "b", "c", "d"), groundings, [0.0, 0.0]) == {"a": 0, "b": 0, "c": 1}
    assert choose(("a", "b", "c"), groundings, [0.1, 0.0]) == {"a": 1, "b": 1, "c": 1}


def test_an_encoder_of_one_part_and_concepts_that_nothing_reads_are_refused(problem: Problem):
    alone: Encoder = SameWidth()  # type: ignore[assignment]
    with pytest.raises(OslerError) as caught:
        fit_method("joined", replace(problem, encoder=alone), {}, seed=0)
    assert caught.value.code is Code.USAGE
    silent = replace(problem.reference, concepts=np.full_like(problem.reference.concepts, np.nan))
    with pytest.raises(OslerError) as caught:
        fit_method("joined", replace(problem, reference=silent), {}, seed=0)
    assert caught.value.code is Code.NOTHING_ELIGIBLE
