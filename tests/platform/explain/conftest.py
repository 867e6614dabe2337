"""A workspace as a hospital has it: radiographs ingested with labels, and a model with its encoder beside it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.pipeline import Pipeline
from osler.ingest import ingest
from osler.workspace import Workspace

CLASSES = ("heart_failure", "pneumonia", "normal")
SIDE = 128


def radiograph(number: int, view: str) -> Dataset:
    """Make a computed radiograph of random blobs, 12 bits stored, of a patient of its own."""
    draw = np.random.default_rng(number)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    centres = draw.uniform(20, 108, size=(3, 2))
    blobs = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 400) for cy, cx in centres)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{number}", f"1.2.3.{number}.1"
    dataset.SOPInstanceUID = f"1.2.3.{number}.1.1"
    dataset.PatientID, dataset.PatientName = f"P{number}", "Doe^Jane"
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = "20240301"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", view
    dataset.PatientOrientation = ["L", "F"]
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = (blobs / blobs.max() * 4095).astype("<u2").tobytes()
    return dataset


@pytest.fixture(scope="session")
def hospital(
    tmp_path_factory: pytest.TempPathFactory,
    save_model: Callable[..., Pipeline],
) -> Workspace:
    """Return a workspace with nine labelled frontal studies and a lateral one of site b, and a model `random`."""
    root = tmp_path_factory.mktemp("hospital")
    (root / "files").mkdir()
    with (root / "labels.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["study_instance_uid", "finding"])
        for number in range(10):
            dataset = radiograph(number, "PA" if number < 9 else "LL")
            dataset.save_as(root / "files" / f"{number}.dcm", enforce_file_format=True)
            rows.writerow([dataset.StudyInstanceUID, CLASSES[number % 3]])
    workspace = Workspace.open(root / "workspace", create=True)
    summary = ingest(
        root / "files",
        site="b",
        workspace=workspace,
        key=bytes(32),
        workers=0,
        labels=root / "labels.csv",
        today=date(2024, 5, 1),
    )
    assert summary.accepted == 10
    save_model(workspace, calibration=Calibration(2.0, "b", "2024-04-01", 50, {"pneumonia": 0.2}))
    return workspace
