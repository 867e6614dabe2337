"""Text burned into pixels: found, and boxed or a reason to refuse. Judged from the pixels, before the headers are touched.

No header says surely whether text is burned in: the risk that it tells only decides how closely the pixels are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from osler.deid.options import BurnedIn
from osler.deid.rewrite import blank, each_frame
from osler.deid.text_reader import Text, TextReader, read_closely, text_reader
from osler.deid.text_rules import unwanted
from osler.deid.text_screen import Box, Grey, busy_places
from osler.dicom.identifiers import patient_identifiers
from osler.dicom.refusals import attempt, from_pixel_error, refusal, refusing
from osler_contracts.codes import Code

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
RISKY_MODALITIES = frozenset({"DOC", "ECG", "ES", "GM", "OT", "SC", "US", "XC"})
RISKY_IMAGE_TYPES = ("SCREEN", "CAPTURE", "SCANNED")
ROUNDS = 3  # of boxing and reading again
MARGIN = 0.25  # of a line's height, that a box is wider than the reader's


@dataclass(frozen=True)
class Judgement:
    """What the pixels of a file show.

    Attributes:
        judged: Whether they could be looked at.
        boxes: What must not stay, in pixels of every frame.
    """

    judged: bool
    boxes: tuple[Box, ...] = ()


def is_risky(dataset: Dataset) -> bool:
    """Return whether text is to be expected: ultrasound, secondary captures and screenshots that do not deny it.

    Burned In Annotation (0028,0301), where it is missing, is taken for YES in these kinds.
    """
    said = str(attempt(lambda: dataset.get("BurnedInAnnotation"), "") or "").strip().upper()
    if said == "YES":
        return True
    kinds = str(attempt(lambda: dataset.get("ImageType"), "") or "").upper()
    risky = (
        str(attempt(lambda: dataset.get("SOPClassUID"), "") or "").startswith(SECONDARY_CAPTURE)
        or str(attempt(lambda: dataset.get("Modality"), "") or "").strip().upper() in RISKY_MODALITIES
        or any(word in kinds for word in RISKY_IMAGE_TYPES)
    )
    return risky and said != "NO"


def clean_pixels(dataset: Dataset, policy: BurnedIn, only: NDArray[Any] | None = None) -> bool:
    """Judge a file's pixels, and box or refuse what may name somebody.

    Args:
        dataset: A data set with its original header.
        policy: What to do about text.
        only: Its one frame, where it was decoded already.

    Returns:
        Whether the pixels were judged and hold nothing of the kind now.

    Raises:
        OslerError: `burned-in-text`; what decoding raises.
    """
    if policy is BurnedIn.UNJUDGED:
        return False
    risky = is_risky(dataset)
    if risky and policy is BurnedIn.STRICT:
        raise refusal(Code.BURNED_IN_TEXT, "Text is to be expected in an image of this kind.")
    reader = text_reader()
    names, boxing = patient_identifiers(dataset), policy is BurnedIn.BOX
    judgement = judge_pixels(dataset, reader, names, only, first_only=not boxing)
    if not judgement.judged:
        if risky:
            raise refusal(
                Code.BURNED_IN_TEXT, "Text is to be expected in an image of this kind, and no reader is installed."
            )
        return False
    if judgement.boxes and not boxing:
        raise refusal(Code.BURNED_IN_TEXT)
    for _ in range(ROUNDS):
        if not judgement.boxes:
            return True
        box_out(dataset, judgement.boxes)
        judgement = judge_pixels(dataset, reader, names)
    # What could not be made unreadable does not pass as clean.
    raise refusal(Code.BURNED_IN_TEXT, "The image still shows text after what was found had been blanked.")


def judge_pixels(
    dataset: Dataset,
    reader: TextReader | None,
    identifiers: frozenset[str] = frozenset(),
    only: NDArray[Any] | None = None,
    *,
    first_only: bool = False,
) -> Judgement:
    """Look for text in every frame.

    The first frame of a risky kind is read whatever the screen says. In later ones, text stands where it stood before,
    so that only busy places outside the boxes found so far are read.

    Args:
        dataset: A data set with its original header.
        reader: What reads, None where nothing does: then nothing is judged.
        identifiers: The header's words on the patient, which may not stay however short they are.
        only: Its one frame, where it was decoded already.
        first_only: Be content with the first frame that shows text.

    Raises:
        OslerError: What decoding raises.
    """
    if reader is None:
        return Judgement(judged=False)
    risky, boxes = is_risky(dataset), dict[Box, None]()
    for number, frame in enumerate(each_frame(dataset) if only is None else [only]):
        for view in views(dataset, frame):
            places = busy_places(_without(view, boxes))
            if number == 0 and (places or risky):
                found = read_closely(reader, view, places)
            else:
                found = reader.read(_without(view, boxes)) if places else []
            boxes |= dict.fromkeys(_wider(text, view) for text in unwanted(found, view.shape, identifiers))
        if boxes and first_only:
            break
    return Judgement(judged=True, boxes=tuple(boxes))


def _without(view: Grey, boxes: Iterable[Box]) -> Grey:
    """Return a view with boxes filled evenly."""
    left = view
    for top, from_left, bottom, right in boxes:
        left = view.copy() if left is view else left
        left[top:bottom, from_left:right] = np.median(view[top:bottom, from_left:right])
    return left


def views(dataset: Dataset, pixels: NDArray[Any]) -> Iterator[Grey]:
    """Yield one frame's stored values as greys: by their full range, and by what the header's first window shows.

    Text at the end of the range is plain in the first; text just above its surroundings may be so in the second only.
    In colour, brightest and darkest samples are looked at, so that text of any colour stands out in one.
    """
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        with refusing(from_pixel_error):
            pixels = apply_color_lut(pixels, dataset)[..., :3]
    if pixels.ndim == 3:
        yield _stretched(pixels.max(axis=2), None)
        yield _stretched(pixels.min(axis=2), None)
        return
    yield _stretched(pixels, None)
    if (window := attempt(lambda: _stored_window(dataset), None)) is not None:
        low, high = float(pixels.min()), float(pixels.max())
        if window[1] - window[0] < 0.9 * (high - low):
            yield _stretched(pixels, window)


def box_out(dataset: Dataset, boxes: tuple[Box, ...]) -> None:
    """Blank boxes in every frame, in place; all other pixels keep their values to the bit.

    What was compressed is written uncompressed: compressing anew would change what lies outside the boxes. That it was
    compressed with loss stays on record (PS3.3 C.7.6.1.1.5).

    Raises:
        OslerError: `burned-in-text` for pixels that cannot be written back so: floating point, or one bit each.
    """
    if "PixelData" not in dataset or int(dataset.BitsAllocated) not in (8, 16, 32):
        raise refusal(Code.BURNED_IN_TEXT, "The image shows text, and pixels of its kind cannot be blanked.")
    blank(dataset, boxes)


def _wider(text: Text, view: Grey) -> Box:
    top, left, bottom, right = text.box
    margin = max(round(MARGIN * min(bottom - top, right - left)), 2)
    return (
        max(top - margin, 0),
        max(left - margin, 0),
        min(bottom + margin, view.shape[0]),
        min(right + margin, view.shape[1]),
    )


def _stretched(values: NDArray[Any], between: tuple[float, float] | None) -> Grey:
    """Return values as 0 to 255 between two of them, by default the least and the greatest."""
    low, high = between or (float(values.min()), float(values.max()))
    span = high - low if high > low else 1.0
    return np.asarray(np.clip((values.astype(np.float32) - low) * (255 / span), 0, 255), np.uint8)


def _stored_window(dataset: Dataset) -> tuple[float, float] | None:
    """Return the stored values between which the first window lies (PS3.3 C.11.2.1.2)."""
    centers, widths = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centers is None or widths is None:
        return None
    center, width = (float(value[0] if hasattr(value, "append") else value) for value in (centers, widths))
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    ends = sorted((center + side * width / 2 - intercept) / slope for side in (-1, 1))
    return ends[0], ends[1]
