"""Adapters that see no label: planted shifts taken back, and what the corrections themselves say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import expit

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters import parse_adapter
from osler.adapt.adapters.prior_shift import PriorShiftAdapter
from osler.adapt.adapters.quantile_matching import QuantileMatching, knots_of
from osler.adapt.adapters.site_correction import SiteCorrectionAdapter
from osler.adapt.changes import ConceptDelta
from osler.adapt.likeness import Likeness
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import SourceUnits
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.corrections.prior_shift import PriorShift
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
OTHERS = ("mixture_alignment", "coral")


@pytest.fixture(scope="module")
def knowing(make_world: Callable[..., World]) -> World:
    """Return a noisy world with references of the source."""
    world = make_world(seed=3, noise=1.0)
    train, _ = world.draw(np.random.default_rng(7), 300)
    names = ("feature_moments", *OTHERS)
    references = tuple(FittedCorrection.at_source(name, Features(train)) for name in names)
    source = world.pipeline.source
    source = replace(source, values=source.values[::3], y=source.y[::3])
    return replace(world, pipeline=replace(world.pipeline, references=references, source=source))


def site(world: World, rng: np.random.Generator, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Draw concept logits (n, C) with a mix of classes, and labels."""
    y = np.repeat(np.arange(3), counts)
    return world.means[y] + world.noise * rng.normal(size=(len(y), 12)), y


def seen(logits: np.ndarray) -> Support:
    """Return a support of three studies, and more that are measured without labels."""
    return Support(Features(logits[:3]), None, "b", unlabelled=Features(logits))


def shifted(logits: np.ndarray) -> np.ndarray:
    moved = 1.7 * logits
    moved[:, 4:8] += 2.5
    return moved


@pytest.mark.parametrize("name", ["feature_moments", *OTHERS])
def test_a_shift_of_features_is_taken_back(knowing: World, name: str):
    rng = np.random.default_rng(0)
    logits, _ = site(knowing, rng, (60, 60, 60))
    test, y = site(knowing, rng, (200, 200, 200))
    patch = fit_patch(SiteCorrectionAdapter(name), knowing.pipeline, seen(shifted(logits)), created=DATE)
    assert patch.kinds == ("preprocessing",)
    assert patch.corrections[0].studies == 180
    assert SitePatch.from_json(patch.to_json()) == patch
    patched = patch.apply(knowing.pipeline, on=DATE)
    before = knowing.accuracy(knowing.pipeline, shifted(test), y, "b")
    after = knowing.accuracy(patched, shifted(test), y, "b")
    assert after > before + 0.05
    assert after > knowing.accuracy(knowing.pipeline, test, y, "a") - 0.03
    fitted = next(one for one in knowing.pipeline.references if one.name == name)
    own = fitted.correction.measure(Features(shifted(logits)), fitted.reference)
    expected = fitted.correction.match(Features(shifted(test)), own, fitted.reference)
    np.testing.assert_allclose(
        patched.predict_features(Features(shifted(test)), site="b").logits,
        knowing.pipeline.predict_features(expected).logits,
        atol=1e-9,
    )


@pytest.mark.parametrize("name", ["site_correction", "quantile_matching", "prior_shift"])
def test_order_of_studies_and_labels_say_nothing(knowing: World, name: str):
    rng = np.random.default_rng(1)
    logits, y = site(knowing, rng, (20, 30, 10))
    order = rng.permutation(60)
    kept = logits.copy()
    adapter = parse_adapter(name)
    patches = [
        fit_patch(adapter, knowing.pipeline, support, created=DATE)
        for support in (
            seen(logits),
            replace(seen(logits), unlabelled=Features(logits[order])),
            replace(seen(logits), y=y[:3]),
        )
    ]
    np.testing.assert_array_equal(logits, kept)
    assert patches[0] == patches[1] == patches[2]


