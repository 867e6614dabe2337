"""`tti_greedy` and `tti_affine` in worlds where the right answer was planted (the unit tests of M2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from osler.adapt.adapters import parse_adapter
from osler.adapt.adapters.tti_affine import TtiAffine
from osler.adapt.adapters.tti_greedy import TtiGreedy
from osler.adapt.changes import ConceptDelta
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import SitePatch
from osler.adapt.tti import TtiAdapter
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.records import Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
GREEDY, AFFINE = TtiGreedy(source_tolerance=1.0), TtiAffine(source_tolerance=1.0)
BOTH = pytest.mark.parametrize("adapter", [GREEDY, AFFINE], ids=["greedy", "affine"])


def fit(world: World, logits: np.ndarray, y: np.ndarray, adapter: TtiAdapter) -> SitePatch:
    return adapter.fit(world.pipeline, world.support(logits, y), created=DATE)


def honest(world: World, seed: int = 99) -> World:
    """Return the world with a head fitted to it: its likelihood has nothing to gain where nothing moved."""
    logits, y = world.draw(np.random.default_rng(seed), 300)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(expit(logits), y)
    head = LinearHead(world.pipeline.bank.ids, fitted.coef_, fitted.intercept_)
    return replace(world, pipeline=replace(world.pipeline, head=head))


def masked_at_the_source(world: World, concept: int) -> World:
    """Return the world with one concept held at its neutral value everywhere, for comparison."""
    pipeline = world.pipeline
    one = pipeline.bank.ids[concept]
    deltas = {one: ConceptDelta(float(pipeline.neutral[concept]), mask=True)}
    patch = SitePatch("b", pipeline.digest, pipeline.bank.digest, "by hand", DATE, "a mask", deltas=deltas)
    return replace(world, pipeline=patch.apply(pipeline, on=DATE))


@pytest.mark.parametrize("adapter", [TtiGreedy(), TtiAffine()], ids=["greedy", "affine"])
@pytest.mark.parametrize("noise", [0.8, 1.2, 1.6])
def test_support_from_the_source_changes_next_to_nothing(make_world: Callable[..., World], adapter: Any, noise: float):
    world = honest(make_world(seed=1, noise=noise))
    rng = np.random.default_rng(1)
    test, test_y = world.draw(rng, 300)
    patches = [fit(world, *world.draw(rng, 4), adapter) for _ in range(40)]
    assert np.mean([len(patch.deltas) / 12 for patch in patches]) <= 0.05
    before = world.accuracy(world.pipeline, test, test_y, "b")
    after = [world.accuracy(patch.apply(world.pipeline, on=DATE), test, test_y, "b") for patch in patches]
    assert np.mean(after) >= before - 0.005


def test_the_search_masks_the_concept_that_confuses(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(2)
    patches = [fit(world, *world.confused(rng, 4), GREEDY) for _ in range(20)]
    assert sum("concept_4" in patch.masked for patch in patches) >= 18
    patch = next(patch for patch in patches if "concept_4" in patch.masked and patch.blend == 1)
    assert "masked *concept 4*: mean log-likelihood of the shots +" in patch.deltas["concept_4"].sentence
    assert "chosen in 4 of 4 folds" in patch.deltas["concept_4"].sentence
    only = replace(patch, deltas={"concept_4": patch.deltas["concept_4"]})
    target, y = world.confused(rng, 400)
    clean = target.copy()
    clean[:, 4] = world.draw(rng, 400)[0][:, 4]
    patched = world.accuracy(only.apply(world.pipeline, on=DATE), target, y, "b")
    assert patched == world.accuracy(masked_at_the_source(world, 4).pipeline, clean, y, "b")
    assert patched > world.accuracy(world.pipeline, target, y, "b") + 0.1


def test_a_concept_turned_round_is_masked_by_the_control(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(3)

    def turned(per_class: int) -> tuple[np.ndarray, np.ndarray]:
        logits, y = world.draw(rng, per_class)
        logits[:, 4] *= -1
        return logits, y

    patches = [fit(world, *turned(4), AFFINE) for _ in range(20)]
    assert sum("concept_4" in patch.masked for patch in patches) >= 18
    patch = next(patch for patch in patches if patch.masked == ("concept_4",) and patch.blend == 1)
    assert "the wrong way round (AUROC 0." in patch.deltas["concept_4"].sentence
    only = replace(patch, deltas={"concept_4": patch.deltas["concept_4"]})
    target, y = turned(400)
    patched = world.accuracy(only.apply(world.pipeline, on=DATE), target, y, "b")
    assert patched == world.accuracy(masked_at_the_source(world, 4).pipeline, target, y, "b")
    assert patched > world.accuracy(world.pipeline, target, y, "b") + 0.1


def test_a_shift_is_taken_back_as_far_as_the_shots_are_trusted(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(4)
    logits, y = world.confused(rng, 8)
    shifts = {}
    for kappa in (24.0, 0.0):
        patch = fit(world, logits, y, replace(AFFINE, kappa=kappa))
        assert patch.blend == 1
        assert not patch.masked
        shifts[kappa] = patch.deltas["concept_4"].shift
        assert "shifted *concept 4* by -0." in patch.deltas["concept_4"].sentence
    by_class = expit(logits).reshape(3, 8, 12).mean(axis=1)
    assert shifts[0.0] == pytest.approx(world.pipeline.neutral[4] - by_class.mean(axis=0)[4])
    assert shifts[24.0] == pytest.approx(shifts[0.0] / 2)
    target, target_y = world.confused(rng, 400)
    before = world.accuracy(world.pipeline, target, target_y, "b")
    assert world.accuracy(patch.apply(world.pipeline, on=DATE), target, target_y, "b") > before + 0.05


def test_a_concept_shrunk_by_half_gets_a_gain_of_two_as_far_as_the_shots_are_trusted(make_world: Callable[..., World]):
    world = make_world(seed=3, noise=0.05)
    logits, y = world.weakened(np.random.default_rng(3), 8)
    trusted = fit(world, logits, y, TtiAffine(kappa=0.0))
    assert trusted.deltas["concept_0"].gain == pytest.approx(2, rel=0.1)
    assert "amplified *concept 0* by 2.0" in trusted.deltas["concept_0"].sentence
    careful = fit(world, logits, y, TtiAffine(kappa=16.0))
    assert careful.deltas["concept_0"].gain == pytest.approx(2 ** (24 / 40), rel=0.1)
    others = [delta.gain for one, delta in trusted.deltas.items() if one != "concept_0"]
    assert max(others, default=1.0) < 1.05
    capped = fit(world, logits, y, TtiAffine(kappa=0.0, max_gain=1.3))
    assert capped.deltas["concept_0"].gain == 1.3


def test_without_a_false_discovery_rate_every_concept_moves(world: World):
    logits, y = world.draw(np.random.default_rng(5), 4)
    model = LinearModel.of(world.pipeline)
    proposed = TtiAffine(fdr=None).propose(model, world.values(logits), y)
    assert np.count_nonzero(proposed.edit.shift) == 12
    assert len(proposed.sentences) == 12


@BOTH
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_shots_and_of_concepts_is_irrelevant(make_world: Callable[..., World], adapter: Any, seed: int):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(seed)
    logits, y = world.confused(rng, 4)
    support = world.support(logits, y)
    order = rng.permutation(len(y))
    moved = Support(support.features.rows(order), y[order], "b", study_uids=tuple(support.study_uids[i] for i in order))
    first, second = (adapter.fit(world.pipeline, one, created=DATE) for one in (support, moved))
    assert first == second
    turned = replace(world.pipeline, bank=world.pipeline.bank.subset(world.pipeline.bank.ids[::-1]))
    third = adapter.fit(turned, support, created=DATE)
    assert (first.masked, first.amplified, first.blend) == (third.masked, third.amplified, third.blend)
    for one, delta in first.deltas.items():
        assert (delta.gain, delta.shift) == pytest.approx((third.deltas[one].gain, third.deltas[one].shift))


@BOTH
def test_one_shot_a_class_works(world: World, adapter: Any):
    rng = np.random.default_rng(8)
    patches = [fit(world, *world.confused(rng, 1), adapter) for _ in range(20)]
    changed = [patch for patch in patches if not patch.changes_nothing]
    assert changed
    assert all("too few to leave one out" in patch.guards[0].sentence for patch in changed)
    if adapter is GREEDY:
        assert max(len(patch.deltas) for patch in patches) <= 2
        assert "one study a class, so no folds" in changed[0].edits[0]


def test_at_most_a_tenth_of_the_concepts_is_edited(world: World):
    rng = np.random.default_rng(9)
    for share, most in ((0.1, 2), (0.3, 4)):
        patches = [fit(world, *world.confused(rng, 4), replace(GREEDY, share=share)) for _ in range(10)]
        assert max(len(patch.deltas) for patch in patches) <= most


@BOTH
def test_weights_and_source_predictions_stay_as_they_are(make_world: Callable[..., World], adapter: Any):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(9)
    digest = world.pipeline.digest
    patch = fit(world, *world.confused(rng, 8), adapter)
    assert patch.kinds == ("scorer",)
    patched = patch.apply(world.pipeline, on=DATE)
    logits, _ = world.draw(rng, 50)
    for site in ("a", None, "B"):
        np.testing.assert_array_equal(
            patched.predict_features(Features(logits), site=site).logits,
            world.pipeline.predict_features(Features(logits)).logits,
        )
    head = world.pipeline.head
    assert replace(patched, head=LinearHead(head.ids, head.weight, head.bias)).digest == digest


@pytest.mark.parametrize(
    "adapter",
    [TtiGreedy(gains=(), share=1.0, penalty=-100.0), TtiAffine(errors=-100.0)],
    ids=["greedy", "affine"],
)
def test_with_all_concepts_masked_the_head_sees_the_neutral_state_or_zeros(world: World, adapter: Any):
    logits, y = world.draw(np.random.default_rng(10), 4)
    model, values = LinearModel.of(world.pipeline), world.values(logits)
    for masked_to, expected in (("mean", world.pipeline.neutral_logits()), ("zero", world.pipeline.head.bias)):
        edit = replace(adapter, masked_to=masked_to).propose(model, values, y).edit
        assert edit.mask.all()
        np.testing.assert_allclose(edit.logits(model.logits, values), np.tile(expected, (12, 1)), atol=1e-12)


@pytest.mark.parametrize("name", ["tti_reading", "tti_greedy", "tti_affine", "pcbm_prune"])
def test_a_head_that_sees_more_than_concepts_is_refused(world: World, name: str):
    pipeline = replace(world.pipeline, head=HybridHead(world.pipeline.head, np.ones((3, 12)), np.zeros(3)))
    with pytest.raises(OslerError) as caught:
        parse_adapter(name).fit(pipeline, world.support(*world.confused(np.random.default_rng(0), 4)), created=DATE)
    assert caught.value.code is Code.MODEL_INVALID


@BOTH
def test_no_change_is_an_answer_with_a_reason(world: World, adapter: Any):
    rng = np.random.default_rng(12)
    quiet = fit(world, *world.draw(rng, 4), adapter)
    assert quiet.changes_nothing
    assert quiet.reason.startswith("No change: no ")
    blocked = fit(world, *world.confused(rng, 6), replace(adapter, source_tolerance=-1.0))
    assert blocked.changes_nothing
    assert "would not pass the guards (Accuracy on 900 held-out" in blocked.reason
    assert [guard.passed for guard in blocked.guards] == [True, False]


@BOTH
def test_the_margin_guard_stops_what_does_not_help_shots_left_out(world: World, adapter: Any):
    """Labels that say nothing: whatever is asked for helps no shot that it was not fitted on, more often than not."""
    rng = np.random.default_rng(13)
    stopped = 0
    for _ in range(20):
        logits, y = world.confused(rng, 4)
        patch = fit(world, logits, rng.permutation(y), adapter)
        if patch.guards and patch.changes_nothing:
            assert not patch.guards[0].passed
            assert patch.guards[0].after <= patch.guards[0].before
            assert "The right finding's lead in studies left out" in patch.reason
            stopped += 1
    assert stopped


def test_the_search_sees_probabilities_as_they_are_calibrated(make_world: Callable[..., World]):
    """Twice the weights at twice the temperature are the same model."""
    world = make_world(seed=2, noise=1.2)
    pipeline = world.pipeline
    head = LinearHead(pipeline.head.ids, 2 * pipeline.head.weight, 2 * pipeline.head.bias)
    hot = replace(pipeline, head=head, calibration=Calibration(2.0))
    for seed in range(5):
        support = world.support(*world.confused(np.random.default_rng(seed), 4))
        first, second = (GREEDY.fit(one, support, created=DATE) for one in (pipeline, hot))
        assert first.deltas == second.deltas


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tti_greedy", {"gains": [0.5]}),
        ("tti_greedy", {"folds": 1}),
        ("tti_affine", {"kappa": -1}),
        ("tti_affine", {"max_gain": 0.5}),
        ("tti_reading", {"blends": [1.5]}),
        ("tti_reading", {"masked_to": "median"}),
        ("tti_reading", {"min_shots": 0}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(OslerError) as caught:
        parse_adapter(name, options)
    assert caught.value.code is Code.USAGE
