"""A tiny encoder, a small bottleneck and small DICOM files, all made here; no file is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model, save_encoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.encoders.vocabulary import Vocabulary
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence

from .database.postgres import kept_in, postgres_server, postgres_url

__all__ = ["kept_in", "postgres_server", "postgres_url"]

SENTENCES = ["The heart is enlarged.", "No pleural effusion; the lungs are clear.", "Basal opacity at 2.5 cm?"]
CLASSES = ("heart_failure", "pneumonia", "normal")


def _bank(count: int) -> ConceptBank:
    """Build a bank of `count` concepts with a prior in every state."""
    passage = "Air bronchograms within an opacity speak for pneumonia."
    citation = Citation("airspace", "Airspace disease", passage, 0, len(passage), ("A textbook, 2020",))
    concepts = tuple(
        Concept(
            id=f"concept_{number}",
            name=f"concept {number}",
            question=f"Is concept {number} there?",
            region="lung",
            citation=citation,
            prior={CLASSES[number % 3]: PriorEvidence((number % 3) - 1, 0.9, citation)},
        )
        for number in range(count)
    )
    return ConceptBank("test", 1, "DX", CLASSES, concepts)


def _pipeline(width: int, count: int = 5, seed: int = 0, encoder: OpenClipEncoder | None = None) -> Pipeline:
    """Build a bottleneck with random weights over features of a width."""
    draw = np.random.default_rng(seed)
    ids = _bank(count).ids
    y = np.arange(60) % 3
    values = draw.uniform(size=(60, count))
    return Pipeline(
        encoder=encoder,
        encoder_digest="0" * 64 if encoder is None else encoder.digest,
        bank=_bank(count),
        scorer=LogisticScorer(
            ids, draw.normal(size=(count, width)) * 3, draw.normal(size=count), np.tile([-2.0, 3.0], (count, 1))
        ),
        head=LinearHead(ids, draw.normal(size=(3, count)), draw.normal(size=3)),
        classes=CLASSES,
        source=SourceReference.measure(ids, values, y, values[:30], y[:30], classes=3, site="a"),
    )


def _encoder(folder: Path, vision: dict[str, object]) -> OpenClipEncoder:
    """Write an encoder with random weights and a vocabulary of a few words, and load it again."""
    vocabulary = Vocabulary.build(SENTENCES, size=40, context_length=12)
    text = {"context_length": 12, "vocab_size": len(vocabulary), "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    model = build_model(config)
    size = vision["image_size"]
    assert isinstance(size, int)
    preprocess = Preprocess(size=size)
    return save_encoder(model, folder, model_cfg=config, preprocess=preprocess, vocabulary=vocabulary, card="# Tiny\n")


@pytest.fixture(scope="session")
def make_bank() -> Callable[..., ConceptBank]:
    """Return a maker of banks of `count` concepts."""
    return _bank


@pytest.fixture(scope="session")
def make_pipeline() -> Callable[..., Pipeline]:
    """Return a maker of bottlenecks with random weights."""
    return _pipeline


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., OpenClipEncoder]:
    """Return a maker of encoders with random weights."""
    return _encoder


@pytest.fixture(scope="session")
def resnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny ModifiedResNet."""
    folder = tmp_path_factory.mktemp("encoders") / "resnet"
    _encoder(folder, {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64})
    return folder


