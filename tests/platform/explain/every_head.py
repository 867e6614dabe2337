"""What an explanation must keep to, whatever its head: checked study by study over a whole archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from sklearn.linear_model import Ridge
from tests.platform.patches import by_hand

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.archive import StudyRecord
from osler.bottleneck.heads.edited import EditedHead, HeadEdit, Step
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.heads.softmax_weights import SoftmaxHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Head
from osler.bottleneck.records import Features
from osler.explain.contrast import explain
from osler.explain.explanation import Explanation
from osler.explain.grounding import PREFIX
from osler.explain.service import StudyExplainer

KINDS = ("linear", "softmax_weights", "hybrid", "edited", "edited over hybrid")
CLOSE = 1e-5  # what the words of the product promise; the sums are far closer


def head_of(kind: str, pipeline: Pipeline, features: Features) -> Head:
    """Return a head of a kind over a model's concepts: its own, or one that is made from it and from real features."""
    linear = LinearHead(pipeline.head.ids, np.asarray(pipeline.head.weights()), np.asarray(pipeline.head.bias))
    if kind == "linear":
        return linear
    if kind == "softmax_weights":
        return SoftmaxHead(linear.ids, np.array(linear.weight), float(np.abs(linear.weight).sum(axis=1).mean()))
    logits = linear.weight @ pipeline.scorer.score(features, pipeline.bank).static.T
    left = np.random.default_rng(0).normal(size=(len(features.pooled), len(linear.bias))) * logits.std()
    unit = features.pooled / np.linalg.norm(features.pooled, axis=1, keepdims=True)
    fitted = Ridge(alpha=1e-3).fit(unit, left)
    hybrid = HybridHead(linear, np.atleast_2d(fitted.coef_), np.asarray(fitted.intercept_))
    if kind == "hybrid":
        return hybrid
    strongest = linear.ids[int(np.abs(linear.weight[0]).argmax())]
    steps = (Step(pipeline.classes[0], strongest, "prune_normalise"), Step(pipeline.classes[-1], linear.ids[-1]))
    return EditedHead(linear if kind == "edited" else hybrid, pipeline.classes, (HeadEdit("by hand", steps),))


def shifted(head: Head, columns: np.ndarray) -> Head:
    """Return the head with a constant (C,) added to each column of its weights, the same for every class."""
    if isinstance(head, HybridHead):
        return replace(head, linear=shifted(head.linear, columns))
    if isinstance(head, EditedHead) and isinstance(head.base, HybridHead):
        return replace(head.base, linear=LinearHead(head.ids, head.weights() + columns, head.bias))
    return LinearHead(head.ids, np.asarray(head.weights()) + columns, np.asarray(head.bias))


def patch_of(pipeline: Pipeline, site: str, *, empty: bool) -> SitePatch:
    """Return a patch that masks one concept and amplifies another, or one that changes nothing."""
    ids, neutral = pipeline.bank.ids, pipeline.neutral
    deltas = {ids[0]: ConceptDelta(float(neutral[0]), mask=True), ids[1]: ConceptDelta(float(neutral[1]), gain=1.7)}
    return by_hand(pipeline, {} if empty else deltas, site=site)


def archived(explainer: StudyExplainer) -> Iterator[tuple[StudyRecord, Features]]:
    """Yield every study of the archive that models can know, with its features (1, D)."""
    for site in sorted({one.site for one in explainer.archive.studies()}):
        studies, features = explainer.site_features(site)
        for place, study in enumerate(studies):
            tokens = None if features.tokens is None else features.tokens[place : place + 1]
            yield study, Features(features.pooled[place : place + 1], tokens, features.grid)


def require_exact(one: Explanation) -> None:
    """Check that baseline, contributions and what went past the concepts equal the margin, and the margin the logits."""
    whole = one.baseline + sum(held.contribution for held in one.concepts) + one.residual
    logits = {held.id: held.logit for held in one.findings}
    assert abs(whole - one.margin) <= CLOSE
    assert abs(logits[one.finding.id] - logits[one.runner_up.id] - one.margin) <= CLOSE


