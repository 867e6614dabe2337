"""A small real workspace: DICOM files taken in from two hospitals, a fitted bottleneck on a tiny encoder, a site patch."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from sklearn.linear_model import LogisticRegression
from streamlit.testing.v1 import AppTest

import osler_dashboard
from osler.access import Person, Role
from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.store import PatchStore
from osler.archive import Archive
from osler.bottleneck.artefact import ENCODER, save_bottleneck
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model, save_encoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.encoders.vocabulary import Vocabulary
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler.dicom.pixels import read_image
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_dashboard import pages, session
from osler_knowledge.propose import build_bank

CLASSES = ("heart_failure", "pneumonia")
CONCEPTS = (
    "enlarged_cardiac_silhouette",
    "perihilar_haze",
    "kerley_b_lines",
    "air_bronchograms",
    "lobar_distribution",
    "focal_opacity",
    "blunted_costophrenic_angle",
    "silhouette_sign",
    "bilateral_opacities",
    "pacemaker",
)
SITES, STUDIES, SIZE = ("hospital_a", "hospital_b"), 6, 192
MASKED = "pacemaker"


def radiograph(site: str, number: int) -> Dataset:
    """Make a valid DX image: a bright heart between dark lungs, wide in even studies and with an opacity in odd ones."""
    draw = np.random.default_rng([len(site), ord(site[-1]), number])
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    lungs = np.exp(-(((x - 0.3) / 0.13) ** 2) - ((y - 0.45) / 0.3) ** 2)
    lungs = lungs + np.exp(-(((x - 0.7) / 0.13) ** 2) - ((y - 0.45) / 0.3) ** 2)
    heart = np.exp(-(((x - 0.55) / (0.2 if number % 2 == 0 else 0.12)) ** 2) - ((y - 0.65) / 0.2) ** 2)
    spot = (number % 2) * np.exp(-(((x - 0.72) / 0.07) ** 2) - ((y - 0.6) / 0.07) ** 2)
    values = 2200 - 1200 * lungs + 1100 * heart + 900 * spot + draw.normal(0, 30, x.shape)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    names = {kind: generate_uid(entropy_srcs=[site, str(number), kind]) for kind in ("study", "series", "image")}
    ds.StudyInstanceUID, ds.SeriesInstanceUID = names["study"], names["series"]
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = names["image"]
    ds.PatientName, ds.PatientID = f"DOE^JANE {number}", f"{site}-{number}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19500101", "F", "070Y"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200301"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112"
    ds.StudyID, ds.AccessionNumber, ds.SeriesNumber, ds.InstanceNumber = "1", "", 1, 1
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", "PA"
    ds.Manufacturer, ds.PresentationIntentType, ds.BurnedInAnnotation = "Maker", "FOR PRESENTATION", "NO"
    ds.PatientOrientation, ds.ImageLaterality = ["L", "F"], "U"
    ds.Rows = ds.Columns = SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.ImagerPixelSpacing, ds.WindowCenter, ds.WindowWidth = [1.8, 1.8], 2200, 3000
    ds.RescaleIntercept, ds.RescaleSlope, ds.PixelIntensityRelationship = 0, 1, "LOG"
    ds.PixelData = np.clip(values, 0, 4095).astype("<u2").tobytes()
    return ds


def _write_sources(folder: Path) -> None:
    """Write both hospitals' folders; the second has a duplicate, a truncated file and one without pixels."""
    for site in SITES:
        (folder / site).mkdir(parents=True)
        rows = []
        for number in range(STUDIES):
            ds = radiograph(site, number)
            ds.save_as(folder / site / f"{number}.dcm", enforce_file_format=True)
            finding = CLASSES[number % 2]
            rows.append([ds.StudyInstanceUID, f"FINDINGS: Report {number} <b>as is</b>.", finding, "pacemaker"])
        with (folder / f"{site}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["study_instance_uid", "report", "finding", "concept_pacemaker"], *rows])
    spoiled = folder / SITES[1]
    shutil.copy(spoiled / "0.dcm", spoiled / "again.dcm")
    (spoiled / "cut.dcm").write_bytes((spoiled / "1.dcm").read_bytes()[:20000])
    empty = radiograph(SITES[1], 99)
    del empty.PixelData
    empty.save_as(spoiled / "empty.dcm", enforce_file_format=True)


def _encoder(folder: Path) -> OpenClipEncoder:
    vocabulary = Vocabulary.build(["The heart is enlarged."], size=40, context_length=12)
    text = {"context_length": 12, "vocab_size": len(vocabulary), "width": 16, "heads": 2, "layers": 1}
    vision = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    model = build_model(config)
    return save_encoder(
        model, folder, model_cfg=config, preprocess=Preprocess(size=64), vocabulary=vocabulary, card="# Tiny\n"
    )


def _fit(workspace: Workspace) -> Pipeline:
    """Fit concepts and head on what was archived; the labels alternate, so that the concepts can be learned."""
    encoder = _encoder(workspace.models / "main" / ENCODER)
    archive = Archive(workspace)
    studies = archive.studies()
    frontals = [archive.frontal(study) for study in studies]
    features = encoder.encode([read_image(one.path).values for one in frontals if one is not None]).pooled
    y = np.array([CLASSES.index(study.labels["finding"]) for study in studies])
    draw, mean, spread = np.random.default_rng(5), features.mean(axis=0), features.std(axis=0)
    weights, intercepts = [], []
    for number in range(len(CONCEPTS)):
        truth = (y == number % 2) ^ (draw.uniform(size=len(y)) < 0.12)
        fit = LogisticRegression(C=0.02).fit((features - mean) / spread, truth)
        weights.append(fit.coef_[0] / spread)
        intercepts.append(fit.intercept_[0] - fit.coef_[0] @ (mean / spread))
    scorer = LogisticScorer(CONCEPTS, np.array(weights), np.array(intercepts), None)
    values = 1 / (1 + np.exp(-(features @ np.array(weights).T + np.array(intercepts))))
    head = LogisticRegression(C=5.0).fit(values, y)
    return Pipeline(
        encoder=encoder,
        encoder_digest=encoder.digest,
        bank=build_bank().subset(CONCEPTS),
        scorer=scorer,
        head=LinearHead.from_binary(CONCEPTS, head.coef_[0], float(head.intercept_[0])),
        classes=CLASSES,
        source=SourceReference.measure(CONCEPTS, values, y, values, y, classes=2, site=SITES[0]),
        calibration=Calibration(
            1.3, SITES[0], "2026-01-05", 40, operating_points={"heart_failure": 0.4, "pneumonia": 0.5}
        ),
    )


def _patch(pipeline: Pipeline) -> SitePatch:
    neutral = pipeline.neutral[CONCEPTS.index(MASKED)]
    return SitePatch(
        site=SITES[1],
        model=pipeline.digest,
        bank=pipeline.bank.digest,
        adapter="tti_reading",
        created="2026-01-06",
        reason="1 concepts masked and 1 amplified, as the support asks and the guards allow.",
        deltas={
            MASKED: ConceptDelta(
                float(neutral),
                mask=True,
                sentence="masked *pacemaker*: fired in 4 of 4 pneumonia studies at this site (z=+5.1)",
            ),
            "perihilar_haze": ConceptDelta(
                0.5, gain=1.5, sentence="amplified *perihilar haze* by 1.50: weaker in heart failure studies (z=-3.0)"
            ),
        },
        shots={"heart_failure": 4, "pneumonia": 4},
        guards=(
            GuardOutcome(
                "leave-one-shot-out", True, 0.1, 0.4, "The right finding's lead in studies left out: +0.100, +0.400."
            ),
        ),
    )


SUMMARY = {
    "data": "phantom",
    "adaptation": {
        "site": SITES[1],
        "source": SITES[0],
        "draws": 20,
        "shots": 4,
        "masked": 1.2,
        "amplified": 0.9,
        "source_before": 0.91,
        "source_after": 0.91,
        "target_before": 0.62,
        "target_after": 0.74,
        "gain": 0.12,
        "harmed": 0.05,
        "unchanged": 0.3,
        "ci": {"target_before": [0.55, 0.68], "target_after": [0.68, 0.79], "gain": [0.07, 0.18]},
    },
    "results": [
        {
            "method": method,
            "id": own,
            "ood": other,
            "gap": own - other,
            "avg": (own + other) / 2,
            "ci": {
                "id": [own - 0.04, own + 0.04],
                "ood": [other - 0.05, other + 0.05],
                "gap": [own - other - 0.06, own - other + 0.06],
                "avg": [(own + other) / 2 - 0.03, (own + other) / 2 + 0.03],
            },
        }
        for method, own, other in (("linear_probe", 0.95, 0.31), ("bottleneck_prior", 0.9, 0.8))
    ],
}


READER = "Dr A"


def local_session(name: str, roles: Iterable[Role]) -> str:
    """Sign in as who opens the terminal's own address does, and return what the browser would hold then."""
    gate = session.gate()
    return gate.enter(gate.open_door(Person(name, frozenset(roles), via="local")))


class Screen:
    """The dashboard as a reader meets it, without a browser."""

    def __init__(
        self, page: str = "study", *, roles: Iterable[Role] = tuple(Role), number: str | None = None, **address: str
    ) -> None:
        self.app = AppTest.from_file(str(Path(osler_dashboard.__file__).with_name("app.py")), default_timeout=120)
        for name, value in address.items():
            self.app.query_params[name] = value
        self.app.session_state[session.NUMBER] = number or local_session(READER, roles)
        self.app.switch_page(pages.address(page)).run()

    @property
    def text(self) -> str:
        """All markup and text that is drawn."""
        assert not self.app.exception, self.app.exception
        return "\n".join(str(one.proto) for one in self.app.main)

    @property
    def words(self) -> str:
        """What is drawn by our own markup, without its tags."""
        assert not self.app.exception, self.app.exception
        markup = "\n".join(one.proto.body for one in self.app.get("html"))
        return html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", markup, flags=re.DOTALL))

    def component(self, key: str) -> dict[str, Any]:
        """What one of our components was given."""
        found = [one for one in self.app.get("bidi_component") if one.key == key]
        return dict(json.loads(found[0].proto.json or found[0].proto.bytes))

    def answer(self, word: str) -> Screen:
        """Answer the question about the chosen sign."""
        self.app.button_group[0].set_value(word).run()
        return self

    def choose(self, concept: str) -> Screen:
        """Choose a sign."""
        self.app.session_state["chosen_concept"] = concept
        self.app.run()
        return self

    def parcels(self) -> list[tuple[dict[str, Any], bytes]]:
        """What the viewer was sent: the head of each parcel and its unpacked values."""
        found = []
        for one in self.app.get("bidi_component"):
            sent = one.proto.bytes
            if sent:
                size = int.from_bytes(sent[:4], "little")
                found.append((json.loads(sent[4 : 4 + size]), zlib.decompress(sent[4 + size :])))
        return found


@pytest.fixture
def local_sign_in(demo: Demo) -> Callable[..., str]:
    """Sign in by the terminal's address; see `local_session`."""
    return local_session


@pytest.fixture
def screen(demo: Demo) -> Screen:
    """Open the study page on the workspace."""
    return Screen()


@pytest.fixture
def open_page(demo: Demo) -> Callable[..., Screen]:
    """Open any page on the workspace."""
    return Screen


@dataclass(frozen=True)
class Demo:
    """A workspace with its source folders, ready to look at."""

    workspace: Workspace
    sources: Path


def _build(folder: Path) -> Demo:
    _write_sources(folder / "sources")
    workspace = Workspace.open(folder / "workspace", create=True)
    for site in SITES:
        summary = ingest(
            folder / "sources" / site,
            site=site,
            workspace=workspace,
            key=b"k" * 32,
            workers=0,
            labels=folder / "sources" / f"{site}.csv",
        )
        assert summary.accepted == STUDIES
    pipeline = _fit(workspace)
    save_bottleneck(pipeline, workspace.models / "fitted", card="# Test\n")
    shutil.move(workspace.models / "main" / ENCODER, workspace.models / "fitted" / ENCODER)
    (workspace.models / "main").rmdir()
    store = PatchStore(workspace.patches)
    store.activate(_patch(pipeline), "2026-01-07", "Engineer: first weeks")
    workspace.summary.write_text(json.dumps(SUMMARY))
    return Demo(workspace, folder / "sources")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Build the workspace once."""
    return _build(tmp_path_factory.mktemp("dashboard"))


@pytest.fixture
def demo(built: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """Return a copy of the workspace that a test may change, and open the dashboard on it."""
    shutil.copytree(built.workspace.root, tmp_path / "workspace")
    monkeypatch.setenv("OSLER_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("OSLER_MODEL", raising=False)
    st.cache_resource.clear()
    return Demo(Workspace.open(tmp_path / "workspace"), built.sources)
