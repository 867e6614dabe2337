"""`logistic_shots`: the head replaced by a logistic regression on the shots' concept values; what most users would try first.

Values are in units of the source (class-balanced mean, total deviation), so that few shots need not tell the spread of a
concept; each class weighs alike. Nothing of the source's head is kept, which is why it harms where shots are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.new_head import replaced_head, source_head
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import Labels, SourceUnits, in_span, shots
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

TOLERANCE, ROUNDS = 1e-7, 10_000


@dataclass(frozen=True)
class LogisticShots:
    """Logistic regression on the shots.

    Attributes:
        C: Inverse strength of the L2 penalty.
        min_shots: Fewest shots a class.
    """

    C: float = 1.0
    min_shots: int = 1

    name: ClassVar[str] = "logistic_shots"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.C < np.inf:
            raise OslerError(Code.USAGE, f"A penalty of inverse strength {self.C:g} is none.", "Give C above 0.")

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        source_head(pipeline)
        values, y = shots(pipeline, support, self.min_shots)
        units = SourceUnits.total(pipeline)
        weights, bias = units.unfolded(*regressed(units(values), y, self.C))
        reason = f"Head replaced by a logistic regression on {len(y)} labelled studies."
        return patch_of(
            self, pipeline, support, created=created, reason=reason, head=replaced_head(pipeline, weights, bias)
        )


def regressed(x: Array, y: Labels, C: float = 1.0) -> tuple[Array, Array]:
    """Return weights (K, D) and bias (K,) of a logistic regression on x (n, D), each class weighing alike."""
    from sklearn.linear_model import LogisticRegression

    within, basis = in_span(x)
    model = LogisticRegression(C=C, class_weight="balanced", tol=TOLERANCE, max_iter=ROUNDS).fit(within, y)
    weights, bias = model.coef_ @ basis, model.intercept_
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return weights, bias


ADAPTER = LogisticShots
