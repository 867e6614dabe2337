"""Pixels by decoders that share no code with Osler's: DCMTK's tools, and GDCM's for JPEG 2000, which DCMTK lacks.

The tools only undo the compression; what they write is a plain file, whose bytes are laid out here with numpy.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

NATIVE = ("dcmconv", "+te")
GDCM = ("gdcmconv", "--raw")
# Each tool with the options that leave samples in pixel order; input and output follow.
TOOLS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(JPEGTransferSyntaxes, ("dcmdjpeg", "+px")),
    **dict.fromkeys(JPEGLSTransferSyntaxes, ("dcmdjpls", "+px")),
    **dict.fromkeys(JPEG2000TransferSyntaxes, GDCM),
    RLELossless: ("dcmdrle",),
}
DUMP = ("dcmdump", "-q", "-M")
TIMEOUT_S = 60


def missing_tools() -> list[str]:
    """Return the programs that are not installed."""
    return sorted({tool for tool, *_ in (*TOOLS.values(), NATIVE, DUMP) if shutil.which(tool) is None})


def tool_for(transfer_syntax: str) -> tuple[str, ...]:
    """Return the command that writes files of a transfer syntax without compression."""
    return TOOLS.get(transfer_syntax, NATIVE)


def dump_complaint(path: Path) -> str | None:
    """Return what dcmdump says against a file, None where it reads all of it without an error."""
    done = subprocess.run([*DUMP, str(path)], check=False, capture_output=True, timeout=TIMEOUT_S)
    errors = done.stderr.decode("latin-1").strip()
    return None if done.returncode == 0 and not errors else errors or f"exit status {done.returncode}"


def independent_pixels(path: Path) -> tuple[NDArray[Any], str]:
    """Decode a file with a tool; where DCMTK refuses the file, GDCM is asked.

    Returns:
        (frames, rows, columns, samples), YCbCr turned into RGB where its samples are still YCbCr, and the tool's name.

    Raises:
        ValueError: Both refuse the file, or write too little.
    """
    syntax = UID(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.dcm")
        for command in dict.fromkeys((tool_for(syntax), GDCM)):
            done = subprocess.run(
                [*command, str(path), str(plain)], check=False, capture_output=True, timeout=TIMEOUT_S
            )
            if done.returncode == 0 and plain.is_file():
                return plain_pixels(dcmread(plain)), command[0]
    raise ValueError("no independent decoder takes the file")


def plain_pixels(dataset: Dataset) -> NDArray[Any]:
    """Lay out the pixel data of an uncompressed, little endian data set (PS3.5 8); as `independent_pixels`."""
    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1)
    frames = int(dataset.get("NumberOfFrames") or 1)
    values = _values(dataset)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "YBR_FULL_422":
        shape = (frames, rows, columns // 2, 4)
        y0, y1, blue, red = np.moveaxis(_first(values, shape), -1, 0)
        pairs = (np.stack([luma, blue, red], axis=-1) for luma in (y0, y1))
        return ybr_to_rgb(np.stack(list(pairs), axis=3).reshape(frames, rows, columns, 3))
    if samples > 1 and dataset.get("PlanarConfiguration") == 1:
        pixels = np.moveaxis(_first(values, (frames, samples, rows, columns)), 1, -1)
    else:
        pixels = _first(values, (frames, rows, columns, samples))
    return ybr_to_rgb(pixels) if photometric == "YBR_FULL" else pixels


def ybr_to_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn 8-bit YBR_FULL into RGB by the inverse of the equations of PS3.3 C.7.6.3.1.2."""
    y, blue, red = np.moveaxis(pixels.astype(np.float64), -1, 0)
    blue, red = blue - 128, red - 128
    rgb = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=-1)
    whole: NDArray[np.uint8] = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return whole


def _values(dataset: Dataset) -> NDArray[Any]:
    """Return the values of all pixels in the order of the file, without unused bits."""
    for keyword, kind in (("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")):
        if keyword in dataset:
            return np.frombuffer(dataset[keyword].value, dtype=kind)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = int(dataset.get("HighBit", stored - 1))
    content = dataset.PixelData
    if allocated == 1:
        return np.unpackbits(np.frombuffer(content, dtype=np.uint8), bitorder="little")
    size = allocated // 8
    words = np.frombuffer(content[: len(content) // size * size], dtype=f"<{'i' if _signed(dataset) else 'u'}{size}")
    return (words << (allocated - 1 - high)) >> (allocated - stored)


def _signed(dataset: Dataset) -> bool:
    return bool(dataset.PixelRepresentation)


def _first(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    count = int(np.prod(shape))
    if len(values) < count:
        raise ValueError("fewer pixels than the header says")
    return values[:count].reshape(shape)
