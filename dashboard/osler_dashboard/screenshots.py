"""Pictures of the pages for the documentation: `python -m osler_dashboard.screenshots --workspace W --out docs/images`.

Starts the real command and looks at it in a headless Chromium; needs the development tools (selenium, chromedriver).
"""

from __future__ import annotations

import argparse
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self
from urllib.error import URLError
from urllib.request import urlopen

from osler.cli.people import account
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

WIDTH, HEIGHT, TALL = 1400, 900, 1500
PAGES = {  # with what is there once the page is drawn
    "worklist": ".worklist .line",
    "study": ".evidence .row",
    "sites": ".o-counts",
    "knowledge": ".o-passage, .o-empty",
    "results": ".o-table",
}
PRESENT, ABSENT = 3, 4  # places among the answers to a sign
_SWITCHES = [
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-sync",
    "hide-scrollbars",
]
_SWITCHES += ["disable-background-networking", "disable-component-update"]
# Components live in shadow roots, which ordinary selectors do not enter.
_DEEP = """
const found = [];
const walk = (root) => {
  found.push(...root.querySelectorAll(arguments[0]));
  root.querySelectorAll('*').forEach((one) => one.shadowRoot && walk(one.shadowRoot));
};
walk(document);
return found;
"""

_TEXT = "return document.body.innerText"
_PRESS = """
const found = [...document.querySelectorAll('button')].find((one) => one.innerText.trim() === arguments[0] && !one.disabled);
if (found && arguments[1]) { found.scrollIntoView({block: 'center'}); found.click(); }
return !!found;
"""


class Address(str):
    """The address of a dashboard that was started here, and the ways in that its terminal shows."""

    def __new__(cls, url: str, shown: queue.Queue[str]) -> Self:
        """Take the address, and where the lines of its terminal arrive."""
        made = super().__new__(cls, url)
        made._shown = shown
        return made

    _shown: queue.Queue[str]

    def entry(self, seconds: float = 60) -> str:
        """Return an address that signs one browser in, each time another."""
        return self._shown.get(timeout=seconds)


@contextmanager
def serving(workspace: Path, *more: str, port: int | None = None, seconds: float = 90) -> Iterator[Address]:
    """Start `osler dashboard` on a workspace, with more arguments where there are any; yields its address."""
    port = port or unused_port()
    words = ["dashboard", "--workspace", str(workspace), "--no-browser", "--port", str(port), *more]
    command = [sys.executable, "-m", "osler.cli.main", *words]
    shown: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        threading.Thread(target=_listen, args=(server.stderr, shown), daemon=True).start()
        try:
            url = f"http://localhost:{port}"
            until(lambda: _answers(f"{url}/_stcore/health"), seconds)
            yield Address(url, shown)
        finally:
            server.terminate()


