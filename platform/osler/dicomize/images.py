"""Reading the image of a row: a JPEG stream to wrap as it is, or pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from osler.dicomize.jpeg import parse_jpeg
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

MAX_PIXELS = 100_000_000
# How far the channels of a grey image saved in colour may lie apart after JPEG's rounding.
GREY_TOLERANCE = 8
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """The pixels of a row.

    Attributes:
        pixels: (H, W) or (H, W, 3), 8 or 16 bits; for a JPEG stream as decoded, to know its shape.
        photometric: Photometric Interpretation of what is stored.
        stream: The JPEG stream to encapsulate, None where pixels are stored uncompressed.
        ratio: Compression ratio of the JPEG file that it came from, None where it came from none.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    photometric: str
    stream: bytes | None
    ratio: float | None


def read_picture(path: Path, *, colour: bool) -> Picture:
    """Read a PNG or JPEG file.

    A baseline JPEG is kept as it is, its metadata apart; what must be turned, is progressive, or is grey in three
    channels is decoded and stored uncompressed, with its lossy past on record.

    Args:
        path: The file.
        colour: Whether the kind of image has three channels. A grey file is then repeated over them; a coloured one
            is refused where it is not.

    Raises:
        OslerError: `image-invalid` or `absurd-size`.
    """
    content = path.read_bytes()
    try:
        with _open(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise OslerError(Code.ABSURD_SIZE, "The image has more pixels than is allowed.", "Scale it down.")
            if image.format == "JPEG":
                return _from_jpeg(image, content, colour)
            return Picture(_pixels(image, colour), _photometric(colour), None, None)
    except (UnidentifiedImageError, ValueError, SyntaxError, OSError, Image.DecompressionBombError) as error:
        raise OslerError(
            Code.IMAGE_INVALID, f"The image cannot be read ({type(error).__name__}).", "Give a PNG or JPEG file."
        ) from None


def _open(content: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `MAX_PIXELS` is the limit here
        return Image.open(BytesIO(content), formats=("PNG", "JPEG"))


def _from_jpeg(image: Image.Image, content: bytes, colour: bool) -> Picture:
    stream = parse_jpeg(content)
    turned = image.getexif().get(_EXIF_ORIENTATION, 1) != 1
    channels = len(image.getbands())
    pixels = _pixels(ImageOps.exif_transpose(image) if turned else image, colour)
    ratio = image.width * image.height * channels / len(content)
    if stream.baseline and not turned and channels == (3 if colour else 1):
        return Picture(pixels, stream.photometric, stream.content, ratio)
    return Picture(pixels, _photometric(colour), None, ratio)


def _photometric(colour: bool) -> str:
    return "RGB" if colour else "MONOCHROME2"


def _pixels(image: Image.Image, colour: bool) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return pixels with the channels that the kind has; transparency is refused unless it hides nothing."""
    if image.mode in ("RGBA", "LA", "PA") and np.asarray(image.getchannel("A")).min() < 255:
        raise ValueError("transparent")
    if colour:
        return np.asarray(image.convert("RGB"))
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    spread = np.ptp(np.asarray(image.convert("RGB")).astype(np.int16), axis=2)
    if spread.max() > GREY_TOLERANCE:
        raise ValueError("coloured")
    return np.asarray(image.convert("L"))
