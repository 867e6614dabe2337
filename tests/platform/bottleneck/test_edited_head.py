"""Editing by hand (M3): what a pruned link changes, that it can be taken back, and that it is on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.heads.edited import EditedHead, HeadEdit, Step, edit, revert
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WIDTH = 6


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(WIDTH)


def features(seed: int) -> Features:
    return Features(np.random.default_rng(seed).normal(size=(7, WIDTH)))


def cut(pipeline: Pipeline, k: int, c: int, op: str = "prune", name: str = "one") -> HeadEdit:
    return HeadEdit(name, (Step(pipeline.classes[k], pipeline.bank.ids[c], op),), "a site tag", "2025-01-31")


@settings(max_examples=20)
@given(seed=st.integers(0, 999), k=st.integers(0, 2), c=st.integers(0, 4), residual=st.booleans())
def test_pruning_changes_one_logit_by_what_the_concept_contributed(
    pipeline: Pipeline, seed: int, k: int, c: int, residual: bool
):
    draw = np.random.default_rng(seed)
    if residual:
        pipeline = replace(pipeline, head=HybridHead(pipeline.head, draw.normal(size=(3, WIDTH)), draw.normal(size=3)))
    before = pipeline.predict_features(features(seed))
    after = edit(pipeline, cut(pipeline, k, c)).predict_features(features(seed))
    moved = after.logits - before.logits
    np.testing.assert_allclose(moved[:, k], -pipeline.head.weights()[k, c] * before.state.static[:, c], atol=1e-12)
    np.testing.assert_allclose(np.delete(moved, k, axis=1), 0, atol=1e-12)
    assert not after.contrib[:, k, c].any()


@settings(max_examples=20)
@given(k=st.integers(0, 2), cs=st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True))
def test_pruning_and_normalising_keeps_the_amount_and_the_proportions(pipeline: Pipeline, k: int, cs: list[int]):
    W = pipeline.head.weights()
    steps = tuple(Step(pipeline.classes[k], pipeline.bank.ids[c], "prune_normalise") for c in cs)
    edited = edit(pipeline, HeadEdit("all", steps)).head_weights()
    np.testing.assert_allclose(np.abs(edited[k]).sum(), np.abs(W[k]).sum())
    assert not edited[k, cs].any()
    rest = np.setdiff1d(np.arange(5), cs)
    np.testing.assert_allclose(edited[k, rest] / edited[k, rest[0]], W[k, rest] / W[k, rest[0]])
    np.testing.assert_array_equal(np.delete(edited, k, axis=0), np.delete(W, k, axis=0))


def test_a_class_with_nothing_left_says_nothing(pipeline: Pipeline):
    steps = tuple(Step(pipeline.classes[0], one, "prune_normalise") for one in pipeline.bank.ids)
    edited = edit(pipeline, HeadEdit("all", steps)).head_weights()
    assert not edited[0].any()
    assert np.isfinite(edited).all()


def test_an_edit_is_another_model_and_taking_it_back_gives_the_first(pipeline: Pipeline):
    once = edit(pipeline, cut(pipeline, 0, 1))
    twice = edit(once, cut(pipeline, 2, 3, "prune_normalise", name="two"))
    assert len({one.digest for one in (pipeline, once, twice)}) == 3
    assert revert(twice, "two").digest == once.digest
    assert revert(revert(twice, "one"), "two").digest == pipeline.digest
    assert revert(once, "one").head is pipeline.head
    direct = edit(pipeline, cut(pipeline, 2, 3, "prune_normalise", name="two"))
    np.testing.assert_array_equal(revert(twice, "one").head_weights(), direct.head_weights())


def test_edits_are_stored_by_name_beside_the_weights_that_were_fitted(pipeline: Pipeline, tmp_path: Path):
    edited = edit(edit(pipeline, cut(pipeline, 0, 1)), cut(pipeline, 1, 2, "prune_normalise", name="two"))
    back = load_bottleneck(save_bottleneck(edited, tmp_path / "m", card="# A model\n"))
    assert isinstance(back.head, EditedHead)
    assert back.head.edits == edited.head.edits
    assert back.head.edits[0].reason == "a site tag"
    np.testing.assert_array_equal(back.head.base.weights(), pipeline.head.weights())
    assert revert(revert(back, "one"), "two").digest == pipeline.digest


def test_what_cannot_be_edited_is_refused(pipeline: Pipeline):
    once = edit(pipeline, cut(pipeline, 0, 1))
    for wrong, code in (
        (lambda: edit(once, cut(pipeline, 0, 2)), Code.MODEL_INVALID),
        (lambda: edit(pipeline, HeadEdit("x", (Step("nothing", pipeline.bank.ids[0]),))), Code.MODEL_INVALID),
        (lambda: edit(pipeline, HeadEdit("x", (Step(pipeline.classes[0], "nothing"),))), Code.UNKNOWN_CONCEPT),
        (lambda: edit(pipeline, cut(pipeline, 0, 1, "double")), Code.MODEL_INVALID),
        (lambda: revert(pipeline, "one"), Code.MODEL_INVALID),
        (lambda: revert(once, "two"), Code.MODEL_INVALID),
    ):
        with pytest.raises(OslerError) as caught:
            wrong()
        assert caught.value.code is code
