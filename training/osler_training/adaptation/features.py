"""Features of the halves of a target under a preprocessing whose statistics are measured on the pool alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from osler.bottleneck.correction import FittedCorrection, SiteStatistics, site_statistics
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_features import at_site
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.halves import Halves
from osler_training.adaptation.plan import cells_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.datasets.images import Images
from osler_training.experiments.resumable import read_json, write_json
from osler_training.fit.corrections import corrected
from osler_training.shift.features import Steady, chosen_corrections
from osler_training.shift.lab import Lab
from osler_training.shift.lines import RecipeFile
from osler_training.shift.parts import Parts
from osler_training.shift.problems import Encoded
from osler_training.shift.recipe import NONE

SOURCE, REFERENCE, TEXT = "source", "reference", "text_space"


@dataclass(frozen=True)
class Store:
    """Where features lie that cells read.

    Attributes:
        root: Folder of the bench.
    """

    root: Path

    def fit(self, encoder: str, source: str, seed: int, batch: str) -> Path:
        """Return the file of the source's parts or of the reference."""
        return self.root / "features" / encoder / f"{source}--{seed}--{batch}.safetensors"

    def site(self, encoder: str, source: str, seed: int, target: str, preprocessing: str, stream: str) -> Path:
        """Return the file of a target's halves."""
        name = "--".join((source, str(seed), target, preprocessing, stream))
        return self.root / "features" / encoder / f"{name}.safetensors"


@dataclass(frozen=True, eq=False)
class SiteFeatures:
    """Features of a target under one preprocessing and stream.

    Attributes:
        test: Of the test half, in the order of its rows.
        pool: Of the pool, in the order of its rows.
    """

    test: Features
    pool: Features


def check_preprocessing(file: RecipeFile) -> None:
    """Refuse corrections of probabilities: they are adapters here, which a patch can hold.

    Raises:
        OslerError: `usage` with the line.
    """
    for name in file.recipe.preprocessing:
        for correction, options in chosen_corrections(file.recipe, name):
            if FittedCorrection(correction, {}, options).stage == "probability":
                raise file.refusal(
                    Code.USAGE,
                    f"{correction} corrects probabilities, which no adapter sees.",
                    "Name it among `adapters`.",
                    *("preprocessing", name),
                )


def encode_source(lab: Lab, encoders: Mapping[str, Encoder], store: Store, cache: Path) -> Iterator[str]:
    """Write the features that models are fitted on, uncorrected; yields a line each that was made."""
    for (source, seed), parts in lab.parts.items():
        for name, encoder in encoders.items():
            for batch, (site, rows) in fit_batches(parts).items():
                path = store.fit(name, source, seed, batch)
                if not path.is_file():
                    images = lab.sites[site].images.rows(rows)
                    features, _ = corrected(Steady(encoder), images, [], None, cache)
                    write_atomically(
                        path, _packed(features.text_space, rows=rows.astype(np.int64), pooled=features.pooled)
                    )
                    yield f"features of {name}, {batch} of {source}"


def fit_batches(parts: Parts) -> dict[str, tuple[str, np.ndarray]]:
    """Return the images of the source's parts, and the reference's where it is another site."""
    own = parts.tests[next(iter(parts.tests))][1]
    batches = {SOURCE: (parts.source, np.sort(np.concatenate([*parts.fit.values(), own])))}
    if parts.reference[0] != parts.source:
        batches[REFERENCE] = parts.reference
    return batches


def encode_targets(
    lab: Lab,
    halves: Mapping[tuple[str, int], Halves],
    encoders: Mapping[str, Encoder],
    store: Store,
    cache: Path,
) -> Iterator[str]:
    """Write the features of both halves of every target that a cell asks for; yields a line each that was made.

    What a correction needs of the source is measured on the images of its parts, what it needs of the target on the stream
    of its pool. A correction that does not suit an encoder leaves its reason and spares the others.
    """
    recipe = lab.recipe
    assert isinstance(recipe, AdaptRecipe)
    asked = {(cell.fit.encoder, one) for cell in cells_of(recipe) for one in (NONE, cell.preprocessing)}
    for (source, seed), parts in lab.parts.items():
        targets = [one for one in recipe.targets_of(source) if (one, seed) in halves]
        own = lab.sites[source].images.rows(fit_batches(parts)[SOURCE][1])
        for name, encoder in encoders.items():
            for preprocessing in (one for one in recipe.preprocessing if (name, one) in asked):
                files = {
                    (target, stream): store.site(name, source, seed, target, preprocessing, stream)
                    for target in targets
                    for stream in recipe.streams
                }
                if all(path.is_file() or _refused(path).is_file() for path in files.values()):
                    continue
                fitted = _fitted(recipe, encoder, own, preprocessing, cache)
                for (target, stream), path in files.items():
                    one = halves[target, seed]
                    try:
                        _write_site(path, encoder, lab.sites[target].images, one, stream, fitted, cache)
                    except OslerError as error:
                        write_json(_refused(path), error.to_dict())
                yield f"features of {name}, {preprocessing}, {source} to {', '.join(targets)}"


def read_fit(store: Store, parts: Parts, encoder: str, seed: int) -> dict[str, Encoded]:
    """Return what `encode_source` wrote for one encoder."""
    encoded = {}
    for batch, (site, _) in fit_batches(parts).items():
        tensors = load_file(store.fit(encoder, parts.source, seed, batch))
        encoded[batch] = Encoded(site, np.asarray(tensors["rows"], np.intp), _features(tensors, "pooled"))
    return encoded


def read_site(path: Path) -> SiteFeatures:
    """Return what `encode_targets` wrote of one target.

    Raises:
        OslerError: Why the preprocessing does not suit the encoder.
    """
    if _refused(path).is_file():
        reason = read_json(_refused(path))
        raise OslerError(Code(reason["code"]), reason["message"], reason["mend"])
    tensors = load_file(path)
    return SiteFeatures(_features(tensors, "test"), _features(tensors, "pool"))


def _fitted(
    recipe: AdaptRecipe, encoder: Encoder, own: Images, preprocessing: str, cache: Path
) -> list[FittedCorrection]:
    chosen = chosen_corrections(recipe, preprocessing)
    return corrected(Steady(encoder), own, chosen, None, cache)[1] if chosen else []


def _write_site(
    path: Path,
    encoder: Encoder,
    images: Images,
    halves: Halves,
    stream: str,
    fitted: list[FittedCorrection],
    cache: Path,
) -> None:
    steady = Steady(encoder)
    measured = images.rows(halves.pool[halves.streams[stream]])  # type: ignore[index]
    own = measured_at(steady, measured, fitted, cache, halves.site)
    test, pool = (at_site(steady, images.rows(rows), fitted, cache, own)[0] for rows in (halves.test, halves.pool))
    write_atomically(path, _packed(test.text_space, test=test.pooled, pool=pool.pooled))


def measured_at(
    encoder: Encoder, images: Images, fitted: list[FittedCorrection], cache: Path, site: str
) -> SiteStatistics:
    """Return what corrections measure on the images of a stream."""
    _, taken = at_site(encoder, images, fitted, cache)
    return site_statistics(fitted, taken, images=len(images), site=site)


def _refused(path: Path) -> Path:
    return path.with_suffix(".refused.json")


def _packed(text_space: bool, **tensors: Array) -> bytes:
    tensors = {name: np.ascontiguousarray(one) for name, one in tensors.items()}
    return save({**tensors, TEXT: np.array([text_space])})


def _features(tensors: Mapping[str, Array], name: str) -> Features:
    return Features(tensors[name], text_space=bool(tensors[TEXT][0]))
