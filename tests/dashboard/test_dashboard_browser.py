"""The real command in a real browser: windowing, choosing a sign, correcting it, and nothing sent elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.common.exceptions import WebDriverException

from osler.archive import Archive
from osler.dicom.pixels import read_image
from osler.workspace import Workspace
from osler_dashboard.screenshots import Address, browser, deep, open_study, photograph, serving, texts, until

pytestmark = pytest.mark.system

NUMBER = ".o-finding .o-number"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as held:
        yield held


@pytest.fixture(scope="module")
def workspace(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of its own: answers and views stay in it, and other tests are not to find them."""
    root = tmp_path_factory.mktemp("browser") / "workspace"
    shutil.copytree(built.workspace.root, root)
    return Workspace.open(root)


@pytest.fixture(scope="module")
def url(workspace: Workspace, chrome: Any) -> Iterator[Address]:
    with serving(workspace.root) as address:
        chrome.get(address.entry())
        yield address


def text(chrome: Any, selector: str) -> str:
    return next(iter(texts(chrome, selector)), "")


def press(chrome: Any, selector: str, word: str | None = None) -> None:
    """Click an element once it is there, again where the page was drawn anew under the click."""

    def pressed() -> bool:
        try:
            for one in deep(chrome, selector):
                if word is None or one.text == word:
                    one.click()
                    return True
        except WebDriverException:
            pass
        return False

    until(pressed)


def canvas_pixels(chrome: Any) -> np.ndarray:
    """Read the red channel of what the viewer has drawn."""
    script = """
    const canvas = arguments[0];
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return [canvas.height, canvas.width, Array.from(data).filter((_, index) => index % 4 === 0)];
    """
    height, width, values = chrome.execute_script(script, deep(chrome, ".viewer canvas")[0])
    return np.array(values).reshape(height, width)


def test_the_browser_windows_as_the_library_does(chrome: Any, url: str, workspace: Workspace) -> None:
    open_study(chrome, f"{url}/?study=hospital-a-study-0001")
    overlay = deep(chrome, '.viewer [data-do="opacity"]')[0]
    chrome.execute_script("arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))", overlay)
    deep(chrome, '.viewer [data-do="full"]')[0].click()
    drawn = canvas_pixels(chrome)
    images = [read_image(study.instances[0].path).values for study in Archive(workspace).studies("hospital_a")]
    rows, columns = images[0].shape
    top, left = round((drawn.shape[0] - rows) / 2), round((drawn.shape[1] - columns) / 2)
    seen = drawn[top : top + rows, left : left + columns]
    nearest = min(np.abs(seen - 255 * image).max() for image in images)
    assert nearest <= 1.0
    deep(chrome, '.viewer [data-do="invert"]')[0].click()
    assert np.abs((255 - seen) - canvas_pixels(chrome)[top : top + rows, left : left + columns]).max() <= 1
    assert "100%" in text(chrome, '.viewer [data-part="scale"]')


def test_a_correction_moves_the_number(chrome: Any, url: str, tmp_path: Path) -> None:
    open_study(chrome, f"{url}/?study=hospital-b-study-0002")
    before = text(chrome, NUMBER)
    chrome.save_screenshot(str(tmp_path / "before.png"))
    row = deep(chrome, ".evidence .row")[2]
    sign = row.get_attribute("data-id")
    row.click()
    answers = f'[class*="st-key-answer"][class*="{sign}"] button'
    until(lambda: len(deep(chrome, answers)) == 5)
    assert deep(chrome, ".evidence .row")[2].get_attribute("aria-selected") == "true"
    for word in ("Absent", "Present"):
        started = time.monotonic()
        press(chrome, answers, word)
        until(lambda word=word: f"you set: {word.lower()}" in text(chrome, ".evidence .row.corrected"))
        print(f"corrected in {1000 * (time.monotonic() - started):.0f} ms")
        moved = text(chrome, NUMBER)
        if moved != before:
            break
    assert moved != before
    assert before in text(chrome, ".o-moved")
    chrome.save_screenshot(str(tmp_path / "after.png"))
    press(chrome, ".st-key-reset button")
    until(lambda: text(chrome, NUMBER) == before)
    assert (tmp_path / "before.png").read_bytes() != (tmp_path / "after.png").read_bytes()


def test_nothing_is_fetched_from_elsewhere(chrome: Any, url: str) -> None:
    open_study(chrome, url)
    fetched = chrome.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(fetched) > 5
    assert [name for name in fetched if not name.startswith((url, "blob:", "data:"))] == []


@pytest.mark.parametrize("width", [1400, 1000])
def test_the_page_fits_its_window(url: Address, width: int) -> None:
    with browser(width, 900) as narrow:
        narrow.get(url.entry())
        open_study(narrow, url)
        assert narrow.execute_script("return document.documentElement.scrollWidth") <= width
        stage = deep(narrow, ".viewer .stage")[0].rect
        assert stage["width"] >= 400
        assert narrow.execute_script("return getComputedStyle(document.querySelector('.o-foot')).position") == "fixed"


def test_pictures_are_taken(workspace: Workspace, tmp_path: Path) -> None:
    taken = photograph(workspace.root, tmp_path / "images", "hospital-b-study-0003", "focal_opacity")
    names = ["worklist", "study", "corrected", "sign", "site", "knowledge", "results"]
    assert [path.name for path in taken] == [f"{name}.png" for name in names]
    assert len({path.read_bytes() for path in taken}) == len(taken)
    assert all(10_000 < path.stat().st_size < 400_000 for path in taken)
