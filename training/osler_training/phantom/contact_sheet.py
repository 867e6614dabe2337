"""Many films on one sheet, for a look at what was made."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from osler.dicom.pixels import read_image
from osler_training.phantom.sites import Values

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


def contact_sheet_of(folder: Path, truth: Path, path: Path, *, most: int = 24) -> None:
    """Write a sheet of the first sound films of a generated site, read back from their files.

    Args:
        folder: The site's DICOM files.
        truth: Its table of truth.
        path: The PNG.
        most: Number of films at most.
    """
    with truth.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["expected_outcome"] == "accepted"][:most]
    images = [read_image(folder / row["file"]).values for row in rows]
    contact_sheet(images, [" ".join([row["diagnosis"], row["view"], row["nuisance"]]) for row in rows], path)
