"""The guards of a patch: a share of a change judged as that share would be, shots judged by who did not see them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.adapt.changes import transform
from osler.adapt.guards import Edit, LeaveOneShotOut, WeightEdit, class_balanced_mean, margins, source_guard, strongest
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import GuardOutcome

World = Any


def random_edit(rng: np.random.Generator, neutral: np.ndarray) -> Edit:
    mask = rng.uniform(size=12) < 0.3
    return Edit(mask, rng.uniform(1, 3, size=12), neutral, (0.0, 1.0), rng.normal(size=12) * 0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), blend=st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_a_share_of_an_edit_is_judged_as_the_patch_would_apply_it(world: World, seed: int, blend: float):
    rng = np.random.default_rng(seed)
    model = LinearModel.of(world.pipeline)
    edit, y = random_edit(rng, model.neutral), rng.integers(3, size=40)
    values = rng.uniform(size=(40, 12))
    patched = transform(
        values,
        mask=edit.mask,
        gain=edit.gain,
        neutral=edit.neutral,
        shift=edit.shift,
        blend=blend,
        value_range=(0.0, 1.0),
    )
    logits = world.pipeline.predict_values(patched).logits
    found = source_guard(model.logits, values, y, edit, 0.0)(blend)
    assert found.after == pytest.approx((logits.argmax(axis=1) == y).mean())
    assert found.before == pytest.approx((world.pipeline.predict_values(values).logits.argmax(axis=1) == y).mean())
    assert found.passed == (found.after >= found.before)
    left_out = LeaveOneShotOut(values, y, (edit,) * 40, (False,) * 40).guard(model.logits)(blend)
    assert left_out.after == pytest.approx(class_balanced_mean(margins(logits, y), y))
    assert left_out.passed == (left_out.after > left_out.before)


def test_a_share_of_a_change_of_weights_is_that_share_of_the_weights(world: World):
    rng = np.random.default_rng(0)
    model = LinearModel.of(world.pipeline)
    change = WeightEdit(rng.normal(size=(3, 12)), rng.normal(size=3))
    values, y = rng.uniform(size=(50, 12)), rng.integers(3, size=50)
    found = source_guard(model.logits, values, y, change, 0.0)(0.5)
    logits = values @ (model.weights + change.weights / 2).T + model.bias + change.bias / 2
    assert found.after == pytest.approx((logits.argmax(axis=1) == y).mean())
    assert not change.empty
    assert WeightEdit(np.zeros((3, 12))).empty


def test_each_shot_is_judged_by_an_edit_that_never_saw_it():
    """What is fitted remembers its shots and raises exactly their margins, so nothing must be gained by shots left out."""
    values, y = np.eye(6), np.repeat([0, 1], 3)

    def fit(some: np.ndarray, their_y: np.ndarray) -> WeightEdit:
        return WeightEdit(np.stack([some[their_y == k].sum(axis=0) for k in (0, 1)]))

    head = lambda rows: np.zeros((len(rows), 2))
    whole = fit(values, y)
    outcome = LeaveOneShotOut.fit(values, y, fit, whole).guard(head)(1.0)
    assert (outcome.before, outcome.after, outcome.passed) == (0.0, 0.0, False)
    assert outcome.sentence == "The right finding's lead in studies left out: +0.000 before, +0.000 after."
    # The only shot of a class is judged by what saw it, and the outcome says so.
    alone = LeaveOneShotOut.fit(values[2:], y[2:], fit, whole).guard(head)(1.0)
    assert alone.after == pytest.approx((1 + 0) / 2)
    assert "save the only one of a class" in alone.sentence


def test_the_strongest_share_that_passes_every_guard_is_taken():
    def below(limit: float) -> Any:
        return lambda blend: GuardOutcome(str(limit), blend <= limit, 0.0, blend, "")

    assert strongest((1.0, 0.75, 0.5), [below(0.8), below(0.6)]) == (0.5, (below(0.8)(0.5), below(0.6)(0.5)))
    assert strongest((1.0, 0.75), [below(0.8), below(0.6)]) == (0.0, (below(0.8)(1.0), below(0.6)(1.0)))
    assert strongest((), [below(1.0)]) == (0.0, ())
