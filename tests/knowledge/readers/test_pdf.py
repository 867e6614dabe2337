"""PDF: what matplotlib prints can be read back page by page; damage, passwords and scans are told apart."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from pypdf import PdfReader, PdfWriter

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Limits, Options, Refusal
from osler_knowledge.readers.read import read

Given = Callable[..., list[Entry | Refusal]]
PAGES = ("Septal lines are short.", "They reach the pleura.")


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """A PDF of two pages with a title and a date."""
    path = tmp_path / "atlas.pdf"
    facts = {"Title": "An atlas", "CreationDate": datetime.datetime(2021, 5, 4, tzinfo=datetime.UTC)}
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata=facts) as pages:
        for text in PAGES:
            figure = Figure()
            figure.text(0.1, 0.5, text)
            pages.savefig(figure)
    return path


def test_pages_are_sections(printed: Path) -> None:
    (entry,) = read([printed], Options(licence="own"))
    assert isinstance(entry, Entry)
    assert (entry.id, entry.title, entry.edition, entry.licence) == ("atlas", "An atlas", "2021-05-04", "own")
    parts = [(one.title, entry.text[one.start : one.end]) for one in entry.sections]
    assert parts == [("page 1", PAGES[0]), ("page 2", PAGES[1])]


def test_a_damaged_file_a_locked_one_and_a_scan_are_told_apart(printed: Path, given: Given, tmp_path: Path) -> None:
    content = printed.read_bytes()
    locked, scan = PdfWriter(clone_from=PdfReader(printed)), PdfWriter()
    locked.encrypt("a password", algorithm="RC4-128")
    locked.write(tmp_path / "locked.pdf")
    scan.add_blank_page(100, 100)
    scan.write(tmp_path / "scan.pdf")
    for name, expected in (("locked.pdf", Code.DOCUMENT_INVALID), ("scan.pdf", Code.DOCUMENT_EMPTY)):
        (refusal,) = read([tmp_path / name], Options())
        assert isinstance(refusal, Refusal)
        assert refusal.code == expected
    for damaged in (b"", b"%PDF-1.7\n", content[: len(content) // 3], b"words"):
        (refusal,) = given("damaged.pdf", damaged)
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.DOCUMENT_INVALID
    (refusal,) = read([printed], Options(limits=Limits(pages=1)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_TOO_LARGE
