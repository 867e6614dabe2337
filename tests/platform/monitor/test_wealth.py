"""The alarm against its guarantee: uniform ranks, few false alarms whenever one looks, and what a planted change does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from osler.monitor.wealth import STRENGTHS, conformal_ranks, holm, log_wealth, running_p


def by_hand(source: np.ndarray, arrivals: np.ndarray, t: int) -> tuple[float, float]:
    """Return the range that the rank of an arrival lies in, counted one by one."""
    known = [*source, *arrivals[:t]]
    below = sum(value < arrivals[t] for value in known)
    equal = 1 + sum(value == arrivals[t] for value in known)
    return below / (len(known) + 1), (below + equal) / (len(known) + 1)


@settings(max_examples=40)
@given(seed=st.integers(0, 999), ties=st.booleans())
def test_a_rank_counts_the_source_and_the_arrivals_so_far(seed: int, ties: bool):
    rng = np.random.default_rng(seed)
    source, arrivals = rng.normal(size=12), rng.normal(size=9)
    if ties:
        source, arrivals = source.round(), arrivals.round()
    p = conformal_ranks(source, arrivals, "edge")
    for t in range(len(arrivals)):
        low, high = by_hand(source, arrivals, t)
        assert low <= p[t] <= high
    np.testing.assert_array_equal(p, conformal_ranks(source, arrivals, "edge"))


@pytest.mark.parametrize("discrete", [False, True])
def test_ranks_of_exchangeable_arrivals_are_uniform_and_independent(discrete: bool):
    rng = np.random.default_rng(0)
    p = []
    for number in range(60):
        source, arrivals = (rng.standard_t(3, size=n) for n in (40, 60))
        if discrete:
            source, arrivals = source.round(), arrivals.round()
        p.append(conformal_ranks(source, arrivals, f"concept {number}"))
    ranks = np.array(p)
    assert kstest(ranks.ravel(), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(ranks[:, :-1].ravel(), ranks[:, 1:].ravel())[0, 1]) < 0.05


def test_a_bet_is_fair_and_wealth_starts_at_one():
    for b in STRENGTHS:
        for u in (lambda p: p, lambda p: abs(2 * p - 1)):
            stake = quad(lambda p, b=b, u=u: b * np.exp(b * u(p)) / np.expm1(b), 0, 1, points=[0.5])[0]
            assert stake == pytest.approx(1.0)
    # The first arrival bets half of all it has: by hand, for one rank.
    bets = [b * np.exp(b * u) / np.expm1(b) for u in (0.9, 0.8) for b in STRENGTHS]
    assert np.exp(log_wealth(np.array([[0.9]]))[0, 0]) == pytest.approx(0.5 + 0.5 * np.mean(bets))
    rng = np.random.default_rng(3)
    wealth = np.exp(log_wealth(rng.uniform(size=(12, 4000))))
    for t in (0, 3, 9, 11):
        assert wealth[t].mean() == pytest.approx(1.0, abs=4 * wealth[t].std() / 4000**0.5)


@pytest.mark.parametrize("level", [0.2, 0.05])
def test_steady_concepts_alarm_at_most_at_the_level_however_long_one_looks(level: float):
    rng = np.random.default_rng(1)
    ranks = [conformal_ranks(rng.normal(size=80), rng.normal(size=200), str(number)) for number in range(600)]
    p = running_p(np.stack(ranks, axis=1))
    assert (np.diff(p, axis=0) <= 0).all()
    assert (p[-1] <= level).mean() <= level


@pytest.mark.parametrize(("change", "within"), [("higher", 45), ("lower", 45), ("wider", 90), ("narrower", 90)])
@pytest.mark.parametrize("start", [0, 100])
def test_a_planted_change_is_found_soon_after_it_began(change: str, within: int, start: int):
    rng = np.random.default_rng(start + 1)
    delays = []
    for number in range(15):
        arrivals = rng.normal(size=start + within)
        kept, later = arrivals[:start], arrivals[start:]
        moved = {"higher": later + 1.2, "lower": later - 1.2, "wider": later * 2.2, "narrower": later * 0.4}[change]
        p = running_p(conformal_ranks(rng.normal(size=300), np.append(kept, moved), str(number))[:, None])[:, 0]
        delays.append(bool(p[-1] <= 0.05 / 30))
        assert not start or p[start - 1] > 0.05 / 30
    assert np.mean(delays) >= 0.8


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_what_its_steps_say(p: list[float]):
    adjusted = holm(p)
    order = sorted(range(len(p)), key=lambda i: (p[i], i))
    highest = 0.0
    for step, place in enumerate(order):
        highest = max(highest, min((len(p) - step) * p[place], 1.0))
        assert adjusted[place] == pytest.approx(highest)
