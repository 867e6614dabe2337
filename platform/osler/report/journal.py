"""Which reports were issued, and to whom: a line each, appended, so that the next one names what it replaces.

A chain is what one receiver got of one study: the files of `osler report make`, or a PACS. A line holds the digest of the
content, from which with the study's UID the instance UIDs follow; UIDs under a patient's own identity are not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from osler.files import append_line, locked_lines
from osler.workspace import Workspace

FILE = "journal.jsonl"
BEGUN, STORED, LOST = "begun", "stored", "lost"


@dataclass(frozen=True)
class Issue:
    """One report of a chain.

    Attributes:
        study: Pseudonymous study UID.
        to: Who gets it: an address, or a name such as `files`.
        digest: Digest of its content.
        made: When it was made, ISO 8601 with offset.
        final: Whether it was signed.
        state: `begun` until it is known to be there, then `stored`; `lost` where it never arrived.
    """

    study: str
    to: str
    digest: str
    made: str
    final: bool
    state: str = BEGUN

    @property
    def moment(self) -> datetime:
        """When it was made, in local time."""
        return datetime.fromisoformat(self.made).astimezone()


class IssueJournal:
    """The journal of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.reports / FILE

    def chain(self, study: str, to: str) -> list[Issue]:
        """Return what a receiver was sent of a study, oldest first, each in its last state; lost ones are left out."""
        found: dict[tuple[str, str], Issue] = {}
        for issue in self._naming(study):
            if (issue.study, issue.to) == (study, to):
                found[issue.digest, issue.made] = issue
        return [issue for issue in found.values() if issue.state != LOST]

    def note(self, issue: Issue, state: str) -> Issue:
        """Append an issue in a state; it is on disk when this returns.

        Raises:
            OslerError: `disk-full` and the like.
        """
        told = replace(issue, state=state)
        with locked_lines(self._path) as stream:
            append_line(stream, asdict(told))
        return told

    def _naming(self, study: str) -> Iterator[Issue]:
        """Give the issues whose line holds a name: the watch asks of each study, and must not read all others for it."""
        content, wanted = self._path.read_bytes() if self._path.exists() else b"", json.dumps(study).encode()
        place = content.find(wanted)
        while place >= 0:
            end = content.find(b"\n", place)
            end = len(content) if end < 0 else end
            with suppress(ValueError, TypeError):  # a line that a crash cut off, or that was redacted
                yield Issue(**json.loads(content[content.rfind(b"\n", 0, place) + 1 : end]))
            place = content.find(wanted, end)
