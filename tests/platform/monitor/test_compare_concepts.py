"""Streams of many concepts: no change, a planted one, a change of mix alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from osler.monitor.compare import Concepts, compare_concepts, detectable, evidence
from osler.monitor.effect import glass_delta
from osler.monitor.mix import estimate_mix
from osler.monitor.wealth import holm
from osler.monitor.words import told_move
from osler_contracts.drift.report import Verdict


def concepts(values: np.ndarray) -> Concepts:
    ids = tuple(f"concept_{c}" for c in range(values.shape[1]))
    return Concepts(ids, tuple(one.replace("_", " ") for one in ids), values)


def test_at_most_the_level_of_steady_streams_alarms_over_all_concepts_and_all_time():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        mixing = rng.normal(size=(3, 8))  # concepts depend on each other, as those of images do
        source, stream = (rng.normal(size=(n, 3)) @ mixing + rng.normal(size=(n, 8)) for n in (80, 100))
        alarms += bool(holm(evidence(concepts(source), concepts(stream))[-1]).min() <= 0.05)
    assert alarms / 300 <= 0.05
    found = compare_concepts(concepts(source), concepts(stream))
    assert {one.id: one.p for one in found} == dict(
        zip(concepts(source).ids, evidence(concepts(source), concepts(stream))[-1].tolist(), strict=True)
    )
    assert all((one.alarm is not None) == (one.p_adjusted <= 0.05) for one in found)


def test_a_planted_change_is_found_with_its_concept_its_size_and_its_start():
    rng = np.random.default_rng(4)
    hits, covered = 0, 0
    for _ in range(12):
        source, stream = rng.normal(size=(250, 12)), rng.normal(size=(180, 12))
        stream[90:, 7] += 1.2
        found = compare_concepts(concepts(source), concepts(stream))
        first = found[0]
        right = [one.id for one in found if one.verdict is Verdict.MOVED] == ["concept_7"]
        hits += right and abs(first.since.onset.at - 90) <= 12 and 90 <= first.alarm <= 140
        covered += first.effect.low <= 1.2 <= first.effect.high
        assert first.name == "concept 7"
        assert first.since.onset.inside
    assert hits >= 10
    assert covered >= 9


def test_a_change_from_the_first_arrival_on_is_dated_there():
    rng = np.random.default_rng(5)
    stream = rng.normal(size=(120, 4)) + np.array([0, 0, -1.5, 0])
    found = compare_concepts(concepts(rng.normal(size=(300, 4))), concepts(stream))
    assert (found[0].id, found[0].verdict, found[0].since.onset.inside) == ("concept_2", Verdict.MOVED, False)
    assert found[0].effect.value == pytest.approx(-1.5, abs=0.35)
    assert {one.verdict for one in found[1:]} == {Verdict.STEADY}


def test_a_small_change_of_many_arrivals_is_slight_and_few_arrivals_are_too_few():
    rng = np.random.default_rng(6)
    stream = rng.normal(size=(1500, 2)) + np.array([0.22, 0])
    found = compare_concepts(concepts(rng.normal(size=(5000, 2))), concepts(stream))
    assert [(one.id, one.verdict) for one in found] == [("concept_0", Verdict.SLIGHT), ("concept_1", Verdict.STEADY)]
    few = compare_concepts(concepts(rng.normal(size=(200, 2))), concepts(rng.normal(size=(12, 2))))
    assert {one.verdict for one in few} == {Verdict.TOO_FEW}
    assert compare_concepts(concepts(rng.normal(size=(20, 2))), concepts(np.zeros((0, 2)))) == ()
    constant = compare_concepts(concepts(np.ones((50, 1))), concepts(np.ones((60, 1)) + 1e-15))
    assert (constant[0].effect.value, constant[0].alarm) == (0.0, None)


@pytest.mark.parametrize(("n", "m", "count"), [(300, 60, 20), (100, 100, 5)])
def test_what_could_be_seen_is_about_what_is_seen_half_the_time(n: int, m: int, count: int):
    rng = np.random.default_rng(7)

    def share(shift: float) -> float:
        found = 0
        for _ in range(40):
            stream = rng.normal(size=(m, count))
            stream[:, 0] += shift
            found += holm(evidence(concepts(rng.normal(size=(n, count))), concepts(stream))[-1])[0] <= 0.05
        return found / 40

    least = detectable(n, m, count)
    assert share(0.7 * least) <= 0.5
    assert share(1.35 * least) >= 0.6
    assert detectable(n, 5, count) == float("inf")


def test_the_interval_of_the_effect_covers():
    rng = np.random.default_rng(8)
    held = []
    for _ in range(400):
        one = glass_delta(rng.normal(size=80), 0.7 + 1.5 * rng.normal(size=50))
        held.append(one.low <= 0.7 <= one.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_a_change_of_spread_alone_is_found_and_said():
    rng = np.random.default_rng(10)
    stream = rng.normal(size=(150, 3)) * np.array([1.0, 0.35, 1.0])
    found = compare_concepts(concepts(rng.normal(size=(300, 3))), concepts(stream))
    assert [one.id for one in found if one.verdict is Verdict.MOVED] == ["concept_1"]
    assert found[0].spread == pytest.approx(0.35, abs=0.08)
    assert "spread 0.3" in told_move(found[0])
    assert abs(found[0].effect.value) < 0.3
    assert "spread" not in told_move(found[1])


def test_a_change_of_mix_alone_is_told_as_such():
    rng = np.random.default_rng(9)
    means = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])

    def draw(n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.uniform(size=n) < share).astype(int)
        values = means[y] + rng.normal(size=(n, 3))
        # The Bayes posterior at equal shares: linear in the two concepts that differ.
        return values, softmax(np.stack([2 * values[:, 0], 2 * values[:, 1]], axis=1), axis=1)

    prior = np.array([0.5, 0.5])
    source, _ = draw(400, 0.5)
    stream, p = draw(400, 0.8)
    mix = estimate_mix(p, prior, prior, means)
    assert mix.after == pytest.approx([0.2, 0.8], abs=0.06)
    found = compare_concepts(concepts(source), concepts(stream), mix_shift=lambda _: mix.shift)
    moved = {one.id: one for one in found if one.alarm is not None}
    assert set(moved) == {"concept_0", "concept_1"}
    for one in moved.values():  # all of it is the mix
        assert one.effect.low <= one.by_mix <= one.effect.high
    assert next(one for one in found if one.id == "concept_2").by_mix == 0.0
