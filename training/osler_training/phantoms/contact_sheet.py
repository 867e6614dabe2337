"""Many films on one sheet, for a look at what was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from osler_training.phantoms.sites import Values

CAPTION = 14


def contact_sheet(
    images: Sequence[Values], captions: Sequence[str], path: Path, *, columns: int = 6, side: int = 256
) -> None:
    """Write a PNG of images in [0, 1], (H, W), in rows of `columns`, each `side` pixels wide with its caption."""
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (min(columns, len(images)) * side, rows * (side + CAPTION)))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=CAPTION - 3)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = index % columns * side, index // columns * (side + CAPTION)
        film = Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))
        sheet.paste(film.resize((side, side), Image.Resampling.BOX), (left, top))
        draw.text((left + 2, top + side), caption, fill=255, font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