def unused_port() -> int:
    """Return a port that nobody listens at, chosen by the system: two dashboards started at once get two."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listen(lines: Iterable[str] | None, shown: queue.Queue[str]) -> None:
    """Pick the one-time addresses out of what the terminal shows."""
    for line in lines or ():
        if line.startswith("Open http"):
            shown.put(line.split()[1])


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2) as reply:  # an address on this machine # nosec B310
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def until(ready: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: Where it does not within some seconds.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"Not ready within {seconds:g} seconds.")
        time.sleep(0.1)


@contextmanager
def browser(width: int = WIDTH, height: int = HEIGHT) -> Iterator[Chrome]:
    """Start a headless Chromium with a profile of its own.

    Raises:
        OslerError: `part-missing` without selenium, Chromium or its driver.
    """
    try:
        from selenium.webdriver import Chrome, ChromeOptions, ChromeService
    except ImportError:
        raise _missing("selenium") from None
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise _missing("chromium and chromedriver")
    with TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = chromium
        for switch in (*_SWITCHES, f"window-size={width},{height}", f"user-data-dir={profile}"):
            options.add_argument(f"--{switch}")
        chrome = Chrome(options=options, service=ChromeService(driver))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield chrome
        finally:
            chrome.quit()


def _missing(what: str) -> OslerError:
    return OslerError(
        Code.PART_MISSING, f"Screenshots need {what}.", "Install the development tools (CONTRIBUTING.md)."
    )


def deep(chrome: Chrome, selector: str) -> list[WebElement]:
    """Return the elements that match a selector, those inside components too."""
    return list(chrome.execute_script(_DEEP, selector))


def texts(chrome: Chrome, selector: str) -> list[str]:
    """Return the visible text of each element that matches, read at one moment: the page may be drawn again the next."""
    script = _DEEP.replace("return found;", "return found.map((one) => one.innerText);")
    return list(chrome.execute_script(script, selector))


def _drawn(chrome: Chrome, selector: str) -> bool:
    return bool(deep(chrome, selector))


def open_study(chrome: Chrome, url: str, seconds: float = 90) -> None:
    """Open a study and wait until image and signs are drawn."""
    chrome.get(url if "?" in url or url.endswith("/study") else f"{url}/study")
    until(lambda: any(one.get_attribute("data-ready") for one in deep(chrome, ".viewer")), seconds)
    until(partial(_drawn, chrome, ".evidence .row"))


def photograph(
    workspace: Path,
    out: Path,
    study: str = "",
    sign: str = "",
    *,
    person: str | None = None,
    theme: str = "light",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> list[Path]:
    """Take a picture of each page, and of a study with one sign answered otherwise and with its field to sign.

    The answer stays in the workspace, as one that was not signed.

    Args:
        workspace: The workspace.
        out: Folder of the pictures.
        study: Address of a study, such as `hospital-b-study-0007`; the first one where it is empty.
        sign: Identifier of the sign to choose and to answer; the strongest where it is empty.
        person: Who is signed in; whoever runs this where it is None.
        theme: `light` or `dark`.
        size: Width and height of the window in pixels.

    Raises:
        OslerError: `part-missing` without the tools.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken = []

    def shot(name: str) -> None:
        time.sleep(4)  # charts and transitions
        taken.append(out / f"{name}.png")
        chrome.save_screenshot(str(taken[-1]))

    with serving(workspace, "--as", person or account()) as url, browser(*size) as chrome:
        media = [{"name": "prefers-color-scheme", "value": theme}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        chrome.get(url.entry())
        for page, settled in PAGES.items():
            if page == "study":
                _photograph_study(chrome, f"{url}/study?study={study}", sign, shot)
                continue
            if page != "worklist":
                chrome.get(f"{url}/{page}")
            until(partial(_drawn, chrome, settled), 120)
            shot({"sites": "site"}.get(page, page))
    return taken


def _photograph_study(chrome: Chrome, address: str, sign: str, shot: Callable[[str], None]) -> None:
    open_study(chrome, address)
    with suppress(TimeoutError):  # what other studies say comes once the whole archive is read
        until(partial(_drawn, chrome, ".st-key-beside"), 120)
    sign = sign or str(deep(chrome, ".evidence .row")[0].get_attribute("data-id"))
    row, button = f'.evidence .row[data-id="{sign}"]', f'[class*="st-key-answer"][class*="{sign}"] button'
    _click(chrome, row)
    until(partial(_drawn, chrome, button))
    shot("study")
    there = "absent" in " ".join(texts(chrome, f"{row} small"))
    _click(chrome, button, PRESENT if there else ABSENT)
    until(partial(_drawn, chrome, ".evidence .row.corrected"))
    shot("corrected")
    _click(chrome, ".st-key-review button")
    until(partial(_drawn, chrome, '[aria-label="Comment"]'))
    shot("sign")


def _click(chrome: Chrome, selector: str, place: int = 0) -> None:
    """Click an element that matches, once it is there; found and clicked at one moment, and nothing is scrolled."""
    script = _DEEP.replace("return found;", "const one = found[arguments[1]]; if (one) { one.click(); } return !!one;")
    until(lambda: bool(chrome.execute_script(script, selector, place)))


def press(chrome: Chrome, label: str, seconds: float = 120) -> None:
    """Press the button of this name, once it is there; found and pressed at one moment, since the page may be drawn again."""
    try:
        until(lambda: bool(chrome.execute_script(_PRESS, label, True)), seconds)
    except TimeoutError:
        says = " ".join(str(chrome.execute_script(_TEXT)).split())
        raise TimeoutError(f"No button {label!r} within {seconds:g} seconds. The page says: {says[:500]}") from None


def write(chrome: Chrome, label: str, text: str) -> None:
    """Write into the field of this name, once it is there."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.keys import Keys

    def written() -> bool:
        try:
            field = deep(chrome, f'input[aria-label="{label}"]')[0]
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(text)
            chrome.execute_script("arguments[0].blur()", field)
            return bool(field.get_attribute("value") == text)
        except (IndexError, StaleElementReferenceException):
            return False

    until(written)


def _offered(chrome: Chrome, label: str) -> bool:
    return bool(chrome.execute_script(_PRESS, label, False))


def _says(chrome: Chrome, words: str) -> bool:
    return words in str(chrome.execute_script(_TEXT))


def adapt_to(chrome: Chrome, url: str, site: str, shot: Callable[[str], None] = lambda name: None) -> None:
    """Walk through the adaptation of the model shown to a site, up to the patch in force, as a person would.

    Args:
        chrome: A browser.
        url: Address of the dashboard.
        site: Name of the site, as the page shows it.
        shot: Called with `moved`, `proposal` and `in-force` when these are drawn.
    """
    chrome.get(f"{url}/sites")
    press(chrome, site)
    press(chrome, "Adapt the model to this site")
    until(partial(_says, chrome, "Propose a change"), 300)
    shot("moved")
    press(chrome, "Propose a change")
    until(partial(_says, chrome, "right before"), 300)
    shot("proposal")
    write(chrome, "Reason", "trial of the first weeks")
    press(chrome, "Put it in force" if _offered(chrome, "Put it in force") else "Note it")
    until(partial(_says, chrome, "What arrived".upper()), 120)
    shot("in-force")


def photograph_adapting(workspace: Path, out: Path, site: str, person: str) -> list[Path]:
    """Adapt the model to a site by the dashboard alone, and take a picture of each stage; the workspace has the patch then.

    Args:
        workspace: The workspace.
        out: Folder of the pictures.
        site: Name of the site, as the page shows it: `Hospital C`.
        person: Who is signed in.

    Raises:
        OslerError: `part-missing` without the tools.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken = []
    with serving(workspace, "--as", person) as url, browser(WIDTH, TALL) as chrome:
        chrome.get(url.entry())

        def shot(name: str) -> None:
            if name == "proposal":
                chrome.execute_script("document.querySelectorAll('.o-step')[3].scrollIntoView()")
            time.sleep(2)  # transitions
            taken.append(out / f"adapt-{name}.png")
            chrome.save_screenshot(str(taken[-1]))

        adapt_to(chrome, url, site, shot)
    return taken


def main() -> None:
    """Take the pictures that the documentation shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--study", default="", help="such as hospital-b-study-0007")
    parser.add_argument("--sign", default="", help="such as perihilar_haze")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--size", nargs=2, type=int, default=(WIDTH, HEIGHT), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument(
        "--as", dest="person", default=account(), metavar="NAME", help="who is signed in (default: you)"
    )
    parser.add_argument("--adapt", metavar="SITE", help="adapt the model to it instead, and picture that")
    arguments = parser.parse_args()
    if arguments.adapt:
        for path in photograph_adapting(arguments.workspace, arguments.out, arguments.adapt, arguments.person):
            print(path)
        return
    taken = photograph(
        arguments.workspace,
        arguments.out,
        arguments.study,
        arguments.sign,
        person=arguments.person,
        theme=arguments.theme,
        size=(arguments.size[0], arguments.size[1]),
    )
    for path in taken:
        print(path)


if __name__ == "__main__":
    main()
