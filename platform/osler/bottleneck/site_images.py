"""Images of a site as corrections see them: read one at a time, of one kind, and sampled on a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class LazyImages(Sequence[Array]):
    """Images as a sequence that holds none of them: a site has more than memory.

    Attributes:
        read: Reads the image at an index.
        size: How many there are.
    """

    read: Callable[[int], Array]
    size: int

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self.read(place) for place in range(*index.indices(self.size))]
        return self.read(range(self.size)[index])

    def __iter__(self) -> Iterator[Array]:
        return map(self.read, range(self.size))


def mapped(batch: Sequence[Array], change: Callable[[Array], Array]) -> LazyImages:
    """Return images that are changed when they are read."""
    return LazyImages(lambda number: change(batch[number]), len(batch))


def channels(image: Array) -> int:
    """Return the channels of an image: 1 where it is grey, 3 where it is in colour.

    Raises:
        OslerError: `input-range` where it is neither, or not in [0, 1].
    """
    grey, colour = image.ndim == 2, image.ndim == 3 and image.shape[2] == 3
    # Written so that NaN fails it too.
    if not ((grey or colour) and image.size and image.min() >= 0 and image.max() <= 1):
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} is not (H, W) or (H, W, 3) in [0, 1].",
            "Read images with osler.dicom.pixels.read_image.",
        )
    return 1 if grey else 3


def require_channels(image: Array, wanted: int) -> None:
    """Refuse an image of another number of channels than the rest.

    Raises:
        OslerError: `input-range`.
    """
    if (found := channels(image)) != wanted:
        kinds = {1: "grey", 3: "in colour"}
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image is {kinds[found]} where the site's or the source's are {kinds[wanted]}.",
            "Correct grey and colour images apart.",
        )


def sample(image: Array, side: int) -> Array:
    """Return at most `side` x `side` pixels of an image on a regular grid, (h, w) or (h, w, 3)."""
    rows, columns = (np.linspace(0, size - 1, min(size, side)).round().astype(int) for size in image.shape[:2])
    return np.asarray(image[np.ix_(rows, columns)], np.float64)


def spread_out(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` places, evenly apart."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]
