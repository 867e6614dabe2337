"""A site with labelled radiographs, some of one patient, and a model; no network runs after the first reading."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.ingest import ingest
from osler.workspace import Workspace

CLASSES = ("heart_failure", "pneumonia", "normal")
STUDIES = 30


@pytest.fixture(scope="session")
def ward(
    tmp_path_factory: pytest.TempPathFactory,
    make_radiograph: Callable[..., Dataset],
    make_pipeline: Callable[..., Pipeline],
    encoder: OpenClipEncoder,
    resnet_folder: Path,
) -> Workspace:
    """Return a workspace with 30 labelled studies of 26 patients of site c, and a model `random`."""
    root = tmp_path_factory.mktemp("ward")
    (root / "files").mkdir()
    with (root / "labels.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["study_instance_uid", "finding"])
        for number in range(STUDIES):
            dataset = make_radiograph(number, PatientID=f"P{number % 26}")
            dataset.save_as(root / "files" / f"{number}.dcm", enforce_file_format=True)
            rows.writerow([dataset.StudyInstanceUID, CLASSES[number % 3]])
    workspace = Workspace.open(root / "workspace", create=True)
    summary = ingest(
        root / "files",
        site="c",
        workspace=workspace,
        key=bytes(32),
        workers=0,
        labels=root / "labels.csv",
        today=date(2024, 5, 1),
    )
    assert summary.accepted == STUDIES
    save_bottleneck(make_pipeline(encoder.width, encoder=encoder), workspace.models / "random", card="# Random\n")
    shutil.copytree(resnet_folder, workspace.models / "random" / "encoder")
    return workspace
