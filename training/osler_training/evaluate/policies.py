"""In which order concepts are corrected (M19.1). A policy returns the groups of each study in order (n, S).

Groups of which a study has no truth come last and stand as -1: nobody can correct them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from osler.bottleneck.records import Array, BoolArray
from osler_training.evaluate.correcting import Bench

Order = NDArray[np.intp]
Policy = Callable[[Bench, int, np.random.Generator], Order]


def by_score(bench: Bench, score: Array, steps: int) -> Order:
    """Return the order of scores (n, G) that do not change, the highest first."""
    score = np.where(bench.open, score, -np.inf)
    order = np.argsort(-score, axis=1, kind="stable")[:, :steps]
    return np.where(np.take_along_axis(bench.open, order, axis=1), order, -1)


def mean_in_group(bench: Bench, score: Array) -> Array:
    """Return the mean over each group's concepts (n, G) of scores (n, C)."""
    return np.asarray(score @ bench.member.T / bench.member.sum(1))


def random(bench: Bench, steps: int, rng: np.random.Generator) -> Order:
    """One order for all studies, drawn."""
    return by_score(bench, np.tile(rng.permutation(bench.groups), (len(bench), 1)), steps)


def uncertainty(bench: Bench, steps: int, rng: np.random.Generator) -> Order:
    """The concepts nearest to 0.5 first, study by study."""
    return by_score(bench, mean_in_group(bench, -np.abs(bench.believed - 0.5)), steps)


def importance(bench: Bench, steps: int, rng: np.random.Generator) -> Order:
    """The concepts that can move a logit most first: `max_k sum_j |W_kj| (present - absent)` over a group; sees no label.

    Measured by clamping each concept to both answers, so that it also speaks of heads that are not linear.
    """
    effect = np.stack([np.abs(np.subtract(*_both(bench, c))).mean(0) for c in range(bench.truth.shape[1])])  # (C, K)
    return by_score(bench, np.tile((bench.member @ effect).max(1), (len(bench), 1)), steps)


def cooperative(
    bench: Bench, steps: int, rng: np.random.Generator, *, entropy: float = 1.0, change: float = 1.0
) -> Order:
    """CooP (Chauhan et al. 2023): what is uncertain and may change the answer first, looked at anew after each correction.

    The score of a concept is `entropy * H(p) + change * (p |P_1 - P| + (1 - p) |P_0 - P|)`, with P the probability of the class
    that is predicted now and P_v the same with the concept set to v; of a group, the mean over its concepts. Weights other
    than 1 are to be chosen on the select split. Sees no label.
    """
    doubt = entr(bench.believed) + entr(1 - bench.believed)
    taken, order = np.zeros(bench.open.shape, bool), []
    for _ in range(steps):
        score = entropy * doubt + change * _expected_change(bench, taken)
        order.append(bench.first(mean_in_group(bench, score), taken))
        taken = bench.take(taken, order[-1])
    return np.stack(order, axis=1)


def _expected_change(bench: Bench, taken: BoolArray) -> Array:
    """Return the expected change (n, C) of the predicted class's probability when a concept becomes known."""
    now = bench.corrected(taken)
    rows, predicted = np.arange(len(bench)), now.argmax(1)
    found = np.zeros(bench.truth.shape)
    waiting = bench.concepts_of(bench.open & ~taken)
    for c in np.flatnonzero(waiting.any(0)):
        absent, present = (
            np.abs(bench.pipeline.calibration.probabilities(one)[rows, predicted] - now[rows, predicted])
            for one in _both(bench, int(c), taken)[::-1]
        )
        p = bench.believed[:, c]
        found[:, c] = p * present + (1 - p) * absent
    return found


def oracle(bench: Bench, steps: int, rng: np.random.Generator) -> Order:
    """Greedy and with the label in hand: the group that helps the true class most. A ceiling, not a policy to use."""
    rows, y = np.arange(len(bench)), bench.tested.y
    taken, order = np.zeros(bench.open.shape, bool), []
    for _ in range(steps):
        help_ = np.full(bench.open.shape, -np.inf)
        for g in np.flatnonzero((bench.open & ~taken).any(0)):
            one_more = taken.copy()
            one_more[:, g] = True
            help_[:, g] = bench.corrected(one_more)[rows, y]
        order.append(bench.first(help_, taken))
        taken = bench.take(taken, order[-1])
    return np.stack(order, axis=1)


def _both(bench: Bench, concept: int, taken: BoolArray | None = None) -> tuple[Array, Array]:
    """Return logits (n, K) with a concept present, and with it absent, beside the groups that are taken."""
    mask = np.zeros(bench.truth.shape, bool) if taken is None else bench.concepts_of(taken) & bench.known
    truth = bench.truth.copy()
    mask[:, concept] = True
    answers = []
    for side in (1.0, 0.0):
        truth[:, concept] = side
        answers.append(bench.logits(mask, truth))
    return answers[0], answers[1]


POLICIES: dict[str, Policy] = {
    "random": random,
    "uncertainty": uncertainty,
    "importance": importance,
    "coop": cooperative,
    "oracle": oracle,
}


def coop(entropy: float, change: float) -> Policy:
    """Return CooP with other weights."""
    return partial(cooperative, entropy=entropy, change=change)
