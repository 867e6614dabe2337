"""The recommended adapter: it helps where it can, says "no change" where it cannot, and each of its parts is what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters.anchored_committee import AnchoredCommittee, committee_of
from osler.adapt.committee import Committee, Shots, spread_of
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import in_order
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
ADAPTER = AnchoredCommittee()


def remembering(world: World, rng: np.random.Generator) -> Pipeline:
    """Return the world's model with what it remembers of its source's features."""
    features = Features(world.draw(rng, 200)[0])
    return replace(world.pipeline, references=(FittedCorrection.at_source("feature_moments", features),))


def fit(
    pipeline: Pipeline, world: World, logits: np.ndarray, y: np.ndarray, pool: np.ndarray, **settings: Any
) -> SitePatch:
    support = replace(world.support(logits, y), unlabelled=Features(pool))
    return fit_patch(AnchoredCommittee(**settings), pipeline, support, created="2024-05-01")


def gains(
    world: World, pipeline: Pipeline, move: Callable[[np.ndarray], np.ndarray], draws: int = 12, n: int = 4
) -> np.ndarray:
    """Return the gain in accuracy at a site whose features are moved, by draw of the shots."""
    rng = np.random.default_rng(5)
    pool, test = world.draw(rng, 60)[0], world.draw(rng, 200)
    before = world.accuracy(pipeline, move(test[0]), test[1], "b")
    found = []
    for _ in range(draws):
        logits, y = world.draw(rng, n)
        patch = fit(pipeline, world, move(logits), y, move(pool))
        found.append(world.accuracy(patch.apply(pipeline), move(test[0]), test[1], "b") - before)
    return np.array(found)


def test_a_shift_of_scale_is_undone_without_a_new_head(world: World):
    rng = np.random.default_rng(0)
    pipeline = remembering(world, rng)
    shift = rng.normal(scale=2.0, size=world.means.shape[1])
    gained = gains(world, pipeline, lambda x: 0.6 * x + shift)
    assert gained.mean() > 0.1
    assert gained.min() > 0


def test_a_site_that_looks_as_the_source_is_left_almost_as_it_is(world: World):
    gained = gains(world, remembering(world, np.random.default_rng(1)), lambda x: x)
    assert gained.mean() > -0.01
    assert (gained < -0.02).mean() <= 0.1


def test_concepts_that_changed_places_need_a_new_head(make_world: Callable[..., World]):
    world = make_world(seed=2, noise=1.0)
    pipeline = remembering(world, np.random.default_rng(2))
    order = np.arange(world.means.shape[1])
    order[[0, 4]] = order[[4, 0]]  # the heaviest concept of a class now fires for another: no moment tells
    gained = gains(world, pipeline, lambda x: x[:, order], n=16)
    assert gained.mean() > 0.02
    rng = np.random.default_rng(3)
    logits, y = world.draw(rng, 16)
    patch = fit(pipeline, world, logits[:, order], y, world.draw(rng, 60)[0][:, order])
    assert "head" in patch.kinds
    assert all(guard.passed for guard in patch.guards if guard.name != "site-scale")


def test_without_a_pair_of_shots_only_the_scale_is_set(world: World):
    rng = np.random.default_rng(4)
    pipeline = remembering(world, rng)
    logits, y = world.draw(rng, 1)
    patch = fit(pipeline, world, logits + 2.0, y, world.draw(rng, 60)[0] + 2.0)
    assert patch.kinds == ("preprocessing",)
    assert any("none can be left out" in guard.sentence for guard in patch.guards)
    without = fit(world.pipeline, world, logits + 2.0, y, logits)
    assert without.changes_nothing
    assert without.reason.startswith("No change: ")


def test_wrong_labels_are_not_learned(world: World):
    rng = np.random.default_rng(6)
    pipeline = remembering(world, rng)
    logits, y = world.draw(rng, 4)
    patch = fit(pipeline, world, logits, np.roll(y, 2), world.draw(rng, 60)[0], source_tolerance=0.0)
    test, truth = world.draw(rng, 200)
    assert world.accuracy(patch.apply(pipeline), test, truth, "b") > world.accuracy(pipeline, test, truth, "b") - 0.05


def test_the_source_keeps_its_accuracy_if_nothing_were_gated(world: World):
    rng = np.random.default_rng(7)
    pipeline = remembering(world, rng)
    order = np.r_[4, 1:4, 0, 5:12]
    logits, y = world.draw(rng, 16)
    patch = fit(
        pipeline, world, logits[:, order], y, world.draw(rng, 60)[0][:, order], caution=0.0, source_tolerance=0.005
    )
    assert patch.head is not None
    weights, bias = patch.head.added(pipeline.bank.ids)
    held, truth = pipeline.source.values, pipeline.source.y
    own = pipeline.predict_values(held).logits
    assert ((own + held @ weights.T + bias).argmax(1) == truth).mean() >= (own.argmax(1) == truth).mean() - 0.005


def committee(world: World, n: int, **settings: Any) -> Committee:
    support = in_order(world.pipeline, world.support(*world.draw(np.random.default_rng(8), n)), 1)
    model = LinearModel.of(world.pipeline)
    return committee_of(AnchoredCommittee(**settings), world.pipeline, model, Shots.of(world.pipeline, model, support))


def test_the_discriminant_ends_at_that_of_the_shots_and_of_the_source(world: World):
    free = committee(world, 40, prior_studies=1e-9)
    W, b = free.discriminant(free.shots.values, free.shots.y, 0.0)
    other = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(3, 1 / 3)).fit(free.shots.values, free.shots.y)
    logits = free.shots.everything @ W.T + b
    np.testing.assert_array_equal(logits.argmax(1), other.predict(free.shots.everything))
    tied = committee(world, 4, prior_studies=1e9)
    W, b = tied.discriminant(tied.shots.values, tied.shots.y, 1e9)
    want = np.linalg.solve(tied.covariance, tied.within(tied.model.source.mean).T).T
    np.testing.assert_allclose(W * tied.within.std, want, rtol=1e-5, atol=1e-6)


def test_the_members_keep_all_most_some_and_nothing_of_the_source(world: World):
    found = committee(world, 4)
    own, tied, loose, free = found.edits(found.shots.values, found.shots.y)
    assert own.empty
    n = len(found.shots.y)
    np.testing.assert_allclose(tied.weights, n / (n + 8) * loose.weights)
    # Another source changes the free head by its units and its covariance alone, not by its head or means.
    other = replace(found, model=replace(found.model, weights=-found.model.weights, bias=-found.model.bias))
    np.testing.assert_allclose(
        other.edits(found.shots.values, found.shots.y)[3].weights - found.model.weights,
        free.weights + found.model.weights,
    )


def test_members_are_heard_at_one_loudness(world: World):
    found = committee(world, 4)
    shots = found.shots
    loose = found.edits(shots.values, shots.y)[2]
    members = [found.near_source(shots.values, shots.y), found.discriminant(shots.values, shots.y, found.prior_shots)]
    want = sum(shots.spread * (z := shots.everything @ W.T + b) / spread_of(z) for W, b in members)
    got = loose.logits(found.model.logits, shots.everything)
    centred = [one - one.mean(axis=1, keepdims=True) for one in (got, want / 2)]
    np.testing.assert_allclose(*centred, rtol=1e-6, atol=1e-8)


def test_a_firm_belief_in_the_source_changes_nothing(world: World):
    rng = np.random.default_rng(9)
    logits, y = world.draw(rng, 4)
    patch = fit(world.pipeline, world, logits + 1.0, y, logits + 1.0, belief=(1.0, 1e-12, 1e-12, 1e-12))
    assert patch.changes_nothing


def test_where_the_source_is_worthless_it_can_be_let_go(world: World):
    """The site's classes have exchanged their signs: the model is wrong nearly always, and no head is right at both."""
    rng = np.random.default_rng(10)
    pipeline = remembering(world, rng)
    (logits, y), (test, truth), pool = world.draw(rng, 4), world.draw(rng, 200), world.draw(rng, 60)[0]
    assert world.accuracy(pipeline, test, (truth + 1) % 3, "b") < 0.2
    free = fit(pipeline, world, logits, (y + 1) % 3, pool, source_tolerance=1.0)
    after = world.accuracy(free.apply(pipeline), test, (truth + 1) % 3, "b")
    assert after > 0.9
    assert free.guards[-1].after < free.guards[-1].before - 0.5  # and the reader is told what it would cost elsewhere
    tied = fit(pipeline, world, logits, (y + 1) % 3, pool)
    assert world.accuracy(tied.apply(pipeline), test, (truth + 1) % 3, "b") < after - 0.3


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0},
        {"source_shots": -1.0},
        {"belief": (0.0, 1.0, 1.0, 1.0)},
        {"caution": -0.1},
        {"min_shots": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]):
    with pytest.raises(OslerError) as caught:
        AnchoredCommittee(**settings)
    assert caught.value.code is Code.USAGE
