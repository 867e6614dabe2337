"""The bank report: figures of a planted world, and a page that says them without running anything."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from osler.archive import Archive
from osler.banks import BankStore
from osler.cli.main import main
from osler.quality.measure import Quality, Studies, compare, measure
from osler.quality.page import page
from osler.workspace import Workspace
from osler_knowledge.annotate import Mention
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.quality import text_quality
from osler_knowledge.review import Reviewer, accept, retire, with_figures

WHEN = "2025-01-31T09:00:00+00:00"
WHO = Reviewer("Dr <b>A</b>", WHEN, "<script>alert(1)</script>")


def concept(name: str, question: str = "") -> Concept:
    here = Citation("entry", "Title", "a < b", 3, 8, ("Book & Sons",))
    prior = {"pneumonia": PriorEvidence(1, 0.5, here), "heart_failure": PriorEvidence(-1, 0.5, here)}
    return Concept(name, name, question or f"Is {name} seen?", "lungs", here, prior, (name,))


def bank() -> ConceptBank:
    concepts = tuple(map(concept, ("easy", "noise", "turned", "rare")))
    return ConceptBank("tiny", 1, "chest radiograph", ("heart_failure", "pneumonia"), concepts)


def site(name: str, seed: int, turned: int) -> Studies:
    """A site where one concept is feature 0, one is chance, one another feature at each site, and one is never there."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    columns = [x[:, 0] > 0, rng.random(500) > 0.5, x[:, turned] > 0, np.zeros(500, bool)]
    pneumonia = (x[:, 0] + rng.normal(scale=0.1, size=500)) > 0
    findings = np.stack([~pneumonia, pneumonia], axis=1).astype(float)
    return Studies(
        name, x, np.stack(columns, axis=1).astype(float), findings, tuple(f"p{number}" for number in range(500))
    )


@pytest.fixture(scope="module")
def quality() -> Quality:
    mentions = [{"easy": Mention("present" if number % 2 else "absent", 0, 4)} for number in range(40)]
    return Quality(text_quality(bank(), mentions), compare(site("a", 0, 1), site("b", 1, 2), bank(), 0))


def test_planted_concepts_get_the_figures_that_they_deserve(quality: Quality) -> None:
    measured = quality.measured
    assert measured is not None
    assert measured.concepts["easy"].low > 0.9
    assert measured.harder["easy"] == ()
    assert measured.harder["noise"] == ("pneumonia",), "it speaks for pneumonia, and against the other"
    assert np.isnan(measured.concepts["rare"].nap)
    stable = measured.stable
    assert stable["easy"] is not None
    assert stable["turned"] is not None
    assert stable["easy"] > 0.9
    assert abs(stable["turned"]) < 0.5
    assert stable["rare"] is None
    figures = quality.figures()
    assert set(figures["easy"]) == {"coverage", "groundable", "learnability", "stability"}
    assert set(figures["rare"]) == {"coverage", "groundable"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "onload", "onerror")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_the_figures_and_runs_nothing(quality: Quality) -> None:
    held = retire(accept(with_figures(bank(), quality.figures()), "easy", WHO), "noise", WHO)
    html = page(held, quality, WHEN)
    reader = _Reader()
    reader.feed(html)
    assert "script" not in reader.tags
    assert not reader.links
    assert "http" not in html.replace("http-equiv", "")
    for text in (
        "Not clinically reviewed: nobody has accepted 2 of 3",
        "Research use only",
        "50% (35% to 65%)",
        "too rare",
        "unstable",
        "harder than pneumonia",
        "a < b",
        "Book & Sons",
        "Dr <b>A</b>",
        "<script>alert(1)</script>",
        "A report's silence counts as no.",
    ):
        assert text in reader.text
    assert page(held, quality, WHEN) == html


def test_an_archive_without_reports_gives_what_text_can(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "w", create=True)
    found = measure(Archive(workspace), None, bank())
    assert found.measured is None
    assert found.text.concepts == 4
    assert found.missing == ("No study of the archive has a report.",)
    assert "No study of the archive has a report." in page(bank(), found, WHEN)


def test_the_command_writes_the_page_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = BankStore(Workspace.open(tmp_path / "w", create=True), "chest-radiograph")
    store.propose(bank(), Reviewer("osler", WHEN))
    words = ["knowledge", "report", "--workspace", str(tmp_path / "w"), "--json", "--out"]
    assert main([*words, str(tmp_path / "report.html")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["text"]["concepts"] == 4
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    assert main([*words, str(tmp_path / "file" / "report.html")]) == 1
