"""One turn of the watch: hear the news, then bring what is due a step further, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from osler import audit
from osler.watch.backoff import pause
from osler.watch.feeds.base import Feed
from osler.watch.records import Stage, Watched
from osler.watch.steps import NOBODYS_FAULT, Failure, Result, Steps, as_told
from osler.watch.store import Move, WatchStore
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

AT_ONCE = frozenset({Code.STUDY_DELETED, Code.UID_INVALID, Code.UNKNOWN_SITE})  # trying again changes nothing


@dataclass
class Engine:
    """The watch, without its clock.

    Attributes:
        feed: What tells of studies.
        store: Where they are on their way.
        steps: What is done with them.
        stopped: Whether to leave after the step under way.
        draw: Draws pauses.
        now: Seconds since 1970.
    """

    feed: Feed
    store: WatchStore
    steps: Steps
    stopped: Callable[[], bool]
    now: Callable[[], float]
    draw: Random = field(default_factory=Random)

    def turn(self) -> int:
        """Hear the news and do what is due; return how much was done.

        Raises:
            OslerError: What is wrong with all studies alike, such as a PACS that does not answer.
        """
        return self.hear() + self.work()

    def recover(self) -> None:
        """Clean up after a process that was killed: files of studies that are fetched anew, and whom to suspect."""
        self.steps.room.keep_only({study.uid for study in self.store.studies(Stage.FETCHED)})
        left = self.steps.marker.left()
        suspect = None if left is None else self.store.find(left)
        if suspect is not None and suspect.stage is Stage.INGESTED:
            error = OslerError(Code.INTERNAL, "The process ended while the study was being explained.", "Report it.")
            self._settle([Failure(suspect, error)])

    def hear(self) -> int:
        """Take news while there is room for it; return how many studies it is about."""
        heard = 0
        while not self.stopped():
            room = self.steps.settings.limits.open_studies - self.store.open_count()
            if room <= 0:
                break
            batch = self.feed.changes(self.store.cursor(self.feed.name), room)
            heard += self.store.take(self.feed.name, batch, room)
            if not batch.more:
                break
        return heard

    def work(self) -> int:
        """Bring studies that are due further, the furthest first, so that what began is finished before more begins."""
        steps, limit = self.steps, self.steps.settings.limits.batch
        done = self._each(Stage.REPORTED, steps.confirm, limit)
        done += self._each(Stage.EXPLAINED, steps.report, limit)
        done += self._each(Stage.REPORTED, steps.confirm, limit)
        # One commit for all: what stands around a study is read again after each change to the index.
        done += self._together(Stage.INGESTED, lambda studies: self._results(studies, steps.explain), limit)
        if not steps.low_on_disk():
            done += self._each(Stage.SEEN, steps.look, limit)
            done += self._together(Stage.FETCHED, steps.enter, limit)
        return done

    def _each(self, stage: Stage, step: Callable[[Watched], Move], limit: int) -> int:
        """Do a step for one study after the other, each lasting before the next."""
        done = 0
        for study in self.store.due([stage], limit):
            if self.stopped():
                break
            self._settle(self._results([study], step))
            done += 1
        return done

    def _together(self, stage: Stage, step: Callable[[Sequence[Watched]], list[Result]], limit: int) -> int:
        studies = [] if self.stopped() else self.store.due([stage], limit)
        if studies:
            self._settle(step(studies))
        return len(studies)

    def _results(self, studies: Sequence[Watched], step: Callable[[Watched], Move]) -> list[Result]:
        found: list[Result] = []
        for study in studies:
            try:
                found.append(step(study))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs one study alone
                told = as_told(error)
                if told.code in NOBODYS_FAULT:
                    if found:
                        self._settle(found)
                    raise told from None
                found.append(Failure(study, told))
        return found

    def _settle(self, results: Sequence[Result]) -> None:
        """Make results last: moves, and what became of failures."""
        moves = [result if isinstance(result, Move) else self._failed(result) for result in results]
        for move in moves:
            if move.to is Stage.ASIDE:
                self._audit_aside(move)
        self.store.move(moves)
        self.steps.done(moves)

    def _failed(self, failure: Failure) -> Move:
        """Return a pause before the next attempt, or that a study is set aside."""
        study, error, limits = failure.study, failure.error, self.steps.settings.limits
        attempts = study.attempts + 1
        told = {"attempts": attempts, "code": str(error.code), "reason": f"{error.message} {error.mend}".strip()}
        if attempts >= limits.attempts or error.code in AT_ONCE:
            return Move(study, Stage.ASIDE, told, f"{study.stage}: {error.code}")
        due = self.now() + pause(attempts, limits.pause_s, limits.longest_pause_s, self.draw)
        return Move(study, study.stage, told | {"due": due}, f"attempt {attempts}: {error.code}", step="failed")

    def _audit_aside(self, move: Move) -> None:
        details = {"code": str(move.changes.get("code", "")), "stage": str(move.study.stage)}
        audit.record(
            self.steps.workspace,
            actor=self.steps.settings.actor,
            action="watch.set-aside",
            subject=move.study.uid,
            details=details,
        )
