"""Files of the quarantine, judged again: the same way in as for any file, without being received once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from osler.archive.models import Instance
from osler.archive.quarantine import Quarantine, Reason
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.deid.crosswalk import Crosswalk
from osler.deid.options import BASIC, Profile
from osler.ingest.pipeline import SecondLook, ingest
from osler.ingest.source import Arrival
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import load_contract, shipped_contracts

# What depends on files that came along: judged by itself, each would pass.
UNDECIDABLE = frozenset({str(Code.STUDY_OF_TWO_PATIENTS)})
GONE = "gone"

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Terms:
    """How files are judged again.

    Attributes:
        key: Key of the pseudonyms.
        contract: Contract to judge by, name or path; that which refused each file where it is None.
        workers: Worker processes; 0 decodes in this process, where a crash of a decoder ends it.
        today: The day by which dates are judged; the current one where it is None.
        profile: Options of de-identification, and what to do about burned-in text.
        crosswalk: Where originals are kept against pseudonyms.
    """

    key: bytes
    contract: str | None = None
    workers: int = 2
    today: date | None = None
    profile: Profile = BASIC
    crosswalk: Crosswalk | None = None


class QuarantineSource:
    """Files of the quarantine as a source; those that have left it meanwhile do not arrive."""

    def __init__(self, quarantine: Quarantine, sha256s: Sequence[str]) -> None:
        self._quarantine = quarantine
        self._sha256s = sha256s

    @property
    def total(self) -> int:
        """Number of files asked for."""
        return len(self._sha256s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[Arrival]:
        paths = (self._quarantine.file(sha256) for sha256 in self._sha256s)
        return (Arrival(path) for path in paths if path.is_file())

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Do nothing: the pipeline itself forgets what has entered."""


@dataclass
class Recheck:
    """What judging again came to: files by their code before and after, `accepted` and `duplicate` included.

    Attributes:
        moves: Number of files by old code and new code or outcome.
        skipped: Files that could not be judged, by the reason in words.
    """

    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> int:
        """Return how many files had an outcome."""
        return sum(number for (_, new), number in self.moves.items() if new == str(outcome))


def recheck(
    workspace: Workspace, terms: Terms, *, code: str | None = None, site: str | None = None,
    refused_by: str | None = None, progress: Progress | None = None,
) -> Recheck:  # fmt: skip
    """Judge quarantined files again, after a contract changed or a decoder was installed.

    Args:
        workspace: Holds the quarantine.
        terms: How to judge them.
        code: Only files with this code.
        site: Only files of this site.
        refused_by: Only files that a contract of this name refused; that of the terms where it is left out.
        progress: Called with the number of files done.

    Raises:
        OslerError: As `ingest`.
    """
    if terms.contract is not None and refused_by is None:
        refused_by = load_contract(terms.contract).name
    groups: dict[tuple[str, str], list[Reason]] = {}
    result = Recheck()
    for found in Quarantine(workspace.quarantine):
        chosen = (code or found.code, site or found.site, refused_by or found.contract)
        if chosen != (found.code, found.site, found.contract):
            continue
        if found.code in UNDECIDABLE:
            result.skipped[f"{found.code}: only a person can tell, by release or discard"] += 1
        elif not found.kept:
            result.skipped["not kept, since it could not be read"] += 1
        elif terms.contract is None and found.contract not in shipped_contracts():
            result.skipped[f"judged by {found.contract}, which is not shipped: name its file with --contract"] += 1
        else:
            groups.setdefault((found.site, found.contract), []).append(found)
    for (origin, _), files in groups.items():
        looked = look_again(workspace, origin, files, terms, {})
        for before in files:
            outcome, new = looked[before.sha256]
            result.moves[before.code, new if outcome == str(Outcome.QUARANTINED) else outcome] += 1
        if progress:
            progress(sum(result.moves.values()))
    return result


def look_again(
    workspace: Workspace, site: str, files: Sequence[Reason], terms: Terms, released: Mapping[str, frozenset[str]]
) -> Mapping[str, tuple[str, str]]:
    """Send files of one site through the pipeline.

    Args:
        workspace: Holds the quarantine and the archive.
        site: Where the files came from.
        files: Their reasons, of one contract.
        terms: How to judge them.
        released: Hashes of those that a person lets in, with the codes that had kept them out.

    Returns:
        Outcome and code by hash; the outcome is `gone` for a file that another command took meanwhile.
    """
    if not files:
        return {}
    quarantine = Quarantine(workspace.quarantine)
    outcomes: dict[str, tuple[str, str]] = {}

    def note(path: Path, outcome: Outcome, code: str) -> None:
        outcomes[path.stem] = (str(outcome), code)

    ingest(
        QuarantineSource(quarantine, [found.sha256 for found in files]),
        site=site,
        workspace=workspace,
        contract=terms.contract or files[0].contract,
        key=terms.key,
        workers=terms.workers,
        on_file=note,
        today=terms.today,
        second_look=SecondLook(released),
        profile=terms.profile,
        crosswalk=terms.crosswalk,
    )
    lost = [found.sha256 for found in files if found.sha256 not in outcomes]
    for sha256 in _archived(workspace, lost):
        # A run was killed between taking the file out of the quarantine and its reason.
        quarantine.release(sha256)
        outcomes[sha256] = (str(Outcome.ACCEPTED), "")
    return dict.fromkeys(lost, (GONE, "")) | outcomes


def _archived(workspace: Workspace, sha256s: Sequence[str]) -> list[str]:
    with Session(Archive(workspace).engine) as session:
        query = select(Instance.source_sha256)
        return [found for sha256 in sha256s for found in session.scalars(query.where(Instance.source_sha256 == sha256))]
