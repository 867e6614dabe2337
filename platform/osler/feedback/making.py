"""A review from what was on the screen: the explanation as it came, as it was after the corrections, and the draft."""

from __future__ import annotations

from osler.explain.explanation import SCHEMA, Explanation, Finding
from osler.feedback.drafts import Draft
from osler.feedback.review import Conclusion, Review


def review_of(first: Explanation, now: Explanation, draft: Draft, reviewer: str, *, signed: bool = True) -> Review:
    """Return a reader's word on a study, not saved yet.

    Args:
        first: The explanation without corrections.
        now: The one with them; the same where nothing was corrected.
        draft: The reader's answers, and the revision that they were begun from.
        reviewer: Who says so.
        signed: Whether it is signed off.
    """
    return Review(
        study=first.study,
        site=first.site or "",
        reviewer=reviewer,
        corrections=draft.corrections,
        before=_concluded(first.finding),
        after=_concluded(now.finding),
        model=now.model,
        bank=now.bank,
        patch=now.patch.id if now.patch else None,
        comment=draft.comment.strip(),
        answers=draft.answers,
        seen={one.id: one.seen for one in first.concepts if one.id in draft.answers},
        finding=draft.finding,
        signed=signed,
        schema=SCHEMA,
        based_on=draft.based_on,
    )


def _concluded(finding: Finding) -> Conclusion:
    calibrated = finding.calibrated_probability
    return Conclusion(finding.id, finding.raw_probability if calibrated is None else calibrated)
