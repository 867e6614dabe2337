"""Reading an image file of a data set as fractions: DICOM by the archive's own reader, other formats by Pillow."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from osler.bottleneck.records import Array
from osler.dicom.pixels import read_image
from osler.dicomize.images import MAX_PIXELS
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})


@dataclass(frozen=True)
class Reading:
    """How files become images.

    Attributes:
        colour: True gives (H, W, 3), False (H, W) by the mean of the channels, None what the file has.
        inverted: Whether dense tissue is dark in the files; it is then turned.
        stretched: Whether the values of each image span [0, 1]; else a file's full range does.
    """

    colour: bool | None = None
    inverted: bool = False
    stretched: bool = False

    @cached_property
    def record(self) -> dict[str, bool]:
        """What departs from the plain reading; part of the name in a feature cache, empty for the plain one."""
        given = {"grey": self.colour is False, "inverted": self.inverted, "stretched": self.stretched}
        return {name: True for name, value in given.items() if value}

    def __call__(self, path: Path) -> Array:
        """Read a file.

        Raises:
            OslerError: `image-invalid`, `absurd-size`, or a refusal of the DICOM reader.
        """
        values = read_image(path).values if path.suffix.lower() in DICOM_SUFFIXES else _read_raster(path)
        if self.colour is False and values.ndim == 3:
            values = values.mean(axis=2)
        if self.colour and values.ndim == 2:
            values = np.repeat(values[..., None], 3, axis=2)
        if self.stretched and (span := np.ptp(values)) > 0:
            values = (values - values.min()) / span
        return np.asarray(1.0 - values if self.inverted else values, np.float32)


@dataclass(frozen=True)
class Loader:
    """Reads the image of a row; it can cross to another process. Rows in `inverted` are turned."""

    paths: tuple[Path, ...]
    reading: Reading = Reading()
    inverted: frozenset[int] = frozenset()

    def reading_of(self, row: int) -> Reading:
        """Return how the image of a row is read."""
        return replace(self.reading, inverted=True) if row in self.inverted else self.reading

    def __call__(self, row: int) -> Array:
        """Read the image of a row."""
        return self.reading_of(row)(self.paths[row])


def header_values(path: Path, *keywords: str) -> tuple[str, ...]:
    """Return values of a DICOM header as text, empty where the file has none or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ages such as `51`, which are no Age String
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(keywords))
            return tuple(str(header.get(keyword) or "") for keyword in keywords)
    except (OSError, InvalidDicomError):
        return ("",) * len(keywords)


def _read_raster(path: Path) -> Array:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `MAX_PIXELS` is the limit here
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise OslerError(
                        Code.ABSURD_SIZE, f"{path.name} has more pixels than is allowed.", "Scale it down."
                    )
                return _fractions(ImageOps.exif_transpose(image))
    except (UnidentifiedImageError, ValueError, SyntaxError, OSError, Image.DecompressionBombError) as error:
        raise OslerError(
            Code.IMAGE_INVALID,
            f"{path.name} cannot be read as an image ({type(error).__name__}).",
            f"Get the file again; formats are DICOM, {', '.join(FORMATS)}.",
        ) from None


def _fractions(image: Image.Image) -> Array:
    """Return the values of a picture over the range of its type. Transparency carries nothing in these sets."""
    if image.mode.startswith("I"):  # 16 bits, as Pillow reads a grey PNG of that depth
        return np.clip(np.asarray(image).astype(np.float32) / 65535, 0.0, 1.0)
    if image.mode == "F":
        raise ValueError("no range is known for floating-point pixels")
    grey = image.mode in ("1", "L", "LA")
    return np.asarray(image.convert("L" if grey else "RGB"), np.float32) / 255
