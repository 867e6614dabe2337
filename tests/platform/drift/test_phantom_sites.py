"""A hospital's films against another device's: phantoms from the renderer, read as archived files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.drift.reading import read_values
from osler_contracts.drift.compare import compare
from osler_contracts.drift.fields import FIELDS
from osler_contracts.drift.observations import Observations, observe
from osler_contracts.drift.reference import make_profile
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan


def films(folder: Path, site: str, studies: int, seed: int) -> tuple[list[str], list[dict[str, object]]]:
    """Render studies, and return what names the patient of each film, and its values."""
    plan = mixed_plan(studies, ("heart_failure", "pneumonia"), seed)
    made = generate_site(site, plan, folder, size=128, workers=0, seed=seed)
    paths = sorted(made.folder.rglob("*.dcm"))
    return [f"{seed} {path.parent.name}" for path in paths], [read_values(path) for path in paths]


def observed(units: list[str], rows: list[dict[str, object]]) -> Observations:
    return observe(units, {name: [row.get(name) for row in rows] for name in FIELDS})


@pytest.mark.slow
def test_another_vendor_and_detector_curve_are_found_and_the_same_hospital_is_not(tmp_path: Path) -> None:
    profile = make_profile(observed(*films(tmp_path / "old", "hospital_a", 80, 1)), site="a")
    units, rows = films(tmp_path / "same", "hospital_a", 50, 2)
    assert compare(profile, observed(units, rows)).moved == ()
    other_units, other_rows = films(tmp_path / "other", "hospital_b", 40, 3)
    report = compare(profile, observed(units + other_units, rows + other_rows))
    vendor = {"Manufacturer", "ManufacturerModelName", "BitsStored", "PhotometricInterpretation", "TransferSyntaxUID"}
    curve = {"stored_low", "stored_high", "image_sd"}
    assert vendor | curve <= set(report.moved)
    assert not {"Modality", "BodyPartExamined", "Rows", "PixelRepresentation"} & set(report.moved)
    for name in vendor:
        (result,) = (one for one in report.fields if one.name == name)
        assert result.since is not None
        assert (result.since.onset.low, result.since.onset.at, result.since.onset.high) == (50, 50, 50)
