"""What is watched: header fields that hold a vocabulary or a measure, and figures of the image. Nothing else is read.

An allow list, since a profile outlives the files it was made from: no name, number, date, UID of an instance or free text
of a patient is on it, and a value that too few patients share is never written out (`osler_contracts.drift.reference`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

MISSING = "(missing)"
INVALID = "(not a number)"
OTHER = "(other)"
_AGE = re.compile(r"^(\d{1,3})([DWMY])$")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_WORD = re.compile(r"[A-Za-z0-9 ._/\\+&()'-]{1,64}")


@dataclass(frozen=True)
class Field:
    """A watched field.

    Attributes:
        name: DICOM keyword (PS3.6), or the name of an image statistic in snake case.
        words: The same for a person.
        number: Whether it is a measure; else it is a vocabulary.
        unit: Unit of the measure, empty where it has none.
        image: Whether it is worked out from the pixels.
    """

    name: str
    words: str
    number: bool = False
    unit: str = ""
    image: bool = False


def _words(**fields: str) -> tuple[Field, ...]:
    return tuple(Field(name, words) for name, words in fields.items())


def _numbers(image: bool = False, **fields: tuple[str, str]) -> tuple[Field, ...]:
    return tuple(Field(name, words, True, unit, image) for name, (words, unit) in fields.items())


_VOCABULARIES = _words(
    BitsAllocated="bits a pixel takes",
    BitsStored="bits a pixel uses",
    BodyPartExamined="body part",
    BurnedInAnnotation="whether text is burned in",
    ConversionType="how a film was digitised",
    DetectorConfiguration="detector configuration",
    DetectorType="detector type",
    ExposureControlMode="exposure control",
    FilterMaterial="filter material",
    FilterType="filter",
    Grid="anti-scatter grid",
    ImageLaterality="side of the image",
    Laterality="side of the body part",
    LossyImageCompression="whether compressed with loss",
    Manufacturer="manufacturer",
    ManufacturerModelName="device model",
    Modality="modality",
    PatientOrientation="orientation of the patient",
    PatientPosition="position of the patient",
    PatientSex="sex of the patients",
    PhotometricInterpretation="photometric interpretation",
    PixelIntensityRelationship="relation of pixels to exposure",
    PixelRepresentation="sign of the pixels",
    PlateType="plate type",
    PositionerType="positioner",
    PresentationIntentType="whether for presentation or processing",
    PresentationLUTShape="shape of the presentation table",
    RescaleType="unit of the pixels",
    SamplesPerPixel="samples a pixel",
    SoftwareVersions="device software",
    SOPClassUID="kind of DICOM object",
    SpecificCharacterSet="character set",
    TransferSyntaxUID="transfer syntax (compression)",
    VOILUTFunction="window function",
    ViewPosition="view",
)
_MEASURES = _numbers(
    Columns=("width", "pixels"),
    DetectorTemperature=("detector temperature", "°C"),
    DeviationIndex=("deviation index", ""),
    DistanceSourceToDetector=("distance from source to detector", "mm"),
    DistanceSourceToPatient=("distance from source to patient", "mm"),
    EntranceDose=("entrance dose", "dGy"),
    Exposure=("exposure", "mAs"),
    ExposureIndex=("exposure index", ""),
    ExposureInuAs=("exposure", "µAs"),
    ExposureTime=("exposure time", "ms"),
    ImageAndFluoroscopyAreaDoseProduct=("dose area product", "dGy·cm²"),
    ImagerPixelSpacing=("pixel spacing at the detector", "mm"),
    KVP=("tube voltage", "kV"),
    NumberOfFrames=("frames", ""),
    PatientAge=("age of the patients", "years"),
    PixelSpacing=("pixel spacing", "mm"),
    RelativeXRayExposure=("relative exposure", ""),
    RescaleIntercept=("rescale intercept", ""),
    RescaleSlope=("rescale slope", ""),
    Rows=("height", "pixels"),
    Sensitivity=("plate sensitivity", ""),
    WindowCenter=("centre of the window", ""),
    WindowWidth=("width of the window", ""),
    XRayTubeCurrent=("tube current", "mA"),
)
_IMAGE = _numbers(
    True,
    image_mean=("mean brightness", ""),
    image_sd=("contrast", ""),
    image_p05=("darkest twentieth", ""),
    image_p50=("median brightness", ""),
    image_p95=("brightest twentieth", ""),
    image_entropy=("entropy of the grey levels", "bits"),
    image_black=("share of black pixels", ""),
    image_white=("share of white pixels", ""),
    image_edges=("strength of edges", ""),
    image_fine=("share of fine detail and noise", ""),
    image_border=("share of dark border", ""),
    image_aspect=("width over height", ""),
    stored_low=("low end of the detector range in use", ""),
    stored_middle=("middle of the detector range in use", ""),
    stored_high=("high end of the detector range in use", ""),
)

FIELDS: Mapping[str, Field] = {field.name: field for field in (*_VOCABULARIES, *_MEASURES, *_IMAGE)}
HEADER_FIELDS = tuple(name for name, field in FIELDS.items() if not field.image)
IMAGE_FIELDS = tuple(name for name, field in FIELDS.items() if field.image)


def word_of(value: object) -> str:
    """Return a value of a vocabulary as it is counted: upper case, single blanks; `OTHER` where it is no plain word."""
    text = _text(value)
    if text is None:
        return MISSING
    if text.startswith("[") and text.endswith("]"):  # several values, printed as a list
        text = "\\".join(item.strip(" '\"") for item in text[1:-1].split(","))
    word = " ".join(text.upper().split())
    return word.removesuffix(".0") if _WORD.fullmatch(word) else OTHER


def number_of(value: object) -> float | None:
    """Return a measure as a number: NaN where it is none or not finite, None where it is missing.

    Of several values, such as row and column spacing, the first; an age (PS3.5 6.2, AS) in years.
    """
    text = _text(value)
    if text is None:
        return None
    first = text.strip("[]() ").replace("\\", ",").split(",")[0].strip(" '\"")
    if age := _AGE.match(first):
        return int(age[1]) * _YEARS[age[2]]
    try:
        number = float(first)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).strip(" \t\r\n\0") or None
