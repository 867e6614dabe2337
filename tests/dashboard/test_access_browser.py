"""The real command in a real browser: signing in, the pages of each role by address, both themes, and the way out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from osler import audit
from osler.access import Role
from osler.access.accounts import AccountFile
from osler.workspace import Workspace
from osler_dashboard import pages
from osler_dashboard.screenshots import Address, browser, deep, serving, until

from .test_roles import SEEN

pytestmark = pytest.mark.system

WHOLE = """
() => {
  const found = [document.documentElement.outerHTML];
  const walk = (root) => root.querySelectorAll('*').forEach((one) => {
    if (one.shadowRoot) { found.push(one.shadowRoot.innerHTML); walk(one.shadowRoot); }
  });
  walk(document);
  return found;
}
"""
PASSWORD = "four plain words here"
PROBE = "<img src=x onerror='window.probed=1'>"
PLANTED = ("DOE^JANE", "hospital_a-", "hospital_b-0", "19500101")
# Contrast by WCAG 2.2, 1.4.3: of each text that is seen, against what is opaque behind it.
CONTRAST = """
const channel = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const over = (top, under) => { const a = top[3] / 255; return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a)).concat(255); };
const poor = [];
const walk = (root) => root.querySelectorAll('*').forEach((one) => {
  if (one.shadowRoot) walk(one.shadowRoot);
  const text = [...one.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join(' ').trim();
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  if (!text || !box.width || !box.height || style.visibility !== 'visible' || one.closest('[disabled], svg, [aria-disabled="true"], [data-testid="stIconMaterial"]')) return;
  const behind = []; let opacity = 1;
  for (let n = one; n; n = n.parentElement || (n.getRootNode() && n.getRootNode().host)) {
    opacity *= Number(getComputedStyle(n).opacity);
    behind.unshift(rgba(getComputedStyle(n).backgroundColor));
  }
  if (opacity < 0.9) return;
  const ground = behind.reduce((under, top) => over(top, under), rgba('Canvas'));
  const ink = over(rgba(style.color), ground);
  const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
});
walk(document.body);
return [...new Set(poor)];
"""


@pytest.fixture(scope="module")
def workspace(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with an account for each role, and one for who has a hostile name."""
    root = tmp_path_factory.mktemp("access") / "workspace"
    shutil.copytree(built.workspace.root, root)
    held = Workspace.open(root)
    for role in Role:
        AccountFile(held).add(f"The {role}", [str(role)], PASSWORD, actor="root")
    AccountFile(held).add(PROBE, [str(role) for role in Role], PASSWORD, actor="root")
    return held


@pytest.fixture(scope="module")
def url(workspace: Workspace) -> Iterator[Address]:
    with serving(workspace.root) as address:
        yield address


@pytest.fixture
def chrome() -> Iterator[Any]:
    with browser(1280, 800) as held:
        yield held


def says(chrome: Any) -> str:
    return str(chrome.execute_script("return document.body ? document.body.innerText : ''"))


def whole(chrome: Any) -> str:
    """Return all markup of the page, with that of every open shadow root: components live there."""
    return "\n".join(chrome.execute_script(f"return ({WHOLE})()"))


def sign_in(chrome: Any, url: str, name: str, page: str = "") -> None:
    chrome.get(f"{url}/{page}")
    until(lambda: "/sign-in" in chrome.current_url)
    chrome.find_element("name", "name").send_keys(name)
    chrome.find_element("name", "password").send_keys(PASSWORD)
    chrome.find_element("css selector", "button").click()
    drawn(chrome)


def drawn(chrome: Any) -> None:
    """Wait until the foot of the page is there and nothing runs any more."""
    until(lambda: bool(deep(chrome, ".o-foot")), 120)
    until(lambda: not deep(chrome, '[data-testid="stApp"][data-test-script-state="running"]'), 120)


def open_page(chrome: Any, url: str, name: str) -> None:
    chrome.get(f"{url}/{name}")
    drawn(chrome)


@pytest.mark.parametrize("role", Role)
def test_a_role_reaches_its_pages_and_only_those(chrome: Any, url: Address, role: Role) -> None:
    sign_in(chrome, url, f"The {role}")
    for page in pages.listed():
        open_page(chrome, url, page.name)
        until(lambda: f"The {role}" in says(chrome))
        closed = f"{page.title} is not among your pages."
        if role in SEEN[page.name]:
            assert closed not in says(chrome)
            assert f"/{page.name}" in chrome.current_url
        else:
            until(lambda closed=closed: closed in says(chrome))
        source = whole(chrome)
        assert not [value for value in PLANTED if value in source]


def test_a_stranger_gets_the_form_on_every_address_and_comes_back_to_the_page(chrome: Any, url: Address) -> None:
    for page in pages.listed():
        chrome.get(f"{url}/{page.name}")
        assert f"/sign-in?next=%2F{page.name}" in chrome.current_url
        assert "hospital" not in chrome.page_source.lower()
    sign_in(chrome, url, "The engineer", "sites")
    until(lambda: "WHAT ARRIVED" in says(chrome))
    assert chrome.current_url.endswith("/sites")


def test_a_reload_keeps_the_session_and_signing_out_ends_it(chrome: Any, url: Address, workspace: Workspace) -> None:
    sign_in(chrome, url, "The engineer", "sites")
    chrome.refresh()
    until(lambda: "WHAT ARRIVED" in says(chrome))
    assert chrome.execute_script("return document.cookie").find("osler_session") == -1, "scripts cannot read it"
    deep(chrome, ".st-key-account button")[0].click()
    until(lambda: bool(deep(chrome, ".st-key-sign_out button")))
    deep(chrome, ".st-key-sign_out button")[0].click()
    until(lambda: "Your session has ended" in says(chrome))
    assert "WHAT ARRIVED" not in says(chrome)
    chrome.get(f"{url}/sites")
    assert "/sign-in" in chrome.current_url
    last = audit.entries(workspace)[-1]
    assert (last.actor, last.action) == ("The engineer", "access.sign-out")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768)])
def test_every_page_is_legible_and_fits_in_both_themes(
    url: Address, theme: str, width: int, height: int, tmp_path: Path
) -> None:
    """With a person whose name is markup, which runs nowhere."""
    with browser(width, height) as chrome:
        media = [{"name": "prefers-color-scheme", "value": theme}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        sign_in(chrome, url, PROBE)
        poor = {}
        for page in pages.listed():
            open_page(chrome, url, page.name)
            time.sleep(1.5)  # transitions of colours
            chrome.save_screenshot(str(tmp_path / f"{page.name}.png"))
            assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
            assert PROBE in says(chrome)
            poor[page.name] = chrome.execute_script(CONTRAST)
        assert not {name: found for name, found in poor.items() if found}
        assert chrome.execute_script("return window.probed === undefined")
