"""The main job, end to end with the network blocked: every part real, only small."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from osler.adapt.store import PatchStore
from osler.archive import Archive
from osler.bottleneck.artefact import load_bottleneck
from osler.workspace import Workspace
from osler_knowledge.bank import ConceptBank
from osler_knowledge.corpus import load_corpus

METHODS = ["linear_probe", "report_probe", "fine_tuned_cnn", "bottleneck", "bottleneck_prior"]


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    """What the demonstration left."""
    return dict(json.loads((demo / "workspace" / "summary.json").read_text(encoding="utf-8")))


def test_every_file_has_one_outcome_and_it_is_the_planted_one(summary: dict[str, Any]) -> None:
    ingest = summary["ingest"]
    assert ingest["received"] == ingest["accepted"] + ingest["quarantined"] + ingest["duplicates"]
    assert ingest["unexpected"] == {}
    assert sum(ingest["by_reason"].values()) == ingest["quarantined"] > 0


def test_the_index_holds_what_the_summary_counts(demo: Path, summary: dict[str, Any]) -> None:
    archive = Archive(Workspace.open(demo / "workspace"))
    files = sum(len(study.instances) for study in archive.studies())
    assert files == summary["ingest"]["accepted"]


def test_every_concept_cites_a_verbatim_passage(demo: Path, summary: dict[str, Any]) -> None:
    bank = ConceptBank.load(demo / "workspace" / "knowledge" / "chest-radiograph.json")
    entries = load_corpus().by_id
    for concept in bank.concepts:
        cited = concept.citation
        assert entries[cited.entry].text[cited.start : cited.end] == cited.passage
    assert summary["bank"] == {"concepts": len(bank.concepts), "with_citation": len(bank.concepts)}
    assert len(bank.concepts) >= 30


def test_every_method_has_its_figures_with_intervals(summary: dict[str, Any]) -> None:
    assert [row["method"] for row in summary["results"]] == METHODS
    for row in summary["results"]:
        for key in ("id", "ood", "gap", "avg"):
            low, high = row["ci"][key]
            assert 0 <= low <= row[key] <= high <= 1
        assert row["gap"] == pytest.approx(abs(row["id"] - row["ood"]))
        assert row["avg"] == pytest.approx((row["id"] + row["ood"]) / 2)


def test_adaptation_leaves_the_source_alone(demo: Path, summary: dict[str, Any]) -> None:
    adapted = summary["adaptation"]
    assert adapted["draws"] >= 20
    assert adapted["source_before"] == adapted["source_after"]
    assert adapted["gain"] == pytest.approx(adapted["target_after"] - adapted["target_before"])
    patches = PatchStore(Workspace.open(demo / "workspace").patches).all()
    assert [patch.site for patch in patches] == ["hospital_b"]


def test_models_are_kept_without_pickles_and_load(demo: Path) -> None:
    models = demo / "workspace" / "models"
    assert {path.name for path in models.iterdir()} == {"bottleneck", "bottleneck_prior"}
    pipeline = load_bottleneck(models / "bottleneck_prior")
    assert pipeline.classes == ("heart_failure", "pneumonia")
    assert not [path for path in (demo / "workspace").rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".joblib")]


def test_runs_are_in_mlflow(demo: Path) -> None:
    with sqlite3.connect(demo / "workspace" / "mlflow.db") as tracker:
        runs = {name for (name,) in tracker.execute("select name from runs where status = 'FINISHED'")}
    assert set(METHODS) <= runs


def test_no_invented_name_is_left_in_the_workspace(demo: Path) -> None:
    """Archive, index, tracker and summary; the phantoms themselves lie in the cache and the quarantine holds files as they came."""
    from pydicom import dcmread

    workspace = demo / "workspace"
    with (workspace / "cache" / "phantoms" / "hospital_a.truth.csv").open(encoding="utf-8", newline="") as stream:
        good = [row["file"] for row in csv.DictReader(stream) if row["expected_outcome"] == "accepted"][:20]
    secrets = set()
    for name in good:
        header = dcmread(workspace / "cache" / "phantoms" / "hospital_a" / name, stop_before_pixels=True)
        secrets |= {str(header.PatientID), str(header.PatientName), str(header.StudyInstanceUID)}
    assert secrets
    kept = [workspace / "archive", workspace / "models", workspace / "patches", workspace / "artifacts"]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    files += [workspace / "summary.json", workspace / "mlflow.db"]
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path.name


def test_what_is_printed_says_phantom_and_shows_every_method(demo: Path) -> None:
    printed = (demo / "printed.txt").read_text(encoding="utf-8")
    assert "PHANTOM DATA" in printed
    assert "bottleneck with prior" in printed


def test_a_second_demo_shows_the_first(demo: Path, osler: Any, summary: dict[str, Any]) -> None:
    recipe = Path(__file__).with_name("small.yaml")
    done = osler("demo", "--recipe", str(recipe), "--workspace", str(demo / "workspace"), "--json")
    assert json.loads(done.stdout) == summary
    assert "demo-finished" in done.stderr


def test_another_demo_over_the_first_is_refused(demo: Path, osler: Any) -> None:
    done = osler("demo", "--workspace", str(demo / "workspace"), "--json", expect=1)
    assert json.loads(done.stdout)["error"]["code"] == "workspace-occupied"


def test_a_study_is_explained_and_a_correction_moves_the_finding(demo: Path, osler: Any) -> None:
    archive = Archive(Workspace.open(demo / "workspace"))
    uid = next(study.uid for study in archive.studies("hospital_b") if archive.frontal(study))
    words = ("explain", uid, "--model", "bottleneck_prior", "--workspace", str(demo / "workspace"), "--format", "json")
    plain = json.loads(osler(*words).stdout)
    total = plain["baseline"] + sum(concept["contribution"] for concept in plain["concepts"])
    assert total == pytest.approx(plain["margin"], abs=1e-6)
    strongest = max(plain["concepts"], key=lambda one: abs(one["contribution"]))
    value = "0" if strongest["probability"] > 0.5 else "1"
    corrected = json.loads(osler(*words, "--set", f"{strongest['id']}={value}").stdout)
    assert corrected["margin"] != plain["margin"]


def test_a_model_whose_hash_is_wrong_is_refused(demo: Path, osler: Any, tmp_path: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(demo / "workspace", copy, ignore=shutil.ignore_patterns("phantoms", "artifacts"))
    tensors = copy / "models" / "bottleneck_prior" / "bottleneck.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(bytes(content))
    archive = Archive(Workspace.open(copy))
    uid = next(study.uid for study in archive.studies("hospital_b") if archive.frontal(study))
    done = osler("explain", uid, "--model", "bottleneck_prior", "--workspace", str(copy), "--json", expect=1)
    assert json.loads(done.stdout)["error"]["code"] == "model-hash-mismatch"
