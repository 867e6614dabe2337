"""Curves of interventions: their ends, their order, and what each policy must and must not look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.margin import MarginScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.correcting import Bench, Examined
from osler_training.evaluate.interventions import intervention_curves
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.evaluate.policies import POLICIES, coop

C, K, N = 5, 3, 60


def random_case(make_pipeline: Callable[..., Pipeline], seed: int, missing: float = 0.0) -> tuple[Pipeline, Examined]:
    """Build a bottleneck with random weights, and studies whose concepts it sees through noise."""
    draw = np.random.default_rng(seed)
    pipeline = make_pipeline(draw.normal(size=(K, C)) * 2, draw.normal(size=K))
    truth = draw.integers(0, 2, (N, C)).astype(float)
    y = pipeline.predict_values(truth).logits.argmax(1)
    features = Features(2 * truth - 1 + draw.normal(size=(N, C)))
    truth[draw.random((N, C)) < missing] = np.nan
    return pipeline, Examined(features, y, tuple(f"p{i}" for i in range(N)), truth, pipeline.bank.ids)


def curves(pipeline: Pipeline, tested: Examined, *names: str, **options: object):  # type: ignore[no-untyped-def]
    return intervention_curves(pipeline, tested, names or tuple(POLICIES), seed=0, replicates=20, orders=4, **options)


@settings(max_examples=10)
@given(seed=st.integers(0, 9999))
def test_no_correction_is_the_plain_accuracy_and_all_are_the_head_on_the_truth(
    make_pipeline: Callable[..., Pipeline], seed: int
) -> None:
    pipeline, tested = random_case(make_pipeline, seed)
    tested = replace(tested, y=np.random.default_rng(seed).integers(0, K, N))  # labels that the head gets wrong
    base = (pipeline.predict_features(tested.features).logits.argmax(1) == tested.y).mean()
    ceiling = (pipeline.predict_values(tested.truth).logits.argmax(1) == tested.y).mean()
    for name, curve in curves(pipeline, tested).items():
        assert curve.accuracy[0].value == pytest.approx(base), name
        assert curve.accuracy[-1].value == pytest.approx(ceiling), name
        assert curve.gain.value == pytest.approx(ceiling - base)
        assert curve.q == tuple(range(C + 1))


def test_a_patch_of_the_site_is_in_force(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 3)
    muted = {one: ConceptDelta(0.0, mask=True) for one in pipeline.bank.ids}
    pipeline = SitePatch(
        "b", pipeline.digest, pipeline.bank.digest, "by hand", "2024-05-01", "all", deltas=muted
    ).apply(pipeline)
    for site in ("b", None):
        here = replace(tested, site=site)
        base = (pipeline.predict_features(tested.features, site=site).logits.argmax(1) == tested.y).mean()
        assert curves(pipeline, here, "random")["random"].accuracy[0].value == pytest.approx(base)


def test_a_useless_concept_leaves_the_curve_flat(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 1)
    weight = pipeline.head.weights().copy()
    weight[:, 2] = 0
    pipeline = replace(pipeline, head=replace(pipeline.head, weight=weight))
    only = tested.truth.copy()
    only[:, [0, 1, 3, 4]] = np.nan  # nothing but the useless concept can be corrected
    for curve in curves(pipeline, replace(tested, truth=only)).values():
        assert len({one.value for one in curve.accuracy}) == 1
        assert curve.area.value == 0
        assert curve.needed.value == 0
    # Where all can be corrected, importance and greedy help leave it to the end.
    bench = Bench(pipeline, tested)
    assert (POLICIES["importance"](bench, C, np.random.default_rng(0))[:, -1] == 2).all()


@pytest.mark.parametrize("name", POLICIES)
def test_curves_rise_for_a_bayes_optimal_head_without_noise(make_pipeline: Callable[..., Pipeline], name: str) -> None:
    # The class is the majority of five independent concepts, of which the image says nothing: 0.5 each. Knowing more of them
    # never lowers the share of right answers over all 32 combinations.
    weight = np.stack([-np.ones(C), np.ones(C)])
    pipeline = make_pipeline(weight, np.array([C / 2, -C / 2]))
    truth = np.array(list(product([0.0, 1.0], repeat=C)))
    y = (truth.sum(1) > C / 2).astype(int)
    tested = Examined(Features(np.zeros(truth.shape)), y, tuple(f"p{i}" for i in range(32)), truth, pipeline.bank.ids)
    curve = curves(pipeline, tested, name)[name]
    values = [one.value for one in curve.accuracy]
    assert np.diff(values).min() >= -1e-12
    assert (values[0], values[-1]) == (0.5, 1.0)
    if name != "oracle":
        assert values == pytest.approx([0.5, 0.6875, 0.6875, 0.8125, 0.8125, 1.0])  # the binomial distribution says so
    assert curve.deviation == pytest.approx([0] * (C + 1))


def test_needed_and_area_on_a_hand_curve(make_pipeline: Callable[..., Pipeline]) -> None:
    # One concept decides; the model has it wrong in all studies. Corrected first, everything is right at once.
    pipeline = make_pipeline(np.array([[-5.0, 0, 0, 0], [5.0, 0.1, 0.1, 0.1]]), np.array([2.5, -2.5]), sharpness=9.0)
    truth = np.tile([[0.0, 1, 1, 1], [1.0, 1, 1, 1]], (20, 1))
    said = truth.copy()
    said[:, 0] = 1 - said[:, 0]
    patients = tuple(f"p{i}" for i in range(40))
    tested = Examined(Features(2 * said - 1), truth[:, 0].astype(int), patients, truth, pipeline.bank.ids)
    found = curves(pipeline, tested, "importance", "oracle", "random")
    for name in ("importance", "oracle"):
        assert [one.value for one in found[name].accuracy] == [0, 1, 1, 1, 1]
        assert found[name].area.value == pytest.approx(0.875)  # one trapezoid of half a step, three full steps of four
        assert found[name].needed.value == 1
        assert found[name].needed.ci == (1, 1)
    assert found["random"].area.value < 0.875
    assert max(found["random"].deviation) > 0.3
    record = found["random"].to_record()
    assert [one["q"] for one in record["curve"]] == [0, 1, 2, 3, 4]
    assert record["q95"]["value"] == found["random"].needed.value


def test_the_oracle_leads_and_uncertain_concepts_come_first(make_pipeline: Callable[..., Pipeline]) -> None:
    lead = []
    for seed in range(8):
        found = curves(*random_case(make_pipeline, seed))
        lead.append([found["oracle"].area.value - found[name].area.value for name in ("random", "uncertainty", "coop")])
    assert np.mean(lead, axis=0).min() > 0
    pipeline, tested = random_case(make_pipeline, 0)
    bench = Bench(pipeline, tested)
    order = POLICIES["uncertainty"](bench, C, np.random.default_rng(0))
    sure = np.take_along_axis(np.abs(bench.believed - 0.5), order, axis=1)
    assert (np.diff(sure, axis=1) >= 0).all()


def test_policies_but_the_oracle_see_no_label(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 4)
    others = replace(tested, y=(tested.y + 1) % K)
    for name, policy in POLICIES.items():
        orders = [policy(Bench(pipeline, one), C, np.random.default_rng(0)) for one in (tested, others)]
        assert np.array_equal(*orders) == (name != "oracle"), name


def test_coop_weighs_doubt_against_change(make_pipeline: Callable[..., Pipeline]) -> None:
    # Concept 0 is wholly uncertain but moves nothing; concept 1 is fairly sure but decides.
    pipeline = make_pipeline(np.array([[0.0, -6.0], [0.0, 6.0]]), np.array([3.0, -3.0]))
    tested = Examined(
        Features(np.array([[0.0, 1.0]])), np.array([1]), ("p",), np.array([[1.0, 1.0]]), pipeline.bank.ids
    )
    bench = Bench(pipeline, tested)
    assert coop(1.0, 0.0)(bench, 2, np.random.default_rng(0)).tolist() == [[0, 1]]
    assert coop(0.0, 1.0)(bench, 2, np.random.default_rng(0)).tolist() == [[1, 0]]
    # By hand: |P_v - P| weighed by the belief, plus the entropy.
    p = 1 / (1 + np.exp(-1.0))
    now, present, absent = (1 / (1 + np.exp(-(12 * a - 6))) for a in (p, 1.0, 0.0))
    change = p * abs(present - now) + (1 - p) * abs(absent - now)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    first = 1 if entropy + change > np.log(2) else 0
    assert coop(1.0, 1.0)(bench, 1, np.random.default_rng(0)).tolist() == [[first]]


def clamped(pipeline: Pipeline, tested: Examined, mask: np.ndarray) -> np.ndarray:
    """Return logits (N, K) with concepts set by the scorer to the ends of its own range."""
    state = pipeline.scorer.score(tested.features, pipeline.bank)
    set_to = pipeline.scorer.clamp(state, mask, np.where(mask, np.nan_to_num(tested.truth), 0.0))
    return np.asarray(pipeline.head.predict(set_to, tested.features).logits)


def test_groups_are_corrected_together(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 2)
    groups = {"pair": ("concept_3", "concept_1")}
    bench = Bench(pipeline, tested, groups)
    assert bench.groups == 4
    taken = np.zeros((N, 4), bool)
    taken[:, 0] = True
    clamp = np.zeros((N, C), bool)
    clamp[:, [1, 3]] = True
    wanted = clamped(pipeline, tested, clamp)
    np.testing.assert_allclose(bench.corrected(taken), pipeline.calibration.probabilities(wanted))
    for curve in curves(pipeline, tested, groups=groups).values():
        assert curve.groups == 4
        assert curve.q == (0, 1, 2, 3, 4)
    with pytest.raises(OslerError) as caught:
        Bench(pipeline, tested, {"one": ("concept_1",), "other": ("concept_1", "concept_2")})
    assert caught.value.code == Code.USAGE
    with pytest.raises(OslerError) as caught:
        Bench(pipeline, tested, {"one": ("concept_9",)})
    assert caught.value.code == Code.UNKNOWN_CONCEPT


def test_what_nobody_annotated_stays_as_the_model_has_it(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 5, missing=0.4)
    known = ~np.isnan(tested.truth)
    assert 0 < known.sum() < known.size
    wanted = clamped(pipeline, tested, known).argmax(1)
    for name, curve in curves(pipeline, tested).items():
        assert curve.accuracy[-1].value == pytest.approx((wanted == tested.y).mean())
        order = POLICIES[name](Bench(pipeline, tested), C, np.random.default_rng(0))
        assert ((order >= 0).sum(1) == known.sum(1)).all(), name
        assert all(sorted(row[row >= 0]) == list(np.flatnonzero(have)) for row, have in zip(order, known, strict=True))
    with pytest.raises(OslerError) as caught:
        Bench(pipeline, replace(tested, truth=np.full((N, C), np.nan)))
    assert caught.value.code == Code.NOTHING_ELIGIBLE


def test_columns_of_the_truth_are_found_by_name(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 6)
    turned = replace(tested, truth=tested.truth[:, ::-1], concepts=tested.concepts[::-1])
    for first, second in zip(curves(pipeline, tested).values(), curves(pipeline, turned).values(), strict=True):
        assert [one.value for one in first.accuracy] == [one.value for one in second.accuracy]


def test_few_steps_still_end_with_all(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 7)
    for name, curve in curves(pipeline, tested, steps=2).items():
        whole = curves(pipeline, tested, name)[name]
        assert curve.q == (0, 1, 2, C)
        assert [one.value for one in curve.accuracy] == pytest.approx([whole.accuracy[q].value for q in curve.q])


def test_balanced_accuracy_is_the_metric_of_that_name(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline, tested = random_case(make_pipeline, 8)
    tested = replace(tested, y=np.random.default_rng(0).integers(0, K, N))
    curve = curves(pipeline, tested, "random", balanced=True)["random"]
    prob = pipeline.predict_features(tested.features).logits
    assert curve.accuracy[0].value == pytest.approx(balanced_accuracy(tested.y, prob, np.ones((1, N)))[0])


def test_margins_and_residuals_are_clamped_too(make_pipeline: Callable[..., Pipeline]) -> None:
    draw = np.random.default_rng(0)
    pipeline, tested = random_case(make_pipeline, 9)
    limits = np.tile([-1.0, 1.0], (C, 1))
    scorer = MarginScorer(pipeline.bank.ids, np.eye(C), np.zeros(C), limits, normalised=False)
    hybrid = HybridHead(pipeline.head, draw.normal(size=(K, C)), draw.normal(size=K), normalised=False)
    for head in (pipeline.head, hybrid):
        other = replace(pipeline, scorer=scorer, head=head)
        believed = Bench(other, tested).believed
        np.testing.assert_allclose(believed, np.clip((tested.features.pooled + 1) / 2, 0, 1))
        everything = np.ones((N, C), bool)
        wanted = clamped(other, tested, everything).argmax(1)
        for curve in curves(other, tested).values():
            assert curve.accuracy[-1].value == pytest.approx((wanted == tested.y).mean())


def test_an_unknown_policy_is_refused(make_pipeline: Callable[..., Pipeline]) -> None:
    with pytest.raises(OslerError) as caught:
        curves(*random_case(make_pipeline, 0), "randon")
    assert caught.value.code == Code.USAGE
