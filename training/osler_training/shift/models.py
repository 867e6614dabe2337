"""Models of a workspace that can be evaluated: bottlenecks, and linear probes, which have a folder of the same kind."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.special import softmax

from osler.adapt.patch import SitePatch
from osler.bottleneck.artefact import CARD, ENCODER, RECORD, load_bottleneck, save_bottleneck
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.encoders.catalogue import encoder_folder, shipped_folders
from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features
from osler.explain.service import model_names
from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.probe import Probe

PROBE, FORMAT = "probe.json", "osler-probe/1"
TENSORS = "probe.safetensors"


@dataclass(frozen=True)
class Prediction:
    """What a model says of n images.

    Attributes:
        prob: Calibrated class probabilities (n, K), before corrections of probabilities.
        concepts: Identifiers of the concepts (C), none for a black box.
        value: Concept values (n, C), or None.
        probability: Concept probabilities (n, C), or None.
    """

    prob: Array
    concepts: tuple[str, ...] = ()
    value: Array | None = None
    probability: Array | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """A stored model.

    Attributes:
        name: Its name in the workspace.
        part: The bottleneck or the probe.
        classes: Names of the classes.
        encoder_digest: Digest of its encoder.
        corrections: Label-free corrections with the statistics of the source.
        prior: Share of each class that it was fitted on (K,).
        notes: Where it comes from.
        digest: SHA-256 of the model.
    """

    name: str
    part: Pipeline | Probe
    classes: tuple[str, ...]
    encoder_digest: str
    corrections: tuple[FittedCorrection, ...]
    prior: Array
    notes: Mapping[str, Any]
    digest: str

    @property
    def needs_tokens(self) -> bool:
        """Whether it reads spatial features."""
        return isinstance(self.part, Pipeline) and bool(getattr(self.part.scorer, "needs_tokens", False))

    def predict(self, features: Features, site: str, patch: SitePatch | None) -> Prediction:
        """Predict from features that were corrected.

        Raises:
            OslerError: `patch-invalid` where there is a patch and the model has no concepts.
        """
        if isinstance(self.part, Probe):
            if patch is not None:
                raise OslerError(Code.PATCH_INVALID, "A linear probe has no concepts to patch.", "Leave --patch out.")
            return Prediction(softmax(self.part.logits(features.pooled) / self.part.temperature, axis=1))
        output = self.part.predict_features(features, site=site, patch=patch)
        prob, state = self.part.calibration.probabilities(output.logits), output.state
        if state.value.shape[1] != 1 or state.value.shape[3] != 1:
            return Prediction(prob)
        return Prediction(prob, state.ids, state.static, None if state.prob is None else state.prob[:, 0])


def evaluable(workspace: Workspace) -> list[str]:
    """Return the names of the models that can be evaluated."""
    probes = [path.parent.name for path in workspace.models.glob(f"*/{PROBE}")]
    return sorted({*model_names(workspace), *probes})


def load_model(workspace: Workspace, name: str) -> Model:
    """Load a model of a workspace.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`.
    """
    folder = workspace.models / name
    if name not in evaluable(workspace):
        raise OslerError(
            Code.MODEL_INVALID,
            f"The workspace has no model {name!r}.",
            f"It has: {', '.join(evaluable(workspace)) or 'none'}. `osler train` makes one.",
        )
    if (folder / PROBE).is_file():
        return _load_probe(folder)
    pipeline = load_bottleneck(folder)
    prior = pipeline.source.class_prior
    return Model(
        name, pipeline, pipeline.classes, pipeline.encoder_digest, pipeline.corrections, prior, pipeline.notes,
        pipeline.digest,
    )  # fmt: skip


def save_model(model: Model, folder: Path, *, card: str, encoder: str) -> str:
    """Write a model with its card, beside it an encoder that is not shipped, and return its digest."""
    if isinstance(model.part, Pipeline):
        pipeline = replace(model.part, corrections=model.corrections, notes=dict(model.notes))
        (folder / PROBE).unlink(missing_ok=True)
        save_bottleneck(pipeline, folder, card=card)
        digest = pipeline.digest
    else:
        digest = _save_probe(model, model.part, folder, card)
    source = encoder_folder(encoder).path
    if source not in shipped_folders() and source.resolve() != (folder / ENCODER).resolve():
        shutil.copytree(source, folder / ENCODER, dirs_exist_ok=True)
    return digest


def _save_probe(model: Model, probe: Probe, folder: Path, card: str) -> str:
    pairs = [one.to_artefact() for one in model.corrections]
    tensors = {"W": probe.W, "b": probe.b, "fill": probe.fill, "prior": model.prior}
    tensors |= {f"correction.{k}.{key}": x for k, (own, _) in enumerate(pairs) for key, x in own.items()}
    content = save({key: np.ascontiguousarray(x) for key, x in tensors.items()})
    record = {
        "format": FORMAT,
        "classes": list(model.classes),
        "encoder": model.encoder_digest,
        "temperature": probe.temperature,
        "chosen": probe.chosen,
        "corrections": [one for _, one in pairs],
        "notes": dict(model.notes),
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # a bottleneck of that name gives way
    write_atomically(folder / TENSORS, content)
    write_atomically(folder / CARD, card.encode())
    write_atomically(folder / PROBE, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return _probe_digest(record)


def _load_probe(folder: Path) -> Model:
    try:
        record = json.loads((folder / PROBE).read_text(encoding="utf-8"))
        if record["format"] != FORMAT or sha256_of(folder / TENSORS) != record["tensors_sha256"]:
            raise OslerError(
                Code.MODEL_HASH_MISMATCH,
                f"The weights of model {folder.name!r} are not those that it was stored with.",
                "Restore them, or train the model again.",
            )
        with safe_open(folder / TENSORS, framework="numpy") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        corrections = tuple(
            FittedCorrection.from_artefact(
                {key.removeprefix(head): x for key, x in tensors.items() if key.startswith(head)}, one
            )
            for k, one in enumerate(record["corrections"])
            if (head := f"correction.{k}.")
        )
        probe = Probe(tensors["W"], tensors["b"], record["temperature"], record["chosen"], tensors["fill"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise OslerError(
            Code.MODEL_INVALID,
            f"The model in {folder.name!r} is not complete ({type(error).__name__}).",
            "Train it again.",
        ) from error
    return Model(
        folder.name, probe, tuple(record["classes"]), record["encoder"], corrections, tensors["prior"], record["notes"],
        _probe_digest(record),
    )  # fmt: skip


def _probe_digest(record: Mapping[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key != "notes"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
