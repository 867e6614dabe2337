"""From archive, model and reviews to the rows of the worklist."""

from __future__ import annotations

import json

from osler.archive import StudyRecord
from osler.feedback import ReviewState, StudyReviews
from osler_contracts.codes import Code
from osler_dashboard.components.finding import UNKNOWN, UNMEASURED, certainty
from osler_dashboard.components.worklist import Line
from osler_dashboard.roll import Concluded
from osler_dashboard.words import day, percent, reason, sentence, short_day, site_name, spoken, warning

Told = tuple[StudyRecord, str, Concluded | None, Code | None, StudyReviews | None, bool]
READING = "being read …"
UNREAD = {Code.NOTHING_ELIGIBLE: "No frontal image", Code.INTERNAL: "Could not be read"}


class Rows:
    """Rows as they are sent, each made again only where what it says has changed: readers come back to thousands of them."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, bool], tuple[Told, bytes]] = {}

    def row(self, told: Told) -> bytes:
        """Return the row of a study as JSON; `told` is what `line` takes."""
        key = (told[0].uid, told[5])
        held = self._held.get(key)
        if held is None or held[0] != told:
            held = self._held[key] = (told, json.dumps(vars(line(*told))).encode())
        return held[1]


def line(
    study: StudyRecord,
    name: str,
    concluded: Concluded | None,
    refused: Code | None,
    reviews: StudyReviews | None,
    begun: bool,
) -> Line:
    """Return the row of a study.

    Args:
        study: The study.
        name: Its readable name.
        concluded: What the model makes of it, None where nothing or not yet.
        refused: Why it makes nothing of it.
        reviews: What readers said of it.
        begun: Whether this reader has answers on it that are not signed.
    """
    share = None if concluded is None else certainty(concluded.finding)
    sure, kind, note = _sure(concluded)
    state, state_kind, state_note = _state(reviews or StudyReviews(), begun)
    return Line(
        name=name,
        finding=_finding(concluded, refused),
        share=share,
        percent="" if share is None else percent(share),
        sure=sure,
        sure_kind=kind,
        sure_note=note,
        warned=tuple(warning(code) for code in study.warnings),
        state=state,
        state_kind=state_kind,
        state_note=state_note,
        date=short_day(study.study_date),
        day=study.study_date,
        site=site_name(study.site),
    )


def _finding(concluded: Concluded | None, refused: Code | None) -> str:
    if concluded is not None:
        return spoken(concluded.finding.id)
    if refused is None:
        return READING
    return UNREAD.get(refused) or sentence(reason(refused))


def _sure(concluded: Concluded | None) -> tuple[str, str, str]:
    if concluded is None:
        return "", "none", ""
    if concluded.possible is None:
        return sentence(UNMEASURED), "none", "How sure the model is has not been measured at this hospital."
    names = [spoken(one) for one in concluded.possible]
    if len(names) == 1:
        return f"Only {names[0].lower()}", "one", "The set of possible findings holds this one alone."
    if not names:
        return UNKNOWN, "unknown", "Unlike the studies of every finding measured at this hospital."
    return f"{UNKNOWN}: {len(names)} possible", "several", "Cannot be told apart: " + ", ".join(names) + "."


def _state(held: StudyReviews, begun: bool) -> tuple[str, str, str]:
    own = "You have answers here that are not signed." if begun else ""
    state = ReviewState.IN_REVIEW if begun and held.state is ReviewState.TO_REVIEW else held.state
    kind = {ReviewState.TO_REVIEW: "open", ReviewState.IN_REVIEW: "begun"}.get(state, "signed")
    if held.result is not None:
        own = f"By {held.result.reviewer}, {day(held.result.saved[:10])}. {own}".strip()
    return sentence(str(state)), kind, own
