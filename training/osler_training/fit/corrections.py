"""Features of images after a site's own look was corrected: the preprocessing that any method may be fitted and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from osler.bottleneck.correction import FittedCorrection, through_stage
from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_features import ImageSet, at_site, encoded
from osler.bottleneck.site_images import LazyImages
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def corrected(
    encoder: Encoder,
    images: ImageSet,
    corrections: Sequence[tuple[str, Mapping[str, Any]]],
    reference: Sequence[FittedCorrection] | None = None,
    cache: Path | None = None,
    *,
    tokens: bool = False,
) -> tuple[Features, list[FittedCorrection]]:
    """Return the features of images of one site after the corrections of images and of features.

    Without a `reference` the images are the source: they define the statistics and keep their features. With one they are
    another site, or a part of the source that is to stand as a site of its own; what they measure is label-free, and is
    measured on all of them, so a test set that is given here is known as a whole before any of it is predicted.

    Args:
        encoder: The encoder.
        images: Images of one site.
        corrections: Name and options of each; corrections of probabilities wait for `corrected_probabilities`.
        reference: What the source returned.
        cache: Folder of a feature cache; images that were corrected have keys of their own in it.
        tokens: Also return spatial features.

    Returns:
        The features, and the corrections with the statistics of the source; those of probabilities without any.

    Raises:
        OslerError: `usage` for an unknown correction or option, or where `reference` holds other corrections;
            `nothing-eligible` where there are corrections and no images.
    """
    if reference is None:
        return _at_source(encoder, images, corrections, cache, tokens)
    _require_same(corrections, reference)
    features, _ = at_site(encoder, images, reference, cache, tokens=tokens)
    return features, list(reference)


def corrected_probabilities(
    probabilities: Array, fitted: Sequence[FittedCorrection], class_prior: Array | None = None
) -> Array:
    """Return calibrated probabilities (n, K) of one site after the corrections of probabilities.

    Args:
        probabilities: Calibrated probabilities of the site.
        fitted: The corrections of the pipeline.
        class_prior: Share of each class (K,) that the probabilities were fitted under, where `fitted` does not hold it.
    """
    known = fitted if class_prior is None else with_class_prior(fitted, class_prior)
    matched: Array = through_stage(known, "probability", probabilities)[0]
    return matched


def with_class_prior(fitted: Sequence[FittedCorrection], class_prior: Array) -> list[FittedCorrection]:
    """Return the corrections, those of probabilities with the shares of the classes (K,) at the source."""
    return [replace(one, reference={"prior": class_prior}) if one.stage == "probability" else one for one in fitted]


def with_corrections(pipeline: Pipeline, fitted: Sequence[FittedCorrection]) -> Pipeline:
    """Return a fitted pipeline that corrects sites as its features were; the shares of its classes are those it was fitted on.

    The pipeline must have been fitted on the features that `corrected` gave for the source. It has another digest.
    """
    return replace(pipeline, corrections=tuple(with_class_prior(fitted, pipeline.source.class_prior)))


def _at_source(
    encoder: Encoder,
    images: ImageSet,
    corrections: Sequence[tuple[str, Mapping[str, Any]]],
    cache: Path | None,
    tokens: bool,
) -> tuple[Features, list[FittedCorrection]]:
    made = [parse_correction(name, options) for name, options in corrections]
    pixels = LazyImages(images.load, len(images.keys))
    features = encoded(encoder, images.keys, pixels.__getitem__, cache, tokens)
    batches: dict[str, Any] = {"image": pixels, "feature": features}
    fitted = []
    for (name, options), one in zip(corrections, made, strict=True):
        # Nothing moves at the source, so every correction of a stage measures the same batch.
        reference = one.measure(batches[one.stage]) if one.stage in batches else {}
        fitted.append(FittedCorrection(name, reference, options))
    return features, fitted


def _require_same(corrections: Sequence[tuple[str, Mapping[str, Any]]], reference: Sequence[FittedCorrection]) -> None:
    asked = [FittedCorrection(name, {}, options) for name, options in corrections]
    if [(one.name, one.options) for one in asked] != [(one.name, one.options) for one in reference]:
        raise OslerError(
            Code.USAGE,
            "The source was measured for other corrections than these.",
            "Give the site the corrections of the source.",
        )
