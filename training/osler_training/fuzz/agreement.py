"""Holding Osler's pixels against those of an independent decoder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit

from osler.dicom.decoding import decode, decoder_for
from osler_contracts.errors import OslerError
from osler_training.fuzz.independent import independent_pixels

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000})


@dataclass(frozen=True)
class Agreement:
    """How far two decodings of one file lie apart.

    Attributes:
        syntax: Name of the transfer syntax.
        decoder: Label of Osler's decoder; empty where it refuses.
        tool: The independent one; empty where it refuses.
        code: Why Osler refuses, empty where it does not.
        largest: Largest difference of a sample, None unless both decode.
        mean: Mean difference of a sample, likewise.
        lossy: Whether the compression is one whose decoding the standard leaves a tolerance for: JPEG with a
            cosine transform, and JPEG 2000 with the irreversible transform. JPEG-LS decodes exactly, near-lossless too.
    """

    syntax: str
    decoder: str = ""
    tool: str = ""
    code: str = ""
    largest: float | None = None
    mean: float | None = None
    lossy: bool = False

    @property
    def exact(self) -> bool:
        """Whether both decode, and to the same values."""
        return self.largest == 0.0


def compare(path: Path) -> Agreement:
    """Decode every frame of a DICOM file twice and compare; the file must at least be DICOM."""
    dataset = dcmread(path)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID", ""))
    lossy = syntax in LOSSY
    decoder = code = tool = ""
    ours = theirs = None
    try:
        ours, decoder = decode(dataset, None), decoder_for(dataset).label
    except OslerError as error:
        code = str(error.code)
    with suppress(ValueError, AttributeError, TypeError, KeyError):
        theirs, tool = independent_pixels(path)
    if ours is None or theirs is None:
        return Agreement(syntax.name, decoder, tool, code, lossy=lossy)
    if ours.size != theirs.size:
        return Agreement(syntax.name, decoder, tool, code, float("inf"), float("inf"), lossy)
    apart = np.abs(ours.reshape(theirs.shape).astype(np.float64) - theirs)
    return Agreement(syntax.name, decoder, tool, code, float(apart.max()), float(apart.mean()), lossy)
