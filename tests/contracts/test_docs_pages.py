"""Data Docs: our words on them, no value of a patient, no key, no path, nothing fetched."""

from __future__ import annotations

import datetime
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from osler_contracts.contract import load_contract
from osler_contracts.docs import write_docs
from osler_contracts.headers import COLUMNS, header_table

PLANTED = "DOE^JANE 19550820"
TODAY = datetime.date(2024, 2, 28)


def _text(page: Path) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pages of a check of planted values, one column left out."""
    columns = [column for column in COLUMNS if column != "patient_age"]
    rows = [{"key": key, **dict.fromkeys(columns, PLANTED)} for key in ("secretkey1", "secretkey2")]
    out = tmp_path_factory.mktemp("docs") / "pages"
    write_docs(load_contract("chest-radiograph"), out, header_table(rows, columns), TODAY, ["1.2.840.10008.1.2"])
    return out


def test_no_value_key_path_or_address_is_on_any_page(folder: Path) -> None:
    pages = sorted(folder.rglob("*"))
    assert [page.name for page in pages] == ["check.html", "contract.html", "index.html"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for word in (
            "DOE",
            "JANE",
            "19550820",
            "secretkey",
            "http:",
            "https:",
            "<script",
            "<link",
            str(folder),
            "/tmp",
        ):
            assert word not in text, f"{word} on {page.name}"


def test_every_clause_says_its_sentence_code_and_standard_on_every_page(folder: Path) -> None:
    pages = {page.stem: _text(page) for page in folder.glob("*.html")}
    for clause in load_contract("chest-radiograph").clauses:
        for text in pages.values():
            assert " ".join(clause.sentence.split()) in text, clause.name
        assert f"{clause.code}; {clause.clause}" in pages["contract"], clause.name


def test_what_could_not_be_checked_stands_apart_from_what_is_violated(folder: Path) -> None:
    text = _text(folder / "check.html")
    apart, results = text.split("Expectation Validation Result", 1)
    assert "age-plausible warn the table lacks patient_age" in apart
    assert "age-plausible" not in results
    assert "modality refuse" not in apart
    assert "2 unexpected values found" in results


def test_a_contract_alone_and_an_empty_table_make_pages(tmp_path: Path) -> None:
    written = write_docs(load_contract("dermoscopy"), tmp_path / "alone")
    assert [page.name for page in written.pages] == ["index.html", "contract.html"]
    empty = write_docs(load_contract("dermoscopy"), tmp_path / "empty", header_table([]), TODAY)
    assert "Check of 0 headers" in empty.pages[-1].read_text(encoding="utf-8")


@pytest.mark.system
def test_a_browser_shows_titles_and_states_and_asks_for_nothing(folder: Path) -> None:
    options = ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    browser = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    try:
        for name in ("index", "contract", "check"):
            browser.get((folder / f"{name}.html").as_uri())
            assert "chest-radiograph, version" in browser.title
            assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
            assert browser.execute_script("return document.body.scrollWidth <= window.innerWidth")
        shown = browser.execute_script(
            "return [...document.querySelectorAll('i')].map(i => getComputedStyle(i, '::before').content)"
        )
        assert {'"held"', '"violated"'} <= {*shown}
    finally:
        browser.quit()
