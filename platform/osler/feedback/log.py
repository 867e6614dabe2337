"""The reviews: a line each, appended under a lock and never changed, in a file or in the database of the workspace.

Who saves says which revision was on the screen. Where another one has come since, the review is kept all the same, and
counts once its reader has seen the other and confirms. Lines of older versions read as signed reviews.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from osler.feedback.review import Conclusion, Review
from osler.feedback.store import FILE, ReviewStore, store_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

__all__ = [
    "FILE",
    "ReviewConflictError",
    "Withdrawal",
    "confirm_review",
    "read_log",
    "read_reviews",
    "save_review",
    "withdraw_review",
]


@dataclass(frozen=True)
class Withdrawal:
    """A reader takes an unconfirmed review back; its line stays."""

    withdrawn: str
    study: str
    reviewer: str
    saved: str


class ReviewConflictError(OslerError):
    """Somebody saved or signed the study meanwhile.

    Attributes:
        kept: The review that came later; on disk, and not counted until it is confirmed.
        since: What was saved since the revision that its reader had seen, oldest first.
    """

    def __init__(self, kept: Review, since: tuple[Review, ...]) -> None:
        names = sorted({one.reviewer for one in since}) or ["Somebody"]
        done = "signed" if any(one.signed for one in since) else "saved"
        super().__init__(
            Code.REVIEW_CONFLICT,
            f"{' and '.join(names)} {done} this study while you worked on it. Your answers are kept.",
            "Look at what was said, then confirm yours or withdraw them.",
        )
        self.kept, self.since = kept, since

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kept, self.since)


def save_review(workspace: Workspace, review: Review) -> Review:
    """Append a review, on disk when this returns; readers who save at once wait for each other.

    A signed review of a study that is signed already amends it, and names it. `based_on` None is not checked.

    Returns:
        The review as it was kept, with its `id`.

    Raises:
        ReviewConflictError: `review-conflict` where another revision came since `based_on`; the review is kept unconfirmed.
        OslerError: `disk-full`, `unreadable`, `database-...`.
    """
    with store_of(workspace).appending() as held:
        counted = [
            one for one in _parsed(held.lines(review.study))[0] if one.study == review.study and not one.unconfirmed
        ]
        named = replace(review, id=uuid4().hex[:16])
        latest = counted[-1].id if counted else ""
        conflict = named.based_on is not None and named.based_on != latest
        if conflict:
            # A review that is being confirmed is on disk already.
            kept = replace(named, unconfirmed=True, id=named.settles or named.id, settles="")
            if not named.settles:
                held.append(review.study, asdict(kept))
        else:
            if named.signed:
                signed = [one.id for one in counted if one.signed]
                named = replace(named, amends=signed[-1] if signed else "")
            held.append(review.study, asdict(named))
    if conflict:
        seen = [one.id for one in counted]
        start = seen.index(named.based_on) + 1 if named.based_on in seen else 0
        raise ReviewConflictError(kept, tuple(counted[start:]))
    return named


def confirm_review(workspace: Workspace, kept: str, *, reviewer: str, based_on: str) -> Review:
    """Let an unconfirmed review count, once its reader has seen what came before it.

    Args:
        workspace: The workspace.
        kept: `id` of the unconfirmed review.
        reviewer: Who confirms; its own reader only.
        based_on: `id` of the latest revision, as it was shown.

    Raises:
        ReviewConflictError: `review-conflict` where yet another revision has come.
        OslerError: `unknown-review` where the reader has no such review that waits.
    """
    waiting = _waiting(workspace, kept, reviewer)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return save_review(
        workspace, replace(waiting, unconfirmed=False, settles=kept, based_on=based_on, saved=now, id="")
    )


def withdraw_review(workspace: Workspace, kept: str, *, reviewer: str) -> None:
    """Take an unconfirmed review back; its line stays in the file.

    Raises:
        OslerError: `unknown-review`.
    """
    waiting = _waiting(workspace, kept, reviewer)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with store_of(workspace).appending() as held:
        held.append(waiting.study, asdict(Withdrawal(kept, waiting.study, reviewer, now)))


def read_reviews(workspace: Workspace) -> list[Review]:
    """Return the reviews that count, in the order in which they were saved; a line that was cut off is passed over."""
    return [review for review in read_log(workspace)[0] if not review.unconfirmed]


def read_log(workspace: Workspace) -> tuple[tuple[Review, ...], frozenset[str]]:
    """Return all reviews, unconfirmed ones too, and the `id` of those that were confirmed or withdrawn since."""
    store = store_of(workspace)
    return _read(store, store.stamp())


@lru_cache(maxsize=4)
def _read(store: ReviewStore, _stamp: tuple[object, ...]) -> tuple[tuple[Review, ...], frozenset[str]]:
    return _parsed(store.read())


def _waiting(workspace: Workspace, kept: str, reviewer: str) -> Review:
    reviews, settled = read_log(workspace)
    for one in reviews:
        if one.unconfirmed and (one.id, one.reviewer) == (kept, reviewer) and kept not in settled:
            return one
    raise OslerError(
        Code.UNKNOWN_REVIEW, "There is no such review of yours that waits for a word.", "Open the study again."
    )


def _parsed(content: bytes) -> tuple[tuple[Review, ...], frozenset[str]]:
    """Return reviews and settled identifiers; a line without an `id` is of an older version and named by its content."""
    reviews, settled = [], set()
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
            if "withdrawn" in record:
                settled.add(str(record["withdrawn"]))
                continue
            before, after = (Conclusion(**record.pop(name)) for name in ("before", "after"))
            record.setdefault("id", hashlib.sha256(line).hexdigest()[:16])
            review = Review(**record, before=before, after=after)
        except (ValueError, TypeError, KeyError, AttributeError, OslerError):
            continue
        reviews.append(review)
        if review.settles:
            settled.add(review.settles)
    return tuple(reviews), frozenset(settled)
