"""Logistic regression of two classes, for the hundreds of small fits that groundings are.

scikit-learn's own, on the same loss, spends half its time on checking what it is given; the benchmark compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from osler.bottleneck.records import Array

# A gradient of single-precision products is noise below a millionth; the tolerance of scikit-learn is 1e-4.
SOLVER: Any = {
    "method": "L-BFGS-B",
    "options": {"maxiter": 2000, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 10},
}
STEEPEST = 1e-3


@dataclass(frozen=True)
class Direction:
    """A fitted linear classifier of two classes.

    Attributes:
        w: Weights (D,).
        b: Intercept.
        C: Inverse strength of its penalty.
    """

    w: Array
    b: float
    C: float

    def decision(self, x: Array) -> Array:
        """Return the logit of the second class (n,)."""
        return np.asarray(x @ self.w.astype(x.dtype) + self.b, float)

    def accuracy(self, x: Array, y: NDArray[np.int_]) -> float:
        """Return the share of right answers."""
        return float(np.mean((self.decision(x) > 0) == y))

    def cross_entropy(self, x: Array, y: NDArray[np.int_]) -> float:
        """Return the mean cross-entropy, as of a logistic model."""
        z = self.decision(x)
        return float(np.mean(np.logaddexp(0, z) - y * z))


def fit_logistic(x: Array, y: NDArray[np.int_], C: float, start: Direction | None = None) -> Direction:
    """Minimise `mean CE + ||w||^2 / (2 n C)`, the intercept spared: scikit-learn's logistic regression.

    Args:
        x: Features (n, D); products are taken in their precision.
        y: Classes (n,), 0 or 1.
        C: Inverse strength of the penalty.
        start: Where to start, such as the fit with another strength.

    Raises:
        ValueError: where the solver does not come to an end, as with features that are not finite.
    """
    n, precision = len(y), x.dtype
    truth = y.astype(precision)

    def loss(flat: Array) -> tuple[float, Array]:
        w = flat[:-1]
        z = x @ w.astype(precision) + precision.type(flat[-1])
        residual = (expit(z) - truth) / n
        value = (np.logaddexp(0, z) - truth * z).sum(dtype=float) / n + w @ w / (2 * n * C)
        return float(value), np.append((residual @ x).astype(float) + w / (n * C), residual.sum(dtype=float))

    first = np.zeros(x.shape[1] + 1) if start is None else np.append(start.w, start.b)
    found = minimize(loss, first, jac=True, **SOLVER)
    if not np.abs(found.jac).max() <= STEEPEST:
        raise ValueError(f"A logistic regression on {n} examples did not converge ({found.message})")
    return Direction(found.x[:-1], float(found.x[-1]), C)