def test_a_correction_that_the_model_cannot_make_is_refused(knowing: World):
    logits, _ = site(knowing, np.random.default_rng(1), (5, 5, 5))
    for pipeline, name in ((knowing.pipeline, "stain_matching"), (replace(knowing.pipeline, references=()), "coral")):
        with pytest.raises(OslerError) as caught:
            SiteCorrectionAdapter(name).fit(pipeline, seen(logits), created=DATE)
        assert caught.value.code is Code.PART_MISSING
        assert "Fit the model again" in caught.value.mend
    empty = Support(Features(np.zeros((0, 12))), None, "b")
    with pytest.raises(OslerError) as caught:
        SiteCorrectionAdapter().fit(knowing.pipeline, empty, created=DATE)
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT


def test_images_and_probabilities_are_asked_for_where_they_are_needed(knowing: World):
    rng = np.random.default_rng(0)
    logits, _ = site(knowing, rng, (10, 10, 10))
    images = [rng.uniform(size=(8, 8)) for _ in range(30)]
    looks = FittedCorrection.at_source("image_moments", images)
    shares = FittedCorrection("prior_shift", {"prior": knowing.pipeline.source.class_prior})
    pipeline = replace(knowing.pipeline, references=(looks, shares))
    patch = parse_adapter("image_moments").fit(pipeline, replace(seen(logits), images=images), created=DATE)
    assert patch.corrections[0].studies == 30
    for support, options in ((seen(logits), {}), (replace(seen(logits), images=images), {"guarded": True})):
        with pytest.raises(OslerError) as caught:  # no images; no encoder to see what becomes of them
            parse_adapter("image_moments", options).fit(pipeline, support, created=DATE)
        assert caught.value.code is Code.PART_MISSING
    with pytest.raises(OslerError, match="corrects probabilities"):
        SiteCorrectionAdapter("prior_shift").fit(pipeline, seen(logits), created=DATE)


@pytest.mark.parametrize("name", ["site_correction", "prior_shift"])
def test_what_the_model_does_itself_is_not_done_twice(knowing: World, name: str):
    logits, _ = site(knowing, np.random.default_rng(1), (50, 5, 5))
    prior = FittedCorrection("prior_shift", {"prior": knowing.pipeline.source.class_prior})
    itself = replace(knowing.pipeline, corrections=(knowing.pipeline.references[0], prior))
    patch = fit_patch(parse_adapter(name), itself, seen(logits), created=DATE)
    assert patch.changes_nothing
    assert patch.reason.startswith("No change: the model ")
    assert not fit_patch(parse_adapter(name), knowing.pipeline, seen(logits), created=DATE).changes_nothing


def test_the_guard_leaves_a_site_that_matches_whatever_its_mix_of_classes(knowing: World):
    rng = np.random.default_rng(2)
    guarded, changed = SiteCorrectionAdapter(guarded=True), 0
    for counts in ((50, 50, 50), (100, 10, 10), (5, 15, 80), (120, 0, 0)):
        for _ in range(3):
            logits, _ = site(knowing, rng, counts)
            patch = guarded.fit(knowing.pipeline, seen(logits), created=DATE)
            changed += not patch.changes_nothing
            if patch.changes_nothing:
                assert patch.reason.startswith("No change: ")
                assert not patch.guards[-1].passed
    assert changed <= 2  # Of 12 at a level of 5%.
    test, y = site(knowing, rng, (100, 10, 10))
    free = SiteCorrectionAdapter().fit(knowing.pipeline, seen(test), created=DATE)
    assert knowing.accuracy(free.apply(knowing.pipeline, on=DATE), test, y, "b") < knowing.accuracy(
        knowing.pipeline, test, y, "b"
    )


def test_a_source_that_remembers_little_does_not_raise_alarms(knowing: World):
    """Draws with replacement from ten studies a class must not seem nearer to the source than studies of a site are."""
    source = knowing.pipeline.source
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(20):
        rows = np.concatenate([rng.choice(np.flatnonzero(source.y == k), 10, replace=False) for k in range(3)])
        little = replace(source, values=source.values[rows], y=source.y[rows])
        logits, _ = site(knowing, rng, (60, 20, 10))
        likeness = Likeness.of(replace(knowing.pipeline, source=little))
        values = knowing.values(logits)
        alarms += likeness.guards(values, 90, lambda *_: values)[0].passed  # noqa: B023 - called at once
    assert alarms <= 3  # 20 at a level of 5%: one is expected.


