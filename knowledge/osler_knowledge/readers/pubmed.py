"""PubMed's XML of citations, as the yearly baseline and E-utilities give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, compose, finish
from osler_knowledge.readers.records import first, records, text_of

_MOST_AUTHORS = 3


def read_pubmed(path: Path, name: str, options: Options) -> Reading:
    """Read each citation with an abstract; labelled parts of the abstract are sections.

    Raises:
        OslerError: As `records`.
    """
    for number, article in enumerate(records(path, ("PubmedArticle", "PubmedBookArticle"), options), 1):
        yield finish(_entry(article), f"{name}:{number}", options)


def _entry(article: Any) -> Entry:
    pmid = text_of(first(article, "MedlineCitation/PMID", "BookDocument/PMID"))
    abstract = first(article, "MedlineCitation/Article/Abstract", "BookDocument/Abstract")
    title = text_of(first(article, "MedlineCitation/Article/ArticleTitle", "BookDocument/ArticleTitle"))
    blocks = [] if abstract is None else abstract.findall("AbstractText")
    text, sections = compose((block.get("Label", ""), [text_of(block)]) for block in blocks)
    rights = "" if abstract is None else text_of(abstract.find("CopyrightInformation"))
    date = _date(article)
    return Entry(
        id=f"pubmed:{pmid}" if pmid else "",
        title=title,
        text=text,
        references=(_reference(article, title, date, pmid),),
        licence=rights,
        clinically_reviewed=False,
        edition=date,
        source=f"PubMed {pmid}",
        sections=sections,
    )


def _date(article: Any) -> str:
    """Return the date of publication as far as it is stated: `2019 Mar`, or what Medline wrote."""
    date = first(article, "MedlineCitation/Article/Journal/JournalIssue/PubDate", "BookDocument/Book/PubDate")
    if date is None:
        return ""
    written = text_of(date.find("MedlineDate"))
    return written or " ".join(part for part in (text_of(date.find("Year")), text_of(date.find("Month"))) if part)


def _reference(article: Any, title: str, date: str, pmid: str) -> str:
    people = article.findall(".//AuthorList/Author")
    names = [f"{text_of(one.find('LastName'))} {text_of(one.find('Initials'))}".strip() for one in people]
    names = [one for one in names if one]
    authors = ", ".join(names[:_MOST_AUTHORS]) + (" et al" if len(names) > _MOST_AUTHORS else "")
    journal = text_of(first(article, "MedlineCitation/Article/Journal/Title", "BookDocument/Book/BookTitle"))
    parts = [part.rstrip(".") for part in (authors, title, journal, date, f"PMID {pmid}") if part]
    return ". ".join(parts) + "."
