"""Text burned into pixels: found, and boxed or a reason to refuse. Judged from the pixels, before the headers are touched.

No header says surely whether text is burned in: the risk that it tells only decides how closely the pixels are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from osler.deid.options import BurnedIn
from osler.deid.rewrite import blank, each_frame
from osler.deid.text_lines import whole_line
from osler.deid.text_reader import TINY, Text, TextReader, read_all, read_closely, text_reader
from osler.deid.text_rules import LEGIBLE, unwanted
from osler.deid.text_screen import FIRST_LOOK, SECOND_LOOK, Box, Grey, area, busy_places, joined, overlap, shared
from osler.deid.text_views import ends, views
from osler.dicom.identifiers import patient_identifiers
from osler.dicom.refusals import attempt, refusal
from osler_contracts.codes import Code

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
RISKY_MODALITIES = frozenset({"DOC", "ECG", "ES", "GM", "OT", "SC", "US", "XC"})
RISKY_IMAGE_TYPES = ("SCREEN", "CAPTURE", "SCANNED")
ROUNDS = 3  # of boxing and reading again
LITTLE_ELSE = 2.0  # times its area
LARGEST_PLACE = 0.5  # of the image: what is busy all over is no line of text
WITHIN = 0.8  # of its area: a word of which a clearer view shows a part only is read again
LEAST_SIDE = (
    2 * FIRST_LOOK.window[0]
)  # below it the screen's window spans most of an image, and anatomy rises and falls like text
SURE_IF_FAINT = 0.7  # noise at the ends of the range looks like letters, too, but not surely
# Of a line's height, that a box is wider than the reader's: across and along. First and last letters are often lost.
ACROSS, ALONG = 0.25, 0.8


@dataclass(frozen=True)
class Judgement:
    """What the pixels of a file show.

    Attributes:
        judged: Whether they could be looked at.
        boxes: What must not stay, in pixels of every frame.
        doubtful: Whether something that looks like text could not be read, so that nobody may call the pixels clean.
    """

    judged: bool
    boxes: tuple[Box, ...] = ()
    doubtful: bool = False


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
            return not judgement.doubtful
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
    risky, boxes, doubtful = is_risky(dataset), dict[Box, None](), False
    for number, frame in enumerate(each_frame(dataset) if only is None else [only]):
        clear: list[Text] = []
        for view, places, faint in _looks(dataset, frame, boxes):
            if risky and number == 0 and not faint:
                found = read_all(reader, view, places)
            elif places:
                found = read_closely(reader, view, places, () if faint else busy_places(view, SECOND_LOOK))
            else:
                continue
            sure = SURE_IF_FAINT if faint and not boxes else 0
            read = [text for text in found if text.score >= sure and not (faint and read_before(text, clear))]
            clear += found
            lines = (_wider(text, view) for text in unwanted(read, view.shape, identifiers))
            boxes |= dict.fromkeys(whole_line(frame, line) if frame.ndim == 2 else line for line in lines)
            unread = _unread(places, found) if frame.ndim == 2 and not faint else []
            if LEAST_SIDE <= max(frame.shape) <= TINY:
                boxes |= dict.fromkeys(place for place in unread if area(place) <= LARGEST_PLACE * frame.size)
            doubtful |= bool(unread)
        if boxes and first_only:
            break
    return Judgement(judged=True, boxes=tuple(boxes), doubtful=doubtful)


def _unread(places: Iterable[Box], found: Iterable[Text]) -> list[Box]:
    """Return the busy places in which no line was read with any certainty."""
    read = [text.box for text in found if text.score >= LEGIBLE]
    return [place for place in places if not any(overlap(place, box) for box in read)]


def read_before(text: Text, clear: Iterable[Text]) -> bool:
    """Return whether a line lies within one that a clearer view has shown, and was read there."""
    return any(shared(text.box, line.box) >= WITHIN * area(text.box) for line in clear if line.score >= LEGIBLE)


def _looks(dataset: Dataset, frame: NDArray[Any], boxes: Mapping[Box, None]) -> Iterator[tuple[Grey, list[Box], bool]]:
    """Yield one frame's views with their busy places outside the boxes found so far, and whether text there is faint.

    What lies at the ends of the range comes last, only where no other view has shown it.
    """
    seen: list[Box] = []
    for view in views(dataset, frame):
        places = busy_places(_without(view, boxes))
        yield view, places, False
        seen += places
    if frame.ndim == 2:
        view = ends(frame)
        places = busy_places(_without(view, boxes))
        # Beside a line that goes, another may stand that only this view shows.
        read = [place for place in seen if not any(overlap(place, box) for box in boxes)]
        yield view, [place for place in places if not any(_shows(other, place) for other in read)], True


def _shows(seen: Box, place: Box) -> bool:
    """Return whether a place that was seen holds another and little else."""
    return joined(seen, place) == seen and area(seen) <= LITTLE_ELSE * area(place)


def _without(view: Grey, boxes: Iterable[Box]) -> Grey:
    """Return a view with boxes filled evenly."""
    left = view
    for top, from_left, bottom, right in boxes:
        left = view.copy() if left is view else left
        left[top:bottom, from_left:right] = np.median(view[top:bottom, from_left:right])
    return left


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
    high, wide = bottom - top, right - left
    margins = [max(round(share * min(high, wide)), 3) for share in (ACROSS, ALONG)]
    down, aside = margins if wide >= high else reversed(margins)
    return (
        max(top - down, 0),
        max(left - aside, 0),
        min(bottom + down, view.shape[0]),
        min(right + aside, view.shape[1]),
    )
