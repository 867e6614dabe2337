"""A report as a secondary capture, for viewers that show nothing else: the image with text below it, marked derived.

No patient text is burned in; the image is shown as by its own window, 8 bits, never enlarged.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from osler.report.content import ReportContent
from osler.report.making import MANUFACTURER, Making, carry_identity
from osler.report.words import summary_lines

SERIES_NUMBER = 9903
LONGEST_SIDE = 1024  # pixels of the shown image
NARROWEST = 640  # pixels, so that a line of text fits
_TEXT_HEIGHT, _MARGIN = 14, 8


def build_capture(content: ReportContent, image: Dataset, making: Making, values: NDArray[Any]) -> Dataset:
    """Build the capture.

    Args:
        content: What it says.
        image: Header of the image that the model saw, under the identity of the copy.
        making: How the copy is made.
        values: The image as it is to be shown, (H, W) or (H, W, 3) in [0, 1].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        capture: Dataset = SCImage.from_ref_dataset(
            ref_dataset=image,
            pixel_array=picture(content, values),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=making.series_uid("SC"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=making.sop_uid("SC"),
            instance_number=making.number,
            manufacturer=MANUFACTURER,
            patient_orientation=("L", "F"),  # required, and replaced below by what the image says
            transfer_syntax_uid=ExplicitVRLittleEndian,
            series_description="Osler picture (research use)",
        )
    carry_identity(capture, image, making)
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "NO"  # nothing that identifies the patient
    capture.ConversionType = "WSD"
    capture.PatientOrientation = image.get("PatientOrientation") or None
    capture.DerivationDescription = "Osler: windowed, reduced, with a text of the result below (research use)"
    day, clock = making.identity.moment(making.made)
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = day, clock
    capture.SourceImageSequence = [_source(image)]
    capture.ManufacturerModelName, capture.SoftwareVersions = "Osler", content.software
    if content.institution:
        capture.InstitutionName = content.institution
    return capture


def picture(content: ReportContent, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the image with the text below it, (H, W, 3)."""
    shown = Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    font = ImageFont.load_default(_TEXT_HEIGHT)
    width = max(shown.width, NARROWEST)
    lines = [part for line in summary_lines(content) for part in _wrapped(line, font, width - 2 * _MARGIN)]
    step = _TEXT_HEIGHT + 5
    canvas = Image.new("RGB", (width, shown.height + len(lines) * step + 2 * _MARGIN))
    canvas.paste(shown, ((width - shown.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        draw.text((_MARGIN, shown.height + _MARGIN + row * step), line, fill=(255, 255, 255), font=font)
    return np.asarray(canvas, np.uint8)


def _wrapped(line: str, font: Any, width: int) -> list[str]:
    parts, held = [], ""
    for word in line.split(" "):
        longer = f"{held} {word}" if held else word
        if held.strip() and font.getlength(longer) > width:
            parts.append(held)
            longer = f"    {word}"
        held = longer
    return [*parts, held]


def _source(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
