"""Burned-in text: found whatever it looks like, boxed without touching anything else; markers stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless, SecondaryCaptureImageStorage

from osler.deid import burned_in
from osler.deid.burned_in import clean_pixels, judge_pixels
from osler.deid.options import BurnedIn
from osler.deid.text_reader import Text, text_reader
from osler.deid.text_rules import may_stay, unwanted
from osler.deid.text_screen import busy_places
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
SIDE = 256


def film(text: str = "", at: tuple[int, int] = (8, 8), size: int = 14, dark: bool = False) -> np.ndarray:
    """Return smooth stored values of 12 bits (256, 256) with a text drawn into them."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    values = (1200 + 900 * np.sin(3 * x) * np.cos(2 * y)).astype("<u2")
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).text(at, text, fill=255, font=ImageFont.load_default(size))
    return np.where(np.asarray(mask) > 127, 0 if dark else 4095, values).astype("<u2")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [12, 28])
@pytest.mark.parametrize("text", ["Grablowski Zenobia", "MRN0012345", "03.02.1951"])
def test_what_names_somebody_is_refused(make_radiograph: Make, text: str, size: int, dark: bool) -> None:
    dataset = make_radiograph(pixels=film(text, size=size, dark=dark))
    with pytest.raises(OslerError) as caught:
        clean_pixels(dataset, BurnedIn.QUARANTINE)
    assert caught.value.code is Code.BURNED_IN_TEXT
    assert text not in caught.value.message


@pytest.mark.parametrize("text", ["", "L", "R", "PORTABLE", "AP SUPINE", "98 kV\n2.1 mAs\nEI 320"])
def test_markers_and_exposure_figures_stay(make_radiograph: Make, text: str) -> None:
    dataset = make_radiograph(pixels=film(text, at=(20, 150), size=20))
    before = dataset.PixelData
    assert clean_pixels(dataset, BurnedIn.QUARANTINE)
    assert dataset.PixelData == before


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_boxing_leaves_all_else_to_the_bit(make_radiograph: Make, syntax: str | None) -> None:
    original = film("Grablowski^Zenobia\nMRN0012345", size=16)
    dataset = make_radiograph(pixels=original)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    boxes = judge_pixels(dataset, text_reader()).boxes
    assert clean_pixels(dataset, BurnedIn.BOX)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    result = dcmread(BytesIO(buffer.getvalue()))
    inside = np.zeros(original.shape, bool)
    for top, left, bottom, right in boxes:
        inside[top:bottom, left:right] = True
    assert boxes
    assert np.array_equal(result.pixel_array[~inside], original[~inside])
    assert inside.mean() < 0.35
    assert not result.file_meta.TransferSyntaxUID.is_compressed
    assert result.ImageType[0] == "DERIVED"
    assert not judge_pixels(result, text_reader()).boxes


def test_text_in_a_later_frame_is_found(make_radiograph: Make) -> None:
    frames = np.stack([film(), film(), film("Grablowski Zenobia", at=(30, 100))])
    dataset = make_radiograph(pixels=frames[0], NumberOfFrames=3)
    dataset.PixelData = frames.tobytes()
    assert judge_pixels(dataset, text_reader()).boxes
    assert clean_pixels(dataset, BurnedIn.BOX)
    assert np.array_equal(dataset.pixel_array[:, 200:], frames[:, 200:])


def test_turned_text_is_found(make_radiograph: Make) -> None:
    turned = np.ascontiguousarray(np.rot90(film("Grablowski Zenobia")))
    assert judge_pixels(make_radiograph(pixels=turned), text_reader()).boxes


def test_coloured_text_is_found(make_radiograph: Make) -> None:
    mask = film("Grablowski Zenobia") == 4095
    colour = np.full((SIDE, SIDE, 3), 90, np.uint8)
    colour[mask] = (90, 90, 255)
    dataset = make_radiograph(
        pixels=colour,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        Rows=SIDE,
        Columns=SIDE,
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    assert judge_pixels(dataset, text_reader()).boxes


def test_strict_refuses_what_may_have_text(make_radiograph: Make) -> None:
    capture = make_radiograph(
        pixels=film(), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", BurnedInAnnotation=None
    )
    assert clean_pixels(capture, BurnedIn.QUARANTINE)
    with pytest.raises(OslerError):
        clean_pixels(capture, BurnedIn.STRICT)
    capture.BurnedInAnnotation = "NO"
    assert clean_pixels(capture, BurnedIn.STRICT)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one without the extra."""
    monkeypatch.setattr(burned_in, "text_reader", lambda: None)


@pytest.mark.usefixtures("unread")
def test_without_a_reader_nothing_is_said_to_be_clean(make_radiograph: Make) -> None:
    assert not clean_pixels(make_radiograph(pixels=film()), BurnedIn.QUARANTINE)
    ultrasound = make_radiograph(pixels=film(), Modality="US", BurnedInAnnotation=None)
    with pytest.raises(OslerError) as caught:
        clean_pixels(ultrasound, BurnedIn.BOX)
    assert caught.value.code is Code.BURNED_IN_TEXT


@pytest.mark.parametrize(
    ("words", "score", "stays"),
    [
        ("L", 0.9, True),
        ("RG", 0.9, True),
        ("AP ERECT", 0.9, True),
        ("APERECT", 0.9, True),
        ("MOBLE", 0.9, True),
        ("KV59", 0.9, True),
        ("98 kV 2.1 mAs EI320", 0.9, True),
        ("E1 320", 0.9, True),
        ("1.8 más", 0.9, True),
        ("Kim", 0.9, True),
        ("Chen", 0.9, False),
        ("1951", 0.9, False),
        ("1.2.51", 0.9, False),
        ("21September", 0.9, False),
        ("Grablowski", 0.4, False),
        ("王小明", 0.9, False),
        ("①", 0.5, True),
    ],
)
def test_which_words_may_stay(words: str, score: float, stays: bool) -> None:
    assert may_stay(Text(words, score, (0, 0, 10, 40)), (200, 200)) is stays


def test_short_names_of_the_header_may_not() -> None:
    assert not may_stay(Text("Kim", 0.9, (0, 0, 10, 40)), (200, 200), frozenset({"kim"}))


def test_a_fragment_among_exposure_figures_is_taken_for_a_figure() -> None:
    figure = Text("101 kV", 0.95, (100, 20, 110, 60))
    below = Text("FL405", 0.82, (112, 20, 120, 46))
    assert unwanted([figure, below], (384, 384)) == []
    assert unwanted([below], (384, 384)) == [below]
    far = replace(below, box=(300, 20, 308, 46))
    surely, longer = replace(below, words="Smith", score=0.97), replace(below, words="Sotuna Ise")
    for text in (far, surely, longer):
        assert unwanted([figure, text], (384, 384)) == [text]
    assert unwanted([figure, below], (384, 384), frozenset({"fl405"})) == [below]


def test_the_screen_passes_smooth_images_and_stops_text() -> None:
    grey = (film() >> 4).astype(np.uint8)
    assert busy_places(grey) == []
    assert busy_places((film("Grablowski") >> 4).astype(np.uint8))
