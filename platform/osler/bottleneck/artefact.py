"""A bottleneck on disk: safetensors for numbers, JSON for the rest, a hash for every file; never a pickle.

Layout of the folder: `bottleneck.json`, `bottleneck.safetensors`, `bank.json`, `card.md`.
"""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.encoders.catalogue import shipped_folders
from osler.bottleneck.encoders.checkpoint import (
    HASHES,
    EncoderFolder,
    invalid,
    mismatch,
    sha256_of,
)
from osler.bottleneck.pipeline import Pipeline, kind_of
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.source import SourceReference
from osler.seals import SealError, opened, written
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

FORMAT, FORMER = "osler-bottleneck/2", "osler-bottleneck/1"  # the former has no seal
RECORD, TENSORS, BANK, CARD = "bottleneck.json", "bottleneck.safetensors", "bank.json", "card.md"
ENCODER = "encoder"
CORRECTIONS = ("corrections", "references")  # those that are made, and those that a patch may make


def save_bottleneck(pipeline: Pipeline, folder: Path, *, card: str) -> Path:
    """Write a bottleneck into `folder`, whole or not at all; patches are kept apart from it.

    A folder that is there already is replaced once the new one is complete; an encoder in it is kept.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        _write(pipeline, fresh, card)
        if (folder / ENCODER).exists():
            os.replace(folder / ENCODER, fresh / ENCODER)
        if folder.exists():
            os.replace(folder, Path(scratch) / "old")
        os.replace(fresh, folder)
    return folder


def _write(pipeline: Pipeline, folder: Path, card: str) -> None:
    tensors: dict[str, Any] = {}
    records: dict[str, Any] = {}
    for name, part in (("scorer", pipeline.scorer), ("head", pipeline.head), ("source", pipeline.source)):
        arrays, record = part.to_artefact()
        tensors |= {f"{name}.{key}": np.ascontiguousarray(array) for key, array in arrays.items()}
        records[name] = {"kind": kind_of(part), **record}
    corrections: dict[str, list[dict[str, Any]]] = {}
    for kind in CORRECTIONS:
        for place, correction in enumerate(getattr(pipeline, kind)):
            arrays, made = correction.to_artefact()
            tensors |= {f"{kind}.{place}.{key}": array for key, array in arrays.items()}
            corrections.setdefault(kind, []).append(made)
    (folder / TENSORS).write_bytes(save(tensors))
    pipeline.bank.save(folder / BANK)
    (folder / CARD).write_text(card, encoding="utf-8")
    record = {
        "format": FORMAT,
        "digest": pipeline.digest,
        "encoder": pipeline.encoder_digest,
        "classes": list(pipeline.classes),
        "calibration": pipeline.calibration.to_record(),
        "notes": dict(pipeline.notes),
        "parts": records,
        "files": {name: sha256_of(folder / name) for name in (TENSORS, BANK, CARD)},
    }
    record |= corrections
    (folder / RECORD).write_bytes(written(record))


def read_record(folder: Path) -> dict[str, Any]:
    """Read `bottleneck.json`, check that it is as it was written, and the hash of every file beside it.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`.
    """
    try:
        record = opened((folder / RECORD).read_bytes(), FORMAT, FORMER)
        files: dict[str, str] = record["files"]
        if set(files) != {TENSORS, BANK, CARD}:
            raise invalid(f"{RECORD} in {folder.name!r} names other files than a model has.")
    except SealError as error:
        raise mismatch(f"{RECORD} of model {folder.name!r}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise invalid(f"There is no readable {RECORD} in the model's folder {folder}.") from error
    for name, digest in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            raise mismatch(f"{name} of model {folder.name!r}")
    return record


def load_bottleneck(folder: Path, encoder: Encoder | None = None) -> Pipeline:
    """Load a bottleneck.

    Args:
        folder: Its folder.
        encoder: The encoder to predict images with; without one the pipeline predicts features.

    Raises:
        OslerError: `model-invalid`, `model-hash-mismatch`, or `unknown-concept` where bank and weights disagree.
    """
    folder = Path(folder)
    record = read_record(folder)
    try:
        tensors = load_file(folder / TENSORS)
        parts = {name: _part(name, tensors, part) for name, part in record["parts"].items()}
        pipeline = Pipeline(
            encoder=encoder,
            encoder_digest=record["encoder"],
            bank=ConceptBank.load(folder / BANK),
            classes=tuple(record["classes"]),
            calibration=Calibration(**record["calibration"]),
            notes=record["notes"],
            corrections=_corrections("corrections", tensors, record),
            references=_corrections("references", tensors, record),
            **parts,
        )
    except (SafetensorError, KeyError, TypeError, ValueError, ImportError, AttributeError) as error:
        raise invalid(f"The model in {folder} is not complete ({type(error).__name__}).") from error
    if pipeline.digest != record["digest"]:
        raise mismatch(f"The model {folder.name!r}")
    return pipeline


def _part(name: str, tensors: dict[str, Any], record: dict[str, Any]) -> Any:
    own = _own(name, tensors)
    if name == "source":
        return SourceReference.from_artefact(own, record)
    if not record["kind"].isidentifier():
        raise ValueError("A kind is the name of a module")
    module = import_module(f"osler.bottleneck.{name}s.{record['kind']}")
    return getattr(module, name.upper()).from_artefact(own, record)


def _corrections(kind: str, tensors: dict[str, Any], record: dict[str, Any]) -> tuple[FittedCorrection, ...]:
    made = record.get(kind, ())  # Older models have none.
    return tuple(_correction(_own(f"{kind}.{place}", tensors), one) for place, one in enumerate(made))


def _correction(tensors: dict[str, Any], record: dict[str, Any]) -> FittedCorrection:
    try:
        return FittedCorrection.from_artefact(tensors, record)
    except OslerError as error:
        raise invalid(f"The model has a correction that cannot be made. {error.message}") from error


def _own(name: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def find_encoder(digest: str, model_folder: Path) -> Path:
    """Return the folder of the encoder with this digest: one of the shipped ones, or `encoder/` in the model's own folder.

    Raises:
        OslerError: `model-invalid` where neither is it; `model-hash-mismatch` where the one beside the model was changed, with
            the name of the file.
    """
    own = model_folder / ENCODER
    for folder in (own, *shipped_folders()):
        if (folder / HASHES).is_file() and EncoderFolder(folder).digest == digest:
            return folder
    if (own / HASHES).is_file():
        EncoderFolder(own).verify()
    raise invalid(f"The encoder {digest[:12]} of model {model_folder.name!r} is neither shipped nor beside the model.")
