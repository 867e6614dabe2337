"""The files of KnoBo (Yang et al., NeurIPS 2024) as its repository lays them out under `data/`.

    features/<model>/<set>_label.pt                 class name -> index
    features/<model>/<set>/<split>/<class>/<n>.pt   rows of features, in the order of n
    datasets/<set>/splits/class2images_<split>.p    names of the images, in the same order
    bottlenecks/<modality>_<corpus>.txt             a question a line
    bottlenecks/concept_priors/<modality>_class2concept2answer.json
    grounding_functions/<modality>/<question>/<question>.p, <question>_results.txt
    datasets/<MIMIC-CXR|ISIC>/<same>_<model>.pt, _metadata.json, _concept_annotations.json

`val` is the in-domain split (ID) and `test` the out-of-domain one (OOD) of a confounded set.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.datasets.tables import inside
from osler_training.fit.grounding import ConceptFit, Grounding
from osler_training.replicate.plain import load_arrays, load_logistic, load_matrix, load_names

SPLITS = ("train", "val", "test")
_ANSWERS = {"yes": 1, "no": -1}  # "unknown" is no answer
_PATIENT = re.compile(r"patient\d+|PAT_\d+|person\d+|(?<=/)\d{8}(?=_\d+\.png)|p1\d{7}")


@dataclass(frozen=True)
class Modality:
    """The ten sets of a modality, its own encoder, and the set that concepts are grounded on."""

    name: str
    model: str
    confounded: tuple[str, ...]
    unconfounded: tuple[str, ...]
    reference: str
    region: str


MODALITIES = {
    "xray": Modality(
        "xray",
        "whyxrayclip",
        ("NIH-sex", "NIH-age", "NIH-pos", "CheXpert-race", "NIH-CheXpert"),
        ("pneumonia", "COVID-QU", "NIH-CXR", "open-i", "vindr-cxr"),
        "MIMIC-CXR",
        "chest",
    ),
    "skin": Modality(
        "skin",
        "whylesionclip",
        ("ISIC-sex", "ISIC-age", "ISIC-site", "ISIC-color", "ISIC-hospital"),
        ("HAM10000", "BCN20000", "PAD-UFES-20", "Melanoma", "UWaterloo"),
        "ISIC",
        "skin",
    ),
}


@dataclass(frozen=True)
class Split:
    """Features at unit length (n, D), class indices (n,) and patients (n,) of a split."""

    x: Array
    y: NDArray[np.intp]
    patients: tuple[str, ...]


@dataclass(frozen=True)
class KnoboSet:
    """One of the sets: its classes in order, and its splits."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    patients_named: bool


def data_folder(given: Path) -> Path:
    """Return the folder `data`, given it or its folder `features`."""
    return given if (given / "features").is_dir() else given.parent


def read_set(data: Path, model: str, name: str) -> KnoboSet | None:
    """Read a set; None where its features are not there.

    Raises:
        OslerError: `part-missing` where a class has no features in a split; `model-invalid` for damaged files.
    """
    folder = data / "features" / model
    index = folder / f"{name}_label.pt"
    if not index.is_file():
        return None
    labels = load_arrays(index)
    if not isinstance(labels, dict) or sorted(labels.values()) != list(range(len(labels))):
        raise OslerError(Code.MODEL_INVALID, f"{index.name} does not number classes from 0.", "Extract features again.")
    classes = tuple(sorted((str(one) for one in labels), key=lambda one: int(labels[one])))
    images = {split: _image_names(data / "datasets" / name / "splits" / f"class2images_{split}.p") for split in SPLITS}
    named = all(images.values())
    splits = {split: _read_split(folder / name, split, classes, images[split]) for split in SPLITS}
    return KnoboSet(name, classes, splits, named)


def _read_split(folder: Path, split: str, classes: tuple[str, ...], images: Mapping[str, list[str]]) -> Split:
    rows: list[Array] = []
    y: list[int] = []
    patients: list[str] = []
    for k, name in enumerate(classes):
        files = sorted(inside(folder, f"{split}/{name}").glob("*.pt"), key=_place)
        if not files:
            raise OslerError(
                Code.PART_MISSING, f"{folder.name} has no features of {name} in {split}.", "Extract them again."
            )
        x = np.concatenate([load_matrix(file) for file in files])
        rows.append(x)
        y += [k] * len(x)
        known = [_patient(one) for one in images.get(name, ())]
        own = [f"{folder.name}/{split}/{name}/{row}" for row in range(len(x))]
        patients += known if len(known) == len(x) else own  # names are of use only where every row has one
    return Split(_unit(np.concatenate(rows)), np.array(y, np.intp), tuple(patients))


def _unit(x: Array) -> Array:
    """Return rows of unit length, as the source takes them."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1), np.float32)


def _place(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else -1, path.name)


def _image_names(path: Path) -> Mapping[str, list[str]]:
    return load_names(path) if path.is_file() else {}


def _patient(image: str) -> str:
    """Return the patient whom an image's name tells, as NIH, CheXpert, PAD-UFES and Kermany do, else the name."""
    found = _PATIENT.search(f"/{image}")
    return found[0] if found else image


