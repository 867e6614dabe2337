"""Reading text in images. The reader is an extra (`osler[deid]`): RapidOCR, whose models lie in its own package."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from osler.deid.text_screen import Box, Grey, overlap

PACKAGES = ("rapidocr", "onnxruntime", "cv2")
LARGEST, SMALLEST, ENLARGED = 1600, 960, 2.0  # longer side given to the reader, and how far a small image is enlarged
CLOSER, MARGIN, MOST_PLACES = 3.0, 12, 12  # a second look at busy places in which nothing was read


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
        """Return the lines of text in an image (H, W), 0 to 255, at any angle."""
        ...


@cache
def text_reader() -> TextReader | None:
    """Return this process's reader, None where the extra is not installed."""
    return _RapidReader() if all(find_spec(name) for name in PACKAGES) else None


def read_closely(reader: TextReader, image: Grey, places: Sequence[Box]) -> list[Text]:
    """Read an image, and again, enlarged, the busy places in which no line of text was found."""
    found = reader.read(image)
    left = [place for place in places if not any(len(text.words) > 2 and overlap(place, text.box) for text in found)]
    for top, from_left, bottom, right in left if len(left) <= MOST_PLACES else ():
        rows = slice(max(top - MARGIN, 0), bottom + MARGIN)
        columns = slice(max(from_left - MARGIN, 0), right + MARGIN)
        closer = _scaled(image[rows, columns], min(CLOSER, LARGEST / max(image[rows, columns].shape)))
        scale = closer.shape[0] / image[rows, columns].shape[0]
        for text in reader.read(closer):
            corner = (rows.start, columns.start) * 2
            edges = [round(edge / scale) + start for edge, start in zip(text.box, corner, strict=True)]
            found.append(replace(text, box=(edges[0], edges[1], edges[2], edges[3])))
    return found


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
        height, width = image.shape
        scale = min(max(1.0, min(ENLARGED, SMALLEST / max(image.shape))), LARGEST / max(image.shape))
        found: Any = self._engine(np.repeat(_scaled(image, scale)[..., None], 3, axis=2))
        if found.txts is None:
            return []
        lines = zip(found.txts, found.scores, found.boxes, strict=True)
        return [Text(str(words), float(score), _box(corners / scale, height, width)) for words, score, corners in lines]


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
