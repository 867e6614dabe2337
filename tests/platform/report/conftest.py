"""A hospital whose studies were ingested with a crosswalk, and a model with more concepts than a report may show."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import VLPhotographicImageStorage

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.pipeline import Pipeline
from osler.deid.crosswalk import Crosswalk, open_crosswalk
from osler.deid.pseudonyms import Pseudonymizer
from osler.explain.explanation import Explanation, PredictionSet
from osler.explain.service import StudyExplainer
from osler.feedback import Conclusion, Review, save_review
from osler.ingest import ingest
from osler.report.service import Reporter
from osler.workspace import Workspace

KEY = bytes(32)
CONCEPTS = 40
NAMES = {1: "O'Brien-山田^Zoë^^Dr.=山田^太郎", 2: "Null^^^^", 3: "Robert'); DROP TABLE--^<script>"}
PLAIN, PHOTO, SEVERAL, SCRIPTED, LATERAL = range(5)


def uid(number: int) -> str:
    """Return the pseudonymous UID of a study."""
    return Pseudonymizer(KEY).uid(f"1.2.3.{number}.1")


@dataclass(frozen=True)
class Hospital:
    """A workspace of one's own, with its crosswalk."""

    workspace: Workspace
    crosswalk_path: Path
    key_path: Path

    @property
    def crosswalk(self) -> Crosswalk:
        return open_crosswalk(self.crosswalk_path, self.workspace, key_file=self.key_path)

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(StudyExplainer(self.workspace, "random"))

    def settle(self, text: str) -> None:
        """Write the site's settings; the model is loaded anew with them."""
        (self.workspace.root / "report.yaml").write_text(text, encoding="utf-8")
        self.__dict__.pop("reporter", None)

    def sign(self, number: int, reader: str = "Dr. Ada Brook", **values: Any) -> Review:
        """Have a reader sign what the model says of a study."""
        pipeline = self.reporter.explainer.pipeline
        word = {
            "before": Conclusion("pneumonia", 0.8),
            "after": Conclusion("pneumonia", 0.9),
            "corrections": {},
            "model": pipeline.digest,
            "bank": pipeline.bank.digest,
        }
        review = Review(uid(number), "b", reader, **(word | values))
        save_review(self.workspace, review)
        return review


def abstaining(hospital: Hospital) -> Explanation:
    """Return an explanation of the plain study whose prediction set holds two classes."""
    sentence = "For a new study like these the set holds the right class in 90 of 100 cases."
    held = PredictionSet(("pneumonia", "heart_failure"), 0.9, "lac", (), sentence)
    explanation = hospital.reporter.explainer.explain(uid(PLAIN))
    return replace(explanation, prediction_set=held, abstains=True, abstains_because="The model does not know.")


def _photograph(number: int, make_radiograph: Callable[..., Dataset]) -> Dataset:
    """Return a photograph in colour of a patient whose name needs Unicode."""
    draw = np.random.default_rng(number).integers(0, 255, (9, 8, 3)).astype(np.uint8)
    dataset = make_radiograph(number, PatientName=NAMES[1], ViewPosition=None, BodyPartExamined="HEAD", StudyID="78")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.Modality = VLPhotographicImageStorage, "XC"
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.Rows, dataset.Columns = 144, 128
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = np.kron(draw, np.ones((16, 16, 1), np.uint8)).tobytes()
    return dataset


def _films(make_radiograph: Callable[..., Dataset]) -> list[Dataset]:
    study = {"AccessionNumber": "ACC-77", "StudyID": "77"}
    several = [
        make_radiograph(2, ViewPosition=view, SOPInstanceUID=f"1.2.3.2.{place}", PatientName=NAMES[2], **study)
        for place, view in enumerate(("PA", "LL", "AP"), 10)
    ]
    return [
        make_radiograph(PLAIN, **study),
        _photograph(PHOTO, make_radiograph),
        *several,
        make_radiograph(SCRIPTED, PatientName=NAMES[3], **study),
        make_radiograph(LATERAL, ViewPosition="LL", PatientOrientation=["A", "F"], **study),
    ]


@pytest.fixture(scope="session")
def _built(
    tmp_path_factory: pytest.TempPathFactory,
    make_radiograph: Callable[..., Dataset],
    save_model: Callable[..., Pipeline],
) -> Path:
    root = tmp_path_factory.mktemp("hospital")
    (root / "films").mkdir()
    for number, film in enumerate(_films(make_radiograph)):
        film.save_as(root / "films" / f"{number}.dcm", enforce_file_format=True)
    workspace = Workspace.open(root / "workspace", create=True)
    crosswalk = open_crosswalk(root / "crosswalk" / "file", workspace, key_file=root / "key" / "file", create=True)
    summary = ingest(
        root / "films",
        site="b",
        workspace=workspace,
        key=KEY,
        workers=0,
        contract="any-image",
        crosswalk=crosswalk,
        today=date(2024, 5, 1),
    )
    assert summary.accepted == 7
    save_model(workspace, CONCEPTS, calibration=Calibration(2.0, "b", "2024-04-01", 50, {"pneumonia": 0.2}))
    (workspace.root / "report.yaml").write_text("concepts: 5\n", encoding="utf-8")
    explainer = StudyExplainer(workspace, "random")
    for number in (PLAIN, PHOTO, SEVERAL, SCRIPTED):
        explainer.explain(uid(number))  # the features of all images are kept, and copied with the workspace
    return root


@pytest.fixture
def hospital(_built: Path, tmp_path: Path) -> Hospital:
    """Return a copy of the hospital."""
    root = tmp_path / "hospital"
    shutil.copytree(_built, root)
    return Hospital(Workspace.open(root / "workspace"), root / "crosswalk" / "file", root / "key" / "file")
