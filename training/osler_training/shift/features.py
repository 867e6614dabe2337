"""Features of every batch, made once for each encoder and preprocessing and kept for the cells to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.encoders.catalogue import encoder_folder, open_encoder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.experiments.resumable import read_json, write_json
from osler_training.fit.corrections import corrected
from osler_training.shift.lines import RecipeFile
from osler_training.shift.parts import Parts, Rows
from osler_training.shift.problems import Encoded
from osler_training.shift.recipe import OWN, ShiftRecipe
from osler_training.shift.sites import Site

DONE, REFUSED = "corrections.safetensors", "refused.json"
Chosen = list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Batch:
    """Images of one site that are corrected together.

    Attributes:
        name: `source`, `reference`, or the name of a test.
        site: Name of the site.
        rows: Its rows (n,), ascending.
    """

    name: str
    site: str
    rows: Rows


@dataclass(frozen=True)
class Steady:
    """An encoder whose features do not depend on what a cache held: one image alone is summed in another order than several.

    Attributes:
        encoder: The encoder.
    """

    encoder: Encoder

    @property
    def digest(self) -> str:
        """That of the encoder."""
        return self.encoder.digest

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images; one alone goes with its double."""
        if len(images) == 1:
            return self.encoder.encode([images[0], images[0]], tokens=tokens).rows(slice(0, 1))
        return self.encoder.encode(images, tokens=tokens)


def batches_of(recipe: ShiftRecipe, sites: Mapping[str, Site], parts: Parts) -> list[Batch]:
    """Return the batches of a source and seed, the source's first.

    The source is the images of its parts, whose labels are known anyway. Another site is all its images, whatever their
    class: where a label-free correction measures, nobody knows which images to leave out.
    """
    first, *others = parts.tests
    own = np.sort(np.concatenate([*parts.fit.values(), parts.tests[first][1]]))
    batches = [Batch("source", parts.source, own)]
    for name in others:
        site, rows = parts.tests[name]
        batches.append(
            Batch(name, site, np.sort(rows) if parts.source in recipe.confound else np.arange(len(sites[site])))
        )
    if recipe.reference != OWN:
        batches.append(Batch("reference", *parts.reference))
    return batches


def chosen_corrections(recipe: ShiftRecipe, name: str) -> Chosen:
    """Return names and options of the corrections of a preprocessing."""
    chosen: Chosen = []
    for one in recipe.preprocessing[name]:
        chosen += [(one, {})] if isinstance(one, str) else list(one.items())
    return chosen


def check_corrections(file: RecipeFile) -> None:
    """Check that every correction and option is there.

    Raises:
        OslerError: `usage` with the line.
    """
    for name in file.recipe.preprocessing:
        for correction, options in chosen_corrections(file.recipe, name):
            try:
                parse_correction(correction, options)
            except OslerError as error:
                raise file.refusal(error.code, error.message, error.mend, "preprocessing", name) from error


def open_encoders(file: RecipeFile) -> dict[str, Encoder]:
    """Open the encoders of a recipe.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`; the latter with the line where the recipe names another digest.
    """
    encoders: dict[str, Encoder] = {}
    for name, entry in file.recipe.encoders.items():
        encoder = open_encoder(entry.path or name, sha256=entry.sha256)
        if entry.digest is not None and entry.digest != encoder.digest:
            raise file.refusal(
                Code.MODEL_HASH_MISMATCH,
                f"the recipe asks for digest {entry.digest[:12]}, this encoder is {encoder.digest[:12]}.",
                "Use the encoder that the recipe was written for, or correct `digest`.",
                *("encoders", name, "digest"),
            )
        encoders[name] = encoder
    return encoders


def closed(recipe: ShiftRecipe, name: str, digest: str) -> LazyEncoder:
    """Return an encoder that another process can receive, and that is loaded where a method asks for it."""
    return LazyEncoder(encoder_folder(recipe.encoders[name].path or name).path, digest)


