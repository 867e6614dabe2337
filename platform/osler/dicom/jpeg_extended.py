"""JPEG Extended with 12 bits a sample (process 4) through GDCM, as a decoding plugin of pydicom.

pydicom's own GDCM plugin turns such frames away, and no other decoder with a free licence takes them; GDCM decodes them
to the same values as DCMTK (`tests/platform/dicom/test_decoder_agreement.py`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import cast

from pydicom.pixels.decoders.base import DecodeRunner, JPEGExtended12BitDecoder
from pydicom.uid import JPEGExtended12Bit

PLUGIN = "gdcm-12bit"
# What pydicom asks of a plugin.
DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("python-gdcm>=3.0.10",)}


def is_available(uid: str) -> bool:
    """Return whether GDCM is installed and takes the transfer syntax."""
    try:
        import gdcm  # noqa: F401
    except ImportError:
        return False
    return uid in DECODER_DEPENDENCIES


def register() -> None:
    """Make the plugin known to pydicom; a second time changes nothing."""
    with suppress(ValueError):  # what pydicom raises for a name that it knows already
        JPEGExtended12BitDecoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame to 16 bits a sample, least significant byte first."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str.__str__(runner.transfer_syntax))))
    bits = runner.bits_stored
    image.SetPixelFormat(
        gdcm.PixelFormat(runner.samples_per_pixel, runner.bits_allocated, bits, bits - 1, runner.pixel_representation)
    )
    # GDCM hands bytes over as text.
    return cast(bytes, image.GetBuffer().encode("utf-8", "surrogateescape"))
