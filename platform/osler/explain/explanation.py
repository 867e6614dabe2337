"""The explanation of one study: a record that the dashboard draws and the command line prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from osler.calibrate.conformal import Reached

SCHEMA = "osler-explanation/4"
SHOWN = 32  # People stop using an explanation that names more (M20.1).
CITATION_HEADING = "Supports the general association; not evidence from this patient"
NOTICE = "For research use. Not a medical device."
ABOUT_THE_MODEL = "This is about the model, not about the patient: it names no cause and no treatment."
UNMEASURED = "unmeasured here"
NO_LOCATION = "location unavailable"


@dataclass(frozen=True)
class Measured:
    """A figure with what it was measured on.

    Attributes:
        value: The figure, in [0, 1].
        low: Lower end of its 95% interval.
        high: Upper end.
        studies: Studies that it was measured on.
        present: Those among them that show the concept.
        where: Of what studies, in words.
    """

    value: float
    low: float
    high: float
    studies: int
    present: int
    where: str


@dataclass(frozen=True)
class ExplanationWarning:
    """What else is to be known.

    Attributes:
        code: Stable code: of a contract's clause, or one of `osler.explain.cautions`.
        message: The same in words.
    """

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


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
        conflict_runner_up: Whether it runs against what the text says for the runner-up.
        citation: The passage behind the question.
        prior_citation: The passage behind the prior, where there is one.
        location: `validated` where its map may be shown, for the concept is called present and its maps were found to point
            where it is; else `unavailable`.
        seen: `present`, `absent` or `uncertain` by limits that were checked on held-out studies, or by the reader's word;
            `ignored` where a site's patch ignores it, which never means absent.
        corrected_to: Values that the head receives where a reader says absent and present.
        localisation: How often its map pointed into the mask on held-out studies; None where nobody checked.
        grounding_here: Its AUROC at this site, None where it is unmeasured here.
        grounding_source: The same at the source, None where it was not measured.
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
    seen: str = "uncertain"
    conflict_runner_up: bool = False
    corrected_to: tuple[float, float] = (0.0, 1.0)
    localisation: Measured | None = None
    grounding_here: Measured | None = None
    grounding_source: Measured | None = None


@dataclass(frozen=True)
class PatchEffect:
    """The patch in force, and what the model would have said without it.

    Attributes:
        id: Its name.
        created: ISO date.
        reason: Why it was made.
        masked: Concepts that are ignored at the site.
        amplified: Concepts that weigh more there.
        edits: A sentence for each change.
        finding_without: The finding without it.
        margin_with: Logit of the finding minus that of the runner-up.
        margin_without: The same two classes without it: below zero where the patch turned them round.
        expires: ISO date of its last day, or None.
    """

    id: str
    created: str
    reason: str
    masked: tuple[str, ...]
    amplified: tuple[str, ...]
    edits: tuple[str, ...]
    finding_without: Finding
    margin_with: float = 0.0
    margin_without: float = 0.0
    expires: str | None = None


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
class ConceptChange:
    """One concept that would have to be otherwise: its value and where that stands among the source's, in [0, 1]."""

    id: str
    name: str
    value: float
    value_needed: float
    percentile: float
    percentile_needed: float


@dataclass(frozen=True)
class WhatWouldChange:
    """The fewest changes of concepts by which the model would say the runner-up; about the model, not the patient.

    Attributes:
        changes: What would have to be otherwise, the largest effect first; empty where none of up to three is plausible.
        to: The class that it would say then.
        margin: Its logit minus that of the finding then.
        distance: How unlike the source's studies the changed concepts are together, see `osler.explain.typicality`.
        limit: The distance that a change may reach; 95% of held-out source studies are no farther.
        sentence: The same in words.
        notice: What it is not.
    """

    changes: tuple[ConceptChange, ...]
    to: str
    margin: float | None
    distance: float | None
    limit: float
    sentence: str
    notice: str = ABOUT_THE_MODEL


@dataclass(frozen=True)
class SimilarStudy:
    """An archived study of another patient with a like concept profile.

    Attributes:
        study: Its pseudonymous UID.
        site: Its site.
        distance: Root mean square difference of concepts, in the source's standard deviations.
        finding: What the model says of it.
        label: The class that the archive holds of it, None where none is known.
        review: Where it stands: `to review`, `in review`, `signed` or `amended`.
    """

    study: str
    site: str
    distance: float
    finding: str
    label: str | None
    review: str


@dataclass(frozen=True)
class Searched:
    """Among which studies similar ones were looked for: of other patients, and read by the model so far.

    Attributes:
        studies: Number of studies that were compared.
        archived: Number of archived studies of other patients, of every site, read or not.
        sentence: The same in words.
    """

    studies: int
    archived: int
    sentence: str

    @classmethod
    def among(cls, studies: int, archived: int) -> Searched:
        """Count, and say it."""
        held = f"{archived:,} archived {'study' if archived == 1 else 'studies'} of other patients"
        if studies >= archived:
            return cls(studies, archived, f"Looked for among all {held}.")
        return cls(studies, archived, f"Looked for among the {studies:,} of {held} that were read so far.")


@dataclass(frozen=True)
class Likeness:
    """How unlike the source a study is.

    Attributes:
        of: `concepts` or `image features`.
        distance: Mahalanobis distance to the source's mean.
        limit: The distance that a share `false_alarm` of held-out source studies exceeds.
        false_alarm: That share.
        studies: Held-out source studies that the limit comes from.
        unlike: Whether the distance exceeds the limit.
    """

    of: str
    distance: float
    limit: float
    false_alarm: float
    studies: int
    unlike: bool


@dataclass(frozen=True)
class Explanation:
    """Why a study got its finding: `baseline`, the contributions and `residual` sum to `margin`.

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
        residual: Part of the margin that passed no concept; 0 where the head sees concepts alone.
        residual_share: Its size over the sum of all sizes, in [0, 1].
        first: The concepts for the first screen, 5 to 10 where there are as many; a part of `shown`.
        shown: The concepts to show, at most 32, the largest contribution first.
        would_change: What would change the model's mind, None where it was not asked for.
        similar: Archived studies with a like concept profile, the likest first.
        similar_among: Among which studies they were looked for, None where nobody looked.
        likeness: How unlike the source the study is.
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
    warnings: tuple[ExplanationWarning, ...] = ()
    residual: float = 0.0
    residual_share: float = 0.0
    first: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    would_change: WhatWouldChange | None = None
    similar: tuple[SimilarStudy, ...] = ()
    similar_among: Searched | None = None
    likeness: tuple[Likeness, ...] = ()
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
