"""The image viewer: stored 16-bit values go to the browser, which windows, zooms and overlays them."""

from __future__ import annotations

import base64
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from osler.dicom.pixels import StoredHeader
from osler_dashboard.components.assets import asset


@dataclass(frozen=True)
class Preset:
    """A named window, in units after the modality LUT."""

    name: str
    center: float
    width: float


@dataclass(frozen=True)
class Overlay:
    """A map over the image.

    Attributes:
        values: Strength in [0, 1], (h, w).
        caption: What it means, shown on the image.
        box: Top, left, height and width of the part of the image that it covers, in pixels.
    """

    values: NDArray[np.floating[Any]]
    caption: str
    box: tuple[float, float, float, float]


def window_presets(stored: NDArray[np.uint16], header: StoredHeader) -> list[Preset]:
    """Return the windows to offer: those of the file, the full range, and a harder one around the middle half.

    The first is what the viewer opens with.
    """
    low, high = (header.slope * float(bound) + header.offset for bound in (stored.min(), stored.max()))
    inner = [header.slope * float(bound) + header.offset for bound in np.percentile(stored, (20, 90))]
    own = [
        Preset("As acquired" if number == 0 else f"As acquired, {number + 1}", center, width)
        for number, (center, width) in enumerate(header.windows)
    ]
    # A LINEAR window from low to high is centred half a unit up and one unit wider (PS3.3 C.11.2.1.2.1).
    full = Preset("Full range", (low + high + 1) / 2, high - low + 1)
    hard = Preset("High contrast", (inner[0] + inner[1]) / 2, max(inner[1] - inner[0], 1.0))
    return [*own, full, hard]


def visible_part(resize_mode: str, rows: int, columns: int) -> tuple[float, float, float, float]:
    """Return top, left, height and width of what an encoder sees: all where it squashes, else a square in the middle."""
    if resize_mode == "squash":
        return 0.0, 0.0, float(rows), float(columns)
    side = float(min(rows, columns))
    return (rows - side) / 2, (columns - side) / 2, side, side


def packed(values: NDArray[Any]) -> str:
    """Compress an array for the browser (zlib, base64)."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 1)).decode("ascii")


def image_payload(stored: NDArray[np.uint16], header: StoredHeader) -> dict[str, Any]:
    """Describe an image to the browser."""
    low, high = (header.slope * float(bound) + header.offset for bound in (stored.min(), stored.max()))
    return {
        "values": packed(stored.astype("<u2")),
        "rows": stored.shape[0],
        "columns": stored.shape[1],
        "channels": 1 if stored.ndim == 2 else stored.shape[2],
        "slope": header.slope,
        "offset": header.offset,
        "function": header.function,
        "inverted": header.inverted,
        "low": low,
        "high": high,
        "presets": [asdict(preset) for preset in window_presets(stored, header)],
        "spacing_mm": header.spacing_mm,
        "at_detector": header.spacing_origin == "ImagerPixelSpacing",
    }


def viewer(image: dict[str, Any], *, label: str, overlay: Overlay | None = None) -> None:
    """Draw the viewer.

    Args:
        image: From `image_payload`.
        label: Readable name of the study, shown in the corner; by it the viewer knows that another was opened.
        overlay: A map to lay over it.
    """
    laid = None
    if overlay is not None:
        strength = np.rint(255 * np.clip(overlay.values, 0, 1)).astype(np.uint8)
        rows, columns = strength.shape
        laid = {
            "values": packed(strength),
            "rows": rows,
            "columns": columns,
            "caption": overlay.caption,
            "box": overlay.box,
        }
    mount = st.components.v2.component(
        "osler_viewer", html=asset("viewer.html"), css=asset("viewer.css"), js=asset("viewer.js")
    )
    mount(key="viewer", data={"image": image, "label": label, "overlay": laid})
