"""Count correct actions over planted studies: removed, retained, mapped, shifted, pixels hidden and pixels kept.

Run `python -m osler_training.deid_score.score --studies 200 --folder FOLDER`; the folder must be new.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy.ndimage import binary_dilation

from osler.archive import Archive
from osler.deid import Pseudonymizer
from osler.deid.options import BurnedIn, Profile
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_training.deid_score.plant import DATES, REPEATED, RETAINED, TEXTS, UIDS, Planted, plant
from osler_training.phantom.generate import generate_site
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import mixed_plan

KEY = bytes(range(32))
MARGIN = 24  # pixels around planted letters in which a box may reach


@dataclass
class Score:
    """Correct actions and all, by kind; misses name the kind and the place, never a value."""

    correct: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)

    def count(self, kind: str, place: str, right: bool) -> None:
        """Count one action."""
        self.total[kind] += 1
        self.correct[kind] += right
        if not right:
            self.misses.append(f"{kind}: {place}")

    def share(self) -> float:
        """Return the share of correct actions."""
        return sum(self.correct.values()) / max(sum(self.total.values()), 1)


def score(folder: Path, studies: int, *, seed: int = 7, size: int = 256, workers: int = 0) -> Score:
    """Make phantoms, plant identifiers, ingest them with boxing, and score what lies in the archive.

    Args:
        folder: A new folder.
        studies: Number of studies.
        seed: Of phantoms and planting.
        size: Rows and columns.
        workers: Processes of the ingestion.
    """
    plans = mixed_plan(studies, list(DIAGNOSES), seed)
    made = generate_site("reference", plans, folder / "source", size=size, workers=0, seed=seed)
    rng = np.random.default_rng(seed)
    files = sorted(made.folder.rglob("*.dcm"))
    planted = {str(one.original.SOPInstanceUID): one for one in (plant(path, n, rng) for n, path in enumerate(files))}
    workspace = Workspace.open(folder / "workspace", create=True)
    summary = ingest(
        made.folder,
        site="planted",
        workspace=workspace,
        contract="any-image",
        key=KEY,
        workers=workers,
        labels=_labels(folder, planted),
        today=date(2030, 1, 1),
        profile=Profile(BurnedIn.BOX),
    )
    result = Score()
    result.count("accepted", "all files", summary.accepted == len(files))
    archive, pseudonymizer = Archive(workspace), Pseudonymizer(KEY)
    objects = {instance.uid: instance.path for study in archive.studies() for instance in study.instances}
    shifts: dict[str, set[int]] = {}
    for uid, one in planted.items():
        path = objects.get(pseudonymizer.uid(uid))
        result.count("archived", "object", path is not None)
        if path is not None:
            _score_file(result, one, dcmread(BytesIO(path.read_bytes())), pseudonymizer, shifts)
    for found in shifts.values():
        result.count("shifted alike", "patient", len(found) == 1 and 0 not in found)
    _search(result, workspace, planted.values())
    return result


def _labels(folder: Path, planted: dict[str, Planted]) -> Path:
    """Write reports that name the patient."""
    path = folder / "labels.csv"
    rows = {
        str(
            one.original.StudyInstanceUID
        ): f"{one.original.PatientName.family_name} ({one.original.PatientID}) is well."
        for one in planted.values()
    }
    lines = ["study_instance_uid,report", *(f"{uid},{text}" for uid, text in rows.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _score_file(
    result: Score, one: Planted, stored: Dataset, pseudonymizer: Pseudonymizer, shifts: dict[str, set[int]]
) -> None:
    original = one.original
    for keyword in (*TEXTS, *REPEATED):
        now = str(stored.get(keyword) or "")
        result.count("removed", keyword, now in ("", "REMOVED", "['', '']"))
    for keyword in UIDS:
        result.count("mapped", keyword, stored.get(keyword) == pseudonymizer.uid(str(original[keyword].value)))
    for place, item, before in _references(stored, original):
        right = item is not None and item.get("ReferencedSOPInstanceUID") == stored.SOPInstanceUID
        result.count("mapped", place, right and item.ReferencedSOPClassUID == before.ReferencedSOPClassUID)
    found = {_days(stored.get(keyword), original.get(keyword)) for keyword in DATES}
    for keyword in DATES:
        right = _days(stored.get(keyword), original.get(keyword)) not in (None, 0)
        result.count("shifted", keyword, right)
    shifts.setdefault(str(original.PatientID), set()).update(day for day in found if day is not None)
    for keyword in RETAINED:
        # Boxed pixels are written uncompressed; how they are laid out must agree all the same.
        result.count("retained", keyword, stored.get(keyword) == original.get(keyword))
    result.count("said so", "PatientIdentityRemoved", stored.PatientIdentityRemoved == "YES")
    _score_pixels(result, one, stored)


def _score_pixels(result: Score, one: Planted, stored: Dataset) -> None:
    before, after = one.original.pixel_array, stored.pixel_array
    if one.burned is None:
        result.count("pixels kept", "whole image", bool(np.array_equal(before, after)))
        return
    # Letters and what is next to them look alike: whatever their colour, nothing of their form is left.
    result.count("pixels hidden", "planted text", len(np.unique(after[binary_dilation(one.burned, iterations=2)])) == 1)
    rows, columns = np.nonzero(one.burned)
    outside = np.ones(before.shape, bool)
    inner = [slice(max(axis.min() - MARGIN, 0), axis.max() + MARGIN) for axis in (rows, columns)]
    outside[inner[0], inner[1]] = False
    result.count("pixels kept", "around planted text", bool(np.array_equal(before[outside], after[outside])))


def _references(stored: Dataset, original: Dataset) -> Iterator[tuple[str, Any, Dataset]]:
    """Yield the innermost and outermost references that the profile keeps, beside what they were."""
    for keyword in ("SourceImageSequence",):
        items, befores, place = stored.get(keyword), original.get(keyword), keyword
        while befores:
            item = items[0] if items else None
            yield place, item, befores[0]
            items = item.get("PurposeOfReferenceCodeSequence") if item is not None else None
            befores, place = befores[0].get("PurposeOfReferenceCodeSequence"), f"{place}, nested"


def _days(now: object, before: object) -> int | None:
    try:
        first, second = (date(int(text[:4]), int(text[4:6]), int(text[6:8])) for text in (str(before), str(now)))
    except ValueError:
        return None
    return (second - first).days


def _search(result: Score, workspace: Workspace, planted: Iterable[Planted]) -> None:
    """Search for every planted text in every byte of the workspace but the quarantine's, as 8-bit and as 16-bit text."""
    files = (path for path in sorted(workspace.root.rglob("*")) if path.is_file())
    content = b"\n".join(path.read_bytes() for path in files if not path.is_relative_to(workspace.quarantine)).lower()
    content += b"\n" + content.replace(b"\0", b"")
    # Planted words are looked for by their common form: thousands of them one by one would take hours.
    left = {match.decode() for match in re.findall(rb"(?=(zq[a-z]{3}[0-9]{8}))", content)}
    for one in planted:
        for word in one.secrets:
            lowered = word.lower()
            found = lowered in left if lowered.startswith("zq") else lowered.encode() in content
            result.count("not found again", word[:5] if word.startswith("Zq") else "identity", not found)


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description="Score de-identification on planted phantoms.")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    result = score(arguments.folder, arguments.studies, size=arguments.size, workers=arguments.workers)
    kinds = {kind: [result.correct[kind], count] for kind, count in sorted(result.total.items())}
    told = {"share": result.share(), "actions": sum(result.total.values()), "kinds": kinds, "misses": result.misses}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
