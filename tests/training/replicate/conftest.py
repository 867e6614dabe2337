"""A small KnoBo: its folder `data` with a planted world, in which a shortcut goes with the class and then against it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

C, D = 10, 20
QUESTIONS = tuple(f"Is sign {c} there?" for c in range(C))
BASIS = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0]
# Signs 0 to 7 speak for a class each, and the prior says so. Sign 8 says nothing. Sign 9 is of the shortcut (the film is
# portable, say): it goes with the class in training, and the prior knows no reason why it should.
SIGNS = np.where(np.arange(C) < 8, np.where(np.arange(C) % 2 == np.arange(2)[:, None], 1, -1), 0)
CLASSES = ("benign", "maliganant")  # the spelling is the source's own
XRAY = ("NIH-sex", "NIH-age", "NIH-pos", "CheXpert-race", "NIH-CheXpert")
OTHERS = ("pneumonia", "COVID-QU", "NIH-CXR", "open-i", "vindr-cxr")


def features(latent: np.ndarray, mark: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    latent = latent + 2.0 * mark[:, None] * (np.arange(C) == 9)
    noise = 0.5 * rng.normal(size=(len(latent), D - C - 1)) @ BASIS[C + 1 :]
    return np.asarray(latent @ BASIS[:C] + 3.0 * mark[:, None] * BASIS[C] + noise, np.float32)


def _number(seed: int, split: str, k: int, i: int) -> str:
    """Name an image as NIH does, two films a patient; two patients of each class in `val` are of `train` too."""
    home = 0 if split == "val" and i < 4 else ("train", "val", "test").index(split)
    return f"{seed:02d}{home}{k}{i // 2:04d}_{i % 2:03d}"


def write_set(data: Path, name: str, seed: int, *, confounded: bool, n: int = 160, model: str = "whyxrayclip") -> None:
    """Write a set as `extract_features.py` does: files of 64 rows, numbered by their last batch."""
    rng = np.random.default_rng(seed)
    folder = data / "features" / model
    (folder / name).mkdir(parents=True)
    torch.save({one: k for k, one in enumerate(CLASSES)}, folder / f"{name}_label.pt")
    for split, side in (("train", 1), ("val", 1), ("test", -1)):
        names: dict[str, list[str]] = {}
        for k, label in enumerate(CLASSES):
            latent = rng.normal(size=(n, C)) + 0.6 * SIGNS[k]
            mark = np.full(n, side * (2 * k - 1)) if confounded else rng.choice([-1, 1], n)
            x = features(latent, mark, rng)
            (folder / name / split / label).mkdir(parents=True)
            for start in range(0, n, 64):
                torch.save(x[start : start + 64], folder / name / split / label / f"{start + 64}.pt")
            names[label] = [f"NIH-CXR/images_001/images/{_number(seed, split, k, i)}.png" for i in range(n)]
        place = data / "datasets" / name / "splits"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"class2images_{split}.p").write_bytes(pickle.dumps(names))


def write_bank(data: Path) -> None:
    priors = data / "bottlenecks" / "concept_priors"
    priors.mkdir(parents=True)
    (data / "bottlenecks" / "xray_PubMed.txt").write_text("\n".join(QUESTIONS) + "\n")
    words = {1: "yes", -1: "no", 0: "unknown"}
    answers = {label: {q: words[int(SIGNS[k, c])] for c, q in enumerate(QUESTIONS)} for k, label in enumerate(CLASSES)}
    (priors / "xray_class2concept2answer.json").write_text(json.dumps(answers))


def reference(n: int = 900, seed: int = 77) -> tuple[np.ndarray, np.ndarray]:
    """Features and latent signs of reports: no class, the shortcut at random."""
    rng = np.random.default_rng(seed)
    latent, mark = rng.normal(size=(n, C)), rng.choice([-1, 1], n)
    return features(latent, mark, rng), latent + 2.0 * mark[:, None] * (np.arange(C) == 9)


def write_reference(data: Path) -> None:
    x, latent = reference()
    stem = data / "datasets" / "MIMIC-CXR"
    stem.mkdir(parents=True, exist_ok=True)
    images = [f"p10/p1{i // 2:07d}/s5{i:07d}/{i:08x}.jpg" for i in range(len(x))]
    torch.save(dict(zip(images, torch.tensor(x).half(), strict=True)), stem / "MIMIC-CXR_whyxrayclip.pt")
    views = [[[image, "PA"], [image + "l", "LATERAL"]] for image in images]
    metadata = {f"r{i}": {"images": one} for i, one in enumerate(views)}
    (stem / "MIMIC-CXR_metadata.json").write_text(json.dumps(metadata))
    marks = {
        q: {
            "positive": [f"r{i}" for i in np.flatnonzero(latent[:, c] > 0)],
            "negative": [f"r{i}" for i in np.flatnonzero(latent[:, c] <= 0)],
        }
        for c, q in enumerate(QUESTIONS)
    }
    (stem / "MIMIC-CXR_concept_annotations.json").write_text(json.dumps(marks))


def write_groundings(data: Path) -> None:
    x, latent = reference()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for c, question in enumerate(QUESTIONS):
        model = LogisticRegression(max_iter=1000).fit(unit, latent[:, c] > 0)
        folder = data / "grounding_functions" / "xray" / question
        folder.mkdir(parents=True)
        (folder / f"{question}.p").write_bytes(pickle.dumps(model))
        (folder / f"{question}_results.txt").write_text(f"0.99,{0.9 - c / 100}")


@pytest.fixture(scope="session")
def knobo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a folder `data` with the parts that are asked for; the same parts are written once."""
    made: dict[tuple[object, ...], Path] = {}

    def make(sets: int = 5, others: int = 5, *, annotated: bool = True, groundings: bool = False) -> Path:
        asked = (sets, others, annotated, groundings)
        if asked not in made:
            data = tmp_path_factory.mktemp("knobo") / "data"
            for number, name in enumerate(XRAY[:sets]):
                write_set(data, name, number, confounded=True)
            for number, name in enumerate(OTHERS[:others]):
                write_set(data, name, 50 + number, confounded=False)
            write_bank(data)
            if annotated:
                write_reference(data)
            if groundings:
                write_groundings(data)
            made[asked] = data
        return made[asked]

    return make
