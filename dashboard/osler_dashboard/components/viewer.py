"""The image viewer: stored 16-bit values go to the browser, which windows, zooms and overlays them.

The viewer is told what there is; pixels follow as parcels of bytes, each sent once and when it is looked at.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from osler.dicom.pixels import StoredHeader
from osler_dashboard.components.assets import asset

KEY, PARCEL = "viewer", "parcel"
MOST_PIXELS = 3072 * 3072  # shown at once; larger images are shrunk by a whole factor and fetched in parts close up
LONGEST_PART = 2048
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Preset:
    """A named window, in units after the modality LUT."""

    name: str
    center: float
    width: float


@dataclass(frozen=True)
class Slide:
    """One image of a study as the viewer lists it."""

    name: str


@dataclass(frozen=True)
class Earlier:
    """An earlier study of the patient, by its readable name, and how the list says it."""

    study: str
    text: str


@dataclass(frozen=True)
class Maps:
    """Where signs were seen in one image.

    Attributes:
        signs: Identifiers of the signs (n,).
        values: Strengths in [0, 1], (n, h, w).
        caption: What they mean, shown below the image.
        box: Top, left, height and width of the part of the image that they cover, in pixels.
        image: Place of the image in the study.
    """

    signs: tuple[str, ...]
    values: NDArray[np.floating[Any]]
    caption: str
    box: tuple[float, float, float, float]
    image: int


@dataclass(frozen=True)
class Wanted:
    """What the viewer asks for: images of a study by place, or a part of one in full (top, left, height, width).

    No place stands for the image by which the model knows the study.
    """

    study: str
    images: tuple[int, ...] = ()
    image: int = 0
    region: Box | None = None

    @classmethod
    def of(cls, asked: object) -> Wanted | None:
        """Read what a browser sent; None for anything else than a request."""
        try:
            told: Mapping[str, Any] = dict(asked)  # type: ignore[call-overload]
            region = told.get("region")
            box = None if region is None else tuple(int(one) for one in region)
            if box is not None and (len(box) != 4 or min(box) < 0 or not 0 < max(box[2:]) <= LONGEST_PART):
                return None
            images = tuple(int(one) for one in told.get("images", ()))[:8]
            return cls(str(told["study"]), images, int(told.get("image", 0)), box)
        except (TypeError, ValueError, KeyError):
            return None


@dataclass(frozen=True, eq=False)
class Shown:
    """An image as it is sent: its description, and its values packed."""

    head: Mapping[str, Any]
    packed: bytes = field(repr=False)


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


def packed(values: NDArray[Any]) -> bytes:
    """Compress an array for the browser (zlib)."""
    return zlib.compress(np.ascontiguousarray(values).tobytes(), 1)


def shrink_factor(rows: int, columns: int) -> int:
    """Return the least whole factor by which an image must be shrunk to be shown at once."""
    factor = 1
    while -(-rows // factor) * -(-columns // factor) > MOST_PIXELS:
        factor += 1
    return factor


def shrunk(stored: NDArray[np.uint16], factor: int) -> NDArray[np.uint16]:
    """Average blocks of `factor` x `factor` pixels; those at the edge may be smaller."""
    if factor == 1:
        return stored
    rows, columns = stored.shape[:2]
    down = range(0, rows, factor)
    across = np.arange(0, columns, factor)
    wide = np.minimum(across + factor, columns) - across
    shape = (-1, *([1] * (stored.ndim - 2)))
    lines = []
    for top in down:  # a strip at a time: the sums of a whole image would need four times its memory
        strip = stored[top : top + factor].sum(axis=0, dtype=np.float64)
        lines.append(np.add.reduceat(strip, across, axis=0) / (wide.reshape(shape) * min(factor, rows - top)))
    small: NDArray[np.uint16] = np.rint(np.stack(lines)).astype(np.uint16)
    return small


def shown_image(stored: NDArray[np.uint16], header: StoredHeader) -> Shown:
    """Describe an image to the browser, shrunk where it is too large to be sent whole."""
    factor = shrink_factor(*stored.shape[:2])
    low, high = (header.slope * float(bound) + header.offset for bound in (stored.min(), stored.max()))
    small = shrunk(stored, factor)
    head = {
        "kind": "image",
        "rows": stored.shape[0],
        "columns": stored.shape[1],
        "shown_rows": small.shape[0],
        "shown_columns": small.shape[1],
        "factor": factor,
        "channels": 1 if stored.ndim == 2 else stored.shape[2],
        "slope": header.slope,
        "offset": header.offset,
        "function": header.function,
        "inverted": header.inverted,
        "low": low,
        "high": high,
        "presets": [asdict(preset) for preset in window_presets(small, header)],
        "spacing_mm": header.spacing_mm,
        "at_detector": header.spacing_origin == "ImagerPixelSpacing",
    }
    return Shown(head, packed(small.astype("<u2")))


def shown_part(stored: NDArray[np.uint16], place: int, region: Box) -> Shown:
    """Describe a part of an image in full: `region` is top, left, height and width, cut to the image."""
    top, left = min(region[0], stored.shape[0] - 1), min(region[1], stored.shape[1] - 1)
    part = stored[top : top + region[2], left : left + region[3]]
    rows, columns = part.shape[:2]
    head = {"kind": "detail", "image": place, "box": [top, left, rows, columns]}
    return Shown(head | {"shown_rows": rows, "shown_columns": columns}, packed(part.astype("<u2")))


def shown_maps(maps: Maps) -> Shown:
    """Describe the maps of a study's signs."""
    strengths = np.rint(255 * np.clip(maps.values, 0, 1)).astype(np.uint8)
    _, rows, columns = strengths.shape
    head = {"kind": "maps", "signs": maps.signs, "rows": rows, "columns": columns, "caption": maps.caption}
    return Shown(head | {"box": maps.box, "image": maps.image}, packed(strengths))


