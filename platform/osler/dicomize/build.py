"""Building the DICOM object of a row: what is not known stays empty, and nothing is invented."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    VLMicroscopicImageStorage,
    VLPhotographicImageStorage,
)

from osler.deid.basic_profile import IMPLEMENTATION_CLASS_UID
from osler.dicomize.images import Picture
from osler.dicomize.table import Row

_NAMESPACE = uuid.UUID("6f9b1c1e-52a7-5d0a-9a4b-0d2f6f5f7f61")


class Kind(StrEnum):
    """What the images of a table are."""

    RADIOGRAPH = "radiograph"
    DERMOSCOPY = "dermoscopy"
    MICROSCOPY = "microscopy"


# Digital X-Ray demands a spacing at the detector, which a table does not have: hence Computed Radiography.
_STORAGE: dict[Kind, tuple[UID, str]] = {
    Kind.RADIOGRAPH: (ComputedRadiographyImageStorage, "CR"),
    Kind.DERMOSCOPY: (VLPhotographicImageStorage, "XC"),
    Kind.MICROSCOPY: (VLMicroscopicImageStorage, "GM"),
}


@dataclass(frozen=True)
class Collection:
    """What holds for all rows of a table.

    Attributes:
        kind: What the images are.
        site: Where they come from.
        body_part: Body Part Examined, empty where it is not known.
        orientation: Patient Orientation of all images, empty where it is not known.
    """

    kind: Kind
    site: str
    body_part: str = ""
    orientation: tuple[str, ...] = ()


def build(row: Row, picture: Picture, collection: Collection) -> Dataset:
    """Return the object of a row. The same picture, patient and site give the same UIDs, and the same object."""
    digest = sha256(picture.stream or picture.pixels.tobytes()).hexdigest()
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.Modality = _STORAGE[collection.kind]
    for level in ("Study", "Series"):
        setattr(dataset, f"{level}InstanceUID", _uid(level, collection.site, row.patient, digest))
    dataset.SOPInstanceUID = _uid("SOP", collection.site, row.patient, digest)
    _patient_and_study(dataset, row, collection)
    _KINDS[collection.kind](dataset, row, collection)
    _pixels(dataset, picture)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if picture.stream else ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = "OSLER"
    return dataset


def _uid(*parts: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(parts)).int}"


def _patient_and_study(dataset: Dataset, row: Row, collection: Collection) -> None:
    """Patient, study, series, equipment and image modules that all kinds share (PS3.3 C.7.1 to C.7.6.1)."""
    dataset.PatientID = row.patient
    dataset.PatientSex = row.sex
    if row.age:
        dataset.PatientAge = row.age
    for empty in ("PatientName", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(dataset, empty, "")
    dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber = "1"
    dataset.InstanceNumber = "1"
    dataset.Manufacturer = ""
    dataset.InstitutionName = collection.site[:64]
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientOrientation = list(collection.orientation) or ""


def _radiograph(dataset: Dataset, row: Row, collection: Collection) -> None:
    """Computed radiography (PS3.3 C.8.1); no spacing, since none is known."""
    dataset.BodyPartExamined = collection.body_part
    dataset.ViewPosition = row.view


def _visible_light(dataset: Dataset, _row: Row, _collection: Collection) -> None:
    """Visible light (PS3.3 C.8.12.1) with its acquisition context (C.7.6.14)."""
    dataset.AcquisitionContextSequence = []
    dataset.Laterality = ""
    dataset.LossyImageCompression = ""


_KINDS = {Kind.RADIOGRAPH: _radiograph, Kind.DERMOSCOPY: _visible_light, Kind.MICROSCOPY: _visible_light}


def _pixels(dataset: Dataset, picture: Picture) -> None:
    """Image pixel module (PS3.3 C.7.6.3) and the history of lossy compression (C.7.6.1.1.5)."""
    pixels = picture.pixels
    bits = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = picture.photometric
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    if picture.ratio is not None:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.LossyImageCompressionRatio = f"{picture.ratio:.2f}"
    if picture.stream is not None:
        dataset.PixelData = encapsulate([picture.stream])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    else:
        content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = content + b"\0" * (len(content) % 2)
        dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
