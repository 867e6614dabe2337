"""A hospital on disk: deterministic, complete, never over something else, and reachable by the command."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from osler.cli.main import main
from osler.dicom.pixels import read_image
from osler_contracts.errors import OslerError
from osler_training.phantom.generate import LABEL_COLUMNS, GeneratedSite, generate_site
from osler_training.phantom.parameters import CONCEPTS
from osler_training.phantom.plan import StudyPlan, confounded_plan
from osler_training.phantom.sites import HOSPITAL_A, REFERENCE_SITES
from osler_training.phantom.study import render_study

PLANS = confounded_plan(24, ("heart_failure", "pneumonia"), "table_edge", 1.0, seed=8)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _hashes(made: GeneratedSite) -> dict[str, str]:
    paths = [*made.folder.rglob("*.dcm"), made.labels, made.truth]
    return {str(path.relative_to(made.folder.parent)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GeneratedSite:
    return generate_site(
        "reference", PLANS, tmp_path_factory.mktemp("one") / "in", size=128, workers=0, spoil=0.2, seed=8
    )


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(made: GeneratedSite, tmp_path: Path) -> None:
    again = generate_site("reference", PLANS, tmp_path / "in", size=128, workers=2, spoil=0.2, seed=8)
    assert _hashes(again) == _hashes(made)


def test_tables_agree_with_the_plans_and_the_files(made: GeneratedSite) -> None:
    labels, truth = _rows(made.labels), _rows(made.truth)
    assert tuple(labels[0]) == LABEL_COLUMNS
    assert [(row["diagnosis"], row["nuisance"]) for row in labels] == [
        (plan.diagnosis, plan.nuisance or "") for plan in PLANS
    ]
    assert len({row["study_instance_uid"] for row in labels}) == len(PLANS)
    assert all(row["report"] for row in labels)
    assert {row["file"] for row in truth} == {
        path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()
    }
    assert {row["site"] for row in truth} == {site.name for site in REFERENCE_SITES}
    assert {row[f"concept_{name}"] for row in truth for name in CONCEPTS} == {"0", "1"}
    assert all(
        (float(row["cardiothoracic_ratio"]) > 0.5) == (row["concept_enlarged_cardiac_silhouette"] == "1")
        for row in truth
    )
    assert made.spoiled == round(0.2 * (made.files - made.spoiled))


def test_the_file_shows_what_rendering_gives(tmp_path: Path) -> None:
    plan = StudyPlan(1, 0, "pneumonia", "grid_lines", 3)
    made = generate_site(HOSPITAL_A, [plan], tmp_path / "in", size=128, workers=0, seed=3)
    image = read_image(made.folder / "study-000001" / "image-1.dcm").values
    np.testing.assert_allclose(image, render_study(plan, HOSPITAL_A, 128).image, atol=1e-6)


def test_views_beyond_the_first_come_at_the_sites_rates(tmp_path: Path) -> None:
    plans = confounded_plan(60, ("heart_failure", "pneumonia"), None, 0.0, seed=1)
    made = generate_site("hospital_b", plans, tmp_path / "in", size=64, workers=0, seed=1)
    views = [row["view"] for row in _rows(made.truth)]
    assert 4 <= views.count("LL") <= 22
    assert 60 < len(views) - views.count("LL") <= 70


def test_nothing_is_written_over(made: GeneratedSite, tmp_path: Path) -> None:
    before = _hashes(made)
    with pytest.raises(OslerError, match="exists already"):
        generate_site("hospital_a", PLANS, made.folder, size=128, workers=0, seed=1)
    assert _hashes(made) == before
    (tmp_path / "new.labels.csv").write_text("kept")
    with pytest.raises(OslerError, match="exists already"):
        generate_site("hospital_a", PLANS, tmp_path / "new", size=128, workers=0, seed=1)


def test_the_command_makes_a_hospital_and_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    options = ["--site", "hospital_a", "--studies", "4", "--seed", "2", "--size", "128", "--workers", "0", "--json"]
    code = main(["phantom", str(tmp_path / "in"), *options, "--nuisance", "held_out", "--contact-sheet", str(sheet)])
    assert code == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["studies"] == 4
    assert payload["files"] == len(list((tmp_path / "in").rglob("*.dcm")))
    assert sheet.stat().st_size > 10_000
    assert main(["phantom", str(tmp_path / "in"), *options]) == 1
