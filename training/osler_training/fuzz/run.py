"""Damaged files through the real ingestion, and what it archived held against tools that share no code with it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osler.archive import Archive, Outcome
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_training.fuzz.agreement import compare
from osler_training.fuzz.generate import mutants
from osler_training.fuzz.independent import dump_complaint

CHUNK = 500
CONTRACT = "any-image"
# Of 8 bits: what decoders of lossy JPEG may differ by, since the standard leaves the last bit to them.
LOSSY_BOUND = 2.0
_KEY = b"\x17" * 32

Progress = Callable[[int, int], None]


@dataclass
class FuzzResult:
    """What became of the damaged files.

    Attributes:
        received: Files made.
        outcomes: Files by outcome.
        codes: Refused files by code.
        by_mutation: For each mutation, files by outcome.
        archived: Objects in the archive.
        rejected: Archived objects that dcmdump complains about, with the complaint.
        unequal: Archived objects whose pixels an independent decoder does not give, with both decoders.
        by_decoder: Archived objects with equal pixels, by independent decoder.
    """

    received: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    by_mutation: dict[str, Counter[str]] = field(default_factory=dict)
    archived: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    unequal: dict[str, str] = field(default_factory=dict)
    by_decoder: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether every file has exactly one outcome."""
        return self.received == sum(self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "received": self.received,
            "complete": self.complete,
            "outcomes": dict(sorted(self.outcomes.items())),
            "codes": dict(self.codes.most_common()),
            "by_mutation": {name: dict(sorted(count.items())) for name, count in sorted(self.by_mutation.items())},
            "archived": self.archived,
            "rejected": self.rejected,
            "unequal": self.unequal,
            "by_decoder": dict(self.by_decoder.most_common()),
        }


def run_fuzz(
    bases: Sequence[Path],
    scratch: Path,
    *,
    count: int,
    seed: int,
    workers: int = 2,
    verify: bool = True,
    progress: Progress | None = None,
) -> FuzzResult:
    """Make damaged files, ingest them under `any-image`, and verify what was archived.

    Args:
        bases: Sound files to damage.
        scratch: Folder for the files and the workspace; the damaged files are removed again, chunk by chunk.
        count: Number of files.
        seed: Seed of the damage.
        workers: Worker processes.
        verify: Whether to hold the archive against dcmdump and independent decoders.
        progress: Called with the number of files done and of all files.

    Raises:
        OslerError: As `ingest`; a damaged file must never be the reason.
    """
    result = FuzzResult()
    workspace = Workspace.open(scratch / "workspace", create=True)
    for first in range(0, count, CHUNK):
        folder = scratch / f"files-{first:06d}"
        _ingest_chunk(result, bases, folder, workspace, (min(CHUNK, count - first), seed, first), workers)
        shutil.rmtree(folder)
        if progress:
            progress(min(first + CHUNK, count), count)
    paths = [Path(image.path) for study in Archive(workspace).studies() for image in study.instances]
    result.archived = len(paths)
    if verify:
        verify_archived(result, paths)
    return result


def verify_archived(result: FuzzResult, paths: Sequence[Path]) -> None:
    """Read every archived object with dcmdump, and decode it twice."""
    with ThreadPoolExecutor(2) as pool:  # the work is done by other processes
        for path, complaint in zip(paths, pool.map(dump_complaint, paths), strict=True):
            if complaint is not None:
                result.rejected[path.name] = complaint
        for path, found in zip(paths, pool.map(compare, paths), strict=True):
            bound = LOSSY_BOUND if found.lossy else 0.0
            if found.largest is not None and found.largest <= bound:
                result.by_decoder[found.tool] += 1
            else:
                why = f"{found.syntax}: {found.decoder or found.code} against {found.tool or 'none'}"
                result.unequal[path.name] = f"{why}, difference {found.largest}"


def _ingest_chunk(
    result: FuzzResult,
    bases: Sequence[Path],
    folder: Path,
    workspace: Workspace,
    numbers: tuple[int, int, int],
    workers: int,
) -> None:
    count, seed, first = numbers
    folder.mkdir(parents=True)
    made: dict[str, str] = {}
    for mutant in mutants(bases, count, seed, first):
        (folder / mutant.name).write_bytes(mutant.content)
        made[mutant.name] = mutant.mutations[0]

    def heard(path: Path, outcome: Outcome, code: str) -> None:
        result.outcomes[str(outcome)] += 1
        result.by_mutation.setdefault(made[path.name], Counter())[str(outcome)] += 1
        if outcome is Outcome.QUARANTINED:
            result.codes[code] += 1

    summary = ingest(
        folder, site="fuzz", workspace=workspace, contract=CONTRACT, key=_KEY, workers=workers, on_file=heard
    )
    result.received += len(made)
    if summary.received != len(made):
        raise AssertionError(f"{len(made)} files were given and {summary.received} accounted for")
