"""A reader study in a real browser: each arm shows what it may and no more, also in components and markup, and answers stay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from osler.reader_study.protocol import Protocol
from osler.reader_study.study import ReaderStudy, start
from osler.workspace import Workspace
from osler_dashboard.components.case import SURE
from osler_dashboard.screenshots import serving
from osler_dashboard.words import sentence, spoken

from .browsing import chromium, image_shown
from .test_access_browser import WHOLE
from .test_reader_study_page import PLAIN, READER

pytestmark = pytest.mark.system
expect.set_options(timeout=120_000)


@pytest.fixture
def study(built: Any, tmp_path: Path) -> ReaderStudy:
    shutil.copytree(built.workspace.root, tmp_path / "workspace")
    return start(Workspace.open(tmp_path / "workspace"), Protocol.model_validate(PLAIN))


@pytest.fixture
def page(study: ReaderStudy, tmp_path: Path) -> Iterator[Page]:
    with serving(tmp_path / "workspace", "--as", READER, "--role", "clinician") as url, chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(120_000)
        page.goto(url.entry())
        page.goto(f"{url}/reader_study")
        yield page


def test_a_reader_goes_through_the_first_sitting(study: ReaderStudy, page: Page, tmp_path: Path) -> None:
    own = [one for one in study.readings if one.reader == READER and one.sitting == 0]
    page.locator(".st-key-begin-first button").click()
    for place, reading in enumerate(own):
        expect(page.locator(".o-kicker", has_text=f"Case {place + 1} of 9")).to_have_count(1)
        image_shown(page)
        # What stood there for the case before stays, faded, until this one is drawn.
        expect(page.locator('[data-testid="stApp"][data-test-script-state="running"]')).to_have_count(0)
        expect(page.locator(".o-advice")).to_have_count(0 if reading.arm == "unaided" else 1)
        advice = study.advice(reading.case, True)
        assert advice is not None
        signs = [sentence(one.name) for one in advice.concepts]
        if reading.arm == "concepts":
            expect(page.get_by_text(signs[0]).first).to_be_visible()
        elif reading.arm == "prediction":
            expect(page.get_by_text("model says").first).to_be_visible()
        sent = "\n".join(page.evaluate(WHOLE))
        assert any(name in sent for name in signs) == (reading.arm == "concepts")
        assert ("model says" in sent) == (reading.arm != "unaided")
        assert not [secret for secret in (reading.case, study.cases[reading.case].patient, "planted") if secret in sent]
        page.screenshot(path=tmp_path / f"{place}-{reading.arm}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        truth = study.cases[reading.case].truth
        page.locator('[class*="st-key-answer-"]').get_by_text(sentence(spoken(truth)), exact=True).click()
        page.locator('[class*="st-key-sure-"]').get_by_text(SURE[75], exact=True).click()
        page.get_by_role("button", name="Next case", disabled=False).click()
    expect(page.get_by_text("That is all for now")).to_have_count(1)
    answers = study.answers()
    assert [answers[READER, one.case, 0].answer for one in own] == [study.cases[one.case].truth for one in own]
    assert all(one.seconds is not None and one.seconds > 0 for one in answers.values())
