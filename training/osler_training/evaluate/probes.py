"""Probes that are fitted on some patients and judged on others, so that nothing is measured that they were fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import binary_auroc

FOLDS = 5
HIDDEN = 32
ITERATIONS = 50  # of L-BFGS on the whole batch: the same fit for the same seed, whatever the order of rows
Predict = Callable[[Array], Array]


@dataclass(frozen=True)
class Folds:
    """Which fold each study is judged in (n,); the studies of a patient share one."""

    of: NDArray[np.intp]

    def __iter__(self) -> Iterator[tuple[BoolArray, BoolArray]]:
        """Give training and test rows of each fold."""
        for number in range(int(self.of.max()) + 1):
            yield self.of != number, self.of == number


def patient_folds(patients: Sequence[str], *, seed: int, folds: int = FOLDS) -> Folds:
    """Deal patients into folds of about equal size.

    Raises:
        OslerError: `support-insufficient` where there are fewer patients than folds.
    """
    if len(set(patients)) < folds:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"{len(set(patients))} patients cannot be dealt into {folds} folds.",
            "Measure on more patients.",
        )
    found = np.empty(len(patients), np.intp)
    split = GroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(split.split(found, groups=np.asarray(patients))):
        found[test] = number
    return Folds(found)


def standardiser(x: Array) -> Predict:
    """Return a standardisation by the moments of x (n, D); a deviation below 1e-6 counts as 1."""
    mean, std = x.mean(0), x.std(0)
    std = np.where(std < 1e-6, 1.0, std)
    return lambda other: (other - mean) / std


def fit_network(x: Array, targets: Array, *, hidden: tuple[int, ...], seed: int, table: bool = True) -> Predict:
    """Fit probes of binary targets (n, J) in {0, 1, NaN} on inputs (n, D); they give probabilities (n, J).

    Targets known in the same studies share one network. A single input of at most three values needs none: its probe is the
    share of positives at each value, which is what any network could learn at most.

    Args:
        x: Inputs.
        targets: Targets; a column without both answers is predicted as its mean.
        hidden: Widths of the hidden layers.
        seed: Seed of the initial weights.
        table: Whether inputs of few values are tabulated.
    """
    known = ~np.isnan(targets)
    if table and x.shape[1] == 1 and len(np.unique(x)) <= 3:
        return _tabulated(x[:, 0], targets)
    scale = standardiser(x)
    parts: list[tuple[NDArray[np.intp], Predict]] = []
    for mask in np.unique(known, axis=1).T:
        columns = np.flatnonzero((known == mask[:, None]).all(0))
        both = np.array([len(np.unique(targets[mask, j])) == 2 for j in columns], bool)
        if (some := columns[both]).size:
            parts.append((some, _network(scale(x[mask]), targets[np.ix_(mask, some)], hidden, seed)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column that nobody answered has no mean
        means = np.nan_to_num(np.nanmean(targets, axis=0), nan=0.5)

    def predict(other: Array) -> Array:
        found = np.tile(means, (len(other), 1))
        for columns, part in parts:
            found[:, columns] = part(scale(other))
        return found

    return predict


def _network(x: Array, targets: Array, hidden: tuple[int, ...], seed: int) -> Predict:
    model = MLPClassifier(hidden, solver="lbfgs", alpha=1e-2, max_iter=ITERATIONS, max_fun=10**6, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is part of the probe
        model.fit(x, targets if targets.shape[1] > 1 else targets[:, 0])
    if targets.shape[1] > 1:
        return lambda other: np.asarray(model.predict_proba(other))
    return lambda other: np.asarray(model.predict_proba(other)[:, 1:])


def _tabulated(x: Array, targets: Array) -> Predict:
    values = np.unique(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        shares = np.nan_to_num(np.stack([np.nanmean(targets[x == value], axis=0) for value in values]), nan=0.5)
    return lambda other: shares[np.abs(other[:, :1] - values).argmin(1)]


def cross_fitted(x: Array, targets: Array, folds: Folds, *, hidden: tuple[int, ...], seed: int) -> Array:
    """Return out-of-fold probabilities (n, J) of binary targets (n, J) in {0, 1, NaN}."""
    found = np.empty(targets.shape)
    for train, test in folds:
        found[test] = fit_network(x[train], targets[train], hidden=hidden, seed=seed)(x[test])
    return found


def cross_fitted_classes(x: Array, y: NDArray[np.intp], folds: Folds, classes: int, *, C: float = 1.0) -> Array:
    """Return out-of-fold class probabilities (n, K) of a linear probe on standardised inputs."""
    found = np.zeros((len(y), classes))
    for train, test in folds:
        scale = standardiser(x[train])
        model = LogisticRegression(C=C, max_iter=2000).fit(scale(x[train]), y[train])
        found[np.ix_(test, model.classes_)] = model.predict_proba(scale(x[test]))
    return found


def fold_auroc(target: Array, score: Array, folds: Folds, weights: Array) -> Array:
    """Return the mean over folds of the AUROC within each (R,): scores of different fits are not compared."""
    known = ~np.isnan(target)
    found = [
        binary_auroc(target[rows] == 1, score[rows], weights[:, rows])
        for _, test in folds
        if len(np.unique(target[rows := test & known])) == 2
    ]
    if not found:
        return np.full(len(weights), np.nan)
    return np.asarray(np.mean(found, axis=0))
