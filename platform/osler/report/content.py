"""What a report says of a study: one plain record from which SR, FHIR and pictures are made, and its digest.

Figures are rounded as they are printed: the same study under the same model gives the same report on another machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from osler import __version__
from osler.explain.explanation import NO_LOCATION, UNMEASURED, ConceptReading, Explanation, Finding
from osler_knowledge.bank import ConceptBank

FORMAT = "osler-report/1"
MOST_CONCEPTS = 32  # M20.1
DIGITS = 4
NOTICE = "Research use, not a medical device. Made by a machine; to be read beside the images by a qualified reader."
_UNSHOWN = "The remaining concepts of the model are not shown; they are in the explanation that Osler keeps."


@dataclass(frozen=True)
class Signature:
    """A reader's sign-off, given to this very conclusion.

    Attributes:
        reader: Name of the reader.
        at: When, ISO 8601 in UTC.
        comment: What the reader added.
        organization: The reader's organisation.
        finding: The finding that the reader leaves the study with.
    """

    reader: str
    at: str
    comment: str = ""
    organization: str = ""
    finding: str = ""


@dataclass(frozen=True)
class Signed:
    """The last sign-off of a study, against what the model says now.

    Attributes:
        signature: Who and when.
        corrections: Concepts that the reader set: 0 absent, 1 present.
        answers: What the reader said of concepts without setting them, in words.
        why_not: Why it does not hold for the model as it is; empty where it does.
    """

    signature: Signature
    corrections: Mapping[str, float]
    answers: Mapping[str, str]
    why_not: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was given to what the model says now."""
        return not self.why_not


@dataclass(frozen=True)
class FindingLine:
    """A class of the model with its probabilities, its operating point and `called`, `not called` or `no operating point`."""

    id: str
    raw: float
    calibrated: float | None
    operating_point: float | None
    decision: str


@dataclass(frozen=True)
class ConceptLine:
    """One concept as a report shows it.

    Attributes:
        id: Identifier.
        name: Name as a reader says it.
        region: Where it shows.
        seen: `present`, `absent`, `uncertain`, or `ignored` at this site.
        probability: Probability that it is present, None where the model gives none or the site ignores it.
        effect: Its part of the margin, and for which class it speaks, in words.
        state: What the site's patch or a reader did with it; empty where nothing.
        reader: What the reader said of it without changing it; empty where nothing.
        citation: Passage, title and references, in words.
        conflict: That the model runs against the text, in words; empty where it does not.
        grounding: How well it is recognised at this site, in words.
        location: Whether a location can be given, in words.
        mapped: Whether its map was validated, so that a region may be shown.
        codes: Code by terminology, as the bank brings them.
    """

    id: str
    name: str
    region: str
    seen: str
    probability: float | None
    effect: str
    state: str
    reader: str
    citation: str
    conflict: str
    grounding: str
    location: str
    mapped: bool
    codes: Mapping[str, str]


@dataclass(frozen=True)
class ReportContent:
    """All that a report says.

    Attributes:
        study: Pseudonymous study UID.
        image: Pseudonymous UID of the image that the model saw.
        site: The site.
        model_name: Name of the model in the workspace.
        model: Its digest.
        bank: Digest of its concept bank, after the bank's name and version.
        encoder: Digest of its encoder.
        patch: Name of the patch in force, None where there is none.
        patch_effect: What it changed, in words.
        finding: The finding.
        runner_up: The class that came next.
        concepts: The shown concepts, the largest effect first.
        unshown: Concepts that are not shown.
        prediction_set: The prediction set in words; empty where there is none.
        abstention: Why the model abstains, or why there is no set; empty where it names one class.
        calibration: Where the calibration comes from, in words.
        residual: The part of the decision that no concept explains, in words; empty where there is none.
        corrections: Concepts that a reader set, in words.
        warnings: What else is to be known.
        signature: The sign-off, None for a preliminary report.
        institution: Name of the institution, where the site's settings give it.
        software: Version of Osler.
        notice: Research use.
    """

    study: str
    image: str
    site: str
    model_name: str
    model: str
    bank: str
    encoder: str
    patch: str | None
    patch_effect: tuple[str, ...]
    finding: FindingLine
    runner_up: FindingLine
    concepts: tuple[ConceptLine, ...]
    unshown: int
    prediction_set: str
    abstention: str
    calibration: str
    residual: str
    corrections: tuple[str, ...]
    warnings: tuple[str, ...]
    signature: Signature | None = None
    institution: str = ""
    software: str = __version__
    notice: str = NOTICE

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, so that an equal report is known again."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def without_reader(self) -> ReportContent:
        """Return what a pseudonymous copy says: readers' names and comments stay out of it (PS3.15 E.1)."""
        if self.signature is None:
            return self
        mark = hashlib.sha256(self.signature.reader.encode()).hexdigest()[:6].upper()
        told = Signature(f"Reader {mark}", self.signature.at, finding=self.signature.finding)
        return replace(self, signature=told)


