"""A stored model at an ingested site: nothing about the site is needed beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.archive import Archive, StudyRecord
from osler.archive.images import sees_grey
from osler.archive.label_column import choose_column, class_of
from osler.bottleneck.artefact import find_encoder
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_features import at_site
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images, open_dataset
from osler_training.evaluate.records import Records
from osler_training.fit.corrections import corrected_probabilities
from osler_training.shift.models import Model, Prediction, load_model
from osler_training.shift.scores import confusion, site_scores

REPLICATES = 1000
OTHERS = 20  # other labels that are counted by name


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        model: Name of the model.
        site: Name of the site.
        label: Label that holds the class; found by its values where it is not named.
        names: Class by value of the label, for sites that use other words.
        patch: Name of a patch to apply, or the start of it.
        seed: Seed of the bootstrap.
        replicates: Its replicates.
    """

    model: str
    site: str
    label: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    patch: str | None = None
    seed: int = 20
    replicates: int = REPLICATES


def evaluate(
    workspace: Workspace,
    question: Question,
    *,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Score a model at a site and keep its predictions.

    Args:
        workspace: Where model and site are.
        question: What is asked.
        out: Folder for the predictions (default: below the workspace's artifacts).
        progress: Receives lines.

    Returns:
        Figures with intervals and everything a reader needs to judge them, as JSON.

    Raises:
        OslerError: `model-invalid`, `nothing-eligible`, `patch-invalid`.
    """
    model = load_model(workspace, question.model)
    patch = _patch(workspace, model, question)
    archive = Archive(workspace)
    studies = _studies(archive, question.site)
    column = choose_column(studies, model.classes, question.names, question.label)
    grey = {"colour": False} if sees_grey(model.notes) else {}
    images = open_dataset("archive", workspace.root, site=question.site, label=column, **grey)
    left_out = Counter(images.left_out)
    encoder = open_encoder(find_encoder(model.encoder_digest, workspace.models / model.name))
    progress(f"reading and encoding {len(images)} images of {question.site}")
    images, features, measured = encoded(model, encoder, images, workspace.cache, left_out, patch)
    prediction = model.predict(features, question.site, patch)
    prob = corrected_probabilities(prediction.prob, model.corrections)
    y = np.array([class_of(one, model.classes, question.names) for one in images.table["label"]], np.intp)
    _count_others(images, y, left_out)
    rows = np.flatnonzero(y >= 0)
    if not len(rows):
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"No image of {question.site!r} that can be read has one of the model's classes; left out: {dict(left_out)}.",
            "See `osler archive list` and `osler quarantine list`.",
        )
    records = _records(model, question, images, y, prob, prediction, rows, patch)
    name = f"{model.name}--{question.site}" + (f"--{patch.id}" if patch else "")
    folder = records.save(out or workspace.artifacts / "evaluations" / _safe(name))
    return {
        **_about(model, question, column, patch),
        **figures(records, question, model),
        "prevalence": prevalence(model, records, prob, measured),
        "corrections": _said(model, len(images)),
        "studies": {"of_site": len(studies), "scored": len(records), "left_out": dict(sorted(left_out.items()))},
        "predictions": str(folder),
    }


def encoded(
    model: Model, encoder: Encoder, images: Images, cache: Path, left_out: Counter[str], patch: SitePatch | None = None
) -> tuple[Images, Features, dict[int, Any]]:
    """Return the images that can be read, and their features after the label-free corrections of model and patch.

    One damaged image must not cost the site: where reading or encoding fails, the images that fail alone are left out.

    Raises:
        OslerError: `nothing-eligible` where none is left.
    """
    try:
        return images, *at_site(encoder, images, model.corrections, cache, tokens=model.needs_tokens, patch=patch)
    except (OslerError, ValueError, RuntimeError, OSError) as error:
        kept, why = readable(encoder, images)
        if len(kept) == len(images):
            raise
        left_out.update(why)
        if not len(kept):
            raise OslerError(
                Code.NOTHING_ELIGIBLE,
                f"None of {len(images)} images can be read by the model's encoder: {dict(why)}.",
                "Give images of the kind that the model was fitted on.",
            ) from error
    images = images.rows(kept)
    return images, *at_site(encoder, images, model.corrections, cache, tokens=model.needs_tokens, patch=patch)


def readable(encoder: Encoder, images: Images) -> tuple[NDArray[np.intp], Counter[str]]:
    """Return the rows that the encoder takes one by one, and why it does not take the others."""
    kept, why = [], Counter[str]()
    for row in range(len(images)):
        try:
            encoder.encode([images.load(row)])
        except OslerError as error:
            why[f"unreadable: {error.code}"] += 1
        except (ValueError, RuntimeError, OSError) as error:
            why[f"unreadable: {type(error).__name__}"] += 1
        else:
            kept.append(row)
    return np.array(kept, np.intp), why


def figures(records: Records, question: Question, model: Model) -> dict[str, Any]:
    """Return the figures with intervals, the confusion matrix, and what they rest on."""
    scores = site_scores(records, seed=question.seed, replicates=question.replicates)
    patients = len(set(records.patients))
    recall = {name.partition("/")[2]: one for name, one in scores.items() if name.startswith("recall/")}
    worst = min(recall, key=lambda name: recall[name]["value"])
    return {
        "n": len(records),
        "patients": patients,
        "metrics": {name: one for name, one in scores.items() if "/" not in name},
        "recall": recall,
        "worst_class": {"class": worst, **recall[worst]},
        "confusion": {
            "rows": "truth",
            "columns": "predicted",
            "classes": list(model.classes),
            "counts": confusion(records),
        },
        "absent_classes": [name for k, name in enumerate(model.classes) if not (records.y == k).any()],
        "intervals": {
            "level": 0.95,
            "unit": "patient" if patients < len(records) else "patient; each image is its own, or the site names none",
            "replicates": question.replicates,
            "seed": question.seed,
        },
    }


def prevalence(model: Model, records: Records, prob: Array, measured: Mapping[int, Any]) -> dict[str, Any]:
    """Say which mix of classes figures and probabilities assume."""
    corrected = [one.name for one in model.corrections if one.stage == "probability"]
    shares = np.bincount(records.y, minlength=len(model.classes)) / len(records)
    named = {name: dict(zip(model.classes, map(float, mix), strict=True)) for name, mix in (
        ("at_site", shares), ("in_training", model.prior), ("mean_predicted", prob.mean(0)),
    )}  # fmt: skip
    return {
        **named,
        "probabilities_assume": f"the site's own mix, as {', '.join(corrected)} estimates it without labels"
        if corrected
        else "the mix in training",
        "note": "Accuracy, ECE and Brier hold for the mix at the site; balanced accuracy, recall and AUROC do not depend on it.",
    }


def _studies(archive: Archive, site: str) -> list[StudyRecord]:
    studies = archive.studies(site)
    if not studies:
        known = sorted({study.site for study in archive.studies()})
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The archive has no study of site {site!r}.",
            f"Its sites are {', '.join(known)}." if known else "Ingest the site first, with `osler ingest`.",
        )
    return studies


def _patch(workspace: Workspace, model: Model, question: Question) -> SitePatch | None:
    if question.patch is None:
        return None
    patch = PatchStore(workspace.patches).get(question.patch)
    if patch.model != model.digest or patch.site != question.site:
        raise OslerError(
            Code.PATCH_INVALID,
            f"The patch {patch.id} belongs to site {patch.site!r} and model {patch.model[:12]}, not to {question.site!r} and "
            f"{model.digest[:12]}.",
            "See `osler patch list`, or fit one with `osler adapt`.",
        )
    if isinstance(model.part, Pipeline):
        patch.require_of(model.part)
    return patch


def _count_others(images: Images, y: NDArray[np.intp], left_out: Counter[str]) -> None:
    values = Counter(str(value) for value in images.table["label"][y < 0])
    for value, count in values.most_common():
        named = value and len(values) <= OTHERS and len(value) <= 40
        left_out[f"other label: {value}" if named else "other label" if value else "no label"] += count


def _records(
    model: Model,
    question: Question,
    images: Images,
    y: NDArray[np.intp],
    prob: Array,
    prediction: Prediction,
    rows: NDArray[np.intp],
    patch: SitePatch | None,
) -> Records:
    table = images.table.iloc[rows].reset_index(drop=True)
    attributes = table[["view", "sex"]].assign(age=pd.to_numeric(table["age"], errors="coerce"))
    return Records(
        classes=model.classes,
        y=y[rows],
        prob=prob[rows],
        studies=tuple(table["study"].astype(str)),
        patients=tuple(table["patient"].astype(str)),
        sites=tuple(table["site"].astype(str)),
        attributes=attributes,
        concepts=prediction.concepts,
        concept_value=None if prediction.value is None else prediction.value[rows],
        concept_prob=None if prediction.probability is None else prediction.probability[rows],
        head={
            "model": model.name,
            "model_digest": model.digest,
            "encoder_digest": model.encoder_digest,
            "split_digest": model.notes.get("split"),
            "bank_version": model.notes.get("bank_version"),
            "patch": patch.id if patch else None,
            "seed": question.seed,
        },
    )


def _about(model: Model, question: Question, column: str, patch: SitePatch | None) -> dict[str, Any]:
    return {
        "model": {
            "name": model.name,
            "digest": model.digest,
            "classes": list(model.classes),
            "notes": dict(model.notes),
        },
        "site": question.site,
        "label": {"column": column, "asked_for": question.label is not None, "names": dict(question.names)},
        "patch": patch.id if patch else None,
        "notice": "For research use; not a medical device.",
    }


def _said(model: Model, images: int) -> dict[str, Any]:
    """Say which corrections were measured at the site, and that no label went into them."""
    names = [f"{one.name} ({one.stage})" for one in model.corrections]
    note = f"measured on all {images} readable images of the site, whatever their label; no label was used"
    return {"applied": names, "measured_on": images if names else 0, "note": note if names else "none in the model"}


def _safe(name: str) -> str:
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in name)
