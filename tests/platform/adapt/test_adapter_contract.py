"""What every adapter must do, whatever it does: the tests run over all that are there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler.adapt.adapter import Adapter, fit_patch
from osler.adapt.adapters import adapter_names, parse_adapter
from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.adapt.words import GUARDS, lines_of
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, Output, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
# Fewer steps than anybody would take, and no guard on the source: here it matters that something is changed.
HURRIED = {"steps": 2, "source_tolerance": 1.0}
# Adapters that are nothing without what the model remembers of its source's features or images.
NEEDS_REFERENCES = {"site_correction", "image_moments"}
every = pytest.mark.parametrize("name", adapter_names())
labelled = pytest.mark.parametrize("name", [name for name in adapter_names() if parse_adapter(name).needs_labels])
unlabelled = pytest.mark.parametrize("name", [name for name in adapter_names() if not parse_adapter(name).needs_labels])


def adapter(name: str) -> Adapter:
    known = {field.name for field in fields(type(parse_adapter(name)))}
    return parse_adapter(name, {key: value for key, value in HURRIED.items() if key in known})


@pytest.fixture(scope="module")
def known(make_world: Callable[..., World]) -> World:
    """Return a noisy world that remembers of its source whatever an adapter may ask for."""
    world = make_world(seed=2, noise=0.8)
    rng = np.random.default_rng(5)
    train, _ = world.draw(rng, 100)
    references = tuple(
        FittedCorrection.at_source(one, Features(train)) for one in ("feature_moments", "mixture_alignment", "coral")
    )
    images = FittedCorrection.at_source("image_moments", pictures(rng, 20))
    return replace(world, pipeline=replace(world.pipeline, references=(*references, images)))


def pictures(rng: np.random.Generator, count: int, gain: float = 0.5) -> list[np.ndarray]:
    return [np.clip(gain * rng.uniform(size=(8, 8)), 0, 1) for _ in range(count)]


def shifted(world: World, rng: np.random.Generator, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw studies of a site where one concept misleads and the others are seen less clearly."""
    logits, y = world.confused(rng, per_class)
    logits[:, [0, 1, 8, 9]] *= 0.5
    return logits, y


def support_of(world: World, seed: int = 0, per_class: int = 6) -> Support:
    rng = np.random.default_rng(seed)
    logits, y = shifted(world, rng, per_class)
    more, _ = shifted(world, rng, 20)
    return replace(
        world.support(logits, y),
        unlabelled=Features(np.concatenate([logits, more])),
        images=pictures(rng, 20, gain=0.9),
    )


@pytest.fixture(scope="module")
def patches(known: World) -> Callable[[str], SitePatch]:
    """Return each adapter's patch of the same support, fitted once."""

    @cache
    def patch(name: str) -> SitePatch:
        return fit_patch(adapter(name), known.pipeline, support_of(known), created=DATE)

    return patch


def predicted(world: World, pipeline: Pipeline, site: str | None) -> Output:
    logits, _ = shifted(world, np.random.default_rng(6), 30)
    return pipeline.predict_features(Features(logits), site=site)


def seen(pipeline: Pipeline, site: str | None) -> list[np.ndarray]:
    """Return what an encoder would see of some images."""
    images = pictures(np.random.default_rng(7), 3)
    patch = pipeline.patches.get(site or "")
    return list(images if patch is None else patch.apply_images(images, site))


def require_same(world: World, first: Pipeline, second: Pipeline, site: str | None) -> None:
    """Fail unless two pipelines say the same of a site's studies, to the bit."""
    one, other = (predicted(world, pipeline, site) for pipeline in (first, second))
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.state.value, other.state.value)
    np.testing.assert_array_equal(one.contrib, other.contrib)
    np.testing.assert_array_equal(seen(first, site), seen(second, site))


def fingerprint(pipeline: Pipeline) -> str:
    """Return a digest of every array that a pipeline holds, measured anew."""
    parts = [part.to_artefact()[0] for part in (pipeline.scorer, pipeline.head, pipeline.source)]
    parts += [one.reference for one in pipeline.references]
    held = b"".join(np.ascontiguousarray(part[key]).tobytes() for part in parts for key in sorted(part))
    return hashlib.sha256(held).hexdigest()


