"""What the model says of a case, kept as it was when the study started: a study must not change while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from osler.explain.explanation import Explanation, Finding


@dataclass(frozen=True)
class ShownConcept:
    """One concept as a reader sees it.

    Attributes:
        name: As a reader says it.
        seen: `present`, `absent`, `uncertain` or `ignored`.
        probability: In [0, 1], or None.
        contribution: Its part of the margin of the finding over the runner-up.
    """

    name: str
    seen: str
    probability: float | None
    contribution: float


@dataclass(frozen=True)
class Advice:
    """What is shown of one case under one condition.

    Attributes:
        finding: What the model concludes.
        probability: How sure it is, in [0, 1].
        runner_up: What came next.
        concepts: Those of the first screen, the largest contribution first.
        planted: Whether it was taken from another patient's study so that it is wrong; never shown.
    """

    finding: str
    probability: float
    runner_up: str
    concepts: tuple[ShownConcept, ...]
    planted: bool = False

    @classmethod
    def of(cls, explanation: Explanation, *, planted: bool = False) -> Advice:
        """Take from an explanation what readers are shown."""
        first = explanation.first or tuple(one.id for one in explanation.concepts[:10])
        shown = [explanation.concept(one) for one in first]
        return cls(
            explanation.finding.id,
            _certainty(explanation.finding),
            explanation.runner_up.id,
            tuple(ShownConcept(one.name, one.seen, one.probability, one.contribution) for one in shown),
            planted,
        )

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Advice:
        """Read what `to_dict` gave."""
        return cls(**{**record, "concepts": tuple(ShownConcept(**one) for one in record["concepts"])})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def _certainty(finding: Finding) -> float:
    calibrated = finding.calibrated_probability
    return finding.raw_probability if calibrated is None else calibrated
