"""`tti_reading` in worlds where the right answer was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from osler.adapt.adapters.tti_reading import TtiReading
from osler.adapt.patch import SitePatch
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, Support
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

World = Any
DATE = "2024-05-01"
ADAPTER = TtiReading()
FREE = TtiReading(source_tolerance=1.0)


def fit(world: World, logits: np.ndarray, y: np.ndarray, adapter: TtiReading = ADAPTER) -> SitePatch:
    return adapter.fit(world.pipeline, world.support(logits, y), created=DATE)


def test_support_from_the_source_changes_next_to_nothing(world: World):
    rng = np.random.default_rng(1)
    edited, before, after = [], [], []
    test, test_y = world.draw(rng, 300)
    for _ in range(60):
        patch = fit(world, *world.draw(rng, 4))
        edited.append(len(patch.deltas) / 12)
        before.append(world.accuracy(world.pipeline, test, test_y, "b"))
        after.append(world.accuracy(patch.apply(world.pipeline), test, test_y, "b"))
    assert np.mean(edited) <= 0.05
    assert np.mean(after) >= np.mean(before) - 0.005


def test_a_concept_that_confuses_is_masked(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(2)
    patches = [fit(world, *world.confused(rng, 4), adapter=FREE) for _ in range(20)]
    assert sum("concept_4" in patch.masked for patch in patches) >= 18
    patch = fit(world, *world.confused(rng, 8), adapter=FREE)
    assert patch.masked == ("concept_4",)
    assert patch.blend == 1
    only = replace(patch, deltas={"concept_4": patch.deltas["concept_4"]})
    target, y = world.confused(rng, 400)
    clean, _ = world.draw(rng, 400)
    clean[:, [c for c in range(12) if c != 4]] = target[:, [c for c in range(12) if c != 4]]
    patched = only.apply(world.pipeline)
    assert world.accuracy(patched, target, y, "b") == world.accuracy(patched, clean, y, "b")
    assert world.accuracy(patched, target, y, "b") > world.accuracy(world.pipeline, target, y, "b") + 0.15
    assert "masked *concept 4*: fired in " in patch.deltas["concept_4"].sentence
    assert "of 8 heart failure studies" in patch.deltas["concept_4"].sentence


def test_a_concept_shrunk_by_half_gets_a_gain_of_two(make_world: Callable[..., World]):
    world = make_world(seed=3, noise=0.05)
    patch = fit(world, *world.weakened(np.random.default_rng(3), 8), adapter=TtiReading(amplify_share=0.3))
    gain = patch.deltas["concept_0"].gain
    assert gain == pytest.approx(2, rel=0.1)
    assert patch.amplified == ("concept_0",)
    assert "amplified *concept 0* by" in patch.edits[0]


def test_evidence_by_absence_is_amplified_in_mirror_image(make_world: Callable[..., World]):
    """A concept that speaks against class 0 alone, and at the site is not as absent there as it was."""
    world = make_world(seed=4, noise=0.05)
    means = world.means.copy()
    means[:, 0] = [-2.0, 0.5, 0.5]
    pipeline = world.pipeline
    weight = pipeline.head.weight.copy()
    weight[:, 0] = [-6.0, 1.0, 1.0]
    source = replace(pipeline.source, mean=pipeline.source.mean.copy())
    source.mean[:, 0] = expit(means[:, 0])
    pipeline = replace(pipeline, head=replace(pipeline.head, weight=weight), source=source)
    world = replace(world, means=means, pipeline=pipeline)
    patch = fit(world, *world.weakened(np.random.default_rng(5), 8), adapter=FREE)
    assert patch.deltas["concept_0"].gain == pytest.approx(2, rel=0.1)
    assert "less clearly absent in heart failure" in patch.deltas["concept_0"].sentence


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), order_seed=st.integers(0, 10_000))
def test_the_order_of_the_shots_is_irrelevant(world: World, seed: int, order_seed: int):
    logits, y = world.confused(np.random.default_rng(seed), 4)
    support = world.support(logits, y)
    order = np.random.default_rng(order_seed).permutation(len(y))
    moved = Support(
        support.features.rows(order), y[order], "b", study_uids=tuple(support.study_uids[place] for place in order)
    )
    first, second = (FREE.fit(world.pipeline, one, created=DATE) for one in (support, moved))
    assert first == second
    assert first.id == second.id


def test_the_order_of_the_concepts_is_irrelevant(world: World):
    logits, y = world.confused(np.random.default_rng(7), 6)
    ids = world.pipeline.bank.ids[::-1]
    turned = replace(world.pipeline, bank=world.pipeline.bank.subset(ids))
    first, second = (FREE.fit(one, world.support(logits, y), created=DATE) for one in (world.pipeline, turned))
    assert first.masked == second.masked == ("concept_4",)
    for one in first.deltas:
        assert first.deltas[one].gain == pytest.approx(second.deltas[one].gain)


def test_one_shot_a_class_works(world: World):
    rng = np.random.default_rng(8)
    patches = [fit(world, *world.confused(rng, 1), adapter=FREE) for _ in range(20)]
    assert all(patch.shots == {"heart_failure": 1, "pneumonia": 1, "normal": 1} for patch in patches)
    changed = [patch for patch in patches if not patch.changes_nothing]
    assert changed
    assert all("too few to leave one out" in patch.guards[0].sentence for patch in changed)


def test_weights_and_source_predictions_stay_as_they_are(world: World):
    rng = np.random.default_rng(9)
    digest = world.pipeline.digest
    patch = fit(world, *world.confused(rng, 6), adapter=FREE)
    assert not patch.changes_nothing
    patched = patch.apply(world.pipeline)
    logits, _ = world.draw(rng, 50)
    for site in ("a", None, "B"):
        np.testing.assert_array_equal(
            patched.predict_features(Features(logits), site=site).logits,
            world.pipeline.predict_features(Features(logits)).logits,
        )
    assert world.pipeline.patches == {}
    assert patched.digest == world.pipeline.digest == digest


def test_with_all_concepts_masked_the_head_sees_the_neutral_state(world: World):
    from osler.adapt.changes import ConceptDelta

    pipeline = world.pipeline
    deltas = {
        one: ConceptDelta(float(m), mask=True) for one, m in zip(pipeline.bank.ids, pipeline.neutral, strict=True)
    }
    patch = SitePatch("b", pipeline.digest, pipeline.bank.digest, "by hand", DATE, "all", deltas=deltas)
    logits, _ = world.draw(np.random.default_rng(10), 20)
    output = patch.apply(pipeline).predict_features(Features(logits), site="b")
    np.testing.assert_allclose(output.logits, np.tile(pipeline.neutral_logits(), (60, 1)), atol=1e-12)


def test_a_class_without_shots_is_refused(world: World):
    logits, y = world.draw(np.random.default_rng(11), 4)
    kept = y != 2
    with pytest.raises(OslerError, match="normal 0") as caught:
        fit(world, logits[kept], y[kept])
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT
    for y_wrong in (None, y + 1, y[:3]):
        with pytest.raises(OslerError) as caught:
            ADAPTER.fit(world.pipeline, replace(world.support(logits, y), y=y_wrong), created=DATE)
        assert caught.value.code is Code.SUPPORT_INSUFFICIENT


def test_no_change_is_an_answer_with_a_reason(world: World):
    rng = np.random.default_rng(12)
    quiet = fit(world, *world.draw(rng, 4))
    assert quiet.changes_nothing
    assert quiet.reason.startswith("No change: no concept")
    blocked = fit(world, *world.confused(rng, 6), adapter=TtiReading(source_tolerance=-1.0))
    assert blocked.changes_nothing
    assert "would not pass the guards" in blocked.reason
    assert [guard.passed for guard in blocked.guards] == [True, False]


def test_the_source_guard_weakens_or_stops_a_costly_patch(make_world: Callable[..., World]):
    world = make_world(seed=6, noise=1.2)
    rng = np.random.default_rng(13)
    for _ in range(10):
        patch = fit(world, *world.confused(rng, 4))
        if patch.changes_nothing:
            continue
        source = patch.guards[1]
        assert source.after >= source.before - 0.005 - 1e-12
        everywhere = replace(patch, site="a").apply(world.pipeline)
        held = world.pipeline.source
        logits = np.log(held.values / (1 - held.values))
        assert world.accuracy(everywhere, logits, held.y, "a") == pytest.approx(source.after)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), concepts=st.integers(1, 6), classes=st.integers(2, 3), per_class=st.integers(1, 5))
def test_any_number_of_concepts_classes_and_shots(
    make_bank: Callable[[int], ConceptBank], seed: int, concepts: int, classes: int, per_class: int
):
    rng = np.random.default_rng(seed)
    bank = make_bank(concepts)
    y = np.arange(40) % classes
    values = rng.uniform(size=(40, concepts))
    pipeline = Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=LogisticScorer(bank.ids, np.eye(concepts), np.zeros(concepts), normalised=False),
        head=LinearHead(bank.ids, rng.normal(size=(classes, concepts)), rng.normal(size=classes)),
        classes=("heart_failure", "pneumonia", "normal")[:classes],
        source=SourceReference.measure(bank.ids, values, y, values, y, classes=classes),
    )
    shots = np.repeat(np.arange(classes), per_class)
    logits = rng.normal(size=(len(shots), concepts)) * 4
    patch = FREE.fit(pipeline, Support(Features(logits), shots, "b"), created=DATE)
    assert SitePatch.from_json(patch.to_json()) == patch
    assert len(patch.masked) <= np.ceil(concepts / 10)
    assert all(1 <= delta.gain <= 3 for delta in patch.deltas.values())
    assert len(patch.edits) == len(patch.deltas)
    assert patch.changes_nothing or all(guard.passed for guard in patch.guards)
    values = patch.apply(pipeline).predict_features(Features(logits), site="b").state.static
    assert ((values >= 0) & (values <= 1)).all()


def test_a_masked_concept_may_be_set_to_zero(world: World):
    rng = np.random.default_rng(14)
    logits, y = world.confused(rng, 6)
    patch = fit(world, logits, y, adapter=TtiReading(masked_to="zero", source_tolerance=1.0))
    assert patch.deltas["concept_4"].neutral == 0
    state = patch.apply(world.pipeline).predict_features(Features(logits), site="b").state
    np.testing.assert_allclose(state.static[:, 4], (1 - patch.blend) * expit(logits[:, 4]))
