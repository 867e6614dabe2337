"""How long a clinician waits: opening a study from the worklist, correcting a sign, and both with ten people at once.

    python training/benchmarks/reading_room.py --workspace WORKSPACE [--studies 2000] [--users 10] [--repeats 20] [--think 5]

WORKSPACE is one that `osler demo` has made; phantoms are added until it has enough studies. The real command serves it, and
a headless Chromium on the same machine looks at it: times run from the key press to what is drawn, by the browser's clock.
Four lines are measured:

- one person: one browser, nobody else.
- ten people at the same instant, one of them seen: one browser draws, and nine sessions ask the same of the server over its
  websocket at the same moment and draw nothing (`reader_session.py`), since nine readers have nine computers of their own.
- ten people each thinking some seconds: the same, where each reader goes on at a pace of their own, at random times.
- ten browsers on these cores: ten Chromium pages beside the server, which measures mostly the drawing of ten pages.

Beside the times stands what processor time the server took and what all browsers took, from /proc. Needs the development
tools (playwright, Chromium) and Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from reader_session import ReaderSession

from osler.archive import Archive
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_dashboard.screenshots import Address, serving
from osler_training.demo.hospitals import CONTRACT
from osler_training.recipes.recipe import DemoRecipe, load_recipe

SIZE, SITE, SEED = 384, "hospital_c", 77
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# Components live in open shadow roots: `seen` looks into all of them.
HELPERS = """
window.seen = (selector, root = document) => {
  const found = [...root.querySelectorAll(selector)];
  for (const one of root.querySelectorAll('*')) if (one.shadowRoot) found.push(...window.seen(selector, one.shadowRoot));
  return found;
};
window.clock = (act, done) => {
  window.took = null;
  const began = performance.now();
  act();
  const look = () => (done() ? (window.took = performance.now() - began) : setTimeout(look, 4));
  look();
};
window.shown = (name) => window.seen('.o-study-name b').some((one) => one.textContent === name)
  && window.seen('.viewer').some((one) => one.dataset.ready === name)
  && window.seen('.evidence').some((one) => one.dataset.study === name);
window.noted = (sign, words) => window.seen(`.evidence .row[data-id="${sign}"] small`).some((one) => one.textContent === words);
"""


def filled(root: Path, studies: int) -> tuple[Workspace, float]:
    """Add phantoms until the archive has so many studies; return the workspace and the seconds that took."""
    workspace, began = Workspace.open(root), time.monotonic()
    missing = studies - len(Archive(workspace).studies())
    if missing > 0:
        with tempfile.TemporaryDirectory() as folder:
            phantoms = Path(folder) / "phantoms"
            more = ["--studies", str(missing), "--seed", str(SEED), "--size", str(SIZE), "--workers", "0"]
            command = [sys.executable, "-m", "osler.cli.main", "phantom", str(phantoms), "--site", SITE, *more]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            # As `osler demo` makes it: an archive takes pseudonyms of one key only.
            seed = load_recipe(DemoRecipe, "demo").seed
            key = hashlib.sha256(f"phantom key {seed}".encode()).digest()
            ingest(phantoms, site=SITE, workspace=workspace, contract=CONTRACT, key=key, workers=0)
    return workspace, time.monotonic() - began


def signed_in(browser: Browser, url: Address) -> Page:
    """Open the worklist as one more person, and wait until every study has its finding."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(600_000)
    context.add_init_script(HELPERS)
    page = context.new_page()
    page.goto(url.entry())
    page.locator(".worklist .line").first.wait_for()
    page.get_by_text("The model is reading the studies").wait_for(state="hidden")
    return page


def timed(page: Page, act: str, done: str) -> Callable[[], float]:
    """Do something in a page and start its clock; the answer waits for the end and returns milliseconds."""
    page.evaluate(f"window.clock(() => {{ {act} }}, () => {done})")
    return lambda: float(page.wait_for_function("window.took", polling=20).json_value())


def opening(page: Page, row: int) -> Callable[[], float]:
    """Open a row of the worklist."""
    page.locator(".worklist .line").first.wait_for()
    name = page.evaluate(
        "(row) => { const list = window.seen('.worklist .body')[0]; list.scrollTop = 0; "
        "return window.seen('.line')[row].dataset.name; }",
        row,
    )
    chosen = f"window.seen('.line').find((one) => one.dataset.name === {json.dumps(name)}).click()"
    return timed(page, chosen, f"window.shown({json.dumps(name)})")


