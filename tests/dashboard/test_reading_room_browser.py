"""Worklist and study in a real browser, through the real command: keyboard, viewer, answers, signature, hostile texts."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom.uid import UID
from tests.dashboard.conftest import radiograph

from osler.archive import Archive
from osler.archive.arrivals import arrival_order
from osler.explain.service import StudyExplainer
from osler.feedback import Answer, Draft, read_drafts, reviews_of, save_review
from osler.feedback.making import review_of
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_dashboard.numbering import study_numbers
from osler_dashboard.screenshots import serving

from .browsing import chromium, image_shown, seek

pytestmark = pytest.mark.system
expect.set_options(timeout=60_000)

READER = "Dr Ada"
PROBE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


def _many(folder: Path) -> None:
    """Write a study of 300 small images, one of 1 x 1, one of 12,000 x 12,000, and an earlier and a later one of a patient."""
    folder.mkdir()
    first = radiograph("hospital_c", 0)
    for number in range(300):
        ds = radiograph("hospital_c", 0)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{first.SOPInstanceUID[:50]}.{number + 1}")
        ds.InstanceNumber, ds.Rows, ds.Columns = number + 1, 24, 24
        ds.PixelData = np.full((24, 24), 100 + number, "<u2").tobytes()
        ds.save_as(folder / f"many-{number}.dcm", enforce_file_format=True)
    for number, side in ((1, 1), (2, 12_000)):
        ds = radiograph("hospital_c", number)
        ds.Rows = ds.Columns = side
        values = np.full((side, side), 1000, "<u2")
        values[side // 2 :, side // 2 :] = 3000
        ds.PixelData = values.tobytes()
        ds.save_as(folder / f"side-{side}.dcm", enforce_file_format=True)
    for number, day in ((3, "20200301"), (4, "20200901")):
        ds = radiograph("hospital_c", number)
        ds.PatientID, ds.PatientName = "hospital_c-3", "DOE^JANE 3"
        for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(ds, name, day)
        ds.save_as(folder / f"patient-{number}.dcm", enforce_file_format=True)


@pytest.fixture(scope="module")
def workspace(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("room")
    shutil.copytree(built.workspace.root, folder / "workspace")
    workspace = Workspace.open(folder / "workspace")
    _many(folder / "more")
    ingest(folder / "more", site="hospital_c", workspace=workspace, key=b"k" * 32, workers=0, contract="any-image")
    with sqlite3.connect(workspace.archive / "index.sqlite") as index:
        index.execute("UPDATE reports SET text = ?", (PROBE,))
    return workspace


@pytest.fixture(scope="module")
def url(workspace: Workspace) -> Iterator[Any]:
    with serving(workspace.root, "--as", READER) as address:
        yield address


@pytest.fixture(scope="module")
def signed_in(url: Any) -> Iterator[Any]:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, has_touch=True)
        context.set_default_timeout(120_000)
        context.new_page().goto(url.entry())
        context.pages[0].locator(".worklist .line").first.wait_for()
        yield context


@pytest.fixture
def page(signed_in: Any, url: Any) -> Iterator[Page]:
    page = signed_in.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    yield page
    assert page.faults == []
    page.close()


def names(workspace: Workspace, site: str) -> dict[str, Any]:
    return {study.uid: study for study in Archive(workspace).studies(site)}


def open_study(page: Page, url: str, slug: str) -> None:
    page.goto(f"{url}/study?study={slug}")
    image_shown(page)


def slug_of(page: Page, url: str, workspace: Workspace, wanted: Any) -> str:
    """Return the address of the study of which a test on its record holds, by opening each of the site."""
    archive = Archive(workspace)
    records = {study.uid: study for study in archive.studies()}
    order = [uid for uid in arrival_order(archive) if uid in records]
    numbers = study_numbers(workspace, {uid: one.site for uid, one in records.items()}, order)
    uid = next(uid for uid, study in records.items() if study.site == "hospital_c" and wanted(study))
    return f"hospital-c-study-{numbers[uid]:04d}"


def test_the_worklist_is_used_by_keyboard(page: Page, url: Any) -> None:
    page.goto(f"{url}/worklist")
    page.locator(".worklist .line").first.wait_for()
    seek(page, "hospital a", "6 of ")
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    expect(page.locator('.line[aria-selected="true"] .name')).to_have_text(["Hospital A · study 0005"])
    told = page.locator(".worklist .grid").get_attribute("aria-activedescendant")
    expect(page.locator(f"#{told} .name")).to_have_text(["Hospital A · study 0005"])
    page.keyboard.press("Enter")
    expect(page.locator(".o-study-name b")).to_have_text(["Hospital A · study 0005"])
    expect(page.locator(".o-study-name span")).to_contain_text(["5 of 6"])
    page.locator(".st-key-to-worklist button").click()
    expect(page.locator('.line[aria-selected="true"] .name')).to_have_text(["Hospital A · study 0005"])
    page.locator('.worklist [data-do="clear"]').press("Enter")
    expect(page.locator(".worklist .count").first).not_to_contain_text(" of ")
    page.locator('.heads [data-column="share"]').click()
    shown = page.locator(".line .share span").all_inner_texts()
    figures = [float(text.strip("<>% ")) for text in shown]
    assert figures == sorted(figures, reverse=True)


def test_a_study_is_answered_and_signed_by_keyboard(page: Page, url: Any, workspace: Workspace) -> None:
    open_study(page, url, "hospital-b-study-0002")
    number = page.locator(".o-finding .o-number")
    expect(number).to_have_count(1)
    before = number.inner_text()
    row = page.locator(".evidence .row").nth(2)
    sign = row.get_attribute("data-id")
    row.focus()
    page.keyboard.press("a")
    expect(page.locator(f'.row[data-id="{sign}"] small')).to_have_text(["you set: absent"])
    page.locator(f'.row[data-id="{sign}"]').focus()
    page.keyboard.press("p")
    expect(page.locator(f'.row[data-id="{sign}"] small')).to_have_text(["you set: present"])
    expect(page.locator(".o-moved").first).to_contain_text([before])
    (uid,) = read_drafts(workspace, READER)
    page.reload()
    expect(page.locator(f'.row[data-id="{sign}"] small')).to_have_text(["you set: present"])
    page.get_by_role("button", name="Sign …").click()
    page.get_by_label("Comment").fill(PROBE)
    page.get_by_role("button", name="Sign this study").click()
    expect(page.locator(".o-word")).to_contain_text(["<script>window.hit = 1</script>"])
    assert page.evaluate("window.hit") is None
    result = reviews_of(workspace, uid).result
    assert result is not None
    assert (result.reviewer, result.corrections, result.comment) == (READER, {sign: True}, PROBE)


def test_who_is_overtaken_is_told_and_keeps_the_answers(page: Page, url: Any, workspace: Workspace) -> None:
    open_study(page, url, "hospital-b-study-0003")
    row = page.locator(".evidence .row").nth(1)
    row.focus()
    page.keyboard.press("d")
    expect(page.locator(".row.answered small")).to_contain_text(["you doubt"])
    drafts = read_drafts(workspace, READER)
    uid = next(uid for uid, draft in drafts.items() if Answer.DOUBT in draft.answers.values())
    explanation = StudyExplainer(workspace, "fitted").explain(uid)
    save_review(workspace, review_of(explanation, explanation, Draft(comment=PROBE), "Dr Bell"))
    page.get_by_role("button", name="Sign …").click()
    page.get_by_role("button", name="Sign this study").click()
    expect(page.locator(".o-meanwhile")).to_contain_text(["Dr Bell has signed this study since you opened it"])
    page.get_by_role("button", name="Sign mine too, as an amendment").click()
    expect(page.locator(".o-word")).to_contain_text([f"{READER} leaves it"])
    expect(page.locator(".o-word")).to_have_count(1)
    assert page.evaluate("window.hit") is None


def test_a_report_with_a_script_is_text(page: Page, url: Any) -> None:
    open_study(page, url, "hospital-a-study-0001")
    page.get_by_text("Report that came with the study").click()
    report = page.get_by_text("<script>window.hit = 1</script>", exact=False)
    expect(report).to_have_count(1)
    expect(report).to_be_visible()
    assert page.evaluate("window.hit") is None


def test_three_hundred_images_are_leafed_through(page: Page, url: Any, workspace: Workspace) -> None:
    slug = slug_of(page, url, workspace, lambda study: len(study.instances) > 1)
    open_study(page, url, slug)
    count = page.locator('.viewer [data-part="count"]')
    expect(count).to_contain_text(["of 300"])
    page.locator('.viewer [data-do="slice"]').fill("200")
    expect(count).to_contain_text(["200 of 300"])
    said = page.locator('.viewer [data-stage="now"] .said')
    expect(said).to_be_hidden()
    expect(page.locator('.viewer [data-stage="now"] [data-part="scale"]')).to_contain_text(["24 × 24"])
    page.locator(".viewer").focus()
    page.keyboard.press("PageDown")
    expect(count).to_contain_text(["201 of 300"])


@pytest.mark.parametrize("side", [1, 12_000])
def test_the_smallest_and_the_largest_image_are_shown(page: Page, url: Any, workspace: Workspace, side: int) -> None:
    slug = slug_of(page, url, workspace, lambda study: study.instances[0].rows == side)
    open_study(page, url, slug)
    scale = page.locator('.viewer [data-stage="now"] [data-part="scale"]')
    if side == 1:
        expect(scale).to_contain_text(["1 × 1"])
        return
    expect(scale).to_contain_text(["12000 × 12000"])
    expect(scale).to_contain_text(["shown at 1:4"])
    page.locator('.viewer [data-do="full"]').click()
    page.locator(".viewer[data-detail]").wait_for()
    expect(scale).not_to_contain_text("shown at")


def test_an_earlier_study_of_the_patient_lies_beside(page: Page, url: Any, workspace: Workspace) -> None:
    patients = [study.patient for study in Archive(workspace).studies("hospital_c")]
    twice = next(one for one in patients if patients.count(one) > 1)
    late = max(one.study_date for one in Archive(workspace).studies("hospital_c") if one.patient == twice)
    slug = slug_of(page, url, workspace, lambda study: study.patient == twice and study.study_date == late)
    open_study(page, url, slug)
    page.locator('.viewer [data-do="prior"]').select_option(index=1)
    page.locator('[data-stage="prior"][data-ready]:not([data-ready=""])').wait_for()
    scales = page.locator('.viewer .stage [data-part="scale"]')
    page.locator('.viewer [data-do="in"]').click()
    first, second = scales.all_inner_texts()
    assert first == second, "linked"
    page.locator('.viewer [data-do="link"]').click()
    page.locator('.viewer [data-do="in"]').click()
    first, second = scales.all_inner_texts()
    assert first != second


def test_touch_moves_and_pinches(page: Page, url: Any) -> None:
    open_study(page, url, "hospital-a-study-0002")
    scale = page.locator('.viewer [data-stage="now"] [data-part="scale"]')
    before = scale.inner_text()
    stage = page.locator('.viewer [data-stage="now"]').bounding_box()
    assert stage
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    client = page.context.new_cdp_session(page)
    for apart in (20, 40, 80):
        kind = "touchStart" if apart == 20 else "touchMove"
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert "fitted" in before
    expect(scale).not_to_contain_text("fitted")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768)])
@pytest.mark.parametrize("name", ["worklist", "study"])
def test_a_page_fits_its_window(page: Page, url: Any, width: int, height: int, name: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{url}/{name}")
    page.locator(".line, .evidence .row").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
