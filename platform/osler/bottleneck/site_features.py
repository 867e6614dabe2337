"""Features of the images of one site after its own look was corrected, as they are predicted from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from osler.bottleneck.correction import FittedCorrection, SiteStatistics, site_statistics, through_stage
from osler.bottleneck.feature_cache import FeatureCache, image_key, stacked
from osler.bottleneck.protocols import Encoder, StatePatch, Statistics
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_images import LazyImages

BATCH = 64


class ImageSet(Protocol):
    """Images that are read when they are asked for, such as `osler.archive.images.StudyImages`."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Name of each image in a feature cache."""
        ...

    @property
    def load(self) -> Callable[[int], Array]:
        """Reads an image, (H, W) or (H, W, 3) in [0, 1]."""
        ...


def at_site(
    encoder: Encoder,
    images: ImageSet,
    fitted: Sequence[FittedCorrection],
    cache: Path | None = None,
    own: SiteStatistics | None = None,
    *,
    tokens: bool = False,
    patch: StatePatch | None = None,
) -> tuple[Features, dict[int, Statistics]]:
    """Return the corrected features of a site and what each correction measured, by its place.

    Args:
        encoder: The encoder.
        images: Images of one site.
        fitted: The corrections of the model; those of probabilities wait.
        cache: Folder of a feature cache; images that were corrected have keys of their own in it.
        own: What was measured at the site; measured from these images where it is not given.
        tokens: Also return spatial features.
        patch: A patch of the site, which may change images too; what it does to features waits for the pipeline.

    Raises:
        OslerError: `nothing-eligible` where there are corrections and no images.
    """
    keys, looked, first = looked_at(images, fitted, own, patch)
    features, second = through_stage(fitted, "feature", encoded(encoder, keys, looked.__getitem__, cache, tokens), own)
    return features, first | second


def looked_at(
    images: ImageSet, fitted: Sequence[FittedCorrection], own: SiteStatistics | None, patch: StatePatch | None = None
) -> tuple[tuple[str, ...], Sequence[Array], dict[int, Statistics]]:
    """Return images as an encoder sees them: their keys, the images, read when they are asked for, and what was measured.

    For arguments and errors see `at_site`.
    """
    keys = images.keys
    looked, first = through_stage(fitted, "image", LazyImages(images.load, len(keys)), own)
    if first:
        # The pixels depend on the site's statistics too, which name them: another batch has other features.
        moved = [one for one in fitted if one.stage == "image"]
        count = len(keys) if own is None else own.images
        named = site_statistics(moved, dict(enumerate(first.values())), images=count).digest
        keys = tuple(image_key(key, {"site_statistics": named}) for key in keys)
    if patch is not None and len(keys):
        patched = patch.apply_images(looked, patch.site)
        if patched is not looked:
            keys = tuple(image_key(key, {"patch": patch.id}) for key in keys)
        looked = patched
    return keys, looked, first


def encoded(
    encoder: Encoder, keys: Sequence[str], read: Callable[[int], Array], cache: Path | None, tokens: bool
) -> Features:
    """Return the features of images, from a cache where there is one."""
    if cache is None:
        # In parts, since the images of a site together may be more than memory.
        starts = range(0, max(len(keys), 1), BATCH)
        parts = ([read(number) for number in range(start, min(start + BATCH, len(keys)))] for start in starts)
        return stacked([encoder.encode(part, tokens=tokens) for part in parts])
    return FeatureCache(cache, encoder).features(keys, read, tokens=tokens)
