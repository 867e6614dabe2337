"""Copies of training images under another stain, light, contrast, focus and scale, as more rows to fit on.

A frozen encoder cannot learn that a stain says nothing; what reads its features can, where it has seen the same cell twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from skimage.color import hed2rgb, rgb2hed
from skimage.exposure import adjust_gamma
from skimage.filters import gaussian

from osler.bottleneck.corrections.object_scale import rescaled
from osler.bottleneck.feature_cache import FeatureCache, image_key, stacked
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_features import ImageSet
from osler.bottleneck.site_images import channels
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.problem import Cohort, Problem, Reference

BATCH = 64


@dataclass(frozen=True)
class AugmentationRule:
    """How far a copy may be from its image; each amount is drawn uniformly, 0 leaves it out.

    Attributes:
        stain: Factor on each stain of haematoxylin, eosin and DAB within 1 - s and 1 + s, and a tenth of s added or taken
            (Tellez et al. 2018); colour images only.
        gamma: Exponent of the brightness within exp(-s) and exp(s).
        contrast: Factor on the distance from the image's mean within 1 - s and 1 + s.
        blur: Largest deviation of a Gaussian blur, as a share of the shorter side.
        scale: Magnification about the middle within exp(-s) and exp(s), in the same frame.
    """

    stain: float = 0.2
    gamma: float = 0.3
    contrast: float = 0.25
    blur: float = 0.01
    scale: float = 0.2

    def __post_init__(self) -> None:
        limits = {"stain": 1.0, "gamma": 2.0, "contrast": 1.0, "blur": 0.2, "scale": 1.0}
        if wrong := [name for name, most in limits.items() if not 0 <= getattr(self, name) <= most]:
            ranges = ", ".join(f"{name} in [0, {limits[name]:g}]" for name in wrong)
            raise OslerError(Code.USAGE, f"An amount of augmentation is out of range: {wrong[0]}.", f"Give {ranges}.")


def augment(image: Array, rng: np.random.Generator, rule: AugmentationRule) -> Array:
    """Return a copy of an image (H, W) or (H, W, 3) in [0, 1], of the same size.

    Raises:
        OslerError: `input-range` where the image is none.
    """
    colour = channels(image) == 3
    # All are drawn for every image, so that leaving one kind out leaves the others as they were.
    factors, added = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
    gamma, contrast, scale, blur = (*rng.uniform(-1, 1, 3), rng.uniform())
    copy: Array = np.asarray(image, np.float64)
    if colour and rule.stain:
        hed = rgb2hed(copy)
        copy = np.clip(hed2rgb(hed * (1 + rule.stain * factors) + rule.stain / 10 * added), 0, 1)
    if rule.gamma:
        copy = adjust_gamma(copy, float(np.exp(rule.gamma * gamma)))
    if rule.contrast:
        middle = copy.mean(axis=(0, 1))
        copy = np.clip(middle + (copy - middle) * (1 + rule.contrast * contrast), 0, 1)
    if rule.scale:
        copy = rescaled(copy, float(np.exp(rule.scale * scale)), 1.0)
    if rule.blur:
        copy = gaussian(copy, rule.blur * blur * min(image.shape[:2]), channel_axis=2 if colour else None)
    return np.asarray(np.clip(copy, 0, 1), np.float32)


def augmented(
    images: ImageSet,
    encoder: Encoder,
    n: int,
    seed: int,
    rule: AugmentationRule | None = None,
    cache: Path | None = None,
    *,
    tokens: bool = False,
) -> Features:
    """Return the features of `n` copies of each image: first all first copies, then all second ones.

    A copy depends on its image's key, its number and the seed alone, not on what else is in the set.

    Args:
        images: The images.
        encoder: The encoder.
        n: Copies of each.
        seed: Seed.
        rule: How far copies may be from their images.
        cache: Folder of a feature cache.
        tokens: Also return spatial features.

    Raises:
        OslerError: `usage` where no copy is asked for.
    """
    if n < 1:
        raise OslerError(Code.USAGE, f"{n} copies are no augmentation.", "Ask for at least 1, or leave it out.")
    rule = rule or AugmentationRule()
    keys = images.keys

    def read(place: int) -> Array:
        number, row = divmod(place, len(keys))
        return augment(images.load(row), generator(keys[row], number, seed), rule)

    if cache is None:
        places = range(n * len(keys))
        parts = [places[start : start + BATCH] for start in range(0, len(places), BATCH)] or [range(0)]
        return stacked([encoder.encode([read(place) for place in part], tokens=tokens) for part in parts])
    record = {"augmentation": asdict(rule), "seed": seed}
    names = [image_key(key, {**record, "copy": number}) for number in range(n) for key in keys]
    return FeatureCache(cache, encoder).features(names, read, tokens=tokens)


def generator(key: str, number: int, seed: int) -> np.random.Generator:
    """Return the generator of a copy."""
    drawn = hashlib.sha256(f"{key} {number} {seed}".encode()).digest()[:16]
    return np.random.default_rng(int.from_bytes(drawn, "big"))


def with_copies(cohort: Cohort, extra: Features) -> Cohort:
    """Return a cohort with the rows of its copies after its own; a copy has its image's class, patient and concepts.

    Args:
        cohort: Labelled images (n).
        extra: Features of copies, a multiple of n in the order of `augmented`.
    """
    times = _times(len(cohort), extra)
    everything = cohort.rows(np.tile(np.arange(len(cohort)), times))
    # Methods that train on pixels augment for themselves; here they would see the same image again.
    return replace(everything, features=stacked([cohort.features, extra]), images=None)


def reference_with_copies(reference: Reference, extra: Features) -> Reference:
    """Return a reference with the rows of its copies; groundings hold a patient's copies out with the patient."""
    times = _times(len(reference.patients), extra)
    return replace(
        reference,
        features=stacked([reference.features, extra]),
        patients=reference.patients * times,
        concepts=np.tile(reference.concepts, (times, 1)),
        findings=np.tile(reference.findings, (times, 1)),
    )


def augmented_problem(problem: Problem, train: Features | None = None, reference: Features | None = None) -> Problem:
    """Return a problem whose train split or reference has copies too; what selects, calibrates and tests has none.

    Args:
        problem: The problem.
        train: Features of copies of the training images.
        reference: Features of copies of the reference's images.
    """
    if train is not None:
        problem = replace(problem, train=with_copies(problem.train, train))
    if reference is not None:
        problem = replace(problem, reference=reference_with_copies(problem.reference, reference))
    return problem


def _times(rows: int, extra: Features) -> int:
    if not rows or len(extra) % rows or not len(extra):
        raise OslerError(
            Code.USAGE, f"{len(extra)} copies are no multiple of {rows} images.", "Copy each image equally often."
        )
    return 1 + len(extra) // rows
