"""JATS articles and the chapters of StatPearls: sections, licence and identifiers."""

from __future__ import annotations

from collections.abc import Callable

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Refusal

Given = Callable[..., list[Entry | Refusal]]
ARTICLE = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.3//EN" "JATS-archivearticle1-3.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><journal-title-group>
<journal-title>Insights</journal-title></journal-title-group></journal-meta><article-meta>
<article-id pub-id-type="pmid">99</article-id><article-id pub-id-type="pmc">PMC123</article-id>
<title-group><article-title>Septal <italic>lines</italic></article-title></title-group>
<pub-date pub-type="ppub"><year>2019</year></pub-date>
<pub-date pub-type="epub"><day>4</day><month>2</month><year>2020</year></pub-date>
<permissions><license license-type="open-access" xlink:href="https://creativecommons.org/licenses/by/4.0/">
<license-p>Open access.</license-p></license></permissions>
<abstract><p>About   lines.</p></abstract></article-meta></front>
<body><p>Opening words.</p><sec><title>Diagnosis</title><p>See <xref>Fig 1</xref> and
<list><list-item><p>first item</p></list-item><list-item><p>second item</p></list-item></list> after all.</p>
<sec><title>Chest radiograph</title><p>Short lines.</p><fig><label>Fig 1</label><caption><p>A figure.</p></caption></fig>
<table-wrap><table><tr><td>1.0</td></tr></table></table-wrap></sec></sec></body>
<back><ref-list><ref><p>Not this.</p></ref></ref-list></back></article>"""


def test_an_article_keeps_sections_licence_and_identifiers(given: Given) -> None:
    (entry,) = given("a.nxml", ARTICLE)
    assert isinstance(entry, Entry)
    assert (entry.id, entry.title, entry.edition) == ("pmc:123", "Septal lines", "2020-02-04")
    assert entry.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert entry.references == ("Septal lines. Insights. 2020-02-04. pmc:123.",)
    parts = [(one.title, entry.text[one.start : one.end]) for one in entry.sections]
    assert parts == [
        ("Abstract", "About lines."),
        ("Diagnosis", "See Fig 1 and\nfirst item\nsecond item\nafter all."),
        ("Diagnosis > Chest radiograph", "Short lines.\nA figure."),
    ]
    assert entry.text.split("\n")[1] == "Opening words."
    assert "Not this" not in entry.text
    assert "1.0" not in entry.text


CHAPTER = """<book-part-wrapper id="article-27" xmlns="http://example.org/bits"><book-meta><book-title-group>
<book-title>StatPearls</book-title></book-title-group></book-meta><book-part><book-part-meta>
<book-part-id book-part-id-type="art-access-id">NBK430</book-part-id><title-group>
<title>Pneumothorax</title></title-group><pub-history><date date-type="updated"><year>2023</year><month>7</month></date>
</pub-history><permissions><license><license-p>CC BY-NC-ND 4.0</license-p></license></permissions></book-part-meta>
<body><sec><title>Evaluation</title><p>The visceral line.</p></sec></body></book-part></book-part-wrapper>"""


def test_a_chapter_of_a_book_in_its_own_name_space(given: Given) -> None:
    (entry,) = given("article-27.nxml", CHAPTER)
    assert isinstance(entry, Entry)
    assert (entry.id, entry.title, entry.edition) == ("bookshelf:NBK430", "Pneumothorax", "2023-07")
    assert entry.licence == "CC BY-NC-ND 4.0"
    assert [(one.title, entry.text[one.start : one.end]) for one in entry.sections] == [
        ("Evaluation", "The visceral line.")
    ]


def test_a_chapter_without_access_number_goes_by_its_own(given: Given) -> None:
    (entry,) = given("x.nxml", CHAPTER.replace("art-access-id", "pmcid"))
    assert isinstance(entry, Entry)
    assert entry.id == "bookshelf:article-27"


def test_a_set_of_articles_in_one_file_and_one_without_identifier(given: Given) -> None:
    bare = "<article><body><p>Words.</p></body></article>"
    found = given("set.xml", f"<pmc-articleset>{bare}<article><body/></article>{bare}</pmc-articleset>", Options("CC0"))
    assert [one.id for one in found if isinstance(one, Entry)] == ["set", "set:3"]
    assert [one.code for one in found if isinstance(one, Refusal)] == [Code.DOCUMENT_EMPTY]
    assert {one.licence for one in found if isinstance(one, Entry)} == {"CC0"}


def test_other_xml_is_refused(given: Given) -> None:
    for content in ("<html><p>text</p></html>", "", "plain words"):
        (refusal,) = given("a.xml", content)
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.DOCUMENT_INVALID
