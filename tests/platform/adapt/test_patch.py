"""The record of a change: pure, gated, reversible, and the same after the disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.adapt.changes import ConceptDelta, transform
from osler.adapt.patch import GuardOutcome, SitePatch, count_shots, support_digest
from osler.adapt.store import PatchStore
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
numbers = st.floats(-2, 2, allow_nan=False)
deltas = st.builds(
    ConceptDelta,
    neutral=st.floats(0, 1),
    mask=st.booleans(),
    gain=st.floats(1, 3),
    shift=st.floats(-0.5, 0.5),
    sentence=st.text(max_size=20),
)
patches = st.builds(
    SitePatch,
    site=st.text(min_size=1, max_size=8),
    model=st.just("m" * 64),
    bank=st.just("b" * 64),
    adapter=st.just("by hand"),
    created=st.just("2024-05-01"),
    reason=st.text(max_size=20),
    settings=st.dictionaries(st.text(max_size=5), numbers, max_size=2),
    deltas=st.dictionaries(st.sampled_from([f"concept_{n}" for n in range(12)]), deltas, max_size=4),
    blend=st.floats(0, 1),
    value_range=st.sampled_from([None, (0.0, 1.0)]),
    shots=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9), max_size=2),
    guards=st.lists(
        st.builds(GuardOutcome, st.just("g"), st.booleans(), numbers, numbers, st.just("s")), max_size=2
    ).map(tuple),
)


def patch_for(world: World, **changes: Any) -> SitePatch:
    pipeline = world.pipeline
    patch = SitePatch(
        "b",
        pipeline.digest,
        pipeline.bank.digest,
        "by hand",
        "2024-05-01",
        "a reason",
        value_range=(0.0, 1.0),
        deltas={"concept_1": ConceptDelta(0.4, mask=True), "concept_2": ConceptDelta(0.5, gain=2.0)},
    )
    return replace(patch, **changes)


@given(patches)
def test_json_keeps_everything(patch: SitePatch):
    again = SitePatch.from_json(patch.to_json())
    assert again == patch
    assert again.to_json() == patch.to_json()
    assert again.diff(patch) == []


def test_an_edited_file_is_refused(world: World):
    record = json.loads(patch_for(world).to_json())
    record["deltas"]["concept_2"]["gain"] = 2.5
    for text in (json.dumps(record), "[]", "{}", "no json", json.dumps({**record, "more": 1})):
        with pytest.raises(OslerError) as caught:
            SitePatch.from_json(text)
        assert caught.value.code is Code.PATCH_INVALID


@pytest.mark.parametrize("wrong", [{"status": "maybe"}, {"blend": 1.5}, {"deltas": {"a": ConceptDelta(float("nan"))}}])
def test_a_patch_cannot_be_built_wrong(world: World, wrong: dict[str, Any]):
    with pytest.raises(OslerError):
        patch_for(world, **wrong)


@settings(max_examples=40)
@given(patch=patches, seed=st.integers(0, 99))
def test_only_its_site_only_its_concepts_and_never_in_place(world: World, patch: SitePatch, seed: int):
    state = world.pipeline.predict_features(Features(world.draw(np.random.default_rng(seed), 2)[0])).state
    kept = state.value.copy()
    assert patch.apply_state(state, patch.site + "x") is state
    assert patch.apply_state(state, None) is state
    changed = patch.apply_state(state, patch.site)
    np.testing.assert_array_equal(state.value, kept)
    untouched = [place for place, one in enumerate(state.ids) if one not in patch.deltas]
    np.testing.assert_array_equal(changed.static[:, untouched], state.static[:, untouched])
    np.testing.assert_array_equal(changed.prob, state.prob)
    if patch.blend == 1:
        for one, delta in patch.deltas.items():
            column = changed.static[:, state.ids.index(one)]
            raw = delta.neutral + delta.gain * (state.static[:, state.ids.index(one)] + delta.shift - delta.neutral)
            expected = raw if patch.value_range is None else np.clip(raw, 0, 1)
            np.testing.assert_allclose(column, delta.neutral if delta.mask else expected, atol=1e-12)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 3), st.floats(0, 1))
def test_patched_probabilities_stay_probabilities(value: float, neutral: float, gain: float, blend: float):
    ends = [
        transform(
            np.array([value]),
            mask=np.array([False]),
            gain=np.array([gain]),
            neutral=np.array([neutral]),
            blend=t,
            value_range=(0.0, 1.0),
        )[0]
        for t in (0.0, blend, 1.0)
    ]
    assert ends[0] == value
    assert min(ends[0], ends[2]) - 1e-12 <= ends[1] <= max(ends[0], ends[2]) + 1e-12
    assert 0 <= ends[1] <= 1


def test_a_correction_outweighs_a_mask(world: World):
    patched = patch_for(world).apply(world.pipeline)
    logits, _ = world.draw(np.random.default_rng(0), 1)
    mask = np.zeros((3, 12), bool)
    mask[:, 1] = True
    output = patched.predict_features(Features(logits), site="b", clamp=(mask, np.ones((3, 12))))
    assert (output.state.static[:, 1] == patched.correction_range[1, 1]).all()


def test_another_model_or_a_revoked_patch_is_refused(world: World):
    for wrong in (patch_for(world, model="0" * 64), patch_for(world).with_status("revoked", "2024-05-02")):
        with pytest.raises(OslerError) as caught:
            wrong.apply(world.pipeline)
        assert caught.value.code is Code.PATCH_INVALID


def test_a_difference_is_one_line_a_concept(world: World):
    first = patch_for(world)
    second = replace(first, deltas={"concept_2": ConceptDelta(0.5, gain=1.5, shift=0.1)}, blend=0.5)
    assert first.diff(second) == [
        "blend: 1.0 -> 0.5",
        "concept_1: masked -> unchanged",
        "concept_2: gain 2 -> gain 1.5, shift +0.1",
    ]


def test_supports_and_shots_are_counted_whatever_their_order():
    assert support_digest(["b", "a"]) == support_digest(["a", "b"]) != support_digest(["a"])
    assert count_shots([0, 2, 2], ("x", "y", "z")) == {"x": 1, "y": 0, "z": 2}


def test_one_patch_at_most_is_active_and_none_is_lost(world: World, tmp_path: Path):
    store = PatchStore(tmp_path)
    first, second = patch_for(world), patch_for(world, reason="another")
    store.save(first)
    assert store.active("b", first.model) is None
    store.activate(first, "2024-05-02")
    store.activate(second, "2024-05-03", "better")
    assert store.active("b", first.model).id == second.id
    assert store.get(first.id[:6]).status == "revoked"
    assert store.get(first.id).history[-1] == ("2024-05-03", "revoked", f"superseded by {second.id}")
    store.revoke(store.get(second.id), "2024-05-04", "worse")
    assert store.active("b", first.model) is None
    assert store.active("a", first.model) is None
    assert {patch.id for patch in store.all()} == {first.id, second.id}
    again = store.activate(store.get(first.id), "2024-05-05")
    assert again.id == first.id
    assert store.activate(again, "2024-05-06") == again


def test_a_patch_that_changes_nothing_cannot_be_put_in_force(world: World, tmp_path: Path):
    store = PatchStore(tmp_path)
    with pytest.raises(OslerError, match="changes nothing"):
        store.activate(patch_for(world, deltas={}), "2024-05-02")
    for start in ("", "zzz"):
        with pytest.raises(OslerError) as caught:
            store.get(start)
        assert caught.value.code is Code.PATCH_INVALID
