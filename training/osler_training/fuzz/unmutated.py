"""Sound files through ingestion: is what an independent decoder reads accepted?"""

from __future__ import annotations

import shutil
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from osler.archive import Outcome
from osler.deid.options import BASIC, BurnedIn
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_training.fuzz.agreement import Agreement, compare

CONTRACT = "any-image"
# Text that is burned into a sound file is a reason to keep it, and not the question here.
PROFILE = replace(BASIC, burned_in=BurnedIn.UNJUDGED)


@dataclass
class Reception:
    """What became of sound files that an independent decoder reads.

    Attributes:
        read: How many there are.
        accepted: How many of them entered.
        refused: The others, by name, with the code.
    """

    read: int = 0
    accepted: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {"read": self.read, "accepted": self.accepted, "refused": dict(sorted(self.refused.items()))}


def agreements(paths: Iterable[Path]) -> dict[Path, Agreement]:
    """Decode files twice; those that are not DICOM or have no pixels are left out."""
    listed = list(paths)
    with ThreadPoolExecutor(2) as pool:  # half of the work is done by other processes
        found = zip(listed, pool.map(_agreement, listed), strict=True)
        return {path: one for path, one in found if one is not None and one.code != "no-pixels"}


def receive(paths: Sequence[Path], scratch: Path, workers: int = 1) -> Reception:
    """Ingest sound files under `any-image`, each SOP Instance UID once a workspace; all are read by some decoder."""
    result = Reception(read=len(paths))
    for number, batch in enumerate(_rounds(paths)):
        source = scratch / f"round-{number}"
        source.mkdir(parents=True)
        for index, path in enumerate(batch):
            shutil.copy(path, source / f"{index:05d}-{path.name}")

        def heard(path: Path, outcome: Outcome, code: str) -> None:
            result.accepted += outcome is not Outcome.QUARANTINED
            if outcome is Outcome.QUARANTINED:
                result.refused[path.name[6:]] = code

        workspace = Workspace.open(scratch / f"workspace-{number}", create=True)
        ingest(
            source,
            site="sound",
            workspace=workspace,
            contract=CONTRACT,
            key=b"k" * 32,
            workers=workers,
            profile=PROFILE,
            on_file=heard,
        )
    return result


def _agreement(path: Path) -> Agreement | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compare(path)
    except InvalidDicomError:
        return None


def _rounds(paths: Iterable[Path]) -> list[list[Path]]:
    """Part files that share a SOP Instance UID: only one of them can enter an archive."""
    rounds: dict[int, list[Path]] = defaultdict(list)
    copies: Counter[str] = Counter()
    for path in paths:
        uid = str(dcmread(path, stop_before_pixels=True).get("SOPInstanceUID"))
        rounds[copies[uid]].append(path)
        copies[uid] += 1
    return list(rounds.values())
