"""Effective concepts, what covers a share of contributions, and figures at equal sparsity."""

from __future__ import annotations

import json

import numpy as np
import pytest

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.records import ConceptState, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.evaluate.sparsity import (
    accuracy_at_sparsity,
    concepts_to_cover,
    contributing_concepts,
    effective_concepts,
    sparse_heads,
)
from osler_training.fit.elastic_net import violation


def test_effective_concepts_on_a_hand_table() -> None:
    weights = np.array([[1.0, 0, -2, 1e-9], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert effective_concepts(weights) == pytest.approx(7 / 3)
    assert effective_concepts(weights, negligible=1e-6) == 2


def test_concepts_that_cover_on_a_hand_table() -> None:
    contrib = np.array([[10.0, 0, 0, 0], [-5, 5, 0, 0], [1, 1, 1, 1], [0.96, -0.04, 0, 0], [0, 0, 0, 0]])
    assert concepts_to_cover(contrib).tolist() == [1, 2, 4, 1, 0]
    assert concepts_to_cover(contrib, 0.5).tolist() == [1, 1, 2, 1, 0]


def test_contributions_are_those_to_the_predicted_class() -> None:
    head = LinearHead(("a", "b", "c"), np.array([[4.0, 0, 0], [1.0, 1.0, 1.0]]), np.zeros(2))
    values = np.array([[1.0, 0.1, 0.1], [0.1, 1.0, 1.0]])
    state = ConceptState(values[:, None, :, None], np.zeros((2, 1, 3), bool), head.ids)
    output = head.predict(state, Features(np.zeros((2, 0))))
    predicted = output.logits.argmax(1)
    assert predicted.tolist() == [0, 1]
    found = contributing_concepts(output.contrib, predicted, ["p", "q"], seed=0, replicates=50)
    assert found.value == 1.5  # one concept for the first study; of 0.1, 1, 1 two for the second
    assert found.ci == (1.0, 2.0)


def draw_task(n: int, useful: int, C: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    W = np.zeros((3, C))
    W[:, :useful] = np.random.default_rng(99).normal(size=(3, useful)) * 3
    a = draw.random((n, C))
    return a, (a @ W.T + draw.gumbel(size=(n, 3))).argmax(1)


def test_levels_are_kept_and_the_useful_concepts_come_first() -> None:
    train, test = draw_task(400, 4, 12, 0), draw_task(400, 4, 12, 1)
    patients = [f"p{i}" for i in range(400)]
    levels = (2, 4, 8, 20)
    heads = sparse_heads(*train, 3, levels)
    found = accuracy_at_sparsity(heads, *test, patients, seed=0, levels=levels, replicates=50)
    assert found.unreached == (20,)
    assert [one.nec for one in found.levels] == [2, 4, 8]
    for one in found.levels:
        assert one.nec - 1 < one.found <= one.nec
        assert one.figure.ci[0] < one.figure.value < one.figure.ci[1]
    assert found.levels[2].figure.value == pytest.approx(found.levels[1].figure.value, abs=0.05)
    assert found.mean.value == pytest.approx(np.mean([one.figure.value for one in found.levels]))
    record = json.loads(json.dumps(found.to_record()))
    assert record["unreached"] == [20]
    assert record["anec"]["value"] == found.mean.value
    assert (heads[2].W[:, 4:] == 0).mean() > 0.9
    for head in heads.values():  # each is an optimum of its own penalty, not a head with weights cut off
        assert violation(*train, head.W, head.b, head.strength) < 1e-6


def test_two_classes_and_another_figure() -> None:
    a, y = draw_task(200, 3, 6, 2)
    y = (y > 0).astype(int)
    patients = [f"p{i}" for i in range(200)]
    heads = sparse_heads(a, y, 2, (1, 3, 6))
    found = accuracy_at_sparsity(heads, a, y, patients, seed=0, metric=balanced_accuracy, replicates=20)
    assert [one.found for one in found.levels][:2] == [1, 3]
    assert found.levels[0].figure.value < found.levels[1].figure.value


def test_no_level_within_reach_is_said() -> None:
    a, y = draw_task(100, 2, 3, 3)
    with pytest.raises(OslerError) as caught:
        accuracy_at_sparsity(sparse_heads(a, y, 3, (5, 10)), a, y, ["p"] * 100, seed=0, levels=(5, 10))
    assert caught.value.code == Code.NOTHING_ELIGIBLE
