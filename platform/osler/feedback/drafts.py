"""What a reader has set in a study and not signed yet, kept on the server by person.

It survives the end of a session, a closed browser and a restart; it is nobody's word until it is signed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from osler.feedback.review import SETTING, Answer
from osler.files import write_atomically
from osler.workspace import Workspace

FOLDER = "drafts"


@dataclass(frozen=True)
class Draft:
    """A reader's answers on one study, and the comment so far.

    Attributes:
        answers: The word on each concept that was looked at.
        comment: Free text.
        finding: The reader's own finding, empty where there is none.
        based_on: Revision of the study when the draft was begun, see `StudyReviews.revision`; None where nobody said.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    comment: str = ""
    finding: str = ""
    based_on: str | None = None

    @property
    def corrections(self) -> dict[str, bool]:
        """The concepts that the reader sets, True for present."""
        return {concept: SETTING[answer] for concept, answer in self.answers.items() if answer in SETTING}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.answers or self.comment.strip() or self.finding)

    def answered(self, concept: str, answer: Answer | None) -> Draft:
        """Return the draft with another answer on a concept; None takes the answer back."""
        kept = {one: held for one, held in self.answers.items() if one != concept}
        return replace(self, answers=kept if answer is None else {**kept, concept: answer})


def read_drafts(workspace: Workspace, person: str) -> dict[str, Draft]:
    """Return a person's drafts by study; what cannot be read is passed over."""
    drafts = {}
    for study, one in _held(_path(workspace, person)).items():
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            answers = {str(concept): Answer(answer) for concept, answer in one["answers"].items()}
            begun = one.get("based_on")
            drafts[study] = Draft(
                answers, str(one["comment"]), str(one.get("finding", "")), None if begun is None else str(begun)
            )
    return drafts


def keep_draft(workspace: Workspace, person: str, study: str, draft: Draft) -> None:
    """Keep a person's draft on a study in place of the one before; an empty one is dropped."""
    with _alone(_path(workspace, person)):
        held = {uid: one for uid, one in read_drafts(workspace, person).items() if uid != study}
        if not draft.empty:
            held[study] = draft
        content = {uid: asdict(one) for uid, one in held.items()}
        write_atomically(_path(workspace, person), json.dumps(content, sort_keys=True).encode())


def forget_drafts(workspace: Workspace, studies: Iterable[str]) -> int:
    """Drop everybody's drafts on studies that are taken out; returns how many there were."""
    gone, count = set(studies), 0
    for path in sorted((workspace.feedback / FOLDER).glob("*.json")):
        with _alone(path):
            held = _held(path)
            kept = {uid: one for uid, one in held.items() if uid not in gone}
            if len(kept) < len(held):
                count += len(held) - len(kept)
                write_atomically(path, json.dumps(kept, sort_keys=True).encode())
    return count


def _held(path: Path) -> dict[str, Any]:
    """Return what a file of drafts holds by study; nothing where it cannot be read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def _path(workspace: Workspace, person: str) -> Path:
    return workspace.feedback / FOLDER / f"{hashlib.sha256(person.encode()).hexdigest()[:32]}.json"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a person's drafts: two windows of one person must not undo each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
