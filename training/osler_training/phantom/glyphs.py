"""Letters as soft masks: lead markers in the beam and text burned into pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Mask = NDArray[np.float32]


@lru_cache(maxsize=256)
def text_mask(text: str, height: int) -> Mask:
    """Return a text as coverage in [0, 1], (H, W), lines of `height` pixels separated by newlines."""
    font = ImageFont.load_default(size=max(height, 4))
    left, top, right, bottom = (
        int(edge) for edge in ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font)
    )
    canvas = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font)
    mask = (np.asarray(canvas) / np.float32(255)).astype(np.float32)
    mask.setflags(write=False)
    return mask


def place(mask: Mask, shape: tuple[int, int], row: int, column: int) -> Mask:
    """Return `mask` centred at a pixel of an empty image of a shape; what falls outside is cut off."""
    out = np.zeros(shape, np.float32)
    top, left = row - mask.shape[0] // 2, column - mask.shape[1] // 2
    rows = slice(max(top, 0), min(top + mask.shape[0], shape[0]))
    columns = slice(max(left, 0), min(left + mask.shape[1], shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        out[rows, columns] = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return out
