"""Links cut at a site: exactly those, exactly there (M3 editing)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters import parse_adapter
from osler.adapt.adapters.pcbm_prune import PcbmPrune
from osler.adapt.patch import SitePatch
from osler.adapt.tti_steps import link_costs
from osler.bottleneck.heads.edited import HeadEdit, Step, edit
from osler.bottleneck.records import Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
CLASSES = ("heart_failure", "pneumonia", "normal")
links = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=1, max_size=6)


def by_hand(world: World, places: list[tuple[int, int]], *, normalise: bool = False, y: Any = None) -> SitePatch:
    pairs = tuple((CLASSES[k], world.pipeline.bank.ids[c]) for k, c in places)
    support = Support(Features(world.draw(np.random.default_rng(0), 1)[0]), y, "b")
    return PcbmPrune(pairs=pairs, normalise=normalise).fit(world.pipeline, support, created=DATE)


@settings(max_examples=25, deadline=None)
@given(k=st.integers(0, 2), c=st.integers(0, 11))
def test_a_link_cut_takes_its_part_from_one_logit_and_leaves_the_others_to_the_bit(world: World, k: int, c: int):
    patch = by_hand(world, [(k, c)])
    logits, _ = world.draw(np.random.default_rng(1), 10)
    plain = world.pipeline.predict_features(Features(logits), site="b")
    cut = patch.apply(world.pipeline, on=DATE).predict_features(Features(logits), site="b")
    others = [one for one in range(3) if one != k]
    np.testing.assert_array_equal(cut.logits[:, others], plain.logits[:, others])
    lost = world.pipeline.head.weight[k, c] * world.values(logits)[:, c]
    np.testing.assert_allclose(plain.logits[:, k] - cut.logits[:, k], lost, atol=1e-12)
    np.testing.assert_array_equal(cut.state.value, plain.state.value)
    np.testing.assert_allclose(cut.contrib[:, k, c], 0, atol=1e-12)
    assert patch.kinds == ("head",)


@settings(max_examples=25, deadline=None)
@given(places=links)
def test_normalising_keeps_the_sum_of_amounts_and_proportions(world: World, places: list[tuple[int, int]]):
    patch = by_hand(world, places, normalise=True)
    before, after = (
        world.pipeline.head_weights(),
        patch.apply(world.pipeline, on=DATE).head_weights("b"),
    )
    np.testing.assert_allclose(np.abs(after).sum(axis=1), np.abs(before).sum(axis=1))
    kept = np.ones(before.shape, np.bool_)
    kept[tuple(np.array(places).T)] = False
    np.testing.assert_allclose(after[~kept], 0, atol=1e-12)
    for k in range(3):
        ratio = after[k, kept[k]] / before[k, kept[k]]
        np.testing.assert_allclose(ratio, ratio[0])
        assert ratio[0] >= 1 - 1e-12


@pytest.mark.parametrize("op", ["prune", "prune_normalise"])
def test_the_patch_concludes_as_the_edited_head_does(world: World, op: Any):
    places = [(0, 1), (1, 4), (1, 2)]
    patch = by_hand(world, places, normalise=op == "prune_normalise")
    steps = tuple(Step(CLASSES[k], world.pipeline.bank.ids[c], op) for k, c in places)
    edited = edit(world.pipeline, HeadEdit("the same", steps))
    logits, _ = world.draw(np.random.default_rng(2), 20)
    np.testing.assert_allclose(
        patch.apply(world.pipeline, on=DATE).predict_features(Features(logits), site="b").logits,
        edited.predict_features(Features(logits)).logits,
        atol=1e-12,
    )
    # A head that is edited already can be cut again, at a site.
    twice = PcbmPrune(pairs=(("normal", "concept_9"),)).fit(edited, Support(Features(logits), None, "b"), created=DATE)
    assert twice.apply(edited, on=DATE).head_weights("b")[2, 9] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("pair", "said"),
    [(("pneumonia", "concept_99"), "no concept 'concept_99'"), (("pneumony", "concept_4"), "no class 'pneumony'")],
)
def test_a_link_that_is_none_is_refused(world: World, pair: tuple[str, str], said: str):
    support = Support(Features(world.draw(np.random.default_rng(0), 1)[0]), None, "b")
    with pytest.raises(OslerError, match=said) as caught:
        PcbmPrune(pairs=(pair,)).fit(world.pipeline, support, created=DATE)
    assert caught.value.code is Code.USAGE
    assert ("concept_" if "concept" in said.split("'")[0] else "pneumonia") in caught.value.mend


def test_links_can_be_named_in_a_recipe():
    made = parse_adapter("pcbm_prune", {"pairs": [["pneumonia", "concept_4"]], "normalise": True})
    assert made == PcbmPrune(pairs=(("pneumonia", "concept_4"),), normalise=True)


def test_a_persons_word_needs_no_labels_and_stands_against_the_guards(world: World):
    patch = by_hand(world, [(1, 4)])
    assert [guard.name for guard in patch.guards] == ["ungated-source"]
    assert patch.edits == ("cut *concept 4* from pneumonia: by hand",)
    assert patch.shots == {}
    worse = by_hand(world, [(0, 0), (0, 1), (0, 2), (0, 3)], y=np.array([0, 1, 2]))
    assert [guard.name for guard in worse.guards] == ["leave-one-shot-out", "ungated-source"]
    assert not worse.guards[1].passed
    assert "The guards would not have: " in worse.reason
    assert not worse.changes_nothing
    partial = by_hand(world, [(1, 4)], y=np.array([0, 0, 1]))
    assert len(partial.guards) == 2


def test_a_link_that_weighs_nothing_cannot_be_cut(world: World):
    weight = world.pipeline.head.weight.copy()
    weight[1, 4] = 0
    light = replace(world, pipeline=replace(world.pipeline, head=replace(world.pipeline.head, weight=weight)))
    patch = by_hand(light, [(1, 4)])
    assert patch.changes_nothing
    assert patch.reason == "No change: the links that were named weigh nothing as it is."


def test_the_link_that_misleads_is_cut(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(2)
    adapter = PcbmPrune(source_tolerance=1.0)
    target, y = world.confused(rng, 400)
    before = world.accuracy(world.pipeline, target, y, "b")
    patches = [adapter.fit(world.pipeline, world.support(*world.confused(rng, 4)), created=DATE) for _ in range(20)]
    # Cutting also takes what the concept adds where it says nothing, so the guards let it pass in some draws only.
    changed = [patch for patch in patches if not patch.changes_nothing]
    assert len(changed) >= 5
    assert all(
        "The right finding's lead in studies left out" in patch.reason for patch in patches if patch.changes_nothing
    )
    for patch in changed:
        patched = patch.apply(world.pipeline, on=DATE)
        moved = np.abs(patched.head_weights("b") - world.pipeline.head_weights()) > 1e-12
        assert patched.head_weights("b")[1, 4] == pytest.approx(0, abs=1e-12)
        assert moved.sum() <= 2
        assert patch.edits[0].startswith("cut *concept 4* from pneumonia: its weight +6.")
        assert world.accuracy(patched, target, y, "b") > before


def test_support_from_the_source_cuts_next_to_nothing(make_world: Callable[..., World]):
    world = make_world(seed=1, noise=1.2)
    rng = np.random.default_rng(1)
    patches = [PcbmPrune().fit(world.pipeline, world.support(*world.draw(rng, 4)), created=DATE) for _ in range(40)]
    assert np.mean([len(patch.edits) / 12 for patch in patches]) <= 0.05
    assert any(patch.reason == "No change: no link costs these studies margin beyond chance." for patch in patches)


def test_the_guards_stop_a_chosen_cut(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=0.8)
    support = world.support(*world.confused(np.random.default_rng(3), 6))
    patch = PcbmPrune(source_tolerance=-1.0).fit(world.pipeline, support, created=DATE)
    assert patch.changes_nothing
    assert patch.head is None
    assert "would not pass the guards (Accuracy on 900 held-out source studies" in patch.reason


def test_choosing_needs_shots_of_every_class(world: World):
    logits, y = world.draw(np.random.default_rng(4), 2)
    for support in (world.support(logits[y != 2], y[y != 2]), replace(world.support(logits, y), y=None)):
        with pytest.raises(OslerError) as caught:
            fit_patch(PcbmPrune(), world.pipeline, support, created=DATE)
        assert caught.value.code is Code.SUPPORT_INSUFFICIENT


def test_a_flagged_concept_costs_by_both_of_its_links():
    weights, neutral = np.array([[-1.0, 2.0], [3.0, 0.5], [0.0, 0.0]]), np.array([0.5, 0.5])
    values = np.array([[0.9, 0.6], [0.7, 0.6], [0.5, 0.5], [0.5, 0.5]])
    y, rival = np.array([0, 0, 1, 2]), np.array([1, 1, 2, 1])
    flagged = np.array([[True, False], [True, False], [False, False], [False, False]])
    costs, agreed = link_costs(values, y, rival, weights, neutral, flagged)
    # Two shots of class 0, of three classes: concept 0 speaks for the rival 1 (weight 3) and against 0 (weight -1).
    expected = np.zeros((3, 2))
    expected[1, 0], expected[0, 0] = 3 * 0.3 / 3, 1 * 0.3 / 3
    np.testing.assert_allclose(costs, expected)
    np.testing.assert_allclose(agreed, np.where(expected > 0, 1.0, 0.0))