def needs_tokens(recipe: ShiftRecipe) -> bool:
    """Return whether a method of the recipe reads spatial features."""
    modules = [
        import_module(f"osler_training.fit.methods.{entry.method or name}") for name, entry in recipe.methods.items()
    ]
    return any(getattr(module, "NEEDS_TOKENS", False) for module in modules)


def encode_all(
    file: RecipeFile, sites: Mapping[str, Site], parts: Parts, encoders: Mapping[str, Encoder], place: Path, cache: Path
) -> Iterator[str]:
    """Write the features of all batches of one source and seed into `place`; yields a line each that was made.

    Args:
        file: The recipe.
        sites: The sites.
        parts: Who is in which part.
        encoders: The encoders, open.
        place: Folder of what cells read.
        cache: Folder of the feature cache.
    """
    recipe, tokens = file.recipe, needs_tokens(file.recipe)
    batches = batches_of(recipe, sites, parts)
    for encoder_name, encoder in encoders.items():
        for preprocessing in recipe.preprocessing:
            folder = place / f"{encoder_name}--{preprocessing}"
            if (folder / DONE).is_file() or (folder / REFUSED).is_file():
                continue
            chosen = chosen_corrections(recipe, preprocessing)
            fitted: list[FittedCorrection] | None = None
            try:
                for batch in batches:
                    images = sites[batch.site].images.rows(batch.rows)
                    features, fitted = corrected(Steady(encoder), images, chosen, fitted, cache, tokens=tokens)
                    write_atomically(folder / f"{batch.name}.safetensors", _packed(batch, features, encoder.digest))
            except OslerError as error:  # a correction that does not suit an encoder spares the others
                write_json(folder / REFUSED, error.to_dict())
                yield f"{encoder_name}, {preprocessing} is not applicable: {error.message}"
                continue
            write_atomically(folder / DONE, _packed_corrections(fitted or []))
            yield f"features of {encoder_name}, {preprocessing}, source {parts.source}"


def read_batches(place: Path, encoder: str, preprocessing: str) -> tuple[dict[str, Encoded], list[FittedCorrection]]:
    """Return what `encode_all` wrote for one encoder and preprocessing: features by batch, and the corrections."""
    folder = place / f"{encoder}--{preprocessing}"
    encoded = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name != DONE:
            tensors, record = _unpacked(path)
            grid = tuple(record["grid"]) if record["grid"] else None
            features = Features(tensors["pooled"], tensors.get("tokens"), grid, text_space=record["text_space"])
            encoded[path.stem] = Encoded(record["site"], np.asarray(tensors["rows"], np.intp), features)
    tensors, records = _unpacked(folder / DONE)
    fitted = [
        FittedCorrection.from_artefact(
            {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{number}.")}, record
        )
        for number, record in enumerate(records)
    ]
    return encoded, fitted


def unsuited(place: Path, encoder: str, preprocessing: str) -> dict[str, str] | None:
    """Return why a preprocessing cannot be applied to an encoder's features, None where it was."""
    path = place / f"{encoder}--{preprocessing}" / REFUSED
    return dict(read_json(path)) if path.is_file() else None


def _packed(batch: Batch, features: Features, digest: str) -> bytes:
    tensors: dict[str, Any] = {"pooled": np.ascontiguousarray(features.pooled), "rows": batch.rows.astype(np.int64)}
    if features.tokens is not None:
        tensors["tokens"] = np.ascontiguousarray(features.tokens)
    record = {"site": batch.site, "grid": features.grid, "text_space": features.text_space, "encoder": digest}
    return save(tensors, metadata={"record": json.dumps(record)})


def _packed_corrections(fitted: list[FittedCorrection]) -> bytes:
    pairs = [one.to_artefact() for one in fitted]
    tensors = {f"{k}.{key}": np.ascontiguousarray(x) for k, (own, _) in enumerate(pairs) for key, x in own.items()}
    return save(tensors, metadata={"record": json.dumps([record for _, record in pairs])})


def _unpacked(path: Path) -> tuple[dict[str, Any], Any]:
    with safe_open(path, framework="numpy") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}, json.loads(stored.metadata()["record"])  # noqa: SIM118