@every
def test_fitting_and_applying_leave_model_and_support_as_they_are(known: World, name: str):
    support = support_of(known, seed=1)
    before = fingerprint(known.pipeline), replace(known.pipeline).digest
    assert support.unlabelled is not None
    assert support.y is not None
    assert support.images is not None
    arrays = (support.features.pooled, support.unlabelled.pooled, support.y, *support.images)
    copies = [array.copy() for array in arrays]
    patch = fit_patch(adapter(name), known.pipeline, support, created=DATE)
    patched = patch.apply(known.pipeline, on=DATE)
    predicted(known, patched, "b")
    assert (fingerprint(known.pipeline), replace(known.pipeline).digest) == before
    assert (fingerprint(patched), replace(patched).digest) == before
    assert known.pipeline.patches == {}
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every
def test_other_sites_do_not_notice(known: World, patches: Callable[[str], SitePatch], name: str):
    patched = patches(name).apply(known.pipeline, on=DATE)
    for site in ("a", "c", "B", "", None):
        require_same(known, known.pipeline, patched, site)
        # A patch that is handed over, past the pipeline's own choice by site, looks at the site itself.
        logits = Features(shifted(known, np.random.default_rng(6), 30)[0])
        handed = known.pipeline.predict_features(logits, site=site, patch=patches(name)).logits
        np.testing.assert_array_equal(handed, predicted(known, known.pipeline, site).logits)


@every
def test_the_patch_changes_its_site_or_says_why_not(known: World, patches: Callable[[str], SitePatch], name: str):
    patch = patches(name)
    assert (patch.adapter, patch.site, patch.created) == (name, "b", DATE)
    assert patch.reason
    assert patch.reason.startswith("No change: ") == patch.changes_nothing
    patched = patch.apply(known.pipeline, on=DATE)
    if patch.changes_nothing:
        require_same(known, known.pipeline, patched, "b")
        return
    outputs = [predicted(known, pipeline, "b").logits for pipeline in (known.pipeline, patched)]
    images = [seen(pipeline, "b") for pipeline in (known.pipeline, patched)]
    assert not (np.array_equal(*outputs) and np.array_equal(*images))
    assert np.isfinite(outputs[1]).all()


@every
def test_what_its_guards_ask_stands_in_words_on_the_page_of_the_patch(patches: Callable[[str], SitePatch], name: str):
    page = "\n".join(lines_of(patches(name), on=DATE))
    for guard in patches(name).guards:
        judged = "passed" if guard.passed else "failed"
        assert f"guard {guard.name} {judged}: {GUARDS[guard.name]}. {guard.sentence}" in page


def test_most_adapters_find_something_to_change_there(patches: Callable[[str], SitePatch]):
    quiet = {name for name in adapter_names() if patches(name).changes_nothing}
    assert len(quiet) <= len(adapter_names()) // 4, quiet


@every
def test_a_patch_taken_back_leaves_no_trace(
    known: World, patches: Callable[[str], SitePatch], name: str, tmp_path: Path
):
    patch = patches(name)
    patched = patch.apply(known.pipeline, on=DATE)
    require_same(known, known.pipeline, replace(patched, patches={}), "b")
    store = PatchStore(tmp_path)
    if patch.changes_nothing:
        with pytest.raises(OslerError, match="changes nothing"):
            store.activate(patch, DATE)
        return
    active = store.activate(patch, DATE)
    found = store.active("b", known.pipeline.digest, DATE)
    assert found == active
    require_same(known, patched, known.pipeline.with_patch(found), "b")
    revoked = store.revoke(active, DATE, "a mistake")
    assert store.active("b", known.pipeline.digest, DATE) is None
    with pytest.raises(OslerError, match="was revoked") as caught:
        revoked.apply(known.pipeline, on=DATE)
    assert caught.value.code is Code.PATCH_INVALID
    require_same(known, patched, store.activate(revoked, DATE).apply(known.pipeline, on=DATE), "b")


@every
def test_the_patch_travels_as_json(known: World, patches: Callable[[str], SitePatch], name: str):
    patch = patches(name)
    again = SitePatch.from_json(patch.to_json())
    assert again == patch
    assert again.to_json() == patch.to_json()
    require_same(known, patch.apply(known.pipeline, on=DATE), again.apply(known.pipeline, on=DATE), "b")


@every
def test_the_settings_in_the_record_make_the_adapter_again(patches: Callable[[str], SitePatch], name: str):
    assert parse_adapter(name, patches(name).settings) == adapter(name)


