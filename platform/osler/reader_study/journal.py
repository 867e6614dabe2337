"""What happened in a study: cases opened and answered, a line each, appended under a lock and never changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from osler.files import append_line, locked_lines
from osler.reader_study import READINGS as FILE
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class Line:
    """One thing that happened.

    Attributes:
        what: `opened` or `answered`.
        reader: Who.
        case: Study UID.
        sitting: Which of the reader's sittings.
        time: When, ISO 8601 in UTC, by the server's clock.
        answer: The finding that the reader gave.
        confidence: How sure the reader is, 0 to 100.
        seconds: Time since the case was opened last.
        opened: How often it was opened until then: above 1, the reading was interrupted.
    """

    what: str
    reader: str
    case: str
    sitting: int
    time: str
    answer: str = ""
    confidence: int | None = None
    seconds: float | None = None
    opened: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """The reading that it belongs to."""
        return self.reader, self.case, self.sitting


@dataclass(frozen=True)
class Journal:
    """The file of a study."""

    folder: Path

    def lines(self) -> list[Line]:
        """Return what happened, in order; a line that was cut off or blanked is passed over."""
        path = self.folder / FILE
        return _parsed(path.read_bytes()) if path.exists() else []

    def open(self, reader: str, case: str, sitting: int, now: datetime | None = None) -> None:
        """Note that a case is before its reader."""
        self._append(Line("opened", reader, case, sitting, _stamp(now)))

    def answer(
        self, reader: str, case: str, sitting: int, answer: str, confidence: int, now: datetime | None = None
    ) -> Line:
        """Note an answer; the first one counts and stays.

        Raises:
            OslerError: `review-conflict` where the reading was answered already, as from another window; `usage` where it
                was never opened.
        """
        with locked_lines(self.folder / FILE) as stream:
            stream.seek(0)
            own = [one for one in _parsed(stream.read()) if one.key == (reader, case, sitting)]
            if any(one.what == "answered" for one in own):
                raise OslerError(
                    Code.REVIEW_CONFLICT, "You have answered this case already.", "Go on with the next one."
                )
            opened = [one for one in own if one.what == "opened"]
            if not opened:
                raise OslerError(Code.USAGE, "This case was not opened.", "Open the page again.")
            stamp = _stamp(now)
            seconds = (datetime.fromisoformat(stamp) - datetime.fromisoformat(opened[-1].time)).total_seconds()
            line = Line("answered", reader, case, sitting, stamp, answer, confidence, max(0.0, seconds), len(opened))
            append_line(stream, asdict(line))
            return line

    def _append(self, line: Line) -> None:
        with locked_lines(self.folder / FILE) as stream:
            append_line(stream, asdict(line))


def _stamp(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).isoformat(timespec="milliseconds")


def _parsed(content: bytes) -> list[Line]:
    lines = []
    for text in content.split(b"\n"):
        try:
            lines.append(Line(**json.loads(text)))
        except (ValueError, TypeError):
            continue
    return lines
