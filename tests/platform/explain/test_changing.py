"""What would change the model does change it, with as few concepts as can, all of it within what the source had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.explain.changing import PLAUSIBLE, what_would_change
from osler.explain.context import Context
from osler.explain.contrast import explain
from osler.explain.explanation import Explanation
from osler.explain.typicality import Typical

WIDTH, COUNT = 6, 7


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    """A bottleneck whose source has many held-out studies, with values as its scorer gives them."""
    made = make_pipeline(WIDTH, COUNT)
    features = Features(np.random.default_rng(4).normal(size=(600, WIDTH)))
    y = np.arange(600) % 3
    values = made.scorer.score(features, made.bank).static
    source = type(made.source).measure(made.bank.ids, values, y, values, y, classes=3, site="a")
    return replace(made, source=source)


@pytest.fixture(scope="module")
def usual(pipeline: Pipeline) -> Typical:
    return Typical.fit("concepts", pipeline.source.values, pipeline.source.y)


def told(pipeline: Pipeline, usual: Typical | None, seed: int, **options: object) -> Explanation:
    features = Features(np.random.default_rng(seed).normal(size=(1, WIDTH)))
    return explain(pipeline, features, study="s", site="b", context=Context(concepts=usual), **options)


def values_of(pipeline: Pipeline, one: Explanation) -> np.ndarray:
    return np.array([one.concept(name).value for name in pipeline.bank.ids])


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_applied_it_makes_the_runner_up_win_and_is_plausible(pipeline: Pipeline, usual: Typical, seed: int):
    one = told(pipeline, usual, seed)
    change = one.would_change
    assert change.to == one.runner_up.id
    assert "about the model" in change.notice
    if not change.changes:
        assert change.margin is None
        return
    assert 1 <= len(change.changes) <= 3
    values = values_of(pipeline, one)
    low, high = pipeline.correction_range.T
    for held in change.changes:
        place = pipeline.bank.ids.index(held.id)
        assert held.value == values[place]
        assert low[place] <= held.value_needed <= high[place] or abs(held.value_needed - values[place]) < abs(
            np.clip(values[place], low[place], high[place]) - values[place]
        )
        values[place] = held.value_needed
    logits = pipeline.predict_values(values[None]).logits[0]
    assert pipeline.classes[int(logits.argmax())] == one.runner_up.id
    first, second = (pipeline.classes.index(name) for name in (one.runner_up.id, one.finding.id))
    assert change.margin == pytest.approx(logits[first] - logits[second])
    assert change.distance == pytest.approx(usual.distances(values[None])[0])
    assert change.distance <= change.limit == usual.limit(PLAUSIBLE)


def test_a_reader_who_sets_it_sees_the_runner_up(pipeline: Pipeline, usual: Typical):
    seen = 0
    for seed in range(40):
        one = told(pipeline, usual, seed)
        if not one.would_change.changes:
            continue
        given = {}
        for held in one.would_change.changes:
            low, high = one.concept(held.id).corrected_to
            given[held.id] = (held.value_needed - low) / (high - low)
        if not all(0 <= share <= 1 for share in given.values()):
            continue  # a value beyond the range moved towards it: no answer between absent and present says that
        after = told(pipeline, usual, seed, corrections=given)
        assert after.finding.id == one.runner_up.id
        seen += 1
    assert seen > 5


def test_no_fewer_changes_would_do(pipeline: Pipeline, usual: Typical):
    """Exhaustively: where two or three are named, no full move of fewer concepts passes at any part of the way."""
    several = 0
    for seed in range(60):
        one = told(pipeline, usual, seed)
        count = len(one.would_change.changes)
        if count < 2:
            continue
        several += 1
        values, low_high = values_of(pipeline, one), pipeline.correction_range
        for size in range(1, count):
            for places in combinations(range(COUNT), size):
                for ends in np.ndindex(*(2,) * size):
                    for part in np.linspace(0.1, 1, 10):
                        moved = values.copy()
                        for place, end in zip(places, ends, strict=True):
                            moved[place] += part * (low_high[place, end] - moved[place])
                        wins = pipeline.classes[int(pipeline.predict_values(moved[None]).logits.argmax())]
                        plausible = usual.distances(moved[None])[0] <= one.would_change.limit * 0.999
                        assert not (wins == one.runner_up.id and plausible)
    assert several


def test_what_the_reader_set_stays_and_what_cannot_be_judged_is_not_said(pipeline: Pipeline, usual: Typical):
    for seed in range(30):
        free = told(pipeline, usual, seed).would_change
        if not free.changes:
            continue
        fixed = free.changes[0].id
        low, high = told(pipeline, usual, seed).concept(fixed).corrected_to
        share = float(np.clip((free.changes[0].value - low) / (high - low), 0, 1))
        held = told(pipeline, usual, seed, corrections={fixed: share}).would_change
        assert fixed not in [one.id for one in held.changes]
    nothing = told(pipeline, None, 0).would_change
    assert (nothing.changes, nothing.limit) == ((), 0.0)
    assert "Too few source studies" in nothing.sentence
    narrow = replace(usual, held=np.linspace(0, 1e-6, 100))
    assert "unlike the source's" in told(pipeline, narrow, 0).would_change.sentence


def test_a_third_class_that_would_win_is_no_runner_up(pipeline: Pipeline):
    """Of three classes, the one change that beats the finding lets the third win: it is not offered."""
    from osler.explain.changing import Situation

    weights = np.array([[1.0, 0.0], [0.0, 0.0], [-9.0, 0.0]])
    one = Situation(
        bank=pipeline.bank.subset(pipeline.bank.ids[:2]),
        classes=pipeline.classes,
        values=np.array([1.0, 0.5]),
        logits=np.array([1.0, 0.9, -5.0]),
        weights=weights,
        range=np.array([[0.0, 1.0], [0.0, 1.0]]),
        free=np.array([True, True]),
        source=np.random.default_rng(0).uniform(size=(50, 2)),
        typical=Typical("concepts", np.zeros((1, 2)), np.eye(2) * 1e-3, np.arange(100.0)),
    )
    found = what_would_change(one)
    assert [held.id for held in found.changes] == ["concept_0"]
    strict = replace(one, logits=np.array([1.0, 0.2, 0.6]), weights=weights * [[1], [1], [1]])
    assert what_would_change(strict).to == pipeline.classes[2]
    third = replace(one, logits=np.array([1.0, 0.3, 0.25]), weights=np.array([[1.0, 0], [0.5, 0], [-1.0, 0]]))
    assert what_would_change(third).changes == ()
