"""What clinicians said of a study: corrections and comments, appended to a file and never changed.

A line names model, bank and patch, so that it can be read against what the reader saw.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FILE = "reviews.jsonl"
MAX_NAME, MAX_COMMENT = 80, 4000


@dataclass(frozen=True)
class Conclusion:
    """A finding with its calibrated probability."""

    finding: str
    probability: float


@dataclass(frozen=True)
class Review:
    """One reader's word on one study.

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

    def __post_init__(self) -> None:
        if not 0 < len(self.reviewer.strip()) <= MAX_NAME:
            raise OslerError(Code.USAGE, "A review needs the name of its reader.", f"Give 1 to {MAX_NAME} characters.")
        if len(self.comment) > MAX_COMMENT:
            raise OslerError(
                Code.USAGE, f"The comment has {len(self.comment)} characters.", f"Shorten it to {MAX_COMMENT}."
            )


def save_review(workspace: Workspace, review: Review) -> None:
    """Append a review as one line, on disk when this returns; readers who save at once wait for each other."""
    line = json.dumps(asdict(review), sort_keys=True).encode() + b"\n"
    handle = os.open(workspace.feedback / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as stream:
        # Without the lock, a line that another reader is still writing looks like one that a crash cut off.
        fcntl.flock(stream, fcntl.LOCK_EX)
        size = stream.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        stream.write((b"\n" if torn else b"") + line)
        stream.flush()
        os.fsync(stream)


def read_reviews(workspace: Workspace) -> list[Review]:
    """Return the reviews in the order in which they were saved; a line that was cut off is passed over."""
    path = workspace.feedback / FILE
    reviews = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            record = json.loads(line)
            before, after = (Conclusion(**record.pop(name)) for name in ("before", "after"))
            reviews.append(Review(**record, before=before, after=after))
        except (ValueError, TypeError, KeyError):
            continue
    return reviews