def test_the_distance_finds_the_mix_of_classes(knowing: World):
    logits, y = site(knowing, np.random.default_rng(12), (120, 20, 60))
    likeness, values = Likeness.of(knowing.pipeline), knowing.values(logits)
    distance, mix = likeness.distance(values)
    np.testing.assert_allclose(mix, np.bincount(y) / len(y), atol=0.08)
    assert abs(distance) < 0.05
    # From scratch, and no other mix is nearer.
    source = knowing.pipeline.source
    spread = np.sqrt((source.std**2).mean(axis=0))
    groups = [source.values[source.y == k] / spread for k in range(3)]
    x = values / spread

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(cdist(a, b).sum() / (len(a) * (len(b) - (a is b))))

    def energy(shares: np.ndarray) -> float:
        crossed = sum(shares[k] * shares[r] * apart(groups[k], groups[r]) for k in range(3) for r in range(3))
        return 2 * sum(shares[k] * apart(x, groups[k]) for k in range(3)) - crossed - apart(x, x)

    assert distance == pytest.approx(energy(mix), abs=1e-6)
    for other in np.random.default_rng(0).dirichlet(np.ones(3), 30):
        assert energy(other) >= distance - 1e-6
    near = [
        mix + step * (np.eye(3)[k] - np.eye(3)[r]) for k in range(3) for r in range(3) for step in (0.003,) if k != r
    ]
    assert min(map(energy, near)) >= distance - 1e-7


def test_the_guard_lets_a_true_shift_be_taken_back(knowing: World):
    rng = np.random.default_rng(3)
    logits, _ = site(knowing, rng, (30, 60, 50))
    free = SiteCorrectionAdapter().fit(knowing.pipeline, seen(shifted(logits)), created=DATE)
    patch = SiteCorrectionAdapter(guarded=True).fit(knowing.pipeline, seen(shifted(logits)), created=DATE)
    assert patch.corrections == free.corrections
    unlike, nearer = patch.guards
    assert unlike.passed
    assert nearer.passed
    assert nearer.after < nearer.before / 2


def test_the_guard_does_not_judge_a_handful(knowing: World):
    logits, _ = site(knowing, np.random.default_rng(3), (4, 4, 4))
    patch = SiteCorrectionAdapter(guarded=True).fit(knowing.pipeline, seen(shifted(logits)), created=DATE)
    assert patch.changes_nothing
    assert "too few" in patch.reason


def test_quantiles_move_to_the_sources(world: World):
    rng = np.random.default_rng(4)
    logits, _ = site(world, rng, (300, 300, 300))
    test, y = site(world, rng, (300, 300, 300))

    def looked(x: np.ndarray) -> np.ndarray:
        return np.sign(x + 1) * np.abs(x + 1) ** 1.5  # Neither a shift nor a gain.

    patch = fit_patch(QuantileMatching(knots=20), world.pipeline, seen(looked(logits)), created=DATE)
    assert patch.kinds == ("scorer",)
    assert SitePatch.from_json(patch.to_json()) == patch
    patched = patch.apply(world.pipeline, on=DATE)
    values = patched.predict_features(Features(looked(test)), site="b").state.static
    clean = world.pipeline.predict_features(Features(test)).state.static
    before = world.pipeline.predict_features(Features(looked(test))).state.static
    assert np.abs(values - clean).mean() < np.abs(before - clean).mean() / 4
    assert world.accuracy(patched, looked(test), y, "b") > 0.99


def test_few_studies_leave_values_nearly_where_they_are(world: World):
    logits, _ = site(world, np.random.default_rng(5), (1, 1, 1))
    moved = {
        kappa: fit_patch(QuantileMatching(kappa=kappa), world.pipeline, seen(shifted(logits)), created=DATE)
        for kappa in (0.0, 3.0, 1e9)
    }

    def step(kappa: float, one: str) -> np.ndarray:
        here, there = np.array(moved[kappa].deltas[one].knots).T
        return there - here

    for one in moved[0.0].deltas:
        np.testing.assert_allclose(step(3.0, one), step(0.0, one) / 2, atol=1e-12)
        np.testing.assert_allclose(step(1e9, one), 0, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 5), st.integers(4, 7), st.floats(0, 0.3))
