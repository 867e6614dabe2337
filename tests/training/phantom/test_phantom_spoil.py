"""Every spoiled file gets at the real gate exactly the outcome and code that the table of truth promises."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from osler.archive.records import Outcome
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan
from osler_training.phantom.sites import HOSPITAL_A, HOSPITAL_B, REFERENCE_SITES, SiteProfile
from osler_training.phantom.spoil import SPOILS


@pytest.mark.parametrize(
    "sites", [(HOSPITAL_A,), (HOSPITAL_B,), REFERENCE_SITES], ids=["hospital_a", "hospital_b", "reference"]
)
def test_ingestion_gives_every_file_its_code(sites: tuple[SiteProfile, ...], tmp_path: Path) -> None:
    plans = mixed_plan(12, ("heart_failure", "pneumonia"), 6)
    made = generate_site(sites, plans, tmp_path / "incoming", size=128, workers=0, spoil=1.0, seed=6)
    found: dict[str, tuple[str, str]] = {}

    def on_file(path: Path, outcome: Outcome, code: str) -> None:
        found[path.relative_to(made.folder).as_posix()] = str(outcome), code

    summary = ingest(
        made.folder,
        site="a",
        workspace=Workspace.open(tmp_path / "workspace", create=True),
        key=bytes(range(32)),
        workers=0,
        labels=made.labels,
        on_file=on_file,
    )
    with made.truth.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert found == {row["file"]: (row["expected_outcome"], row["expected_code"]) for row in rows}
    assert {row["spoil"] for row in rows if row["spoil"]} == {spoil.name for spoil in SPOILS}
    assert summary.received == made.files
    assert summary.labelled == made.studies
    assert not summary.warnings
