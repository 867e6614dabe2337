"""What the watch knows of a study, free of the database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a study is. The last three are ends, until something new arrives."""

    SEEN = "seen"
    FETCHED = "fetched"
    INGESTED = "ingested"
    EXPLAINED = "explained"
    REPORTED = "reported"
    CONFIRMED = "confirmed"
    UNREPORTED = "unreported"
    ASIDE = "set-aside"


OPEN = (Stage.SEEN, Stage.FETCHED, Stage.INGESTED, Stage.EXPLAINED, Stage.REPORTED)
ENDS = (Stage.CONFIRMED, Stage.UNREPORTED, Stage.ASIDE)


@dataclass(frozen=True)
class Watched:
    """A study on its way.

    Attributes:
        uid: Pseudonymous Study Instance UID.
        sealed: Its own UID, sealed.
        stage: How far it is.
        title: AE title that sent it; empty where nobody told.
        site: Its site, empty until it is known.
        mark: What the feed last said of its state.
        version: Number of the feed's news of it.
        looked: The version at which its instances were listed last: what came later is looked at again.
        listed: Digest of the instances that were listed last, without our own.
        pending: Digest of the archived images that `content` is on.
        revision: Digest of the archived images that the last report was on; empty before the first.
        content: The report as it was made, frozen until it is known to have arrived.
        reports: How many reports went out.
        attempts: Attempts at the present step that failed.
        code: Why the last of them failed, or why it was set aside.
        reason: The same in words.
        seen: When the feed first named it, seconds since 1970, as all times here.
        touched: When the feed named it last.
        due: When it is to be worked on next.
        settled: When it came to an end last.
    """

    uid: str
    sealed: str
    stage: Stage
    title: str
    site: str
    mark: str
    version: int
    looked: int
    listed: str
    pending: str
    revision: str
    content: str
    reports: int
    attempts: int
    code: str
    reason: str
    seen: float
    touched: float
    due: float
    settled: float


@dataclass(frozen=True)
class Step:
    """One step of a study, as it was done."""

    study: str
    step: str
    at: float
    detail: str = ""