def content_of(
    explanation: Explanation,
    bank: ConceptBank,
    *,
    image: str,
    model_name: str,
    most: int = MOST_CONCEPTS,
    institution: str = "",
    signed: Signed | None = None,
    notes: tuple[str, ...] = (),
) -> ReportContent:
    """Return the report on an explained study.

    Args:
        explanation: The explanation.
        bank: The model's bank, for the codes that it brings.
        image: Pseudonymous UID of the image that the model saw.
        model_name: Name of the model in the workspace.
        most: Most concepts to show.
        institution: Name of the institution.
        signed: A reader's sign-off of this very explanation.
        notes: Warnings beside those of the explanation.
    """
    names = explanation.shown or tuple(one.id for one in explanation.concepts)
    named = list(names[: min(most, MOST_CONCEPTS)])
    # What a site's patch leaves aside adds nothing, and is told all the same.
    masked = () if explanation.patch is None else explanation.patch.masked
    named += [name for name in masked if name not in named][: MOST_CONCEPTS - len(named)]
    shown = [explanation.concept(name) for name in named]
    hidden = len(explanation.concepts) - len(shown)
    patch = explanation.patch
    said = {} if signed is None else signed.answers
    return ReportContent(
        study=explanation.study,
        image=image,
        site=explanation.site or "",
        model_name=model_name,
        model=explanation.model,
        bank=f"{bank.name} version {bank.version} sha256:{explanation.bank}",
        encoder=explanation.encoder,
        patch=None if patch is None else patch.id,
        patch_effect=_patch_words(explanation),
        finding=_line(explanation.finding),
        runner_up=_line(explanation.runner_up),
        concepts=tuple(
            _concept_line(one, explanation, dict(bank.concept(one.id).codes), said.get(one.id, "")) for one in shown
        ),
        unshown=hidden,
        prediction_set=_set_words(explanation),
        abstention=explanation.abstains_because,
        calibration=_calibration_words(explanation),
        residual=_residual_words(explanation),
        corrections=tuple(
            f"{explanation.concept(name).name}: {_set_to(value)} by a reader"
            for name, value in sorted(explanation.corrections.items())
        ),
        warnings=(*(str(one) for one in explanation.warnings), *notes, *((_UNSHOWN,) if hidden else ())),
        signature=None if signed is None else signed.signature,
        institution=institution,
    )


def percent(value: float) -> str:
    """Return a probability as people read it."""
    return "above 99%" if value > 0.99 else "below 1%" if value < 0.01 else f"{100 * value:.0f}%"


def _line(finding: Finding) -> FindingLine:
    calibrated, point = finding.calibrated_probability, finding.operating_point
    return FindingLine(
        finding.id,
        round(finding.raw_probability, DIGITS),
        None if calibrated is None else round(calibrated, DIGITS),
        None if point is None else round(point, DIGITS),
        finding.decision,
    )


def _concept_line(one: ConceptReading, explanation: Explanation, codes: dict[str, str], reader: str) -> ConceptLine:
    ignored = one.state == "ignored at this site"
    references = "; ".join(one.citation.references)
    return ConceptLine(
        id=one.id,
        name=one.name,
        region=one.region,
        seen="ignored" if ignored else one.seen,
        probability=None if ignored or one.probability is None else round(one.probability, DIGITS),
        effect="" if ignored else _effect_words(one, explanation),
        state="" if one.state == "as scored" else one.state,
        reader=reader,
        citation=f'"{one.citation.passage}" ({one.citation.title}{"; " + references if references else ""})',
        conflict="The model's weight runs against what the text says." if one.conflict else "",
        grounding=_grounding_words(one),
        location="A location map was validated for this concept." if one.location == "validated" else NO_LOCATION,
        mapped=one.location == "validated",
        codes=codes,
    )


def _effect_words(one: ConceptReading, explanation: Explanation) -> str:
    if one.direction == "neither":
        return "Speaks neither for nor against the finding."
    other = explanation.finding if one.direction == "for" else explanation.runner_up
    return f"Speaks for {other.id.replace('_', ' ')} ({one.contribution:+.2f} of the margin {explanation.margin:+.2f})."


def _grounding_words(one: ConceptReading) -> str:
    here = one.grounding_here
    if here is None:
        return UNMEASURED
    return f"AUROC {here.value:.2f} ({here.low:.2f} to {here.high:.2f}), {here.studies} {here.where}"


def _patch_words(explanation: Explanation) -> tuple[str, ...]:
    patch = explanation.patch
    if patch is None:
        return ()
    without = patch.finding_without.id.replace("_", " ")
    return (*patch.edits, f"Without this correction for the site the model would say {without}.")


def _set_words(explanation: Explanation) -> str:
    held = explanation.prediction_set
    if held is None:
        return ""
    classes = " or ".join(name.replace("_", " ") for name in held.classes) or "no class"
    return f"{classes}. {held.sentence}"


def _calibration_words(explanation: Explanation) -> str:
    record = explanation.calibration
    if not record.get("studies"):
        return "The model was not calibrated: raw probabilities only."
    where = "this site" if explanation.calibrated_here else f"{record.get('site') or 'its source'}, not at this site"
    return f"Calibrated on {record['studies']} studies of {where}."


def _residual_words(explanation: Explanation) -> str:
    share = explanation.residual_share
    return f"{percent(share)} of the decision passed no concept." if share > 0 else ""


def _set_to(value: float) -> str:
    return "present" if value == 1 else "absent" if value == 0 else f"set to {value:.2f}"
