"""One day at the reading room in one window: log in, open, correct, sign, export, adapt, undo, log out, by the pages alone.

All that the browser was sent meanwhile, in pages, in components and over the socket, is searched for what identifies patients.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, TimeoutError, WebSocket, expect
from pydicom import dcmread
from tests.dashboard.conftest import SITES, STUDIES, radiograph

from osler import audit
from osler.access import Role
from osler.access.accounts import AccountFile
from osler.adapt.store import PatchStore
from osler.explain.service import StudyExplainer
from osler.feedback import reviews_of
from osler.workspace import Workspace
from osler_dashboard import pages
from osler_dashboard.screenshots import serving

from .browsing import chromium, image_shown, seek
from .test_access_browser import WHOLE

pytestmark = pytest.mark.system
expect.set_options(timeout=120_000)

PERSON, PASSWORD = "Dr Ada Lovelace", "four plain words here"


def identifying() -> set[str]:
    """Return what the files named patients, studies and images by, before they were taken in."""
    found = {"DOE^JANE", "DOE JANE", "19500101"}
    for site in SITES:
        for number in range(STUDIES):
            ds = radiograph(site, number)
            found |= {ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID}
    return {str(one) for one in found}


class Sent:
    """What reached a browser."""

    def __init__(self, page: Page) -> None:
        self.frames: list[bytes] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: self.frames.append(data if isinstance(data, bytes) else data.encode()))

    def identifying(self, page: Page) -> list[str]:
        """Return which identifying values were sent, or stand in the page or in a component now."""
        texts = [text.encode() for text in page.evaluate(WHOLE)]
        assert len(texts) > 1, "no component is drawn"
        return [one for one in identifying() if any(one.encode() in held for held in (*texts, *self.frames))]


@pytest.fixture(scope="module")
def workspace(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("day") / "workspace"
    shutil.copytree(built.workspace.root, root)
    held = Workspace.open(root)
    AccountFile(held).add(PERSON, [str(role) for role in Role], PASSWORD, actor="root")
    return held


@pytest.fixture(scope="module")
def url(workspace: Workspace) -> Iterator[str]:
    with serving(workspace.root) as address:
        yield str(address)


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
        context.set_default_timeout(120_000)
        yield context.new_page()


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/worklist")
    page.locator('[name="name"]').fill(PERSON)
    page.locator('[name="password"]').fill(PASSWORD)
    page.locator("button").click()
    page.locator(".worklist .line").first.wait_for()


def settled(page: Page) -> None:
    """Wait until nothing is drawn any more."""
    expect(page.locator('[data-testid="stApp"][data-test-script-state="running"]')).to_have_count(0)


def open_study(page: Page) -> None:
    seek(page, "hospital b", "6 of ")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator(".o-study-name b")).to_contain_text(["Hospital B · study 000"])
    image_shown(page)
    # What other studies say comes last, and draws the page once more: a menu that is open by then would close.
    page.locator(".st-key-beside").first.wait_for()
    settled(page)


def correct(page: Page) -> str:
    """Set the strongest sign to absent; returns its identifier."""
    row = page.locator(".evidence .row").first
    row.wait_for()
    sign = str(row.get_attribute("data-id"))
    page.locator(f'.row[data-id="{sign}"]').focus()
    page.keyboard.press("a")
    expect(page.locator(f'.row[data-id="{sign}"] small')).to_have_text(["you set: absent"])
    return sign


def sign_off(page: Page) -> None:
    page.get_by_role("button", name="Sign …").click()
    page.get_by_label("Comment").fill("seen together")
    page.get_by_role("button", name="Sign this study").click()
    expect(page.locator(".o-word")).to_contain_text(["seen together"])
    settled(page)


def export(page: Page, folder: Path) -> Any:
    """Save the report of the study; returns what it holds."""
    page.get_by_role("button", name="Report …").click()
    page.get_by_role("button", name="Make the report").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save it").click()
    saved.value.save_as(folder / "report.dcm")
    return dcmread(BytesIO((folder / "report.dcm").read_bytes()))


def choose(page: Page, label: str, word: str) -> None:
    """Choose from a list, once more where the page was drawn anew meanwhile, which closes it."""
    option = page.get_by_role("option", name=re.compile(word, re.IGNORECASE)).first
    for patience in (5_000, 5_000, 5_000, 60_000):
        settled(page)
        page.get_by_role("combobox", name=label).click()
        try:
            option.click(timeout=patience)
        except TimeoutError:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"{label} offers nothing like {word}")


def adapt(page: Page, url: str) -> None:
    page.goto(f"{url}/sites")
    page.get_by_role("radio", name="Hospital B").or_(page.get_by_role("button", name="Hospital B")).first.click()
    page.get_by_role("button", name="Adapt the model to this site").click()
    shots = page.get_by_label("Of each finding")
    shots.fill("2")
    shots.press("Enter")
    choose(page, "How", "logistic")
    page.get_by_role("button", name="Propose a change").click()
    expect(page.get_by_text(re.compile(r"\d of 4 right before, \d of 4 after"))).to_have_count(1)
    reason = page.locator(".st-key-adapt_why input")
    reason.fill("first weeks")
    reason.press("Tab")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_text("The change is in force").first).to_be_visible()


def undo(page: Page) -> None:
    reason = page.locator(
        ".st-key-switch_why input"
    )  # of the steps before another field lingers that has the same name
    reason.fill("worse on the ward")
    reason.press("Tab")
    page.get_by_role("button", name="Switch it off").click()
    expect(page.get_by_role("button", name="Switch it off")).to_have_count(0)


def log_out(page: Page, url: str) -> None:
    page.locator(".st-key-account button").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Your session has ended").first).to_be_visible()
    page.goto(f"{url}/worklist")
    page.wait_for_url("**/sign-in**")


def test_a_day_from_logging_in_to_logging_out(page: Page, url: str, workspace: Workspace, tmp_path: Path) -> None:
    sent, store = Sent(page), PatchStore(workspace.patches)
    (former,) = store.all()
    log_in(page, url)
    open_study(page)
    sign = correct(page)
    assert sent.identifying(page) == []
    sign_off(page)
    report = export(page, tmp_path)
    uid = str(report.StudyInstanceUID)
    result = reviews_of(workspace, uid).result
    assert result is not None
    assert (result.reviewer, result.corrections, result.comment) == (PERSON, {sign: False}, "seen together")
    assert (report.Modality, report.PreliminaryFlag) == ("SR", "FINAL")
    assert not [one for one in identifying() if one.encode() in (tmp_path / "report.dcm").read_bytes()]
    study = StudyExplainer(workspace, "fitted").archive.studies("hospital_b")[0].uid
    before = StudyExplainer(workspace, "fitted").explain(study, patched=False)
    adapt(page, url)
    patch = store.active("hospital_b", former.model)
    assert patch is not None
    assert (patch.author, patch.adapter) == (PERSON, "logistic_shots")
    assert store.get(former.id).status == "revoked"
    undo(page)
    assert store.get(patch.id).status == "revoked"
    assert store.active("hospital_b", former.model) is None
    assert StudyExplainer(workspace, "fitted").explain(study).finding == before.finding
    for one in pages.listed():
        page.goto(f"{url}/{one.name}")
        page.locator(".o-foot").wait_for()
        settled(page)
    page.goto(f"{url}/worklist")
    page.locator(".worklist .line").first.wait_for()
    assert sum(map(len, sent.frames)) > 100_000
    assert sent.identifying(page) == []
    log_out(page, url)
    done = [one.action for one in audit.entries(workspace) if one.actor == PERSON]
    wanted = iter(done)
    steps = ("access.sign-in", "study.view", "study.sign", "report.make", "patch.fit", "patch.apply", "patch.revoke")
    assert all(step in wanted for step in (*steps, "access.sign-out")), done
    assert audit.verify(workspace).fault is None


def test_the_search_finds_what_is_planted(page: Page) -> None:
    """The scan itself: a value in a shadow root of a shadow root is found, and one in a comment."""
    sent = Sent(page)
    page.set_content("<div id=a></div><!-- 19500101 -->")
    page.evaluate("""() => {
      const outer = document.getElementById('a').attachShadow({mode: 'open'});
      outer.innerHTML = '<p id=b></p>';
      outer.getElementById('b').attachShadow({mode: 'open'}).innerHTML = '<i title="DOE^JANE 3"></i>';
    }""")
    assert set(sent.identifying(page)) == {"19500101", "DOE^JANE"}
    sent.frames.append(b"\x12\x08hospital_a-3\x00")
    assert "hospital_a-3" in sent.identifying(page)
