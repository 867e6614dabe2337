"""The state of the watch in the workspace's database: each change with its record, in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from osler.archive.deleted import deleted_on, undo_deleted
from osler.database import open_database, transaction
from osler.sources.studies import SAFE_UID
from osler.watch.feeds.base import Batch, Change
from osler.watch.models import WatchCursor, WatchStep, WatchStudy
from osler.watch.records import ENDS, OPEN, Stage, Step, Watched
from osler.watch.sealing import Seal
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LOCK = "watch"
_ASKED = 500  # names in one query
_NAMES = tuple(part.name for part in fields(Watched))


@dataclass(frozen=True)
class Move:
    """What a step changes of a study.

    Attributes:
        study: The study as it was.
        to: Its stage afterwards.
        changes: Further columns.
        detail: What the record of steps says beside it: counts and codes.
        step: Name of the step in the record; the stage where it is left out.
    """

    study: Watched
    to: Stage
    changes: dict[str, Any] = field(default_factory=dict)
    detail: str = ""
    step: str = ""


class WatchStore:
    """Studies on their way.

    Args:
        workspace: The workspace.
        seal: Seals study UIDs; needed to take changes only.
        settle_s: Seconds without news after which a study counts as complete.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        workspace: Workspace,
        seal: Seal | None = None,
        *,
        settle_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = open_database(workspace)
        self._seal, self._settle_s, self._clock = seal, settle_s, clock

    def cursor(self, feed: str) -> str:
        """Return how far a feed was followed, empty for the first time."""
        with Session(self._engine) as session:
            row = session.get(WatchCursor, feed)
            return "" if row is None else row.cursor

    def take(self, feed: str, batch: Batch, room: int) -> int:
        """Take news and the feed's cursor, both or neither; return for how many studies it was news.

        Of a feed without a cursor, what there is no room for is left to its next answer.
        """
        assert self._seal is not None
        named = {self._seal.name(change.study): change for change in batch.changes}
        news = 0
        with transaction(self._engine, LOCK) as session:
            for start in range(0, len(named), _ASKED):
                names = list(named)[start : start + _ASKED]
                known = {row.uid: row for row in session.scalars(select(WatchStudy).where(WatchStudy.uid.in_(names)))}
                for name in names:
                    if batch.cursor or news < room:
                        news += self._note(session, name, named[name], known.get(name))
            if batch.cursor:
                session.merge(WatchCursor(feed=feed, cursor=batch.cursor))
        return news

    def open_count(self) -> int:
        """Return how many studies are under way."""
        with Session(self._engine) as session:
            query = select(func.count()).select_from(WatchStudy).where(WatchStudy.stage.in_(map(str, OPEN)))
            return session.scalar(query) or 0

    def counts(self) -> Counter[str]:
        """Return how many studies are at each stage."""
        with Session(self._engine) as session:
            rows = session.execute(select(WatchStudy.stage, func.count()).group_by(WatchStudy.stage))
            return Counter({str(row[0]): int(row[1]) for row in rows})

    def due(self, stages: Sequence[Stage], limit: int) -> list[Watched]:
        """Return studies of some stages whose time has come, the furthest and then the longest waiting first."""
        far = [str(stage) for stage in reversed(OPEN) if stage in stages]
        found: list[Watched] = []
        with Session(self._engine) as session:
            for stage in far:
                query = select(WatchStudy).where(WatchStudy.stage == stage, WatchStudy.due <= self._clock())
                query = query.order_by(WatchStudy.due, WatchStudy.uid).limit(limit - len(found))
                found += [_watched(row) for row in session.scalars(query)]
        return found

    def next_due(self) -> float | None:
        """Return when the next study is to be worked on, None where none is under way."""
        with Session(self._engine) as session:
            return session.scalar(select(func.min(WatchStudy.due)).where(WatchStudy.stage.in_(map(str, OPEN))))

    def study(self, uid: str) -> Watched:
        """Return one study.

        Raises:
            OslerError: `unknown-study`.
        """
        with Session(self._engine) as session:
            return _watched(_row(session, uid))

    def find(self, uid: str) -> Watched | None:
        """Return one study, None where the watch does not know it."""
        with Session(self._engine) as session:
            row = session.get(WatchStudy, uid)
            return None if row is None else _watched(row)

    def studies(self, stage: Stage | None = None, limit: int | None = None) -> list[Watched]:
        """Return studies, those whose last news is the newest first."""
        query = select(WatchStudy).order_by(WatchStudy.touched.desc(), WatchStudy.uid).limit(limit)
        with Session(self._engine) as session:
            rows = session.scalars(query if stage is None else query.where(WatchStudy.stage == str(stage)))
            return [_watched(row) for row in rows]

    def steps(self, uid: str) -> list[Step]:
        """Return the steps of a study in their order."""
        query = select(WatchStep).where(WatchStep.study == uid).order_by(WatchStep.id)
        with Session(self._engine) as session:
            return [Step(row.study, row.step, row.at, row.detail) for row in session.scalars(query)]

    def step_count(self) -> int:
        """Return how many steps were done in all."""
        with Session(self._engine) as session:
            return session.scalar(select(func.count()).select_from(WatchStep)) or 0

    def move(self, moves: Iterable[Move]) -> None:
        """Make steps last.

        A study that had news since its instances were listed begins again when it comes to an end. One that was deleted
        while the step was done stays deleted.
        """
        now = self._clock()
        with transaction(self._engine, LOCK) as session:
            for move in moves:
                row = session.get(WatchStudy, move.study.uid)
                if row is None:
                    continue
                for name, value in {"attempts": 0, "code": "", "reason": "", "due": now, **move.changes}.items():
                    setattr(row, name, value)
                row.stage = str(move.to)
                if move.to in ENDS:
                    row.settled = now
                    if row.version > row.looked and move.to is not Stage.ASIDE:
                        row.stage, row.due = str(Stage.SEEN), max(now, row.touched + self._settle_s)
                session.add(_step(move.study.uid, move.step or str(move.to), now, move.detail))

    def retry(self, uid: str | None) -> list[str]:
        """Let a study that was set aside begin again, or all of them; return which.

        One that was deleted on purpose comes back only where it is named: at once if the PACS has sent it again, otherwise
        when the PACS does.

        Raises:
            OslerError: `unknown-study`; `usage` where it was not set aside.
        """
        now = self._clock()
        with transaction(self._engine, LOCK) as session:
            if uid is not None and undo_deleted(session, uid):
                held = session.get(WatchStudy, uid)
                if held is None or held.stage != str(Stage.ASIDE):
                    return [uid]
            aside = (WatchStudy.stage == str(Stage.ASIDE)) & (WatchStudy.code != str(Code.STUDY_DELETED))
            rows = list(session.scalars(select(WatchStudy).where(aside))) if uid is None else [_row(session, uid)]
            for row in rows:
                if row.stage != str(Stage.ASIDE):
                    raise OslerError(
                        Code.USAGE, "The study is not set aside.", "See `osler watch list --stage set-aside`."
                    )
                # What was frozen may have begun to leave: it goes on from there.
                row.stage = str(Stage.EXPLAINED if row.content else Stage.SEEN)
                row.attempts, row.due, row.listed = 0, now, ""
                session.add(_step(row.uid, "retry", now, row.code))
            return [row.uid for row in rows]

    def deleted_on(self, uid: str) -> str | None:
        """Return the day on which a study was deleted on purpose, None where it was not."""
        with Session(self._engine) as session:
            return deleted_on(session, uid)

    def _note(self, session: Session, name: str, change: Change, row: WatchStudy | None) -> int:
        """Note news of a study; return whether it was any."""
        assert self._seal is not None
        now = self._clock()
        if row is None:
            row = WatchStudy(
                uid=name, sealed=self._seal.close(change.study), stage=str(Stage.SEEN), seen=now, version=0
            )
            session.add(row)
            session.add(_step(name, str(Stage.SEEN), now, change.title))
        elif change.mark and change.mark == row.mark:
            return 0
        row.version += 1
        row.mark, row.touched = change.mark, now
        row.title = change.title or row.title or ""
        if not SAFE_UID.fullmatch(change.study):
            row.stage, row.code, row.due = str(Stage.ASIDE), str(Code.UID_INVALID), now
            row.reason = "The PACS lists the study under an identifier that is no UID, so that it cannot be asked for."
        elif row.stage == str(Stage.SEEN):
            row.due = max(row.due or now, now + self._settle_s)
        elif row.stage in map(str, ENDS):
            row.stage, row.due, row.attempts = str(Stage.SEEN), now + self._settle_s, 0
        return 1


def _row(session: Session, uid: str) -> WatchStudy:
    row = session.get(WatchStudy, uid)
    if row is None:
        raise OslerError(Code.UNKNOWN_STUDY, f"The watch knows no study {uid[:64]}.", "See `osler watch list`.")
    return row


def _watched(row: WatchStudy) -> Watched:
    values = {name: getattr(row, name) for name in _NAMES}
    return Watched(**values | {"stage": Stage(row.stage)})


def _step(study: str, step: str, at: float, detail: str) -> WatchStep:
    return WatchStep(study=study, step=step, at=at, detail=detail[:255])
