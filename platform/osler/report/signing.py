"""Which reader's sign-off a report may carry: one that was given to this very model, bank and patch."""

from __future__ import annotations

from osler.archive.records import StudyRecord
from osler.feedback import Answer, reviews_of
from osler.report.content import Signature, Signed
from osler.workspace import Workspace

_WORDS = {Answer.CONFIRM: "Confirmed by the reader.", Answer.DOUBT: "Doubted by the reader."}
_OTHERWISE = (
    "A reader signed this study under another {what}; that signature does not hold for what is said here, "
    "so that this report is preliminary."
)


def signed_review(
    workspace: Workspace, study: StudyRecord, model: str, patch: str | None, organization: str
) -> Signed | None:
    """Return the last sign-off of a study, None where nobody signed.

    Args:
        workspace: The workspace.
        study: The study.
        model: Digest of the model that reports.
        patch: The patch in force at the study's site.
        organization: Organisation of those who sign.
    """
    last = reviews_of(workspace, study.uid).result
    if last is None:
        return None
    what = "model" if last.model != model else "correction for the site" if last.patch != patch else ""
    return Signed(
        Signature(last.reviewer, last.saved, last.comment, organization, last.concluded),
        {name: float(value) for name, value in last.corrections.items()},
        {name: _WORDS[answer] for name, answer in last.answers.items() if answer in _WORDS},
        _OTHERWISE.format(what=what) if what else "",
    )
