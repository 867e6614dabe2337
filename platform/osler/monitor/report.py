"""What monitoring answers: which concepts moved, how far, since when, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from osler.monitor.effect import Effect
from osler_contracts.drift.report import Since, Verdict

SCHEMA = 1


@dataclass(frozen=True)
class ConceptMove:
    """One concept among the arrivals against the reference.

    Attributes:
        id: Its identifier.
        name: Its name.
        verdict: See `osler_contracts.drift.report.Verdict`; an alarm makes it `moved`, or `slight` where the move is small.
        effect: How far it moved, in standard deviations of the reference: of what arrived from its start on, where that is
            known, else of all arrivals.
        by_mix: How much of that the estimated change in the mix of classes over the same arrivals would bring by itself.
        before: Mean in the reference.
        after: Mean among the arrivals that `effect` is of.
        spread: Standard deviation of the same arrivals over that of the reference; 1 where the reference does not vary.
        psi: Population stability index.
        psi_interval: 95% interval of the true one.
        p: Chance of such evidence at any time where nothing moved.
        p_adjusted: The same over all concepts (Holm).
        alarm: Arrival, counted from 0, at which the alarm was first given; None where none was.
        since: Since when it moved, for the clearest of those with an alarm.
    """

    id: str
    name: str
    verdict: Verdict
    effect: Effect
    by_mix: float
    before: float
    after: float
    spread: float
    psi: float
    psi_interval: tuple[float, float]
    p: float
    p_adjusted: float
    alarm: int | None = None
    since: Since | None = None


@dataclass(frozen=True)
class MonitorReport:
    """The concepts of a stream against a reference.

    Attributes:
        site: The site.
        model: Digest of the model.
        patch: Patch under which concepts were read, None for none.
        level: Chance of any false alarm, over all concepts and however often one looks.
        reference: What it was compared with: `of`, `studies`.
        stream: What arrived: `studies`, `runs`, `received`, and how many were left out.
        detectable: About the smallest shift of a mean, in standard deviations, that would be found.
        classes: Estimated share of each class, before and after.
        caveat: What cannot be known without labels.
        concepts: The concepts, the gravest first.
    """

    site: str
    model: str
    patch: str | None
    level: float
    reference: Mapping[str, Any]
    stream: Mapping[str, Any]
    detectable: float
    classes: Mapping[str, tuple[float, float]]
    caveat: str
    concepts: tuple[ConceptMove, ...] = field(default=())

    @property
    def moved(self) -> tuple[ConceptMove, ...]:
        """The concepts that moved."""
        return tuple(one for one in self.concepts if one.verdict is Verdict.MOVED)

    @property
    def answer(self) -> Verdict:
        """The answer as a whole."""
        verdicts = {one.verdict for one in self.concepts}
        return next((one for one in Verdict if one in verdicts), Verdict.TOO_FEW)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON record."""
        moved = [one.id for one in self.moved]
        return {"schema": SCHEMA, "answer": str(self.answer), "moved": moved, **asdict(self)}