def require_same_evidence(one: Explanation, other: Explanation) -> None:
    """Check that two explanations give every concept the same contribution, for the same finding."""
    assert (one.finding.id, one.runner_up.id) == (other.finding.id, other.runner_up.id)
    theirs = {held.id: held.contribution for held in other.concepts}
    assert all(abs(held.contribution - theirs[held.id]) <= CLOSE for held in one.concepts)
    assert abs(one.baseline - other.baseline) <= CLOSE
    assert abs(one.residual - other.residual) <= CLOSE


def require_truth_decides(pipeline: Pipeline, features: Features, truth: np.ndarray, one: Explanation) -> None:
    """Check that an explanation with every concept corrected to truth (C,) is the head's own prediction on truth.

    The head's weights, bias and residual are multiplied out here once more, beside the pipeline.
    """
    low, high = pipeline.correction_range.T
    values = np.where(truth > 0, high, low)
    order = [pipeline.head.ids.index(name) for name in pipeline.bank.ids]
    logits = np.asarray(pipeline.head.weights())[:, order] @ values + pipeline.head.bias
    hybrid = pipeline.head.base if isinstance(pipeline.head, EditedHead) else pipeline.head
    if isinstance(hybrid, HybridHead):
        unit = features.pooled[0] / np.linalg.norm(features.pooled[0])
        logits = logits + hybrid.residual @ unit + hybrid.residual_bias
    told = {held.id: held.logit for held in one.findings}
    assert all(abs(told[name] - logit) <= CLOSE for name, logit in zip(pipeline.classes, logits, strict=True))
    assert one.finding.id == pipeline.classes[int(logits.argmax())]


def _truth(study: StudyRecord, ids: tuple[str, ...], draw: np.random.Generator) -> np.ndarray:
    """Return which concepts are there (C,), as the archive holds it; drawn where it does not."""
    held = [study.labels.get(f"{PREFIX}{name}") for name in ids]
    return np.array([int(draw.integers(0, 2)) if label is None else int(label == "1") for label in held])


def require_all(explainer: StudyExplainer, kind: str, truths: np.random.Generator) -> int:
    """Check every study of an archive under one kind of head, with and without a patch; returns how many there were."""
    studies = list(archived(explainer))
    pooled = Features(np.concatenate([features.pooled for _, features in studies]))
    if all(features.tokens is not None for _, features in studies):
        tokens = np.concatenate([features.tokens for _, features in studies if features.tokens is not None])
        pooled = Features(pooled.pooled, tokens, studies[0][1].grid)
    pipeline = replace(explainer.pipeline, patches={})
    pipeline = replace(pipeline, head=head_of(kind, pipeline, pooled))
    moved = replace(pipeline, head=shifted(pipeline.head, truths.normal(0, 5, len(pipeline.bank.ids))))
    for study, features in studies:
        told = {"study": study.uid, "site": study.site}
        plain = explain(pipeline, features, **told)
        patch = patch_of(pipeline, study.site, empty=False)
        patched = explain(pipeline, features, patch=patch, **told)
        require_exact(plain)
        require_exact(patched)
        require_same_evidence(plain, explain(moved, features, **told))
        again = explain(moved, features, patch=replace(patch, model=moved.digest), **told)
        require_same_evidence(patched, again)
        assert explain(pipeline, features, patch=patch_of(pipeline, study.site, empty=True), **told) == plain
        truth = _truth(study, pipeline.bank.ids, truths)
        corrections = {name: float(value) for name, value in zip(pipeline.bank.ids, truth, strict=True)}
        for held in (None, patch):  # what a reader saw outweighs a patch
            corrected = explain(pipeline, features, patch=held, corrections=corrections, **told)
            require_exact(corrected)
            require_truth_decides(pipeline, features, truth, corrected)
    return len(studies)
