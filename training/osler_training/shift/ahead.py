"""Encoding the images of a recipe by all workers, before its batches are put together from the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.encoding import Encoding, encode_images
from osler.engine import Engine
from osler_training.shift.features import (
    DONE,
    REFUSED,
    Steady,
    batches_of,
    chosen_corrections,
    closed,
    needs_tokens,
)
from osler_training.shift.lab import Lab
from osler_training.shift.parts import Rows


def encode_ahead(lab: Lab, engine: Engine, place: Path, cache: Path) -> Iterator[str]:
    """Encode the images of all batches as they are; yields a line for each encoder and site of which any was missing.

    Images that a correction changes are encoded where they are measured, since each depends on all of its batch.

    Args:
        lab: The recipe with its sites, parts and encoders.
        engine: Does the work.
        place: Folder of the features of the run, by source and seed.
        cache: Folder of the feature cache.
    """
    recipe = lab.recipe
    plain = [name for name in recipe.preprocessing if not _changes_images(lab, name)]
    for name, digest in lab.encoders.items():
        encoding = Encoding(Steady(closed(recipe, name, digest)), cache, needs_tokens(recipe))
        for site, rows in _rows(lab, place, name, plain).items():
            images, refused = encode_images(engine, encoding, lab.sites[site].images.rows(rows))
            if images:
                yield f"encoded {images - refused} images of {site} by {name}"


def _changes_images(lab: Lab, preprocessing: str) -> bool:
    file = chosen_corrections(lab.recipe, preprocessing)
    return any(parse_correction(name, options).stage == "image" for name, options in file)


def _rows(lab: Lab, place: Path, encoder: str, preprocessing: list[str]) -> dict[str, Rows]:
    """Return by site the rows of the batches that are not there yet."""
    wanted: dict[str, list[Rows]] = {}
    for (source, seed), parts in lab.parts.items():
        folders = [place / f"{source}--{seed}" / f"{encoder}--{name}" for name in preprocessing]
        if all((folder / DONE).is_file() or (folder / REFUSED).is_file() for folder in folders):
            continue
        for batch in batches_of(lab.recipe, lab.sites, parts):
            wanted.setdefault(batch.site, []).append(batch.rows)
    return {site: np.unique(np.concatenate(rows)) for site, rows in wanted.items()}
