"""Methods on a small problem of images with a real, tiny open_clip encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model, save_encoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.encoders.vocabulary import Vocabulary
from osler.bottleneck.pipeline import Pipeline
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.fit.bottleneck import BottleneckClassifier, grounded
from osler_training.fit.grounding import GroundingRule
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Cohort, Problem, Reference

SIDE = 32
CLASSES = ("small", "large")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder") / "tiny"


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipEncoder:
    vocabulary = Vocabulary.build(["a small square"], size=40, context_length=8)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": SIDE},
        "text_cfg": {"context_length": 8, "vocab_size": len(vocabulary), "width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(0)
    model = build_model(config)
    return save_encoder(
        model,
        folder,
        model_cfg=config,
        preprocess=Preprocess(SIDE),
        vocabulary=vocabulary,
        card="# Tiny\n",
    )


def squares(encoder: OpenClipEncoder, name: str, n: int, seed: int) -> Cohort:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    images = rng.random((n, SIDE, SIDE), dtype=np.float32) * 0.4
    for i in range(n):
        size, (top, left) = 6 + 14 * y[i], rng.integers(1, 11, size=2)
        images[i, top : top + size, left : left + size] += 0.6
    return Cohort(encoder.encode(list(images)), y, tuple(f"{name}{i}" for i in range(n)), images)


@pytest.fixture(scope="module")
def problem(encoder: OpenClipEncoder) -> Problem:
    train, select, calibrate, reference = (
        squares(encoder, name, n, seed) for seed, (name, n) in enumerate([("t", 80), ("s", 30), ("c", 30), ("r", 240)])
    )
    cited = Citation("entry", "An entry", "a passage", 0, 9)
    concepts = tuple(
        Concept(f"{name}_square", name, f"Is the square {name}?", "lung", cited, prior)
        for name, prior in (
            ("small", {"small": PriorEvidence(1, 1.0, cited), "large": PriorEvidence(-1, 1.0, cited)}),
            ("large", {"small": PriorEvidence(-1, 1.0, cited), "large": PriorEvidence(1, 1.0, cited)}),
        )
    )
    bank = ConceptBank("squares", 1, "test", CLASSES, concepts)
    seen = np.stack([reference.y == 0, reference.y == 1], axis=1).astype(float)
    return Problem(
        CLASSES, train, select, calibrate, Reference(reference.features, reference.patients, seen, seen), bank, encoder
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear_probe", {}),
        ("report_probe", {}),
        ("bottleneck", {}),
        ("bottleneck_prior", {}),
        ("measured", {}),
        ("pcbm", {}),
        ("pcbm_hybrid", {}),
        # Texts of an encoder that was never trained are any direction: no cutoff may be asked of them.
        ("label_free", {"projection": {"least_activation": -1.0}}),
        ("fine_tuned_encoder", {"epochs": 10, "lr": 1e-2, "patience": 9}),
        pytest.param("fine_tuned_cnn", {"side": 64, "epochs": 4, "lr": 1e-3}, marks=pytest.mark.slow),
    ],
)
def test_every_method_learns_and_repeats_itself(
    name: str, options: dict[str, float], problem: Problem, encoder: OpenClipEncoder
) -> None:
    test = squares(encoder, "x", 60, 9)
    prob = fit_method(name, problem, options, seed=4).probabilities(test)
    assert (prob.argmax(1) == test.y).mean() > 0.9
    np.testing.assert_allclose(prob.sum(1), 1)
    np.testing.assert_array_equal(prob, fit_method(name, problem, options, seed=4).probabilities(test))


@pytest.mark.parametrize(
    ("name", "options"),
    [("zero_shot", {}), ("labo", {}), ("fine_tuned_encoder", {"epochs": 1}), ("random_concepts", {})],
)
def test_an_encoder_that_is_not_loaded_yet_does_as_well(
    name: str, options: dict[str, float], problem: Problem, encoder: OpenClipEncoder, folder: Path
) -> None:
    lazy = replace(problem, encoder=LazyEncoder(folder, encoder.digest))
    test = squares(encoder, "x", 20, 9)
    first, second = (fit_method(name, one, options, seed=0).probabilities(test) for one in (problem, lazy))
    np.testing.assert_array_equal(first, second)


def test_training_a_tower_leaves_the_encoder_frozen(problem: Problem, encoder: OpenClipEncoder) -> None:
    before = encoder.encode([np.full((SIDE, SIDE), 0.3)]).pooled
    fit_method("fine_tuned_encoder", problem, {"epochs": 1}, seed=0)
    np.testing.assert_array_equal(encoder.encode([np.full((SIDE, SIDE), 0.3)]).pooled, before)
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())


def test_the_pipeline_gives_what_the_classifier_gave(problem: Problem, encoder: OpenClipEncoder) -> None:
    """From images through the pipeline, contributions summing to the logits, and with the prior's signs."""
    fitted = fit_method("bottleneck_prior", problem, {}, seed=0)
    assert isinstance(fitted, BottleneckClassifier)
    pipeline: Pipeline = fitted.pipeline
    test = squares(encoder, "x", 20, 9)
    assert test.images is not None
    output = pipeline.predict(list(test.images))
    np.testing.assert_allclose(pipeline.calibration.probabilities(output.logits), fitted.probabilities(test), atol=1e-6)
    weights = pipeline.head.weights()
    assert weights is not None
    np.testing.assert_array_equal(np.sign(weights), [[1, -1], [-1, 1]])
    held = len(problem.select) + len(problem.calibrate)
    assert pipeline.source.values.shape == (held, 2)
    assert pipeline.source.counts.tolist() == [40, 40]


def test_groundings_are_fitted_once_for_what_they_depend_on(problem: Problem) -> None:
    reference, ids, rule = problem.reference, problem.bank.ids, GroundingRule()
    first = grounded(reference, ids, rule, seed=0)
    assert grounded(reference, ids, GroundingRule(), seed=0) is first
    afresh = grounded(replace(reference), ids, rule, seed=0)
    assert afresh is not first
    np.testing.assert_array_equal(afresh.vectors, first.vectors)
    for other in (
        grounded(reference, ids, rule, seed=1),
        grounded(reference, ids, GroundingRule(Cs=(100.0,)), seed=0),
        grounded(reference, ids[:1], rule, seed=0),
    ):
        assert other.vectors.shape != first.vectors.shape or not np.array_equal(other.vectors, first.vectors)


def test_reports_that_never_name_a_class_are_told(problem: Problem) -> None:
    findings = problem.reference.findings.copy()
    findings[:, 1] = 0
    with pytest.raises(OslerError, match="large") as caught:
        fit_method(
            "report_probe", replace(problem, reference=replace(problem.reference, findings=findings)), {}, seed=0
        )
    assert caught.value.code == Code.SUPPORT_INSUFFICIENT
