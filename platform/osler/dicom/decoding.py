"""From a data set to stored values: the only place where pixels are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGTransferSyntaxes, RLELossless

from osler.dicom.codestream import read_codestream
from osler.dicom.complaints import listening
from osler.dicom.decoders import NATIVE, decoder_label, decoder_plugin
from osler.dicom.pixel_format import check_format, frame_count
from osler.dicom.refusals import from_pixel_error, refusal, refusing
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# What decoders of JPEG may differ by, since the standard leaves the rounding of the cosine transform to them.
JPEG_TOLERANCE = 2


@dataclass(frozen=True)
class Decoder:
    """The decoder chosen for a data set: its plugin as pydicom knows it, and its label with its version."""

    plugin: str
    label: str


@dataclass(frozen=True)
class Checked:
    """A data set whose pixels can be decoded.

    Attributes:
        decoder: The decoder that it took.
        only: The one frame (H, W), as `decode` gives it, of a grey image that has no other; None of all others.
    """

    decoder: Decoder
    only: NDArray[Any] | None


def decode(dataset: Dataset, frame: int | None = 0) -> NDArray[Any]:
    """Decode stored values with the pinned decoder; YCbCr becomes RGB, and unused bits are cleared.

    Args:
        dataset: A data set with its file meta.
        frame: Index of the frame, None for all of them.

    Returns:
        (H, W) or (H, W, samples) of one frame; all frames add a leading axis where there are several.

    Raises:
        OslerError: What `check_format` and `decoder_for` raise, `pixels-undecodable`, or `usage` for a frame that the
            file does not have.
    """
    check_format(dataset)
    frames = frame_count(dataset)
    if frame is not None and not 0 <= frame < frames:
        raise OslerError(Code.USAGE, f"There is no frame {frame}: the file has {frames}.", "Count frames from 0.")
    chosen = decoder_for(dataset)
    with refusing(from_pixel_error):
        pixels = np.asarray(pixel_array(dataset, index=frame, **_options(dataset, chosen)))
        _check_shape(dataset, pixels, frame)
        return _reposition(dataset, pixels)


def check_decodable(dataset: Dataset) -> Checked:
    """Decode every frame, one at a time, by two decoders where one of them would pass over damage; raises as `decode`.

    Meant for worker processes, whose standard error stream it listens to while it decodes JPEG.
    """
    check_format(dataset)
    chosen = decoder_for(dataset)
    if dataset.file_meta.TransferSyntaxUID not in JPEGTransferSyntaxes:
        return Checked(chosen, _check_frames(dataset, chosen))
    with listening() as damage_was_told:
        only = _check_frames(dataset, chosen)
        if damage_was_told():
            raise refusal(Code.PIXELS_UNDECODABLE, "A compressed frame is damaged: its data end early, or too late.")
    return Checked(chosen, only)


def _check_frames(dataset: Dataset, chosen: Decoder) -> NDArray[Any] | None:
    """Decode every frame; returns what `Checked.only` is."""
    decoded, only = 0, None
    keep = frame_count(dataset) == 1 and int(dataset.get("SamplesPerPixel") or 1) == 1
    tolerance = 0 if dataset.file_meta.TransferSyntaxUID == RLELossless else JPEG_TOLERANCE
    with refusing(from_pixel_error):
        second = _second_opinion(dataset, chosen)
        for pixels in iter_pixels(dataset, raw=True, **_options(dataset, chosen)):
            _check_shape(dataset, pixels, 0)
            if second is not None and not _agree(pixels, next(second), int(dataset.BitsStored), tolerance):
                raise refusal(Code.PIXELS_UNDECODABLE, "A compressed frame is damaged: two decoders disagree over it.")
            decoded += 1
            only = _reposition(dataset, pixels) if keep else None
    if decoded != frame_count(dataset):
        raise refusal(Code.PIXELS_UNDECODABLE, "The pixel data holds another number of frames than the header says.")
    return only


def _second_opinion(dataset: Dataset, chosen: Decoder) -> Iterator[NDArray[Any]] | None:
    """Decode once more with GDCM: Pillow, OpenJPEG and the reader of RLE make something up for what is damaged."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if (
        chosen.plugin.startswith("gdcm")
        or syntax not in (*JPEGTransferSyntaxes, *JPEG2000TransferSyntaxes, RLELossless)
        or "gdcm" not in get_decoder(syntax).available_plugins
    ):
        return None
    # pydicom would correct signs in place, in an array of GDCM's that cannot be written; `_agree` needs no correction.
    options = _options(dataset, chosen) | {"decoding_plugin": "gdcm", "apply_j2k_sign_correction": False}
    return iter_pixels(dataset, raw=True, **options)


