"""What this reader may do with a study, checked anew at every action; answers are kept as a draft until they are signed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from osler import audit
from osler.access import Action
from osler.archive import StudyRecord
from osler.feedback import Answer, Draft, Review, StudyReviews, keep_draft, read_drafts
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error
from osler_dashboard import services, session

_FAULT, _OPENED, _TURN = "desk-fault", "opened-revisions", "answers-turn"


@dataclass(frozen=True)
class Desk:
    """One study before one reader.

    Attributes:
        study: The study.
        person: Who reads.
        may_correct: Whether they may answer.
        may_sign: Whether they may sign.
    """

    study: StudyRecord
    person: str
    may_correct: bool
    may_sign: bool

    def draft(self) -> Draft:
        """Return what this person has answered so far."""
        return read_drafts(services.workspace(), self.person).get(self.study.uid, Draft())

    def keep(self, draft: Draft) -> None:
        """Keep the draft anew; it remembers what had been said of the study when it was begun.

        Raises:
            OslerError: `session-expired` or `not-allowed`.
        """
        session.require(Action.CORRECT)
        keep_draft(services.workspace(), self.person, self.study.uid, self._begun(draft))

    def _begun(self, draft: Draft) -> Draft:
        return draft if draft.based_on is not None else replace(draft, based_on=self.opened_at())

    def finish(self) -> None:
        """Drop the draft: it was signed."""
        keep_draft(services.workspace(), self.person, self.study.uid, Draft())
        self.mark_seen()

    def answer(self, sign: str, answer: Answer | None) -> None:
        """Keep an answer, as what a browser sent is worked off: nothing may be raised, and `fault` then says why.

        An answer that comes just after the session has ended is kept as well: it is a draft, which only its own reader
        sees again, and counts for nothing until it is signed.
        """
        try:
            session.require(Action.CORRECT)
        except OslerError as error:
            if error.code is not Code.SESSION_EXPIRED or not self.may_correct:
                st.session_state[_FAULT] = error
                return
        try:
            draft = self.draft().answered(sign, answer)
            keep_draft(services.workspace(), self.person, self.study.uid, self._begun(draft))
            told = {"sign": sign, "answer": "taken back" if answer is None else str(answer)}
            audit.record(
                services.workspace(), actor=self.person, action="study.answer", subject=self.study.uid, details=told
            )
        except OslerError as error:
            st.session_state[_FAULT] = error
        except OSError as error:
            st.session_state[_FAULT] = from_os_error(error)

    @property
    def turn(self) -> int:
        """How often answers were set elsewhere than at the control that shows them."""
        return int(st.session_state.get(_TURN, 0))

    def turn_over(self) -> None:
        """Note that answers were set elsewhere than at the control that shows them."""
        st.session_state[_TURN] = self.turn + 1

    def opened_at(self) -> str:
        """Return the revision of the study that this reader has seen."""
        opened: dict[str, str] = st.session_state.setdefault(_OPENED, {})
        return opened.setdefault(self.study.uid, services.reviews_of(self.study.uid).revision)

    def mark_seen(self) -> None:
        """Note that the reader has seen all that was said of the study by now; a draft goes on from there."""
        now = services.reviews_of(self.study.uid).revision
        st.session_state.setdefault(_OPENED, {})[self.study.uid] = now
        draft = self.draft()
        if not draft.empty:
            keep_draft(services.workspace(), self.person, self.study.uid, replace(draft, based_on=now))

    def since_opened(self, held: StudyReviews) -> list[Review]:
        """Return what others said of the study since this reader opened it, or since the draft was begun."""
        begun = self.draft().based_on
        seen = self.opened_at() if begun is None else begun
        places = [place for place, one in enumerate(held.counted, start=1) if one.id == seen]
        return [one for one in held.counted[places[0] if places else 0 :] if one.reviewer != self.person]


def open_desk(study: StudyRecord) -> Desk:
    """Return the desk of the person at the page, once what was answered last is kept.

    Raises:
        OslerError: `session-expired` or `not-allowed`; why the last answer was not kept.
    """
    who = session.require(Action.VIEW_STUDIES)
    desk = Desk(study, who.name, who.may(Action.CORRECT), who.may(Action.SIGN))
    desk.opened_at()
    if (fault := st.session_state.pop(_FAULT, None)) is not None:
        raise fault
    return desk


def opening(uid: str) -> None:
    """Note that a study is opened anew: what was said of it before this moment is before the reader's eyes."""
    if st.session_state.get("at-desk") != uid:
        st.session_state["at-desk"] = uid
        st.session_state.get(_OPENED, {}).pop(uid, None)