def read_bank(data: Path, modality: Modality, corpus: str, classes: tuple[str, ...] = ()) -> ConceptBank:
    """Read a list of questions with the prior of some classes; an answer other than yes or no is none.

    Raises:
        OslerError: `part-missing` where the list is not there; `bank-invalid` where it or the prior is damaged.
    """
    path = data / "bottlenecks" / f"{modality.name}_{corpus}.txt"
    if not path.is_file():
        raise OslerError(
            Code.PART_MISSING, f"There is no list of concepts {path.name}.", "Give its corpus by --bottleneck."
        )
    questions = dict.fromkeys(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    prior = _read_json(data / "bottlenecks" / "concept_priors" / f"{modality.name}_class2concept2answer.json")
    concepts = tuple(_concept(one, modality, path.name, prior, classes) for one in questions)
    return ConceptBank(f"{modality.name}_{corpus}", 1, modality.name, classes, concepts)


def concept_id(question: str) -> str:
    """Return the identifier of a question: its text is no name for a file or a key."""
    return f"q_{hashlib.sha256(question.encode()).hexdigest()[:16]}"


def _concept(
    question: str, modality: Modality, file: str, prior: Mapping[str, Any], classes: tuple[str, ...]
) -> Concept:
    cited = Citation(file, f"Concepts of {file}", question, 0, len(question))
    answers = {name: _ANSWERS.get(str(prior.get(name, {}).get(question, "")).strip().lower()) for name in classes}
    evidence = {name: PriorEvidence(one, 1.0, cited, "server") for name, one in answers.items() if one is not None}
    return Concept(concept_id(question), question, question, modality.region, cited, evidence)


def read_groundings(data: Path, modality: Modality, bank: ConceptBank, best: int) -> Grounding | None:
    """Read the distributed groundings of the best concepts by held-out accuracy; None where there is none."""
    folder, found = data / "grounding_functions" / modality.name, []
    for concept in bank.concepts:
        try:
            place = inside(folder, f"{concept.question}/{concept.question}.p")
        except OslerError:
            continue
        results = place.with_name(f"{concept.question}_results.txt")
        if place.is_file() and results.is_file():
            weights, intercept = load_logistic(place)
            found.append((concept.id, weights, intercept, _held_out(results)))
    if not found:
        return None
    fits = tuple(ConceptFit(one, 0, 0, accuracy=accuracy) for one, _, _, accuracy in found)
    vectors = np.stack([weights for _, weights, _, _ in found])
    intercepts = np.array([intercept for _, _, intercept, _ in found])
    grounding = Grounding(tuple(one for one, *_ in found), vectors, intercepts, fits)
    ranked = sorted(fits, key=lambda fit: (-fit.accuracy, fit.concept))
    return Grounding(grounding.ids, vectors, intercepts, tuple(ranked)).keep_best(best)


def _held_out(path: Path) -> float:
    try:
        return float(path.read_text(encoding="utf-8").strip().split(",")[-1])
    except ValueError:
        raise OslerError(Code.MODEL_INVALID, f"{path.name} holds no accuracy.", "Get the groundings again.") from None


def read_reference(
    data: Path, modality: Modality, model: str, bank: ConceptBank
) -> tuple[Array, tuple[str, ...], Array] | None:
    """Read what concepts are grounded on: features (n, D), patients (n,), concept labels (n, C); None where files lack.

    Raises:
        OslerError: `model-invalid`, `bank-invalid` for damaged files.
    """
    stem = data / "datasets" / modality.reference / modality.reference
    files = [
        stem.with_name(f"{stem.name}_{end}") for end in (f"{model}.pt", "metadata.json", "concept_annotations.json")
    ]
    if not all(file.is_file() for file in files):
        return None
    features, metadata, annotations = load_arrays(files[0]), _read_json(files[1]), _read_json(files[2])
    labels: dict[str, Array] = {}
    patients: dict[str, str] = {}
    for c, concept in enumerate(bank.concepts):
        answers = annotations.get(concept.question, {})
        for answer, value in (("negative", 0.0), ("positive", 1.0)):
            for report, image in _images(metadata, answers.get(answer, ()), features):
                row = labels.setdefault(image, np.full(len(bank.concepts), np.nan, np.float32))
                row[c] = value if np.isnan(row[c]) or row[c] == value else np.nan
                patients[image] = _patient(image) if _PATIENT.search(f"/{image}") else report
    images = sorted(labels)
    if not images:
        return None
    x = np.stack([np.asarray(features[image], np.float32).reshape(-1) for image in images])
    return x, tuple(patients[image] for image in images), np.stack([labels[image] for image in images])


def _images(metadata: Mapping[str, Any], reports: Any, features: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the frontal images of reports; those of skin have no view."""
    for report in reports:
        for one in metadata.get(str(report), {}).get("images", ()):
            image, view = (one[0], one[1]) if isinstance(one, list) else (one, "")
            if view in ("", "AP", "PA") and image in features:
                yield str(report), str(image)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OslerError(
            Code.PART_MISSING, f"There is no {path.name}.", "Get the repository's folder `data`."
        ) from None
    except (OSError, ValueError) as error:
        raise OslerError(
            Code.BANK_INVALID, f"{path.name} is no JSON ({type(error).__name__}).", "Get it again."
        ) from error
    if not isinstance(content, dict):
        raise OslerError(Code.BANK_INVALID, f"{path.name} is no JSON object.", "Get it again.")
    return content
