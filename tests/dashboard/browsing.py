"""What the tests in a real browser do alike: start a headless Chromium, seek in the worklist, wait for an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        yield browser
        browser.close()


def seek(page: Page, words: str, found: str) -> None:
    """Search the worklist by keyboard, wait until it says how many were found, and go back to its rows."""
    page.keyboard.press("/")
    page.keyboard.type(words)
    expect(page.locator(".worklist .count")).to_contain_text([found])
    page.keyboard.press("Escape")


def image_shown(page: Page) -> None:
    """Wait until the viewer has drawn an image.

    While a page is redrawn the former element stands beside the new one, so that a count, which waits for the one that
    stays, is asked for instead of a single element.
    """
    expect(page.locator(".viewer[data-ready]:not([data-ready=''])")).to_have_count(1)
