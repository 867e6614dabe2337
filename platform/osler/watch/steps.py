"""The steps of a study, each of which may be done again: what it did before a crash it finds done."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from osler.archive.deleted import deleted_on
from osler.archive.records import StudyRecord
from osler.database import open_database
from osler.database.faults import cause, told
from osler.watch.feeds.base import Fetcher
from osler.watch.intake import Entered, Intake, institution_of
from osler.watch.marker import Marker
from osler.watch.own import digest_of, own_series
from osler.watch.records import Stage, Watched
from osler.watch.reporting import Reporting
from osler.watch.sealing import Seal
from osler.watch.settings import WatchSettings
from osler.watch.store import Move
from osler.watch.waiting_room import WaitingRoom
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# What is wrong with all studies alike: the watch waits, and no study is blamed.
NOBODYS_FAULT = frozenset(
    {
        Code.AUDIT_BROKEN,
        Code.DATABASE_REFUSED,
        Code.DATABASE_UNREACHABLE,
        Code.DISK_FULL,
        Code.KEY_INVALID,
        Code.LOGIN_INVALID,
        Code.MODEL_HASH_MISMATCH,
        Code.MODEL_INVALID,
        Code.NOT_DICOMWEB,
        Code.SOURCE_REFUSED_LOGIN,
        Code.SOURCE_UNREACHABLE,
        Code.SOURCE_UNTRUSTED,
        Code.WORKSPACE_OCCUPIED,
    }
)
GIB = 1 << 30
REFUSED = "refused"


@dataclass(frozen=True)
class Failure:
    """That a step failed for a study."""

    study: Watched
    error: OslerError


Result = Move | Failure


@dataclass(frozen=True)
class Steps:
    """What is done at each stage.

    Attributes:
        workspace: The workspace.
        settings: What to do.
        seal: Opens study UIDs.
        fetcher: Gets files.
        intake: The gate.
        reporting: Models, and where reports go.
        room: Where files lie in between.
        marker: Names the study that is being explained, in case that this ends the process.
    """

    workspace: Workspace
    settings: WatchSettings
    seal: Seal
    fetcher: Fetcher
    intake: Intake
    reporting: Reporting
    room: WaitingRoom
    marker: Marker

    def look(self, study: Watched) -> Move:
        """List a study that has settled, and fetch it where it holds what was not there before.

        Raises:
            OslerError: `file-missing` where the PACS has it no more; `study-deleted`; as the service fails.
        """
        own = self.seal.open(study.uid, study.sealed)
        if deleted := self._deleted_on(study.uid):
            self.fetcher.drop(own)
            raise OslerError(
                Code.STUDY_DELETED,
                f"The study was deleted here on {deleted}, and the PACS has sent it again. Nothing was fetched.",
                "Delete it there too. Only if it is to come back: `osler watch retry` with its name.",
            )
        ours = own_series(own, self.reporting.reporter(None).device)
        wanted = [one for one in self.fetcher.instances(own) if one.series not in ours]
        changes = {"looked": study.version, "listed": digest_of(wanted)}
        if study.revision and (not wanted or changes["listed"] == study.listed):
            return Move(study, Stage.CONFIRMED, changes, "nothing new", step="looked")
        if not wanted:
            raise OslerError(
                Code.FILE_MISSING,
                "The PACS lists no image of the study.",
                "It may have been deleted or moved there; `osler watch retry` asks again.",
            )
        files = self.fetcher.fetch(wanted, self.room.empty(study.uid))
        self.room.complete(study.uid, files)
        return Move(study, Stage.FETCHED, changes, f"{len(files)} files")

    def enter(self, studies: Sequence[Watched]) -> list[Result]:
        """Take fetched studies in, those of one site together."""
        results: list[Result] = []
        sites: dict[str, list[Watched]] = {}
        files: dict[str, list[Path]] = {}
        for study in studies:
            found = self.room.files(study.uid)
            if found is None:  # the folder was lost: it is fetched again
                results.append(Move(study, Stage.SEEN, {"listed": ""}, "fetched files are gone", step="lost"))
                continue
            site = self.settings.site_of(study.title, institution_of(found))
            if site is None:
                results.append(Failure(study, _no_site()))
                continue
            files[study.uid] = found
            sites.setdefault(site.name, []).append(study)
        for name, group in sites.items():
            results += self._enter_site(name, group, files)
        return results

    def explain(self, study: Watched) -> Move:
        """Freeze what a report on a study says, where its archived images are not those of the last report.

        Raises:
            OslerError: As `Reporting.freeze`.
        """
        record = self._archived(study.uid)
        if record is None:
            raise OslerError(Code.UNKNOWN_STUDY, "The archive does not hold the study any more.", "Ingest it again.")
        revision = revision_of(record)
        if revision == study.revision:
            return Move(study, Stage.CONFIRMED, {}, "the same images", step="unchanged")
        try:
            with self.marker.at(study.uid):
                content = self.reporting.freeze(study.uid, self._model(study))
        except OslerError as error:
            if error.code is not Code.NOTHING_ELIGIBLE:
                raise
            changes = {"revision": revision, "code": str(error.code), "reason": error.message}
            return Move(study, Stage.UNREPORTED, changes, str(error.code))
        return Move(study, Stage.EXPLAINED, {"pending": revision, "content": content})

    def report(self, study: Watched) -> Move:
        """Send a frozen report; one that another version froze is made anew.

        Raises:
            OslerError: As `Reporting.send`.
        """
        if not self.reporting.readable(study.content):
            return Move(study, Stage.INGESTED, {"content": ""}, "frozen by another version", step="stale")
        sent = self.reporting.send(study.uid, study.content, self._model(study))
        return Move(
            study,
            Stage.REPORTED,
            {"reports": study.reports + 1},
            ", ".join(f"{one.format} {one.state}" for one in sent),
        )

    def confirm(self, study: Watched) -> Move:
        """Ask back for a report.

        Raises:
            OslerError: `source-failed` where the PACS does not list it.
        """
        own = self.seal.open(study.uid, study.sealed)
        if not self.reporting.arrived(study.uid, own, self._model(study)):
            return Move(
                study, Stage.EXPLAINED, {"reports": study.reports - 1}, "the PACS does not list it", step="lost"
            )
        return Move(study, Stage.CONFIRMED, {"revision": study.pending, "content": ""})

    def low_on_disk(self) -> bool:
        """Return whether nothing more may be fetched."""
        free = shutil.disk_usage(self.workspace.root).free
        return free < self.settings.limits.least_free_gib * GIB

    def done(self, moves: Sequence[Move]) -> None:
        """Let go of files whose outcome was noted."""
        for move in moves:
            uid, was = move.study.uid, move.study.stage
            if was is Stage.FETCHED and (move.to is Stage.INGESTED or move.step == REFUSED):
                self.fetcher.taken(self.seal.open(uid, move.study.sealed), self._names(uid))
            if was is Stage.FETCHED and move.to is not Stage.FETCHED:
                self.room.leave(uid)

    def _enter_site(self, site: str, studies: Sequence[Watched], files: Mapping[str, Sequence[Path]]) -> list[Result]:
        try:
            entered = self.intake.enter(site, {study.uid: files[study.uid] for study in studies})
        except Exception as error:
            if isinstance(error, OslerError) and error.code in NOBODYS_FAULT:
                raise
            if len(studies) == 1:
                return [Failure(studies[0], as_told(error))]
            return [result for study in studies for result in self._enter_site(site, [study], files)]
        return [self._entered(study, site, entered[study.uid]) for study in studies]

    def _entered(self, study: Watched, site: str, entered: Entered) -> Result:
        if self._archived(study.uid) is not None:
            return Move(study, Stage.INGESTED, {"site": site}, entered.words)
        code = entered.refused.most_common(1)[0][0] if entered.refused else str(Code.NOTHING_ELIGIBLE)
        reason = "The gate let no file of the study in; `osler quarantine list` says why."
        return Move(study, Stage.ASIDE, {"site": site, "code": code, "reason": reason}, entered.words, REFUSED)

    def _archived(self, uid: str) -> StudyRecord | None:
        try:
            return self.reporting.reporter(None).explainer.archive.study(uid)
        except OslerError as error:
            if error.code is Code.UNKNOWN_STUDY:
                return None
            raise

    def _deleted_on(self, uid: str) -> str | None:
        with Session(open_database(self.workspace)) as session:
            return deleted_on(session, uid)

    def _model(self, study: Watched) -> str | None:
        return next((site.model for site in self.settings.sites if site.name == study.site), None)

    def _names(self, uid: str) -> list[str]:
        return [path.name for path in self.room.files(uid) or ()]


def revision_of(study: StudyRecord) -> str:
    """Return a digest of a study's archived images."""
    lines = sorted(f"{one.uid} {one.sha256}" for one in study.instances)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def as_told(error: Exception) -> OslerError:
    """Return an error as it is kept: of one that nobody foresaw the kind alone, for its words may quote a patient."""
    if isinstance(error, OslerError):
        return error
    if isinstance(error, DBAPIError) and (known := told(cause(error), "of this workspace")) is not None:
        return known
    kind = type(error).__name__
    return OslerError(Code.INTERNAL, f"The step failed ({kind}).", "Run it with OSLER_DEBUG=1, and report it.")


def _no_site() -> OslerError:
    return OslerError(
        Code.UNKNOWN_SITE,
        "No site of watch.yaml claims the study, by its sender or by its institution.",
        "Name the sender's AE title or the institution there, or make a site the default; then `osler watch retry`.",
    )