def _agree(one: NDArray[Any], other: NDArray[Any], bits: int, tolerance: int) -> bool:
    """Compare values as they wrap around: where header and codestream differ in sign, decoders follow one or the other."""
    if one.shape != other.shape:
        return False
    apart = np.abs(one.astype(np.int64) - other) % (1 << bits)
    return int(np.minimum(apart, (1 << bits) - apart).max()) <= tolerance


def decoder_for(dataset: Dataset) -> Decoder:
    """Choose the decoder of a data set, once every compressed frame has been held against the header.

    Raises:
        OslerError: `decoder-missing`; `pixels-undecodable` where a frame is not what the header describes.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    decoder_plugin(syntax)
    precision = _check_codestreams(dataset) if syntax.is_encapsulated else 8
    return Decoder(decoder_plugin(syntax, precision), decoder_label(syntax, precision))


def _check_codestreams(dataset: Dataset) -> int:
    """Hold the head of every frame against the header, and return the greatest precision."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, allocated = int(dataset.get("SamplesPerPixel") or 1), int(dataset.BitsAllocated)
    syntax, precision = dataset.file_meta.TransferSyntaxUID, 1
    for frame in _frames(dataset):
        head = read_codestream(frame, syntax)
        if head is None:
            return 8
        if (head.rows, head.columns, head.samples) != (rows, columns, samples) or head.precision > allocated:
            raise refusal(Code.PIXELS_UNDECODABLE, "A compressed frame has another size or depth than the header says.")
        precision = max(precision, head.precision)
    return precision


def _frames(dataset: Dataset) -> Iterator[bytes]:
    """Yield the compressed frames, by whichever offset table there is (PS3.5 A.4)."""
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    with refusing(from_pixel_error):
        yield from generate_frames(
            dataset.PixelData,
            number_of_frames=frame_count(dataset),
            extended_offsets=None if table is None or lengths is None else (table, lengths),
        )


def _options(dataset: Dataset, chosen: Decoder) -> dict[str, Any]:
    syntax = dataset.file_meta.TransferSyntaxUID
    # These decoders give colour by pixel, whatever the header says of an order that they do not have.
    by_pixel = syntax in (*JPEGTransferSyntaxes, *JPEG2000TransferSyntaxes)
    return {
        **({"planar_configuration": 0} if by_pixel else {}),
        "decoding_plugin": "" if chosen.plugin == NATIVE else chosen.plugin,
        # Where the stored bits are not the lowest ones, pydicom would keep the wrong ones.
        "correct_unused_bits": _bits_above(dataset) == 0,
    }


def _check_shape(dataset: Dataset, pixels: NDArray[Any], frame: int | None) -> None:
    """Refuse frames of another size than the header's, and what decoders add or leave out at the end."""
    frames = frame_count(dataset) if frame is None else 1
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if pixels.size != frames * int(dataset.Rows) * int(dataset.Columns) * samples:
        raise refusal(Code.PIXELS_UNDECODABLE, "The decoded pixels do not have the size that the header says.")


def _bits_above(dataset: Dataset) -> int:
    """Return how far the stored bits lie above the lowest ones (PS3.5 8.1.1, before its edition of 2014)."""
    stored = int(dataset.get("BitsStored") or 0)
    return int(dataset.get("HighBit", stored - 1)) + 1 - stored if stored else 0


def _reposition(dataset: Dataset, pixels: NDArray[Any]) -> NDArray[Any]:
    """Move stored bits that end below the highest bit to the bottom, with their sign."""
    if _bits_above(dataset) == 0 or pixels.dtype.kind == "f":
        return pixels
    allocated, stored, high = (int(dataset[key].value) for key in ("BitsAllocated", "BitsStored", "HighBit"))
    return (pixels << (allocated - 1 - high)) >> (allocated - stored)
