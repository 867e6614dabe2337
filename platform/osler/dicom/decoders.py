"""Which decoder turns a transfer syntax into pixels: pinned, so that one file gives one picture, and recorded."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes, JPEGExtended12Bit, RLELossless

from osler.dicom import jpeg_extended
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# pylibjpeg first for JPEG 2000: Pillow's reader takes no signed and few 16-bit images. RLE prefers the compiled reader.
# GDCM comes last: a damaged file can make it end its process.
PREFERENCE = ("pyjpegls", "pylibjpeg", "pillow", "pydicom", "gdcm")
NATIVE = "native"
_DISTRIBUTIONS = {NATIVE: "pydicom", "gdcm": "python-gdcm", jpeg_extended.PLUGIN: "python-gdcm"}

jpeg_extended.register()


@cache
def decoder_plugin(transfer_syntax: str, precision: int = 8) -> str:
    """Return the plugin that decodes a transfer syntax, `native` where nothing is compressed.

    Args:
        transfer_syntax: Its UID.
        precision: Bits a sample of the compressed frame; it decides for JPEG Extended alone.

    Raises:
        OslerError: `decoder-missing` where no installed plugin does.
    """
    uid = UID(transfer_syntax)
    if uid.is_transfer_syntax and not uid.is_compressed:
        return NATIVE
    try:
        available = get_decoder(uid).available_plugins
    except NotImplementedError:  # pydicom's word for a syntax that it has no decoder for
        available = ()
    wide = uid == JPEGExtended12Bit and precision > 8
    for plugin in (jpeg_extended.PLUGIN,) if wide else PREFERENCE:
        if plugin in available:
            return plugin
    raise OslerError(
        Code.DECODER_MISSING,
        f"No installed decoder reads the transfer syntax {uid.name}.",
        "Install one that does (`osler doctor` lists them), or have the source send it uncompressed.",
    )


def has_decoder(transfer_syntax: str) -> bool:
    """Return whether some installed decoder takes a transfer syntax."""
    try:
        decoder_plugin(transfer_syntax)
    except OslerError:
        return False
    return True


@cache
def decodable_syntaxes() -> frozenset[str]:
    """Return the UIDs of the transfer syntaxes that are decoded here, for the contracts, which know no decoder."""
    return frozenset(str(uid) for uid in AllTransferSyntaxes if has_decoder(uid))


@cache
def decoder_label(transfer_syntax: str, precision: int = 8) -> str:
    """Return the plugin with the version of the code behind it, such as `pylibjpeg (pylibjpeg-openjpeg 2.6.0)`."""
    plugin = decoder_plugin(transfer_syntax, precision)
    distribution = _DISTRIBUTIONS.get(plugin, plugin)
    if plugin == "pylibjpeg":
        distribution = "pylibjpeg-rle" if transfer_syntax == RLELossless else "pylibjpeg-openjpeg"
    try:
        return f"{plugin} ({distribution} {version(distribution)})"
    except PackageNotFoundError:
        return f"{plugin} ({distribution}, unknown version)"


def decoder_table() -> dict[str, str | None]:
    """Return each image transfer syntax by name with its decoder's label; None where none is installed."""
    table: dict[str, str | None] = {}
    for uid in AllTransferSyntaxes:
        if not uid.is_compressed or _is_decodable_in_principle(uid):
            table[uid.name] = decoder_label(uid) if has_decoder(uid) else None
    if JPEGExtended12Bit.name in table:
        wide = jpeg_extended.PLUGIN in get_decoder(JPEGExtended12Bit).available_plugins
        table[f"{JPEGExtended12Bit.name}, 12 bits"] = decoder_label(JPEGExtended12Bit, 12) if wide else None
    return table


def _is_decodable_in_principle(uid: UID) -> bool:
    """Return whether the syntax is one of images: those of video and documents have no decoder at all."""
    try:
        get_decoder(uid)
    except NotImplementedError:  # pydicom's word, as above
        return False
    return True
