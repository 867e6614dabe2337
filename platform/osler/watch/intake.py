"""Taking fetched studies of one site into the archive, together; where that fails, each alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydicom import dcmread

from osler.archive.records import Outcome
from osler.deid.crosswalk import Crosswalk
from osler.deid.options import BurnedIn, Profile
from osler.dicom.refusals import attempt
from osler.ingest import ingest
from osler.watch.settings import IntakeSettings
from osler.watch.waiting_room import FetchedSource
from osler.workspace import Workspace


@dataclass
class Entered:
    """What became of a study's files.

    Attributes:
        accepted: Files that entered now.
        duplicates: Files that the archive held already.
        refused: Files that it refused, by code.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """The counts, for the record of steps."""
        refused = "".join(f", {count} {code}" for code, count in sorted(self.refused.items()))
        return f"{self.accepted} accepted, {self.duplicates} known{refused}"


@dataclass(frozen=True)
class Intake:
    """The gate of a workspace.

    Attributes:
        workspace: The workspace.
        key: Key of the pseudonyms.
        crosswalk: Where originals are kept against pseudonyms.
        settings: How files are judged.
    """

    workspace: Workspace
    key: bytes = field(repr=False)
    crosswalk: Crosswalk
    settings: IntakeSettings

    def enter(self, site: str, studies: Mapping[str, Sequence[Path]]) -> dict[str, Entered]:
        """Take studies in, and return what became of each.

        Args:
            site: Their site.
            studies: Files by pseudonymous study UID, each study's in a folder of its own.

        Raises:
            OslerError: As `ingest`.
        """
        of_folder = {files[0].parent: uid for uid, files in studies.items() if files}
        found = {uid: Entered() for uid in studies}

        def note(path: Path, outcome: Outcome, code: str) -> None:
            entered = found[of_folder[path.parent]]
            if outcome is Outcome.ACCEPTED:
                entered.accepted += 1
            elif outcome is Outcome.DUPLICATE:
                entered.duplicates += 1
            else:
                entered.refused[code] += 1

        ingest(
            FetchedSource([path for files in studies.values() for path in files]),
            site=site,
            workspace=self.workspace,
            contract=self.settings.contract,
            key=self.key,
            workers=self.settings.workers,
            on_file=note,
            profile=Profile(BurnedIn(self.settings.burned_in)),
            crosswalk=self.crosswalk,
        )
        return found


def institution_of(files: Sequence[Path]) -> str:
    """Return the Institution Name (0008,0080) of a study's files, the first that has one."""
    return next((name for path in files if (name := attempt(partial(_institution, path), ""))), "")


def _institution(path: Path) -> str:
    header = dcmread(path, specific_tags=["InstitutionName"], stop_before_pixels=True)
    return str(header.get("InstitutionName") or "").strip()
