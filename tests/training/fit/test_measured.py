"""The bottleneck on measurements: gaps and units do not matter, what annotators saw does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Cohort, Problem, Reference

CLASSES = ("banded", "lobed", "round")
UNITS, PLACE = np.array([100.0, 1.0, 0.01, 5.0]), np.array([400.0, -2.0, 0.05, 0.0])
CITED = Citation("entry", "An entry", "a passage", 0, 9)


class Ruler:
    """An encoder that measured long ago."""

    digest = "2" * 64
    width = 4


def measured(seed: int, count: int, mix: tuple[float, float, float] = (1, 1, 1)) -> tuple[Features, np.ndarray]:
    """Draw measurements (n, 4) of cells whose class the first two tell, each gone with a chance of 5 %."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, count, p=np.array(mix) / sum(mix))
    y[:3] = range(3)
    z = rng.normal(0, 0.7, (count, 4))
    z[:, :2] += np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])[y]
    z[rng.random(z.shape) < 0.05] = np.nan
    return Features(z * UNITS + PLACE), y


def cohort(name: str, seed: int, count: int) -> Cohort:
    features, y = measured(seed, count)
    return Cohort(features, y, tuple(f"{name}{number}" for number in range(count)))


@pytest.fixture(scope="module")
def problem() -> Problem:
    train, select, calibrate = cohort("t", 0, 480), cohort("s", 1, 80), cohort("c", 2, 80)
    concepts = tuple(
        Concept(
            f"{name}_nucleus",
            name,
            f"Is the nucleus {name}?",
            "nucleus",
            CITED,
            {one: PriorEvidence(1 if one == name else -1, 1.0, CITED) for one in CLASSES},
        )
        for name in CLASSES
    )
    seen = np.eye(3)[train.y]
    seen[np.random.default_rng(3).random(seen.shape) < 0.1] = np.nan
    reference = Reference(train.features, train.patients, seen, np.eye(3)[train.y])
    bank = ConceptBank("nuclei", 1, "SM", CLASSES, concepts)
    return Problem(CLASSES, train, select, calibrate, reference, bank, Ruler())  # type: ignore[arg-type]


def accuracy(model: BottleneckClassifier, features: Features, y: np.ndarray) -> float:
    prob = model.probabilities(Cohort(features, y, tuple(map(str, range(len(y))))))
    assert np.isfinite(prob).all()
    return float(balanced_accuracy(y, prob, np.ones((1, len(y))))[0])


def fitted(problem: Problem, **options: object) -> BottleneckClassifier:
    model = fit_method("measured", problem, options, seed=0)
    assert isinstance(model, BottleneckClassifier)
    return model


def test_it_learns_through_gaps_and_its_concepts_are_the_annotators(problem: Problem):
    model = fitted(problem)
    features, y = measured(9, 200)
    assert accuracy(model, features, y) > 0.9
    state = model.pipeline.predict_features(features).state
    assert (state.static.argmax(axis=1) == y).mean() > 0.9
    assert model.record()["gaps"] == pytest.approx(0.05, abs=0.02)
    assert np.sign(model.pipeline.head.weights()).tolist() == (2 * np.eye(3) - 1).tolist()


def test_the_units_of_a_measurement_do_not_matter(problem: Problem):
    metres = np.array([0.001, 1000.0, 1.0, 1.0])

    def converted(one: Cohort) -> Cohort:
        return replace(one, features=Features(one.features.pooled * metres))

    other = replace(
        problem,
        train=converted(problem.train),
        select=converted(problem.select),
        calibrate=converted(problem.calibrate),
        reference=replace(problem.reference, features=Features(problem.reference.features.pooled * metres)),
    )
    features, y = measured(9, 50)
    there = Cohort(Features(features.pooled * metres), y, tuple(map(str, range(50))))
    here = Cohort(features, y, there.patients)
    np.testing.assert_allclose(fitted(other).probabilities(there), fitted(problem).probabilities(here), atol=1e-4)


def test_another_site_of_another_mix_is_read_after_alignment(problem: Problem):
    model = fitted(problem)
    features, y = measured(11, 200, mix=(8, 1, 1))
    moved = Features(features.pooled * [1.5, 0.7, 1.0, 2.0] + [150.0, 2.0, 0.02, 1.0])
    one = FittedCorrection.at_source("mixture_alignment", problem.reference.features, {"components": 3})
    aligned = one.correction.match(moved, one.correction.measure(moved, one.reference), one.reference)
    assert accuracy(model, aligned, y) > 0.85
    assert accuracy(model, aligned, y) > accuracy(model, moved, y) + 0.1


def test_the_prior_alone_is_a_multiple_of_the_prior(problem: Problem):
    weights = fitted(problem, prior_only=True).pipeline.head.weights()
    assert weights is not None
    np.testing.assert_allclose(weights / weights[0, 0], 2 * np.eye(3) - 1, atol=1e-9)
    assert weights[0, 0] > 0


def test_a_stored_model_predicts_as_before(problem: Problem, tmp_path):
    model = fitted(problem)
    back = load_bottleneck(save_bottleneck(model.pipeline, tmp_path / "model", card="# A model\n"))
    features, _ = measured(9, 20)
    np.testing.assert_array_equal(
        back.predict_features(features).logits, model.pipeline.predict_features(features).logits
    )


def test_annotations_that_calibrate_nothing_are_refused(problem: Problem):
    silent = replace(problem.reference, concepts=np.full_like(problem.reference.concepts, np.nan))
    with pytest.raises(OslerError) as caught:
        fitted(replace(problem, reference=silent))
    assert caught.value.code is Code.NOTHING_ELIGIBLE