def test_a_distance_is_finite_however_few_and_alike_the_studies(seed: int, classes: int, each: int, apart: float):
    """Two classes that chance puts nearer to each other than to themselves leave a problem that is not quite convex."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    held = apart * y[:, None] + rng.normal(size=(len(y), 2)).round(1)
    likeness = Likeness(SourceUnits(np.zeros(2), np.ones(2)), held, y, cdist(held, held), classes)
    distance, mix = likeness.distance(rng.normal(size=(20, 2)))
    assert np.isfinite(distance)
    assert mix.sum() == pytest.approx(1)
    assert (mix >= 0).all()
    found, chance = likeness.against_chance(rng.normal(size=(20, 2)))
    assert np.isfinite(found).all()
    assert np.isfinite(chance).all()


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.lists(st.floats(-1, 2), min_size=2, max_size=20),
)
def test_knots_ascend_and_keep_the_order_of_values(pairs: list[tuple[float, float]], values: list[float]):
    here, there = np.sort(np.array(pairs), axis=0).T
    knots = knots_of(here, there)
    places = [a for a, _ in knots]
    assert places == sorted(set(here.tolist()))
    mapped = ConceptDelta(0.0, knots=knots).mapped(np.sort(values))
    assert (np.diff(mapped) >= -1e-12).all()


@pytest.mark.parametrize("temperature", [1.0, 1.8])
def test_probabilities_after_a_prior_shift_are_the_corrections_own(world: World, temperature: float):
    pipeline = replace(world.pipeline, calibration=Calibration(temperature))
    logits, y = site(world, np.random.default_rng(6), (200, 20, 30))
    patch = fit_patch(PriorShiftAdapter(), pipeline, seen(logits), created=DATE)
    assert patch.kinds == ("head",)
    features = Features(logits)
    before = pipeline.calibration.probabilities(pipeline.predict_features(features).logits)
    reference = {"prior": pipeline.source.class_prior}
    expected = PriorShift().match(before, PriorShift().measure(before, reference), reference)
    patched = patch.apply(pipeline, on=DATE)
    after = pipeline.calibration.probabilities(patched.predict_features(features, site="b").logits)
    np.testing.assert_allclose(after, expected, atol=1e-9)
    assert np.abs(after.mean(axis=0) - np.bincount(y) / len(y)).max() < 0.1
    np.testing.assert_array_equal(patched.head_weights("b"), pipeline.head_weights())


def test_a_class_that_is_not_there_leaves_finite_numbers(world: World):
    logits, _ = site(world, np.random.default_rng(6), (300, 0, 0))
    pipeline: Pipeline = world.pipeline
    patch = fit_patch(PriorShiftAdapter(kappa=0), pipeline, seen(logits), created=DATE)
    assert np.isfinite(patch.head.bias).all()
    predicted = patch.apply(pipeline, on=DATE).predict_features(Features(logits), site="b").logits.argmax(axis=1)
    assert (predicted == 0).mean() > 0.99


def test_a_study_that_could_not_be_measured_counts_for_nothing(world: World):
    logits, _ = site(world, np.random.default_rng(8), (30, 30, 30))
    broken = np.concatenate([logits, np.full((1, 12), np.nan)])
    first, second = (
        fit_patch(QuantileMatching(), world.pipeline, seen(given), created=DATE) for given in (logits, broken)
    )
    assert first.deltas == second.deltas


@pytest.mark.parametrize(
    ("name", "options"),
    [("quantile_matching", {"knots": 0}), ("quantile_matching", {"knots": 21}), ("prior_shift", {"kappa": -1})],
)
def test_settings_out_of_range_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(OslerError) as caught:
        parse_adapter(name, options)
    assert caught.value.code is Code.USAGE


def test_values_are_probabilities_still(world: World):
    logits, _ = site(world, np.random.default_rng(9), (30, 30, 30))
    patch = fit_patch(QuantileMatching(), world.pipeline, seen(shifted(logits)), created=DATE)
    extreme = Features(np.array([[-30.0] * 12, [30.0] * 12]))
    values = patch.apply(world.pipeline, on=DATE).state(extreme, site="b").static
    assert ((values >= 0) & (values <= 1)).all()
    assert expit(30.0) >= values.max()
