"""A workspace whose hospital replaced a device half-way: 45 studies as ever, 15 more of them, then 30 of the new device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from osler.ingest import ingest
from osler.workspace import Workspace

SITE, NAME = "hospital a/1", "Grablowski^Zenobia"
REFERENCE, SAME, NEW = 45, 15, 30


def film(make: Callable[..., Dataset], number: int, *, new: bool = False) -> Dataset:
    """Make a radiograph of one of two devices; every third patient comes twice in a row."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:136, 0:128] / 136
    seen = 0.6 - 0.35 * np.exp(-(((x - 0.4) / 0.2) ** 2) - ((y - 0.5) / 0.3) ** 2) + rng.normal(0, 0.01, x.shape)
    seen = np.clip(seen + rng.normal(0, 0.03), 0, 1) ** (1.8 if new else 1.0)
    return make(
        number,
        (4095 * seen).astype("<u2"),
        PatientID=f"MRN{number - number % 3 // 2:05d}",
        PatientName=NAME,
        InstitutionName="Alder Valley",
        Manufacturer="Kestrel" if new else "Lumenara",
        KVP=str(round((90 if new else 120) + 2 * rng.normal(), 1)),
        WindowCenter="2048",
        WindowWidth="4096",
        ImageComments=NAME,
    )


@dataclass(frozen=True)
class Arrivals:
    """A workspace, the folder that it was filled from, and the key of its pseudonyms."""

    workspace: Workspace
    sources: Path
    key: bytes = b"k" * 32

    def bring(self, make: Callable[..., Dataset], numbers: range, *, new: bool = False) -> None:
        """Ingest some films in one run."""
        folder = self.sources / f"{numbers.start:05d}"
        folder.mkdir(parents=True)
        for number in numbers:
            film(make, number, new=new).save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
        summary = ingest(folder, site=SITE, workspace=self.workspace, key=self.key, contract="any-image", workers=0)
        assert summary.accepted == len(numbers), summary.by_reason


@pytest.fixture(scope="module")
def arrivals(tmp_path_factory: pytest.TempPathFactory, make_radiograph: Callable[..., Dataset]) -> Arrivals:
    """Return the workspace after three runs."""
    root = tmp_path_factory.mktemp("drift")
    found = Arrivals(Workspace.open(root / "workspace", create=True), root / "sources")
    found.bring(make_radiograph, range(REFERENCE))
    found.bring(make_radiograph, range(REFERENCE, REFERENCE + SAME))
    found.bring(make_radiograph, range(REFERENCE + SAME, REFERENCE + SAME + NEW), new=True)
    return found
