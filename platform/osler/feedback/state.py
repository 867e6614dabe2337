"""Where a study stands: to review, in review, signed, or amended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from osler.feedback.log import read_log
from osler.feedback.review import Review
from osler.workspace import Workspace


class ReviewState(StrEnum):
    """What has become of a study; the value is how it is said to a person."""

    TO_REVIEW = "to review"
    IN_REVIEW = "in review"
    SIGNED = "signed"
    AMENDED = "amended"


@dataclass(frozen=True)
class StudyReviews:
    """What was said of one study.

    Attributes:
        counted: Reviews that count, oldest first.
        waiting: Reviews that somebody was faster than, and whose readers have not confirmed or withdrawn them yet.
    """

    counted: tuple[Review, ...] = ()
    waiting: tuple[Review, ...] = ()

    @property
    def revision(self) -> str:
        """What a save is based on: `id` of the latest review, empty where there is none."""
        return self.counted[-1].id if self.counted else ""

    @property
    def latest(self) -> Review | None:
        """The latest review, signed or not."""
        return self.counted[-1] if self.counted else None

    @property
    def result(self) -> Review | None:
        """The latest signed review: the study's result, until another one amends it."""
        return next((one for one in reversed(self.counted) if one.signed), None)

    @property
    def signed(self) -> tuple[Review, ...]:
        """The signed reviews, oldest first; each but the first amends the one before it."""
        return tuple(one for one in self.counted if one.signed)

    @property
    def state(self) -> ReviewState:
        """Where the study stands; work on an amendment leaves the result as it is."""
        if self.signed:
            return ReviewState.SIGNED if len(self.signed) == 1 else ReviewState.AMENDED
        return ReviewState.IN_REVIEW if self.counted or self.waiting else ReviewState.TO_REVIEW

    def waiting_of(self, reviewer: str) -> Review | None:
        """Return the latest review of a reader that waits for a word, None where there is none."""
        return next((one for one in reversed(self.waiting) if one.reviewer == reviewer), None)


def reviews_by_study(workspace: Workspace) -> dict[str, StudyReviews]:
    """Return what was said of every study of which anything was; read once for each state of the file."""
    return _grouped(*read_log(workspace))


def reviews_of(workspace: Workspace, study: str) -> StudyReviews:
    """Return what was said of one study."""
    return reviews_by_study(workspace).get(study, StudyReviews())


def _grouped(reviews: tuple[Review, ...], settled: frozenset[str]) -> dict[str, StudyReviews]:
    counted: dict[str, list[Review]] = {}
    waiting: dict[str, list[Review]] = {}
    for one in reviews:
        if not one.unconfirmed:
            counted.setdefault(one.study, []).append(one)
        elif one.id not in settled:
            waiting.setdefault(one.study, []).append(one)
    return {
        study: StudyReviews(tuple(counted.get(study, ())), tuple(waiting.get(study, ())))
        for study in [*counted, *(waiting.keys() - counted.keys())]
    }