def back(page: Page) -> None:
    """Go back to the worklist."""
    page.locator(".st-key-to-worklist button").click()
    page.locator(".worklist .line").first.wait_for()
    page.wait_for_timeout(300)


def correcting(page: Page, number: int) -> Callable[[], float]:
    """Set the second sign of the list to present or absent, in turns, by its key."""
    page.wait_for_function("window.seen('.evidence .row').length > 1")
    sign = page.evaluate("window.seen('.evidence .row')[1].dataset.id")
    key, words = (("p", "you set: present"), ("a", "you set: absent"))[number % 2]
    act = (
        f"window.seen('.evidence .row[data-id=\"{sign}\"]')[0]"
        f".dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true, cancelable: true}}))"
    )
    return timed(page, act, f"window.noted({json.dumps(sign)}, {json.dumps(words)})")


def alone(page: Page, repeats: int) -> dict[str, list[float]]:
    """Return the times of one person: studies opened first, opened again, and signs corrected."""
    times: dict[str, list[float]] = {"opened first": [], "opened again": [], "corrected": []}
    for kind in ("opened first", "opened again"):
        for row in range(repeats):
            times[kind].append(opening(page, row % 10)())
            back(page)
    times["opened first"] = times["opened first"][:10]  # the rest had been opened before
    opening(page, 0)()
    page.wait_for_timeout(500)
    for number in range(repeats):
        times["corrected"].append(correcting(page, number)())
        page.wait_for_timeout(150)
    return times


def browsers(pages: list[Page], repeats: int) -> dict[str, list[float]]:
    """Return the times of several people who do the same at the same moment, each in a browser on this machine."""
    times: dict[str, list[float]] = {"opened again": [], "corrected": []}
    for number in range(repeats):
        ends = [opening(page, (place + number) % 10) for place, page in enumerate(pages)]
        times["opened again"] += [end() for end in ends]
        ends = [correcting(page, number) for page in pages]
        times["corrected"] += [end() for end in ends]
        for page in pages:
            back(page)
    return times


def at_once(page: Page, others: list[ReaderSession], repeats: int) -> dict[str, list[float]]:
    """Return what one reader sees while others ask the same of the server at the same instant, and what the others wait."""
    kinds = ("opened again", "corrected")
    times: dict[str, list[float]] = {f"{kind}{who}": [] for who in ("", " (no screen)") for kind in kinds}
    names = others[0].names[:10] if others else []

    def all_do(kind: str, begin: Callable[[], Callable[[], float]], act: Callable[[ReaderSession, int], float]) -> None:
        waits: list[float] = []
        start = threading.Event()

        def one(reader: ReaderSession, place: int) -> None:
            start.wait()
            waits.append(act(reader, place))

        threads = [threading.Thread(target=one, args=(reader, place)) for place, reader in enumerate(others, start=1)]
        for thread in threads:
            thread.start()
        start.set()
        times[kind].append(begin()())
        for thread in threads:
            thread.join()
        times[f"{kind} (no screen)"] += waits

    for number in range(repeats):
        place_now, answer = number % 10, ("present", "absent")[number % 2]
        all_do(
            "opened again",
            lambda place=place_now: opening(page, place),  # type: ignore[misc]
            lambda reader, place, number=number: reader.open(names[(place + number) % 10]),  # type: ignore[misc]
        )
        page.wait_for_timeout(500)
        all_do(
            "corrected",
            lambda number=number: correcting(page, number),  # type: ignore[misc]
            lambda reader, _, answer=answer: reader.correct(answer),  # type: ignore[misc]
        )
        page.wait_for_timeout(300)
        for reader in others:
            reader.back()
        back(page)
    return times