@pytest.fixture(scope="session")
def encoder(resnet_folder: Path) -> OpenClipEncoder:
    """Return the tiny ModifiedResNet, loaded."""
    return OpenClipEncoder.from_folder(resnet_folder)


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Return grey images of several sizes, and one in colour."""
    draw = np.random.default_rng(3)
    shapes = [(70, 50), (64, 64), (90, 100), (64, 64, 3)]
    return [draw.uniform(size=shape).astype(np.float32) for shape in shapes]


def _radiograph(number: int = 0, pixels: np.ndarray | None = None, **values: object) -> Dataset:
    """Build a valid chest radiograph that differs by number; values replace elements, None removes them."""
    # In patches, as anatomy is: among single random pixels the search for burned-in text would read every file.
    patches = np.random.default_rng(number).integers(0, 4096, (9, 8)).astype("<u2")
    stored = np.kron(patches, np.ones((16, 16), "<u2"))[:136] if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = f"1.2.3.{number}.3"
    dataset.StudyInstanceUID = f"1.2.3.{number}.1"
    dataset.SeriesInstanceUID = f"1.2.3.{number}.2"
    elements: dict[str, object] = {
        "PatientID": f"MRN{number:05d}",
        "PatientName": "Grablowski^Zenobia",
        "PatientBirthDate": "19510203",
        "PatientSex": "F",
        "PatientAge": "069Y",
        "StudyDate": "20200304",
        "StudyTime": "101112",
        "AcquisitionDate": "20200304",
        "AcquisitionTime": "101500",
        "ContentDate": "20200304",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "PresentationIntentType": "FOR PRESENTATION",
        "BurnedInAnnotation": "NO",
        "ImagerPixelSpacing": [0.2, 0.2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": stored.tobytes(),
    }
    for keyword, value in (elements | values).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


@pytest.fixture(scope="session")
def make_radiograph() -> Callable[..., Dataset]:
    """Return a maker of valid chest radiographs."""
    return _radiograph


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of data sets to files below `source/`."""

    def write(dataset: Dataset, name: str = "image.dcm") -> Path:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a new workspace."""
    return Workspace.open(tmp_path / "workspace", create=True)


LABELLED, LATER = 30, 24


def _ramp(number: int) -> np.ndarray:
    """Return an image as a new detector would give it: a smooth ramp without any detail."""
    start = np.random.default_rng(number).uniform(0, 400)
    y, x = np.mgrid[0:136, 0:128]
    return (start + 12 * (x + y)).astype("<u2")


@pytest.fixture(scope="session")
def save_model(
    make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, resnet_folder: Path
) -> Callable[..., Pipeline]:
    """Return a saver of a model `random` with its encoder beside it; values replace fields of its pipeline."""

    def save(workspace: Workspace, count: int = 5, **values: object) -> Pipeline:
        pipeline = replace(make_pipeline(encoder.width, count, encoder=encoder), **values)
        folder = save_bottleneck(pipeline, workspace.models / "random", card="# Random\n")
        shutil.copytree(resnet_folder, folder / "encoder")
        return pipeline

    return save


@pytest.fixture(scope="session")
def built_ward(
    tmp_path_factory: pytest.TempPathFactory,
    make_radiograph: Callable[..., Dataset],
    save_model: Callable[..., Pipeline],
) -> Workspace:
    """Return the workspace that `ward` copies: never open it for anything but another copy.

    It has a model `random` and two deliveries of site c: the first are 30 labelled studies of 26 patients, the second 24
    that look other and have no label. Nothing is encoded.
    """
    root = tmp_path_factory.mktemp("ward")
    workspace = Workspace.open(root / "workspace", create=True)
    lines = [f"1.2.3.{number}.1,{CLASSES[number % 3]}\n" for number in range(LABELLED)]
    (root / "labels.csv").write_text("study_instance_uid,finding\n" + "".join(lines))
    for delivery, numbers in enumerate((range(LABELLED), range(LABELLED, LABELLED + LATER))):
        folder = root / f"files{delivery}"
        folder.mkdir()
        for number in numbers:
            changed = {"pixels": _ramp(number)} if delivery else {"PatientID": f"P{number % 26}"}
            make_radiograph(number, **changed).save_as(folder / f"{number:02d}.dcm", enforce_file_format=True)
        summary = ingest(
            folder,
            site="c",
            workspace=workspace,
            key=bytes(32),
            workers=0,
            labels=root / "labels.csv",
            today=date(2024, 5, 1),
        )
        assert summary.accepted == len(numbers)
    save_model(workspace)
    return workspace


@pytest.fixture
def ward(built_ward: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of `built_ward` for one test, to change."""
    shutil.copytree(built_ward.root, tmp_path / "ward")
    return Workspace.open(tmp_path / "ward")
