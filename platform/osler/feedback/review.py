"""One reader's word on one study, with what it was said of: model, bank, patch and kind of explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

MAX_NAME, MAX_COMMENT = 80, 4000


class Answer(StrEnum):
    """A reader's word on one concept; the first two set it, the others leave it as the model found it."""

    PRESENT = "present"
    ABSENT = "absent"
    CONFIRM = "confirm"
    DOUBT = "doubt"


SETTING = {Answer.PRESENT: True, Answer.ABSENT: False}
SHOWN = {"present": True, "absent": False}


@dataclass(frozen=True)
class Conclusion:
    """A finding with its calibrated probability."""

    finding: str
    probability: float


@dataclass(frozen=True)
class Review:
    """One reader's word on one study.

    `corrections` and the answers that set a concept say the same; whichever is not given follows from the other.

    Attributes:
        study: Pseudonymous study UID.
        site: Its site.
        reviewer: Who says so.
        corrections: Concepts that the reader set, True for present; empty where the reader agrees.
        before: What the model concluded.
        after: What it concluded once corrected.
        model: Digest of the model.
        bank: Digest of its concept bank.
        patch: Identifier of the site patch in force, or None.
        comment: Free text.
        saved: When, ISO 8601 in UTC.
        answers: The reader's word on each concept that was looked at.
        seen: What was shown of each concept that was answered: `present`, `absent`, `uncertain` or `ignored`.
        finding: The reader's own finding, empty where the reader goes with `after`.
        signed: Whether it is signed off; a review that is not is work in progress.
        schema: Schema of the explanation that was shown, empty in lines older than that.
        based_on: `id` of the revision that the reader had before the eyes, empty for none, None where nobody said.
        amends: `id` of the signed review that this one takes the place of.
        unconfirmed: Whether somebody else was faster: it is kept, and counts once its reader confirms it.
        settles: `id` of the unconfirmed review that this one confirms.
        id: Name of this revision, given when it is saved.
    """

    study: str
    site: str
    reviewer: str
    corrections: Mapping[str, bool]
    before: Conclusion
    after: Conclusion
    model: str
    bank: str
    patch: str | None = None
    comment: str = ""
    saved: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    answers: Mapping[str, Answer] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)
    finding: str = ""
    signed: bool = True
    schema: str = ""
    based_on: str | None = field(default=None, compare=False)
    amends: str = field(default="", compare=False)
    unconfirmed: bool = False
    settles: str = field(default="", compare=False)
    id: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.reviewer.strip()) <= MAX_NAME:
            raise OslerError(Code.USAGE, "A review needs the name of its reader.", f"Give 1 to {MAX_NAME} characters.")
        if len(self.comment) > MAX_COMMENT:
            raise OslerError(
                Code.USAGE, f"The comment has {len(self.comment)} characters.", f"Shorten it to {MAX_COMMENT}."
            )
        answers = {concept: Answer(answer) for concept, answer in self.answers.items()}
        told = {concept: SETTING[answer] for concept, answer in answers.items() if answer in SETTING}
        given = {concept: bool(present) for concept, present in self.corrections.items()}
        if told and given and told != given:
            raise OslerError(
                Code.USAGE, "Answers and corrections of a review contradict each other.", "Give one of the two."
            )
        corrected = {concept: Answer.PRESENT if present else Answer.ABSENT for concept, present in given.items()}
        object.__setattr__(self, "corrections", given or told)
        object.__setattr__(self, "answers", corrected | answers)

    def says(self, concept: str) -> bool | None:
        """Return whether the reader says that a concept is there, None where that was not said.

        Who confirms says what was shown; a doubt says neither, and so does confirming what was shown as uncertain.
        """
        answer = self.answers.get(concept)
        if answer is Answer.CONFIRM:
            return SHOWN.get(self.seen.get(concept, ""))
        return None if answer is None else SETTING.get(answer)

    @property
    def concluded(self) -> str:
        """The finding that the reader leaves the study with."""
        return self.finding or self.after.finding
