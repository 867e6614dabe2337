"""Phantom studies that say who the patient is in every kind of place, with the record of what was put where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from osler_training.phantom.dicom import to_bytes
from osler_training.phantom.glyphs import place, text_mask

# One element of each value representation that can hold an identifier, none of which may stay as it was.
TEXTS = {
    "AccessionNumber": "SH",
    "AdditionalPatientHistory": "LT",
    "AdmittingDiagnosesDescription": "LO",
    "EthnicGroup": "SH",
    "ImageComments": "LT",
    "InstitutionAddress": "ST",
    "InstitutionalDepartmentName": "LO",
    "InstitutionName": "LO",
    "MilitaryRank": "LO",
    "Occupation": "SH",
    "OperatorsName": "PN",
    "OtherPatientIDs": "LO",
    "OtherPatientNames": "PN",
    "PatientAddress": "LO",
    "PatientBirthName": "PN",
    "PatientComments": "LT",
    "PatientTelephoneNumbers": "SH",
    "PerformingPhysicianName": "PN",
    "PhysiciansOfRecord": "PN",
    "ProtocolName": "LO",
    "ReferringPhysicianName": "PN",
    "RequestedProcedureDescription": "LO",
    "RetrieveAETitle": "AE",
    "RetrieveURL": "UR",
    "SeriesDescription": "LO",
    "StationName": "SH",
    "StudyDescription": "LO",
    "StudyID": "SH",
    "TextValue": "UT",
    "LongCodeValue": "UC",
}
# Kept elements into which the patient's own words were typed, and bytes that no profile speaks of.
REPEATED = ("ManufacturerModelName", "SoftwareVersions", "ContrastBolusAgent", "FilterType")
BYTES = {0x00421011: "OB", 0x00660016: "OF", 0x00189999: "UN", 0x60003000: "OW", 0x50003000: "OW", 0x00091010: "UN"}
REFERENCES = ("ReferencedStudySequence", "SourceImageSequence", "ReferencedPerformedProcedureStepSequence")
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")
RETAINED = (
    "SOPClassUID",
    "Modality",
    "Manufacturer",
    "BodyPartExamined",
    "ViewPosition",
    "ImageLaterality",
    "KVP",
    "ExposureInuAs",
    "ImagerPixelSpacing",
    "DistanceSourceToDetector",
    "StudyTime",
    "AcquisitionTime",
    "Rows",
    "Columns",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "PatientOrientation",
    "InstanceNumber",
    "SeriesNumber",
    "PresentationLUTShape",
)
SHARE_BURNED = 0.25
DEPTH = 3


@dataclass
class Planted:
    """What one file was given.

    Attributes:
        original: The data set as it was sent.
        secrets: Texts that must be nowhere.
        burned: Where letters were drawn and can be told from what was there (H, W), None where none were drawn.
    """

    original: Dataset
    secrets: list[str] = field(default_factory=list)
    burned: NDArray[np.bool_] | None = None


def plant(path: Path, number: int, rng: np.random.Generator) -> Planted:
    """Plant identifiers in a phantom file, in place."""
    dataset = dcmread(path)
    planted = Planted(dataset)

    def secret(stem: str) -> str:
        planted.secrets.append(f"Zq{stem[:3]}{number:04d}{rng.integers(10**4):04d}")
        return planted.secrets[-1]

    for keyword, vr in TEXTS.items():
        value = secret(keyword)
        setattr(dataset, keyword, f"http://{value}.org" if vr == "UR" else f"{value}^X" if vr == "PN" else value)
    for keyword in REPEATED:
        setattr(dataset, keyword, f"of {dataset.PatientName.family_name}")
    for tag, vr in BYTES.items():
        dataset.add_new(tag, vr, secret("raw").encode().ljust(16))
    dataset.add_new(0x60000022, "LO", secret("ovl"))
    dataset.FrameOfReferenceUID = f"1.2.826.0.1.{number}.{rng.integers(10**6)}"
    dataset.AcquisitionDateTime = f"{dataset.AcquisitionDate}{dataset.AcquisitionTime}.5+0100"
    for keyword in REFERENCES:
        setattr(dataset, keyword, [_nested(dataset, secret, DEPTH)])
    block = dataset.private_block(0x0099, secret("prv"), create=True)
    block.add_new(1, "LO", secret("prv"))
    block.add_new(2, "SQ", [_nested(dataset, secret, 1)])
    block.add_new(3, "OB", secret("prv").encode().ljust(16))
    block.add_new(4, "UT", secret("prv"))
    dataset.file_meta.SourceApplicationEntityTitle = secret("aet")
    dataset.file_meta.PrivateInformationCreatorUID = UID("1.2.3.4")
    dataset.file_meta.PrivateInformation = secret("inf").encode().ljust(16)
    planted.secrets += [str(dataset.PatientName.family_name), str(dataset.PatientID), str(dataset.PatientBirthDate)]
    if rng.random() < SHARE_BURNED:
        planted.burned = _burn(dataset, rng)
    dataset.preamble = secret("pre").encode().ljust(128, b"\0")
    content = to_bytes(dataset)
    trailing = secret("end")
    path.write_bytes(content + _padding(trailing))
    return planted


def _nested(dataset: Dataset, secret, depth: int) -> Dataset:  # type: ignore[no-untyped-def]
    item = Dataset()
    item.ReferencedSOPClassUID = dataset.SOPClassUID
    item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    item.PatientName = f"{secret('nst')}^X"
    item.ImageComments = secret("nst")
    item.ContentDate = dataset.StudyDate
    item.private_block(0x0099, secret("nst"), create=True).add_new(1, "LO", secret("nst"))
    if depth > 1:
        item.PurposeOfReferenceCodeSequence = [_nested(dataset, secret, depth - 1)]
    return item


def _padding(text: str) -> bytes:
    """Return a Data Set Trailing Padding element (FFFC,FFFC) that holds a text (PS3.10 7.2)."""
    value = text.encode().ljust(32)
    return b"\xfc\xff\xfc\xffOB\0\0" + len(value).to_bytes(4, "little") + value


def _burn(dataset: Dataset, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw name and number into the pixels, in white or black, and return where that changed them.

    White letters on white film, or black ones on black, are nowhere: there is nothing to hide.
    """
    pixels = dataset.pixel_array
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    text = text_mask(f"{dataset.PatientName}\n{dataset.PatientID}", max(len(pixels) // 24, 11))
    row = int(rng.choice([text.shape[0] // 2 + 4, len(pixels) - text.shape[0] // 2 - 4]))
    mask = place(text, pixels.shape, row, text.shape[1] // 2 + 6) > 0.5
    white = bool(rng.random() < 0.7) != (dataset.PhotometricInterpretation == "MONOCHROME1")
    drawn = np.where(mask, (1 << dataset.BitsStored) - 1 if white else 0, pixels)
    dataset.PixelData = np.ascontiguousarray(drawn, dtype="<u2").tobytes()
    return np.asarray(drawn != pixels)