def at_a_pace(page: Page, others: list[ReaderSession], repeats: int, think: float) -> dict[str, list[float]]:
    """Return what one reader sees while others read at a pace of their own: open, think, correct, think, go back."""
    times: dict[str, list[float]] = {"opened again": [], "corrected": []}
    # Other studies than the one seen: all are one account, and an answer that is set already would be noted at once.
    over, names = threading.Event(), others[0].names[10:20] if others else []

    def read(reader: ReaderSession, seed: int) -> None:
        pause, number = Random(seed), 0
        over.wait(pause.uniform(0, think))
        while not over.is_set():
            reader.open(names[(seed + number) % 10])
            over.wait(pause.uniform(0, 2 * think))
            reader.correct(("present", "absent")[number % 2])
            over.wait(pause.uniform(0, 2 * think))
            reader.back()
            number += 1

    threads = [threading.Thread(target=read, args=(reader, seed)) for seed, reader in enumerate(others)]
    for thread in threads:
        thread.start()
    for number in range(repeats):
        times["opened again"].append(opening(page, number % 10)())
        page.wait_for_timeout(1000 * think)
        times["corrected"].append(correcting(page, number + number // 10)())
        page.wait_for_timeout(1000 * think)
        back(page)
    over.set()
    for thread in threads:
        thread.join()
    return times


def processor_seconds() -> tuple[float, float]:
    """Return the processor time of the server and of the browsers under this process, in seconds."""
    parents, spent, words = dict[int, int](), dict[int, float](), dict[int, str]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            held = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            parents[int(folder.name)] = int(held[1])
            spent[int(folder.name)] = (int(held[11]) + int(held[12])) / os.sysconf("SC_CLK_TCK")
            words[int(folder.name)] = (folder / "cmdline").read_text(encoding="utf-8", errors="replace")
    own, more = {os.getpid()}, {os.getpid()}
    while more:
        more = {one for one, parent in parents.items() if parent in more}
        own |= more
    own.discard(os.getpid())
    server = sum(spent[one] for one in own if "streamlit" in words[one])
    return server, sum(spent[one] for one in own if "chrom" in words[one].split("\0")[0])


def measured(work: Callable[[], dict[str, list[float]]]) -> dict[str, Any]:
    """Do some work; return its times, and the processor seconds that server and browsers took for it."""
    server, drawing = processor_seconds()
    began = time.monotonic()
    found: dict[str, Any] = summary(work())
    after = processor_seconds()
    found["wall_s"] = round(time.monotonic() - began, 1)
    found["server_cpu_s"], found["browser_cpu_s"] = round(after[0] - server, 1), round(after[1] - drawing, 1)
    found["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found), file=sys.stderr)
    return found


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Return median, slowest and number of each kind, in milliseconds."""
    return {
        kind: {"median_ms": round(median(held)), "slowest_ms": round(max(held)), "n": len(held)}
        for kind, held in times.items()
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--think", type=float, default=5.0, help="seconds between two steps of a reader, on average")
    arguments = parser.parse_args()
    workspace, filling = filled(arguments.workspace, arguments.studies)
    found: dict[str, Any] = {"studies": len(Archive(workspace).studies()), "filled_s": round(filling, 1)}
    found["cores"], found["load_before"] = os.cpu_count(), round(os.getloadavg()[0], 1)
    chromium = shutil.which("chromium")
    began = time.monotonic()
    with serving(arguments.workspace, "--as", "Reader") as url, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=SWITCHES)
        page = signed_in(browser, url)
        found["all_read_s"] = round(time.monotonic() - began, 1)
        opening(page, 0)()
        page.get_by_text("Comparing with the other studies").wait_for(state="hidden")
        found["all_compared_s"] = round(time.monotonic() - began, 1)
        back(page)
        found["one person"] = measured(lambda: alone(page, arguments.repeats))
        page.close()
        page, people = signed_in(browser, url), f"{arguments.users} people"
        others = [ReaderSession(url.entry()) for _ in range(arguments.users - 1)]
        found[f"{people} at the same instant, one seen"] = measured(lambda: at_once(page, others, arguments.repeats))
        found[f"{people} thinking {arguments.think:g} s, one seen"] = measured(
            lambda: at_a_pace(page, others, arguments.repeats, arguments.think)
        )
        for reader in others:
            reader.close()
        pages = [page, *(signed_in(browser, url) for _ in range(arguments.users - 1))]
        rounds = max(2, arguments.repeats // arguments.users)
        found[f"{people} at the same instant, all browsers here"] = measured(lambda: browsers(pages, rounds))
        browser.close()
    found["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
