"""Reading text in images. The reader is an extra (`osler[deid]`): RapidOCR, whose models lie in its own package."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from osler.deid.text_screen import Box, Grey, area, merged, overlap
from osler.deid.text_sheet import packed

PACKAGES = ("rapidocr", "onnxruntime", "cv2")
LARGEST, SMALLEST, ENLARGED = 1600, 960, 2.0  # longer side given to the reader, and how far a small image is enlarged
TINY, TINIEST, ENLARGED_TINIEST = 256, 160, 3.0  # pixels of the longer side: tiny films, and those enlarged more
CLOSER, MOST_PLACES = 1.5, 12  # a second look, so much closer, at busy places in which nothing was read
MARGIN, WIDER_MARGIN = 12, 48  # pixels around a busy place that are read with it, and more where they cut a line
TRIES = 2
MOST_CUT_OUT = 0.5  # share of an image: where busy places are more, the whole is read at once


@dataclass(frozen=True)
class Text:
    """A line of text in an image.

    Attributes:
        words: What it says, as far as the reader can tell.
        score: How sure the reader is, 0 to 1.
        box: Top, left, bottom and right in pixels; bottom and right are outside.
    """

    words: str
    score: float
    box: Box


class TextReader(Protocol):
    """What finds text in an image."""

    name: str

    def read(self, image: Grey) -> list[Text]:
        """Return the lines of text in an image (H, W), 0 to 255, at any angle, without enlarging it."""
        ...


@cache
def text_reader() -> TextReader | None:
    """Return this process's reader, None where the extra is not installed."""
    return _RapidReader() if all(find_spec(name) for name in PACKAGES) else None


def read_whole(reader: TextReader, image: Grey) -> list[Text]:
    """Read an image, enlarged where it is small."""
    scale = _scale(image)
    return [_back(text, scale, (0, 0), image) for text in reader.read(_scaled(image, scale))]


def read_places(reader: TextReader, image: Grey, places: Sequence[Box], closer: float = 1.0) -> list[Text]:
    """Read places of an image with what is next to them, on one sheet, or the whole image where they are most of it."""
    found: list[Text] = []
    left = merged(_grown(place, image, MARGIN) for place in places)
    for _ in range(TRIES):
        if closer == 1.0 and sum(map(area, left)) > MOST_CUT_OUT * image.size:
            return found + read_whole(reader, image)
        read = _read_sheet(reader, image, left, closer) if left else []
        cut = {place for place, text in read if _is_cut(text, place, image)}
        found += [text for place, text in read if place not in cut]
        left = merged(_grown(place, image, WIDER_MARGIN) for place in cut)
    return found + [text for place, text in read if place in cut]


def read_closely(reader: TextReader, image: Grey, places: Sequence[Box], also: Sequence[Box] = ()) -> list[Text]:
    """Read busy places of an image, and again, enlarged, those in which no text was found.

    Args:
        reader: What reads.
        image: Greys (H, W).
        places: Where text is.
        also: Where text may be; without any words, these are not read again.
    """
    found = read_places(reader, image, [*places, *also])
    return found + _read_again(reader, image, places, found)


def read_all(reader: TextReader, image: Grey, places: Sequence[Box]) -> list[Text]:
    """Read the whole of an image, and again, enlarged, busy places in which no text was found."""
    found = read_whole(reader, image)
    return found + _read_again(reader, image, places, found)


def _read_again(reader: TextReader, image: Grey, places: Sequence[Box], found: Sequence[Text]) -> list[Text]:
    left = [place for place in places if not any(len(text.words) > 2 and overlap(place, text.box) for text in found)]
    return read_places(reader, image, left, CLOSER) if left and len(left) <= MOST_PLACES else []


def _read_sheet(reader: TextReader, image: Grey, places: Sequence[Box], closer: float) -> list[tuple[Box, Text]]:
    """Read cuttings of an image on one sheet and return each line with its cutting."""
    cuttings = [image[top:bottom, left:right] for top, left, bottom, right in places]
    scales = [min(_scale(image) * closer, LARGEST / max(cutting.shape)) for cutting in cuttings]
    sheet = packed([_scaled(cutting, scale) for cutting, scale in zip(cuttings, scales, strict=True)])
    found = []
    for text in reader.read(sheet.image):
        if (number := sheet.slot_of(text.box)) is not None:
            slot, place = sheet.slots[number], places[number]
            moved = (text.box[0] - slot[0], text.box[1] - slot[1], text.box[2] - slot[0], text.box[3] - slot[1])
            found.append((place, _back(replace(text, box=moved), scales[number], place[:2], image)))
    return found


def _is_cut(text: Text, place: Box, image: Grey) -> bool:
    """Return whether a line may go on outside its cutting."""
    top, left, bottom, right = text.box
    return (
        0 < top <= place[0]
        or 0 < left <= place[1]
        or image.shape[0] > bottom >= place[2]
        or image.shape[1] > right >= place[3]
    )


def _grown(place: Box, image: Grey, margin: int) -> Box:
    top, left, bottom, right = place
    rows, columns = image.shape
    return max(top - margin, 0), max(left - margin, 0), min(bottom + margin, rows), min(right + margin, columns)


def _back(text: Text, scale: float, corner: tuple[int, ...], image: Grey) -> Text:
    """Return a line read in a scaled cutting as it lies in the image."""
    top, left, bottom, right = (edge / scale for edge in text.box)
    rows, columns = image.shape
    return replace(
        text,
        box=(
            max(math.floor(top) + corner[0], 0),
            max(math.floor(left) + corner[1], 0),
            min(math.ceil(bottom) + corner[0], rows),
            min(math.ceil(right) + corner[1], columns),
        ),
    )


def _scale(image: Grey) -> float:
    """Return how far an image is enlarged, or reduced, to be read."""
    longest = float(max(image.shape))
    enlarged = ENLARGED_TINIEST if longest <= TINIEST else ENLARGED
    return min(max(1.0, min(enlarged, SMALLEST / longest)), LARGEST / longest)


class _RapidReader:
    """PP-OCR's detector, direction classifier and recogniser on one thread: ingestion has a process for each core."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        given = {"Global.log_level": "error", "Global.text_score": 0.0, "Global.max_side_len": LARGEST}
        self._engine = RapidOCR(params=given | one | {"Det.limit_type": "max", "Det.limit_side_len": LARGEST})
        self.name = f"rapidocr {version('rapidocr')}"
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)

    def read(self, image: Grey) -> list[Text]:
        found: Any = self._engine(np.repeat(image[..., None], 3, axis=2))
        if found.txts is None:
            return []
        lines = zip(found.txts, found.scores, found.boxes, strict=True)
        return [Text(str(words), float(score), _box(corners, *image.shape)) for words, score, corners in lines]


def _scaled(image: Grey, scale: float) -> Grey:
    import cv2

    if scale == 1.0:
        return image
    size = max(int(image.shape[1] * scale), 1), max(int(image.shape[0] * scale), 1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=how), np.uint8)


def _box(corners: Any, height: int, width: int) -> Box:
    """Return the upright box around four corners (x, y), within the image."""
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    return max(int(top), 0), max(int(left), 0), min(int(bottom), height), min(int(right), width)
