"""Text that only a narrow window shows, lines to their ends, and what cannot be read on small films."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from scipy.ndimage import binary_dilation

from osler.deid.burned_in import clean_pixels, judge_pixels, read_before
from osler.deid.options import BurnedIn
from osler.deid.text_lines import whole_line
from osler.deid.text_reader import Text, read_places, text_reader
from osler.deid.text_screen import Box, Grey, busy_places, shared
from osler.deid.text_views import ends, views
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
WHITE = 4095


def letters(text: str, shape: tuple[int, int], at: tuple[int, int], size: int) -> np.ndarray:
    """Return where a text is drawn (H, W)."""
    canvas = Image.new("L", shape[::-1])
    ImageDraw.Draw(canvas).text(at, text, fill=255, font=ImageFont.load_default(size))
    return np.asarray(canvas) > 127


def pale(text: str, side: int = 256, size: int = 14, noise: float = 8) -> np.ndarray:
    """Return film (side, side) of 12 bits, nearly white on the left, with white letters across both halves."""
    rng = np.random.default_rng(5)
    film = np.where(np.arange(side) < 0.3 * side, 3950, 900)[None, :] + rng.normal(0, noise, (side, side))
    film[-1, -1] = 0
    return np.where(letters(text, (side, side), (8, 40), size), WHITE, film.clip(0, WHITE)).astype("<u2")


@pytest.mark.parametrize(("side", "size"), [(128, 11), (256, 14), (512, 21)])
def test_white_on_nearly_white_is_refused(make_radiograph: Make, side: int, size: int) -> None:
    film = np.where(np.arange(side) < 0.9 * side, 3950, 900)[None, :] * np.ones((side, 1))
    film[-1, -1] = 0
    drawn = letters("Grablowski", film.shape, (4, 40), size)
    dataset = make_radiograph(pixels=np.where(drawn, WHITE, film).astype("<u2"))
    assert not any(busy_places(view) for view in views(dataset, dataset.pixel_array))
    with pytest.raises(OslerError) as caught:
        clean_pixels(dataset, BurnedIn.QUARANTINE)
    assert caught.value.code is Code.BURNED_IN_TEXT


@pytest.mark.parametrize(("side", "size"), [(256, 14), (384, 18)])
def test_a_line_is_boxed_to_its_ends_where_the_film_is_pale(make_radiograph: Make, side: int, size: int) -> None:
    text = "Grablowski^Zenobia"
    dataset = make_radiograph(pixels=pale(text, side, size))
    drawn = letters(text, (side, side), (8, 40), size)
    assert clean_pixels(dataset, BurnedIn.BOX)
    assert len(np.unique(dataset.pixel_array[binary_dilation(drawn, iterations=2)])) == 1


def test_the_ends_show_strokes_and_no_noise() -> None:
    rng = np.random.default_rng(2)
    noisy = rng.normal(0, 30, (128, 128)).clip(0, None)
    noisy[0, 0] = WHITE
    assert not busy_places(ends(noisy.astype(np.uint16)))
    drawn = letters("Grablowski", (128, 128), (8, 60), 14)
    shown = ends(np.where(drawn, WHITE, 3950).astype(np.uint16) - np.eye(128, dtype=np.uint16) * 3950)
    assert busy_places(shown)


def test_a_line_goes_on_only_by_what_has_the_size_of_letters() -> None:
    film = np.full((100, 300), 2000)
    film[40:52, 150:154] = film[40:52, 104:107] = film[40:52, 94:97] = WHITE  # a stroke in the line and two beside it
    film[40:52, 202:206] = 0  # and a black one
    film[:, :60] = WHITE  # bright film: no letter
    film[0, 0] = 0
    assert whole_line(film, (38, 110, 54, 200)) == (37, 91, 55, 200)
    assert whole_line(film.T, (110, 38, 200, 54)) == (91, 37, 200, 55)


class _Cut:
    """A reader that sees a line wherever ink lies, and records what it was shown."""

    name = "ink"

    def __init__(self) -> None:
        self.shown: list[Grey] = []

    def read(self, image: Grey) -> list[Text]:
        self.shown.append(image)
        rows, columns = np.nonzero(image > 200)
        if not len(rows):
            return []
        box: Box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        return [Text("INK", 1.0, box)]


def test_places_are_read_and_a_line_cut_by_its_cutting_is_read_whole() -> None:
    image = np.zeros((1000, 1000), np.uint8)
    image[500:510, 300:380] = 255
    reader = _Cut()
    (text,) = read_places(reader, image, [(490, 330, 520, 365)])
    assert text.box == (500, 300, 510, 380)
    assert max(shown.size for shown in reader.shown) < image.size / 10


def scribble(side: int) -> np.ndarray:
    """Return smooth film with strokes as dense as letters, which say nothing."""
    film = np.full((side, side), 1500)
    film[60:68, 20 : 20 + 60 : 4] = film[60:68, 21 : 21 + 60 : 4] = 3500
    film[0, 0], film[0, 1] = 0, WHITE
    return film.astype("<u2")


def test_what_cannot_be_read_is_refused_on_a_small_film_and_in_doubt_on_a_larger(make_radiograph: Make) -> None:
    reader = text_reader()
    assert reader is not None
    small, large = (make_radiograph(pixels=scribble(side)) for side in (128, 512))
    assert judge_pixels(small, reader).boxes
    with pytest.raises(OslerError):
        clean_pixels(small, BurnedIn.QUARANTINE)
    found = judge_pixels(large, reader)
    assert found.doubtful
    assert not found.boxes
    assert not clean_pixels(large, BurnedIn.QUARANTINE)


boxes = st.tuples(*[st.integers(0, 9)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
def test_pixels_that_two_boxes_share(one: Box, other: Box) -> None:
    masks = np.zeros((2, 20, 20), bool)
    for mask, (top, left, bottom, right) in zip(masks, (one, other), strict=True):
        mask[top:bottom, left:right] = True
    assert shared(one, other) == np.count_nonzero(masks[0] & masks[1])


def test_a_figure_that_was_read_is_not_read_again_by_its_ghost_but_half_a_name_is() -> None:
    figure = Text("2.4mAs", 0.86, (352, 12, 363, 42))
    assert read_before(Text("2.4ml", 0.83, (352, 11, 363, 38)), [figure])
    assert not read_before(Text("2.4ml", 0.83, (352, 11, 363, 38)), [Text("?", 0.2, figure.box)])
    assert not read_before(Text("JONES", 0.83, (10, 10, 20, 60)), [Text("JON", 0.9, (10, 10, 20, 40))])
