"""`anchored_head`: the source's head moved only as far as the shots ask for.

With values x in units of the source (class-balanced mean, total deviation) and a head (U, c) whose probabilities are
`softmax(U x + c)`, started at the model's own (U0, c0) divided by its temperature, it minimises

    sum_i w_i CE(U x_i + c, y_i) + strength/2 |U - U0|^2 + bias_strength/2 |c - c0|^2

where each class weighs alike and the weights sum to the number of shots. The problem is convex; it is solved to the end by
L-BFGS with all shots at once. No shot that contradicts the source, no change; no strength, and it is `logistic_shots`
without a penalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from osler.adapt.adapter import patch_of
from osler.adapt.new_head import replaced_head, source_head
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import Labels, SourceUnits, in_span, shots
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ROUNDS, GRADIENT = 2_000, 1e-6


@dataclass(frozen=True)
class AnchoredHead:
    """Logistic regression with a penalty on the way from the source's head.

    Attributes:
        strength: Of the penalty on weights.
        bias_strength: Of the penalty on biases.
        min_shots: Fewest shots a class.
    """

    strength: float = 1.0
    bias_strength: float = 1.0
    min_shots: int = 1

    name: ClassVar[str] = "anchored_head"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (0 < self.strength < np.inf and 0 <= self.bias_strength < np.inf):
            raise OslerError(
                Code.USAGE,
                f"Strengths of {self.strength:g} and {self.bias_strength:g} hold no head.",
                "Give a strength above 0, and 0 or more for the bias.",
            )

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        own, own_bias = source_head(pipeline)
        values, y = shots(pipeline, support, self.min_shots)
        units, temperature = SourceUnits.total(pipeline), pipeline.calibration.temperature
        anchor = units.folded(own / temperature, own_bias / temperature)
        fitted = anchored(units(values), y, *anchor, self.strength, self.bias_strength)
        head = replaced_head(pipeline, *units.unfolded(*fitted))
        reason = f"Head moved from the source's by what {len(y)} labelled studies ask for (strength {self.strength:g})."
        return patch_of(self, pipeline, support, created=created, reason=reason, head=head)


def anchored(
    x: Array, y: Labels, weights: Array, bias: Array, strength: float, bias_strength: float
) -> tuple[Array, Array]:
    """Return weights (K, C) and bias (K,) of the minimum.

    Args:
        x: Values (n, C).
        y: Labels (n,), each class at least once.
        weights: Anchor (K, C).
        bias: Anchor (K,).
        strength: Of the penalty on weights.
        bias_strength: Of the penalty on biases.
    """
    K = len(weights)
    counts = np.bincount(y, minlength=K)
    weigh = len(y) / (np.count_nonzero(counts) * counts[y])
    truth = np.eye(K)[y]
    within, basis = in_span(x)
    r = len(basis)
    penalty = np.concatenate([np.full((K, r), strength), np.full((K, 1), bias_strength)], axis=1)
    wide = np.concatenate([within, np.ones((len(x), 1))], axis=1)
    start = x @ weights.T + bias

    def loss(flat: Array) -> tuple[float, Array]:
        step = flat.reshape(K, r + 1)
        logp = log_softmax(start + wide @ step.T, axis=1)
        value = -(weigh * (truth * logp).sum(axis=1)).sum() + 0.5 * (penalty * step**2).sum()
        gradient = (weigh[:, None] * (np.exp(logp) - truth)).T @ wide + penalty * step
        return float(value), gradient.ravel()

    found = minimize(
        loss,
        np.zeros(K * (r + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ROUNDS, "maxfun": 2 * ROUNDS, "gtol": GRADIENT, "ftol": 1e-14},
    )
    step = found.x.reshape(K, r + 1)
    return weights + step[:, :r] @ basis, bias + step[:, r]


ADAPTER = AnchoredHead
