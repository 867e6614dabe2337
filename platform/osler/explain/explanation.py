"""The explanation of one study: a record that the dashboard draws and the command line prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from osler.calibrate.conformal import Reached

SCHEMA = "osler-explanation/2"
CITATION_HEADING = "Supports the general association; not evidence from this patient"
NOTICE = "For research use. Not a medical device."


@dataclass(frozen=True)
class Finding:
    """What the model makes of one class.

    Attributes:
        id: Name of the class.
        logit: Its logit.
        raw_probability: Softmax of the logits.
        calibrated_probability: After temperature scaling, None where the model was not calibrated.
        operating_point: Calibrated probability from which it is called, None where none was set.
        decision: `called`, `not called`, or `no operating point`.
    """

    id: str
    logit: float
    raw_probability: float
    calibrated_probability: float | None
    operating_point: float | None
    decision: str


@dataclass(frozen=True)
class Passage:
    """A passage of medical text; `heading` says what it is evidence of, and what not."""

    passage: str
    title: str
    entry: str
    references: tuple[str, ...]
    heading: str = CITATION_HEADING


@dataclass(frozen=True)
class ConceptReading:
    """What one concept did.

    Attributes:
        id: Identifier.
        name: Name as a reader says it.
        question: The question that was asked of the image.
        region: Anatomical region where it shows.
        probability: What the scorer found, before patch and correction; None where it gives no probabilities.
        value: What the head received.
        contribution: Its part of the margin of finding over runner-up, against the source's mean.
        direction: `for` the finding, `against` it, or `neither`.
        state: `as scored`, `ignored at this site`, `amplified at this site`, `shifted at this site` or `corrected`.
        contribution_unpatched: Its part for the same pair of classes without the site's patch; None without a patch.
        prior: What the text says for the finding, in {-1, 0, 1}, None where it says nothing.
        prior_runner_up: The same for the runner-up.
        conflict: Whether the model's weight runs against the text.
        citation: The passage behind the question.
        prior_citation: The passage behind the prior, where there is one.
        location: `unavailable`, or `unvalidated` where a map can be drawn; no map was checked against readers.
    """

    id: str
    name: str
    question: str
    region: str
    probability: float | None
    value: float
    contribution: float
    direction: str
    state: str
    contribution_unpatched: float | None
    prior: int | None
    prior_runner_up: int | None
    conflict: bool
    citation: Passage
    prior_citation: Passage | None
    location: str


@dataclass(frozen=True)
class PatchEffect:
    """The patch in force, and what the model would have said without it."""

    id: str
    created: str
    reason: str
    masked: tuple[str, ...]
    amplified: tuple[str, ...]
    edits: tuple[str, ...]
    finding_without: Finding


@dataclass(frozen=True)
class PredictionSet:
    """The classes that a study may be of, by the calibration of its site.

    Attributes:
        classes: The classes, the likeliest first; none, one or several.
        coverage: Share of studies whose class is in their set, as it was asked for.
        method: How it was made, `lac` or `class-conditional`.
        reached: For each number of calibration studies that counts, what it says of the coverage reached.
        sentence: The same in words, with whom it is of.
    """

    classes: tuple[str, ...]
    coverage: float
    method: str
    reached: tuple[Reached, ...]
    sentence: str


@dataclass(frozen=True)
class Explanation:
    """Why a study got its finding: `baseline` and the contributions sum to `margin`.

    Attributes:
        study: Pseudonymous study UID.
        site: Its site, or None.
        model: Digest of the model.
        bank: Digest of its concept bank.
        encoder: Digest of its encoder.
        finding: The finding.
        runner_up: The class that came next.
        findings: All classes, the likeliest first.
        margin: Logit of the finding minus that of the runner-up.
        baseline: What the margin would be if no concept said anything.
        concepts: All concepts, the largest contribution first.
        calibration: Temperature, site, date and number of studies of the calibration; for one of `osler calibrate` also its
            name `id` and its last day `expires`, None for the model's own.
        calibrated_here: Whether it was fitted at this site under the same patch, and nothing was corrected since.
        patch: The site's patch and its effect, or None.
        corrections: Values that a reader set, by concept.
        finding_uncorrected: The finding without them, None where there are none.
        prediction_set: The classes that the study may be of, None where none can be given.
        abstains: Whether the set holds other than exactly one class: "I do not know". None where there is no set.
        abstains_because: Why it abstains, or why there is no set; empty where the set holds one class.
        warnings: What else is to be known, such as a calibration that has expired.
    """

    study: str
    site: str | None
    model: str
    bank: str
    encoder: str
    finding: Finding
    runner_up: Finding
    findings: tuple[Finding, ...]
    margin: float
    baseline: float
    concepts: tuple[ConceptReading, ...]
    calibration: dict[str, Any]
    calibrated_here: bool
    patch: PatchEffect | None
    corrections: dict[str, float]
    finding_uncorrected: Finding | None
    prediction_set: PredictionSet | None = None
    abstains: bool | None = None
    abstains_because: str = ""
    warnings: tuple[str, ...] = ()
    notice: str = NOTICE

    def concept(self, concept_id: str) -> ConceptReading:
        """Return one concept's reading; KeyError where the model does not know it."""
        for reading in self.concepts:
            if reading.id == concept_id:
                return reading
        raise KeyError(concept_id)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"schema": SCHEMA, **asdict(self)}
