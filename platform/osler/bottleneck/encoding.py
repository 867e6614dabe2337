"""Features of many images, encoded by many workers into the feature cache, from which everything else reads them.

The images are cut into the same parts whatever the cache holds, and a part of which one is missing is encoded as a whole:
sums over a batch depend on its size, so that features must not depend on who had encoded what when a worker was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from osler.bottleneck.correction import FittedCorrection, SiteStatistics
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.site_features import BATCH, ImageSet, looked_at
from osler.engine import Engine
from osler_contracts.errors import OslerError

PRELOAD = ("torch", "osler.bottleneck.site_features", "osler.archive.images")
UNTAKEN = (OslerError, ValueError, RuntimeError, OSError)  # what an image that cannot be read or encoded raises

Progress = Callable[[str], None]


class Rows(ImageSet, Protocol):
    """Images of which some can be taken, and that another process can receive."""

    def __len__(self) -> int: ...

    def rows(self, chosen: Sequence[int], /) -> Self:
        """Return some of them."""
        ...


@dataclass(frozen=True)
class Encoding:
    """What a worker does with a part: read, correct, encode and keep it.

    Attributes:
        encoder: An encoder that is loaded when it is first used, such as `LazyEncoder`.
        cache: Folder of the feature cache, which every worker sees.
        tokens: Also keep spatial features.
        fitted: Corrections of the model.
        own: What they measured at the site.
    """

    encoder: Encoder
    cache: Path
    tokens: bool = True
    fitted: tuple[FittedCorrection, ...] = ()
    own: SiteStatistics | None = None

    def __call__(self, images: Rows) -> int:
        """Encode a part; returns how many of its images could not be.

        An image that is refused is left out and refused again where it is asked for: it must not cost the others.
        """
        try:
            self._keep(images)
            return 0
        except UNTAKEN:
            kept = [row for row in range(len(images)) if self._takes(images.rows([row]))]
            if kept:
                self._keep(images.rows(kept))  # together again, as they are where a cache is filled without workers
            return len(images) - len(kept)

    def missing(self, images: Rows) -> bool:
        """Whether the cache lacks any of them."""
        keys = looked_at(images, self.fitted, self.own)[0]
        return not FeatureCache(self.cache, self.encoder).holds(keys, tokens=self.tokens)

    def _keep(self, images: Rows) -> None:
        keys, looked, _ = looked_at(images, self.fitted, self.own)
        FeatureCache(self.cache, _kept(self.encoder)).fill(keys, looked.__getitem__, tokens=self.tokens)

    def _takes(self, image: Rows) -> bool:
        try:
            self._keep(image)
        except UNTAKEN:
            return False
        return True


def encode_images(
    engine: Engine, encoding: Encoding, images: Rows, progress: Progress = lambda _: None
) -> tuple[int, int]:
    """Encode what the cache lacks of some images.

    Args:
        engine: Does the work.
        encoding: How.
        images: The images, always the same in the same order.
        progress: Hears how far it is.

    Returns:
        Number of images in the parts that were encoded, and of those that could not be.
    """
    parts = list(_parts(encoding, images))
    total, done, refused = sum(map(len, parts)), 0, 0
    answers = engine.map(encoding, parts, lambda part, _error: len(part))
    for part, untaken in zip(parts, answers, strict=True):
        done, refused = done + len(part), refused + untaken
        progress(f"encoded {done} of {total} images")
    return total, refused


def _parts(encoding: Encoding, images: Rows) -> Iterator[Rows]:
    for start in range(0, len(images), BATCH):
        part = images.rows(range(start, min(start + BATCH, len(images))))
        if encoding.missing(part):
            yield part


_held: dict[Encoder, Encoder] = {}


def _kept(encoder: Encoder) -> Encoder:
    """Return the encoder that this process has loaded already, where it is the same."""
    if encoder not in _held:
        _held.clear()  # one network at a time
        _held[encoder] = encoder
    return _held[encoder]
