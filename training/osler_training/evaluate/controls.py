"""Whether a bottleneck says more than its control, whose concepts are random or permuted (M19.2); `fit.controls` makes those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from osler_training.evaluate.bootstrap import REPLICATES, Estimate
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import compare

MARGIN = 0.02
Verdict = Literal["carries", "carries nothing", "undecided"]


@dataclass(frozen=True)
class Control:
    """A bottleneck against its control.

    Attributes:
        lead: The figure of the real concepts minus that of the control, paired.
        margin: By how much concepts must lead to mean anything.
    """

    lead: Estimate
    margin: float = MARGIN

    @property
    def within(self) -> bool:
        """Whether the control comes within the margin: the concepts are then not what carries the figure."""
        return self.lead.value < self.margin

    @property
    def verdict(self) -> Verdict:
        """What the interval of the lead allows to say."""
        low, high = self.lead.ci
        if low > self.margin:
            return "carries"
        return "carries nothing" if high < self.margin else "undecided"


def against_control(
    real: Records,
    control: Records,
    metric: str = "balanced_accuracy",
    *,
    seed: int,
    margin: float = MARGIN,
    replicates: int = REPLICATES,
) -> Control:
    """Compare a bottleneck with one of random or permuted concepts on the same studies.

    Raises:
        OslerError: `table-invalid` where the two do not hold the same studies.
    """
    return Control(compare(real, control, [metric], seed=seed, replicates=replicates)[metric], margin)
