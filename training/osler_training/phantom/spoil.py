"""Files spoiled in known ways, each with the outcome and the code that it must get at ingestion."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from osler_contracts.codes import Code
from osler_training.phantom.dicom import to_bytes
from osler_training.phantom.glyphs import place, text_mask

_NAMESPACE = uuid.UUID("0a8a4f4e-3f5b-5c6e-8f3c-6a0f9be1c7d2")
SHARE_LEFT = 0.6  # of a truncated file
FAR_FUTURE = "20991231"
ABSURD = 60000


@dataclass(frozen=True)
class Spoil:
    """One way to spoil a file.

    Attributes:
        name: Its name.
        outcome: `duplicate` or `quarantined`.
        code: The code that ingestion must give.
        apply: From a sound file and a random source to a spoiled one.
    """

    name: str
    outcome: str
    code: Code
    apply: Callable[[bytes, np.random.Generator], bytes]


def _changed(change: Callable[[Dataset, np.random.Generator], None]) -> Callable[[bytes, np.random.Generator], bytes]:
    """Return a spoiler that changes the data set, which becomes another instance by its UID."""

    def apply(content: bytes, rng: np.random.Generator) -> bytes:
        dataset = dcmread(BytesIO(content))
        dataset.SOPInstanceUID = (
            f"2.25.{uuid.uuid5(_NAMESPACE, f'{dataset.SOPInstanceUID} {rng.integers(1 << 62)}').int}"
        )
        change(dataset, rng)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        return to_bytes(dataset)

    return apply


def _copied(content: bytes, _rng: np.random.Generator) -> bytes:
    return content


def _truncated(content: bytes, rng: np.random.Generator) -> bytes:
    whole = _changed(lambda dataset, _: None)(content, rng)
    return whole[: int(SHARE_LEFT * len(whole))]


def _text(_content: bytes, rng: np.random.Generator) -> bytes:
    return f"Export {rng.integers(1 << 32)} finished without errors.\n".encode()


def _conflicting(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the same instance by its UID with the picture turned upside down."""
    dataset = dcmread(BytesIO(content))
    _set_pixels(dataset, dataset.pixel_array[::-1])
    return to_bytes(dataset)


def _without_pixels(dataset: Dataset, _rng: np.random.Generator) -> None:
    del dataset.PixelData


def _as_ct(dataset: Dataset, _rng: np.random.Generator) -> None:
    dataset.Modality, dataset.SOPClassUID = "CT", CTImageStorage


def _in_the_future(dataset: Dataset, _rng: np.random.Generator) -> None:
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{kind}Date", FAR_FUTURE)


def _named_privately(dataset: Dataset, _rng: np.random.Generator) -> None:
    dataset.private_block(0x0029, "PHANTOM PACS 1.0", create=True).add_new(0x01, "LO", str(dataset.PatientName))


def _burned_in(dataset: Dataset, _rng: np.random.Generator) -> None:
    """Draw name and number into the upper left corner, and say so."""
    pixels = dataset.pixel_array
    text = text_mask(f"{dataset.PatientName}\n{dataset.PatientID}", max(len(pixels) // 32, 8))
    at = text.shape[0] // 2 + 4, text.shape[1] // 2 + 4
    top = (1 << dataset.BitsStored) - 1
    white = 0 if dataset.PhotometricInterpretation == "MONOCHROME1" else top
    _set_pixels(dataset, np.where(place(text, pixels.shape, *at) > 0.5, white, pixels))
    dataset.BurnedInAnnotation = "YES"


def _too_large(dataset: Dataset, _rng: np.random.Generator) -> None:
    dataset.Rows = dataset.Columns = ABSURD


def _set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    dataset.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()


def _quarantined(code: Code, apply: Callable[[bytes, np.random.Generator], bytes]) -> Spoil:
    return Spoil(str(code), "quarantined", code, apply)


SPOILS = (
    _quarantined(Code.TRUNCATED, _truncated),
    _quarantined(Code.NO_PIXELS, _changed(_without_pixels)),
    _quarantined(Code.WRONG_MODALITY, _changed(_as_ct)),
    Spoil("duplicate", "duplicate", Code.DUPLICATE, _copied),
    _quarantined(Code.CONFLICTING_DUPLICATE, _conflicting),
    _quarantined(Code.FUTURE_DATE, _changed(_in_the_future)),
    _quarantined(Code.IDENTIFIER_IN_PRIVATE_TAG, _changed(_named_privately)),
    _quarantined(Code.BURNED_IN_TEXT, _changed(_burned_in)),
    _quarantined(Code.NOT_DICOM, _text),
    _quarantined(Code.ABSURD_SIZE, _changed(_too_large)),
)


def instance_uid(content: bytes) -> str:
    """Return the SOP Instance UID of a spoiled file, empty where it has none."""
    try:
        return str(dcmread(BytesIO(content), specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
    except Exception:  # noqa: BLE001 - spoiled files fail in every way
        return ""
