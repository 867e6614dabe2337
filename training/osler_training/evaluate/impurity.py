"""What else a concept's representation knows: purity, niches, alignment (M19.2). Zero knowledge beyond the concept is pure.

A representation is what the head receives of a concept: a scalar (n, C), or a vector each (n, C, m). Every probe is judged
on patients that it was not fitted on. Scores depend on the number of studies: compare models on the same studies only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import entr

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.concepts import LEAST
from osler_training.evaluate.metrics import ratio
from osler_training.evaluate.probes import (
    HIDDEN,
    Folds,
    Predict,
    cross_fitted,
    fit_network,
    fold_auroc,
    patient_folds,
    standardiser,
)

REPLICATES = 200  # a whole matrix of AUROCs is drawn anew each time
NICHES = tuple(np.round(np.arange(0, 1, 0.05), 2).tolist())
CLUSTERS = (2, 5, 10, 20, 50)
MOST_CLUSTERED = 1000
ROUNDS = 50


@dataclass(frozen=True, eq=False)
class Represented:
    """Concepts as the head receives them, with their truth; concepts without ten of each answer are left out.

    Attributes:
        values: Representations (n, C, m).
        truth: Truth (n, C) in {0, 1, NaN}.
        patients: Pseudonyms (n,).
        concepts: Identifiers (C,).
        left_out: Concepts that were left out.
    """

    values: Array
    truth: Array
    patients: tuple[str, ...]
    concepts: tuple[str, ...]
    left_out: tuple[str, ...]


def represented(values: Array, truth: Array, patients: Sequence[str], concepts: Sequence[str]) -> Represented:
    """Gather representations (n, C) or (n, C, m) and truth (n, C).

    Raises:
        OslerError: `nothing-eligible` where fewer than two concepts have ten of each answer.
    """
    values = np.asarray(values, float).reshape(*truth.shape, -1)
    counts = np.stack([(truth == side).sum(0) for side in (0, 1)])
    kept = (counts >= LEAST).all(0)
    if kept.sum() < 2:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"{int(kept.sum())} concepts have at least {LEAST} studies of each answer.",
            "Measure impurity on a set where two or more have.",
        )
    names = np.asarray(concepts)
    return Represented(values[:, kept], truth[:, kept], tuple(patients), tuple(names[kept]), tuple(names[~kept]))


@dataclass(frozen=True)
class Impurity:
    """The oracle impurity score and the matrices that it compares.

    Attributes:
        score: `‖A - A*‖_F / (C/2)`; 0 is pure.
        from_values: A: AUROC of concept j (column) from the representation of i (row) (C, C).
        from_truth: A*: the same from the truth of i.
        concepts: Identifiers (C,).
    """

    score: Estimate
    from_values: Array
    from_truth: Array
    concepts: tuple[str, ...]


def oracle_impurity(given: Represented, *, seed: int, hidden: int = HIDDEN, replicates: int = REPLICATES) -> Impurity:
    """Return OIS: does a representation foretell other concepts better, or worse, than the true concept does?

    Raises:
        OslerError: `support-insufficient` where there are fewer patients than folds.
    """
    folds = patient_folds(given.patients, seed=seed)
    rows = _rows(given.patients, seed, replicates)
    unknown = np.where(np.isnan(given.truth), 0.5, given.truth)[:, :, None]
    first, second = (_foretold(one, given.truth, folds, rows, hidden, seed) for one in (given.values, unknown))
    size = len(given.concepts)
    # A pair of which no fold has both answers says nothing.
    score = np.sqrt(np.nansum((first - second) ** 2, axis=(1, 2))) / (size / 2)
    return Impurity(Estimate(float(score[0]), score[1:]).centred, first[0], second[0], given.concepts)


def _foretold(values: Array, truth: Array, folds: Folds, rows: Array, hidden: int, seed: int) -> Array:
    """Return the AUROC of each concept from each representation (1 + R, C, C)."""
    size = truth.shape[1]
    found = np.empty((len(rows), size, size))
    for i in range(size):
        scores = cross_fitted(values[:, i], truth, folds, hidden=(hidden,), seed=seed)
        for j in range(size):
            found[:, i, j] = fold_auroc(truth[:, j], scores[:, j], folds, rows)
    return found


def niche_impurity(given: Represented, *, seed: int, replicates: int = REPLICATES) -> Estimate:
    """Return NIS: how well each concept is foretold without the dimensions that go with it; 0.5 is clean.

    One network foretells all concepts from all dimensions. For each threshold on |correlation| the dimensions above it, a
    concept's niche, are set to their mean; the score is the area of the mean AUROC over the thresholds, as a mean.

    Raises:
        OslerError: `support-insufficient` where there are fewer patients than folds.
    """
    n, size, _ = given.values.shape
    flat = given.values.reshape(n, -1)
    folds, rows = patient_folds(given.patients, seed=seed), _rows(given.patients, seed, replicates)
    width = max(20, 2 * size)  # narrower, the network itself would lose what it is asked for
    scores = np.empty((len(NICHES), n, size))
    for train, test in folds:
        scale = standardiser(flat[train])
        predict = fit_network(scale(flat[train]), given.truth[train], hidden=(width, width), seed=seed, table=False)
        related = _correlation(flat[train], given.truth[train])
        for j in range(size):
            scores[:, test, j] = _without_niches(scale(flat[test]), related[:, j], predict, j)
    areas = [
        np.trapezoid([fold_auroc(given.truth[:, j], one[:, j], folds, rows) for one in scores], NICHES, axis=0)
        for j in range(size)
    ]
    score = np.nanmean(areas, axis=0) / (NICHES[-1] - NICHES[0])
    return Estimate(float(score[0]), score[1:])


def _without_niches(x: Array, related: Array, predict: Predict, concept: int) -> Array:
    """Return the probability of a concept (thresholds, n) without its niche at each threshold."""
    seen: dict[bytes, Array] = {}
    found = []
    for threshold in NICHES:
        niche = related > threshold
        key = niche.tobytes()
        if key not in seen:
            seen[key] = predict(np.where(niche, 0.0, x))[:, concept]
        found.append(seen[key])
    return np.stack(found)


def _correlation(x: Array, truth: Array) -> Array:
    """Return |correlation| of each dimension with each concept where it is known (D, C); 0 where one is constant."""
    found = np.zeros((x.shape[1], truth.shape[1]))
    for j in range(truth.shape[1]):
        known = ~np.isnan(truth[:, j])
        a, b = x[known] - x[known].mean(0), truth[known, j] - truth[known, j].mean()
        spread = np.linalg.norm(a, axis=0) * np.linalg.norm(b)
        found[:, j] = np.where(spread > 0, np.abs(b @ a) / np.where(spread > 0, spread, 1), 0)
    return found


def alignment(
    given: Represented, *, seed: int, clusters: Sequence[int] = CLUSTERS, replicates: int = REPLICATES
) -> Estimate:
    """Return CAS: how far clusters of a concept's representation are of one answer, over numbers of clusters; 1 is aligned.

    Clusters are those of k-medoids on at most a thousand studies; the score is the area of their homogeneity over k, as a mean.
    """
    rng = np.random.default_rng(seed)
    rows = _rows(given.patients, seed, replicates)
    scores = []
    for j in range(len(given.concepts)):
        known = np.flatnonzero(~np.isnan(given.truth[:, j]))
        some = np.sort(rng.permutation(known)[:MOST_CLUSTERED])
        distances = cdist(given.values[some, j], given.values[some, j])
        ks = [k for k in clusters if k <= len(some)]
        curves = [homogeneity(given.truth[some, j] == 1, medoids(distances, k, rng), rows[:, some]) for k in ks]
        area = np.trapezoid(curves, ks, axis=0) / (ks[-1] - ks[0]) if len(ks) > 1 else curves[0]
        scores.append(area)
    score = np.nanmean(scores, axis=0)
    return Estimate(float(score[0]), score[1:]).centred


def medoids(distances: Array, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the cluster of each of n points by k-medoids from distances (n, n), begun as k-means++ begins."""
    chosen = [int(rng.integers(len(distances)))]
    while len(chosen) < k:
        nearest = distances[:, chosen].min(1) ** 2
        if nearest.sum() == 0:  # fewer distinct points than clusters
            break
        chosen.append(int(rng.choice(len(distances), p=nearest / nearest.sum())))
    centres = np.array(chosen)
    for _ in range(ROUNDS):
        cluster = distances[:, centres].argmin(1)
        moved = centres.copy()
        for number in range(len(centres)):
            own = np.flatnonzero(cluster == number)
            moved[number] = own[distances[np.ix_(own, own)].sum(1).argmin()]
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.asarray(distances[:, centres].argmin(1), np.intp)


def homogeneity(positive: BoolArray, cluster: NDArray[np.intp], weights: Array) -> Array:
    """Return `1 - H(answer | cluster) / H(answer)` under each row of weights (R,); NaN where all answers are alike."""
    member = np.eye(int(cluster.max()) + 1)[cluster]
    counts = np.stack([weights @ (member * side[:, None]) for side in (positive * 1.0, 1.0 - positive)])  # (2, R, k)
    total = counts.sum((0, 2))
    inside = entr(ratio(counts, counts.sum(0))).sum(0)
    conditional = np.nansum(inside * ratio(counts.sum(0), total[:, None]), axis=1)
    plain = entr(ratio(counts.sum(2), total)).sum(0)
    return np.asarray(1 - ratio(conditional, np.where(plain > 0, plain, np.nan)))


def _rows(patients: Sequence[str], seed: int, replicates: int) -> Array:
    return np.vstack([np.ones((1, len(patients))), patient_weights(patients, seed=seed, replicates=replicates)])