@every
def test_the_order_of_studies_is_irrelevant(known: World, patches: Callable[[str], SitePatch], name: str):
    support = support_of(known)
    assert support.unlabelled is not None
    assert support.y is not None
    assert support.images is not None
    rng = np.random.default_rng(2)
    order, others = rng.permutation(len(support.y)), rng.permutation(len(support.unlabelled))
    moved = Support(
        support.features.rows(order),
        support.y[order],
        "b",
        study_uids=tuple(support.study_uids[place] for place in order),
        unlabelled=support.unlabelled.rows(others),
        images=[support.images[place] for place in rng.permutation(len(support.images))],
    )
    assert fit_patch(adapter(name), known.pipeline, moved, created=DATE) == patches(name)


@unlabelled
def test_labels_are_hidden_from_whoever_does_not_need_them(
    known: World, patches: Callable[[str], SitePatch], name: str
):
    support = support_of(known)
    assert support.y is not None
    patch = patches(name)
    assert patch.shots == {}
    for y in (None, support.y[::-1].copy(), np.full(len(support.y), 99)):
        assert fit_patch(adapter(name), known.pipeline, replace(support, y=y), created=DATE) == patch
    assert adapter(name).fit(known.pipeline, replace(support, y=None), created=DATE) == patch


@labelled
def test_labels_are_needed_by_whoever_says_so(known: World, patches: Callable[[str], SitePatch], name: str):
    assert patches(name).shots == {"heart_failure": 6, "pneumonia": 6, "normal": 6}
    support = support_of(known)
    assert support.y is not None
    of_two = support.y != 2
    two = replace(
        support, features=support.features.rows(of_two), y=support.y[of_two], study_uids=support.study_uids[:12]
    )
    for refused in (
        two,
        replace(support, y=None),
        replace(support, y=support.y[:3]),
        replace(support, y=support.y + 1),
    ):
        with pytest.raises(OslerError) as caught:
            fit_patch(adapter(name), known.pipeline, refused, created=DATE)
        assert caught.value.code is Code.SUPPORT_INSUFFICIENT
        assert "site 'b'" in caught.value.mend


@every
def test_concepts_that_were_not_measured_are_refused(known: World, name: str):
    support = support_of(known)
    features = support.features.pooled.copy()
    features[3, 5] = np.nan
    with pytest.raises(OslerError, match="1 of 18 support studies have concepts that could not") as caught:
        fit_patch(adapter(name), known.pipeline, replace(support, features=Features(features)), created=DATE)
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT


@every
def test_a_support_of_the_source_is_refused_by_name_and_by_content(known: World, name: str):
    held = known.pipeline.source
    logits = np.log(held.values / (1 - held.values))[::60]
    of_source = Support(Features(logits), held.y[::60], "b")
    for support, said in ((replace(support_of(known), site="a"), "nothing to adapt to"), (of_source, "is its source")):
        with pytest.raises(OslerError, match=said) as caught:
            fit_patch(adapter(name), known.pipeline, support, created=DATE)
        assert caught.value.code is Code.SUPPORT_INSUFFICIENT


@labelled
@pytest.mark.parametrize("seed", range(3))
def test_one_wrong_label_is_no_reason_to_fall_over(known: World, name: str, seed: int):
    support = support_of(known, seed=10 + seed, per_class=3)
    assert support.y is not None
    y = support.y.copy()
    wrong = np.random.default_rng(seed).integers(len(y))
    y[wrong] = (y[wrong] + 1) % 3
    patch = fit_patch(adapter(name), known.pipeline, replace(support, y=y), created=DATE)
    assert patch.changes_nothing or patch.kinds
    assert np.isfinite(predicted(known, patch.apply(known.pipeline, on=DATE), "b").logits).all()


@every
def test_one_shot_a_class_is_an_answer_too(known: World, name: str):
    patch = fit_patch(adapter(name), known.pipeline, support_of(known, seed=20, per_class=1), created=DATE)
    assert np.isfinite(predicted(known, patch.apply(known.pipeline, on=DATE), "b").logits).all()


@every
def test_what_the_model_does_not_remember_is_named(known: World, name: str):
    """A model fitted before there were references, and a site that sent no images."""
    bare = replace(known.pipeline, references=())
    support = replace(support_of(known), images=None)
    if name not in NEEDS_REFERENCES:
        assert fit_patch(adapter(name), bare, support, created=DATE).reason
        return
    with pytest.raises(OslerError, match="holds no statistics of its source") as caught:
        fit_patch(adapter(name), bare, support, created=DATE)
    assert caught.value.code is Code.PART_MISSING


@every
def test_a_setting_that_is_none_is_refused(name: str):
    with pytest.raises(OslerError) as caught:
        parse_adapter(name, {"no_such_setting": 1})
    assert caught.value.code is Code.USAGE
