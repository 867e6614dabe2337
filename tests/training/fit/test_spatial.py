"""Fitting concept maps on planted tokens: a concept is one direction at one place of the grid (M10)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank
from osler_training.evaluate.localisation import located
from osler_training.fit.problem import Cohort, Reference
from osler_training.fit.spatial import (
    LossWeights,
    MapNetwork,
    SpatialRule,
    concept_loss,
    fit_maps,
    map_entropy,
    with_percentiles,
)

C, D, GRID = 3, 10, (3, 5)
N = GRID[0] * GRID[1]
IDS = tuple(f"concept_{c}" for c in range(C))


@pytest.fixture(scope="module")
def bank() -> ConceptBank:
    cited = Citation("entry", "An entry", "a passage", 0, 9)
    concepts = tuple(Concept(one, one, f"Is {one} there?", "lung", cited, {}) for one in IDS)
    return ConceptBank("planted", 1, "test", ("a", "b"), concepts)


def planted(n: int, seed: int) -> tuple[Features, np.ndarray, np.ndarray]:
    """Tokens of noise on anatomy that is the same in all; a concept that is there adds its direction at one place."""
    draw = np.random.default_rng(seed)
    anatomy = 3 * np.random.default_rng(99).normal(size=(N, D))
    tokens = anatomy + 0.5 * draw.normal(size=(n, N, D))
    truth = (draw.random((n, C)) < 0.4).astype(float)
    place = draw.integers(0, N, (n, C))
    for i, c in np.argwhere(truth > 0):
        tokens[i, place[i, c], c] += 4
    return Features(tokens.mean(1), tokens, GRID), truth, place


def reference_of(n: int = 400, seed: int = 0, missing: float = 0.2) -> Reference:
    features, truth, _ = planted(n, seed)
    truth[np.random.default_rng(seed).random(truth.shape) < missing] = np.nan
    return Reference(features, tuple(f"r{i // 2}" for i in range(n)), truth, np.zeros((n, 2)))


def cohort_of(n: int = 120, seed: int = 1) -> Cohort:
    features, truth, _ = planted(n, seed)
    return Cohort(features, truth[:, 0].astype(int), tuple(f"t{i}" for i in range(n)))


RULE = SpatialRule(epochs=12, lr=1e-2)


@pytest.mark.parametrize("attention", ["own", "query", "uniform"])
def test_maps_learned_from_labels_of_whole_images_point_at_the_place(bank: ConceptBank, attention: str) -> None:
    rule = replace(RULE, attention=attention, epochs=30)
    fitted = fit_maps(reference_of(), cohort_of(), bank, 2, rule, seed=0)
    assert min(one.auroc for one in fitted.fits) > (0.9 if attention == "own" else 0.75)
    features, truth, place = planted(100, 5)
    maps = fitted.scorer.score(features, bank).maps[:, 0]
    for c in range(C):
        there = np.flatnonzero(truth[:, c])
        masks = [np.arange(N).reshape(GRID) == place[i, c] for i in there]
        assert located(maps[there, c], masks)["pointing"].mean() > (0.85 if attention == "own" else 0.5)


def test_the_same_seed_gives_the_same_maps_and_labels_that_are_missing_say_nothing(bank: ConceptBank) -> None:
    reference, train = reference_of(), cohort_of()
    first, again = (fit_maps(reference, train, bank, 2, RULE, seed=3).scorer for _ in range(2))
    np.testing.assert_array_equal(first.weights, again.weights)
    other = fit_maps(reference, train, bank, 2, RULE, seed=4).scorer
    assert not np.array_equal(other.weights, first.weights)
    hidden = reference.concepts.copy()
    hidden[:, 2] = np.nan
    blind = fit_maps(replace(reference, concepts=hidden), train, bank, 2, RULE, seed=3)
    assert blind.scorer.ids == IDS[:2]
    assert [one.concept for one in blind.fits if one.skipped] == [IDS[2]]


@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        replace(RULE, attention="query", layer_norm=True, centred=False),
        replace(RULE, attention="uniform", centred=False),
        replace(RULE, attention="query", weights=LossWeights(1, 1, 0.1, 1)),
    ],
)
def test_the_scorer_computes_what_was_trained(bank: ConceptBank, rule: SpatialRule, monkeypatch) -> None:
    """Folding the scale of tokens and the means of places into the scorer changes nothing."""
    kept = {}
    keep = MapNetwork.__init__

    def watched(self, *arguments, **named):
        keep(self, *arguments, **named)
        kept["network"] = self

    monkeypatch.setattr(MapNetwork, "__init__", watched)
    reference = reference_of()
    scorer = fit_maps(reference, cohort_of(), bank, 2, replace(rule, held_out_share=0.0), seed=0).scorer
    tokens = torch.from_numpy(
        reference.features.tokens / np.linalg.norm(reference.features.pooled, axis=1)[:, None, None]
    )
    query = torch.from_numpy(
        reference.features.pooled / np.linalg.norm(reference.features.pooled, axis=1, keepdims=True)
    )
    mean = tokens.mean(0) if rule.centred else tokens.mean((0, 1))[None]
    std = (tokens - mean).square().mean((0, 1)).sqrt()
    with torch.no_grad():
        maps, a, value = kept["network"].double()((tokens - mean) / std, (query - mean.mean(0)) / std)
    state = scorer.score(reference.features, bank)
    np.testing.assert_allclose(state.maps[:, 0].reshape(-1, C, N), maps.transpose(1, 2), atol=1e-3)
    np.testing.assert_allclose(state.logit[:, 0], a, atol=1e-3)
    np.testing.assert_allclose(state.static, value, atol=2e-3)


def test_with_the_classes_alone_it_is_a_bottleneck_with_learned_pooling(bank: ConceptBank) -> None:
    """Loss weights (1, 0, 0, 0): concept labels change nothing, classes do."""
    rule = replace(RULE, weights=LossWeights(classes=1, concepts=0), penalty=0.0)
    reference, train = reference_of(), cohort_of()
    turned = replace(reference, concepts=1 - reference.concepts)
    first, same = (fit_maps(one, train, bank, 2, rule, seed=0).scorer for one in (reference, turned))
    np.testing.assert_array_equal(first.weights, same.weights)
    other = fit_maps(reference, replace(train, y=1 - train.y), bank, 2, rule, seed=0).scorer
    assert np.abs(first.weights).max() > 0
    assert not np.array_equal(other.weights, first.weights)


def test_losses_are_those_of_the_libraries_and_do_not_grow_with_the_grid() -> None:
    draw = np.random.default_rng(0)
    maps = draw.normal(size=(2, 7, 4))
    wanted = np.mean(entropy(softmax(maps, axis=-1), axis=-1))
    assert map_entropy(torch.from_numpy(maps)).item() == pytest.approx(wanted)
    assert map_entropy(torch.from_numpy(np.tile(maps, (1, 5, 1)))).item() == pytest.approx(wanted)
    a, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1.0, float("nan")], [0.0, 0.0]])
    p = torch.sigmoid(a)
    absolute = (1 - p[0, 0] + p[1, 0] + p[1, 1]) / 3
    assert concept_loss(a, labels, torch.ones(2, 2), "absolute").item() == pytest.approx(absolute.item())
    crossed = -(p[0, 0].log() + (1 - p[1, 0]).log() + 3 * (1 - p[1, 1]).log()) / 3
    balance = torch.tensor([[1.0, 3.0], [1.0, 1.0]])
    assert concept_loss(a, labels, balance, "cross_entropy").item() == pytest.approx(crossed.item())


def test_percentiles_are_those_of_each_concept_over_the_studies(bank: ConceptBank) -> None:
    train = cohort_of()
    scorer = with_percentiles(fit_maps(reference_of(), train, bank, 2, RULE, seed=0).scorer, train.features, bank)
    values = scorer.score(train.features, bank).static
    np.testing.assert_allclose(scorer.percentiles, np.percentile(values, [5, 95], axis=0).T)


def test_too_few_answers_and_features_without_tokens_are_refused(bank: ConceptBank) -> None:
    reference, train = reference_of(), cohort_of()
    with pytest.raises(OslerError, match="least") as caught:
        fit_maps(reference, train, bank, 2, replace(RULE, least=1000), seed=0)
    assert caught.value.code is Code.NOTHING_ELIGIBLE
    bare = replace(reference, features=Features(reference.features.pooled))
    with pytest.raises(OslerError, match="tokens") as caught:
        fit_maps(bare, train, bank, 2, RULE, seed=0)
    assert caught.value.code is Code.PART_MISSING