def refusal(key: str, text: str) -> Shown:
    """Say in place of an image why it cannot be shown."""
    return Shown({"kind": "refusal", "image": key, "text": text}, packed(np.zeros(1, np.uint8)))


def image_key(study: str, place: int) -> str:
    """Name an image of a study between server and browser."""
    return f"{study}|{place}"


def send(slot: int, key: str, shown: Shown) -> None:
    """Send a parcel to the viewer on the page.

    Args:
        slot: Which of the page's parcels it is.
        key: Name by which the viewer looks for it.
        shown: What it holds.
    """
    stamp = zlib.crc32(shown.packed)
    head = json.dumps({**shown.head, "key": key, "stamp": stamp}).encode()
    mount = st.components.v2.component("osler_parcel", html="<i></i>", js=asset("shelf.js") + asset("parcel.js"))
    mount(key=f"{PARCEL}-{slot}", data=struct.pack("<I", len(head)) + head + shown.packed)


def viewer(
    *, study: str, slides: Sequence[Slide], start: int, earlier: Sequence[Earlier] = (), on_wanted: Callable[[], None]
) -> None:
    """Draw the viewer.

    Args:
        study: Readable name of the study, shown in the corner; by it the viewer knows that another was opened.
        slides: Its images.
        start: Place of the one to open with.
        earlier: Earlier studies of the patient, to compare with.
        on_wanted: Called when the viewer asks for something; `wanted` then says for what.
    """
    script = asset("shelf.js") + asset("pane.js") + asset("hand.js") + asset("viewer.js")
    mount = st.components.v2.component("osler_viewer", html=asset("viewer.html"), css=asset("viewer.css"), js=script)
    told = {
        "study": study,
        "images": [asdict(one) for one in slides],
        "start": start,
        "priors": [asdict(one) for one in earlier],
    }
    mount(key=KEY, on_wanted_change=on_wanted, data=told)


def wanted() -> Wanted | None:
    """Return what the viewer asks for in this run of the script."""
    return Wanted.of(st.session_state.get(KEY, {}).get("wanted"))
