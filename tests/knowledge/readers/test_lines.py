"""JSON lines, tables of reports, Markdown and plain text: one bad record costs that record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as sampled
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry, Section, load_corpus
from osler_knowledge.readers.base import Limits, Options, Refusal, compose
from osler_knowledge.readers.read import Tally, read

Given = Callable[..., list[Entry | Refusal]]
COLUMNS = Options(columns=("findings", "impression"))


def codes(found: list[Entry | Refusal]) -> list[str]:
    return [one.id if isinstance(one, Entry) else f"{one.name} {one.code}" for one in found]


def test_lines_as_medrag_writes_them(given: Given) -> None:
    record = {"id": "Anatomy_Gray_0", "title": "Anatomy_Gray", "content": "What is\nanatomy?", "contents": "x. y"}
    record |= {"PMID": 5, "year": 1918, "license": "public domain"}
    assert given("chunk.jsonl", json.dumps(record)) == [
        Entry(
            "Anatomy_Gray_0",
            "Anatomy_Gray",
            "What is\nanatomy?",
            ("PMID 5",),
            "public domain",
            False,
            "1918",
            "chunk.jsonl",
        )
    ]


def test_each_bad_line_is_named_by_its_number_and_the_rest_goes_on(given: Given) -> None:
    lines = [
        b'{"id": "a", "content": "fine"}',
        b"",
        b"{not json",
        b'{"id": "b", "content": "na\xefve"}',
        b'{"id": "c", "content": " "}',
        b'["d"]',
        b'{"title": "no id", "content": "x"}',
        b'{"id": "e", "content": "' + b"x" * 2000 + b'"}',
        b"[" * 900,
        b'{"id": "f", "content": "lone \\ud800 and \\u0000 end"}',
        b'{"id": "", "content": "x"}',
    ]
    found = given("c.jsonl", b"\n".join(lines), Options(limits=Limits(record=1000)))
    assert codes(found) == [
        "a",
        "c.jsonl:3 document-invalid",
        "c.jsonl:4 document-encoding",
        "c.jsonl:5 document-empty",
        "c.jsonl:6 document-invalid",
        "c.jsonl:7 document-invalid",
        "c.jsonl:8 document-too-large",
        "c.jsonl:9 document-invalid",
        "f",
        "c.jsonl:11 document-invalid",
    ]
    kept = found[8]
    assert isinstance(kept, Entry)
    assert kept.text == "lone \N{REPLACEMENT CHARACTER} and   end"


BOUNDED = """
import resource, sys
from pathlib import Path
from osler_knowledge.readers.base import Options
from osler_knowledge.readers.read import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for one in read([Path(name) for name in sys.argv[1:]], Options(columns=("text",))):
    print(getattr(one, "id", None) or one.code)
"""


def test_a_line_of_a_gigabyte_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    names = ["big.jsonl", "big.csv", "big.txt", "big.md", "big.pdf", "big.xml"]
    for name in names:
        with (tmp_path / name).open("wb") as stream:
            stream.write(b"text\n" if name.endswith("csv") else b"")
            stream.truncate(2**30)
    with (tmp_path / "big.jsonl").open("ab") as stream:
        stream.write(b'\n{"id": "after", "content": "the line"}\n')
    paths = [str(tmp_path / name) for name in names]
    done = subprocess.run([sys.executable, "-c", BOUNDED, *paths], capture_output=True, text=True, check=True)
    large = "document-too-large"
    assert done.stdout.split() == [large, "after", large, large, large, large, "document-invalid"]


TABLE = (
    "uid,findings,mesh,impression\n"
    'CXR1,"Clear lungs.\nNo effusion.",normal,Normal.\n'
    "CXR2,,Opacity,Nodule.\n"
    "CXR3,,secret word,\n"
    "CXR4,short\n"
    ",Without name.,x,y\n"
)


def test_a_table_gives_a_document_a_row_and_a_section_a_column(given: Given) -> None:
    found = given("reports.csv", TABLE, COLUMNS)
    first = found[0]
    assert isinstance(first, Entry)
    assert (first.id, first.title, first.source) == ("reports:CXR1", "Report CXR1", "reports CXR1")
    assert first.text == "Clear lungs.\nNo effusion.\nNormal."
    assert first.sections == (Section("findings", 0, 25), Section("impression", 26, 33))
    assert codes(found)[1:] == [
        "reports:CXR2",
        "reports.csv:3 document-empty",
        "reports.csv:4 document-invalid",
        "reports.csv:5 document-invalid",
    ]
    assert not any("secret" in str(one) for one in found)


def test_a_table_that_cannot_be_read_is_refused_without_a_word_of_it(given: Given) -> None:
    expected = {
        "no column is named": (TABLE, Options(), Code.DOCUMENT_INVALID),
        "a column is missing": (TABLE, Options(columns=("report",)), Code.DOCUMENT_INVALID),
        "an id column is missing": (TABLE, Options(columns=("findings",), id_column="key"), Code.DOCUMENT_INVALID),
        "a quote stays open": ('uid,findings,impression\nA,"' + "x" * 200_000, COLUMNS, Code.DOCUMENT_INVALID),
        "it is empty": ("", COLUMNS, Code.DOCUMENT_INVALID),
    }
    for name, (content, options, code) in expected.items():
        (refusal,) = given("reports.csv", content, options)
        assert isinstance(refusal, Refusal), name
        assert refusal.code == code, name
        assert "CXR" not in refusal.message, name


def test_a_row_in_another_encoding_is_refused_only_where_it_is_read(given: Given) -> None:
    rows = ["uid,findings,note", "1,Clear,na\xefve", "2,na\xefve,Clear", "3,Gr\xf6\xdfe,x"]
    content = "\n".join(rows[:3]).encode("latin-1") + b"\n" + rows[3].encode()
    assert codes(given("r.csv", content, Options(columns=("findings",)))) == ["r:1", "r.csv:2 document-encoding", "r:3"]


def test_rows_without_an_identifier_are_numbered(given: Given) -> None:
    assert codes(given("r.csv", "\ufefftext\nOne\nTwo\n", Options(columns=("text",)))) == ["r:1", "r:2"]


def test_our_markdown_reads_as_the_starter_corpus_does(tmp_path: Path) -> None:
    source = load_corpus().entries[0]
    content = (
        f"---\nid: {source.id}\ntitle: {source.title}\nlicence: {source.licence}\nclinically_reviewed: false\n"
        f"references: {json.dumps(source.references)}\n---\n\n" + source.text.replace("\n", "\n\n") + "\n"
    )
    (tmp_path / "one.md").write_text(content)
    assert list(read([tmp_path], Options(licence="never used"))) == [source]
    assert load_corpus(tmp_path).entries == (source,)


def test_other_markdown_has_its_headings_as_sections(given: Given) -> None:
    text = "Before.\n\n# Lung *signs*\n\nOne line\ngoes on.\n\n```\n# not a heading\n```\n\n## Air ##\n- bronchogram\n"
    (entry,) = given("notes.md", text)
    assert isinstance(entry, Entry)
    assert (entry.id, entry.title) == ("notes", "Lung *signs*")
    parts = [(one.title, entry.text[one.start : one.end]) for one in entry.sections]
    assert parts == [("Lung *signs*", "One line goes on.\n``` # not a heading ```"), ("Air", "- bronchogram")]


def test_plain_text_has_a_line_a_paragraph(given: Given) -> None:
    (entry,) = given("a.txt", "\ufeffFirst\nline.\r\n\r\nSecond.", Options("CC0", "3rd edition"))
    assert isinstance(entry, Entry)
    assert (entry.text, entry.licence, entry.edition) == ("First line.\nSecond.", "CC0", "3rd edition")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", "", Code.DOCUMENT_EMPTY),
        ("a.txt", " \n\t", Code.DOCUMENT_EMPTY),
        ("a.txt", b"caf\xe9", Code.DOCUMENT_ENCODING),
        ("a.txt", "é".encode() + b" then caf\xe9", Code.DOCUMENT_ENCODING),
        ("a.md", "---\nid: [\n---\n", Code.DOCUMENT_INVALID),
        ("a.md", "---\ntitle: no end", Code.DOCUMENT_INVALID),
        ("a.docx", "x", Code.DOCUMENT_UNKNOWN_FORMAT),
        ("a", "x", Code.DOCUMENT_UNKNOWN_FORMAT),
        ("a.txt", "word " * 1200, Code.DOCUMENT_TOO_LARGE),
    ],
)
def test_each_fault_has_its_code(given: Given, name: str, content: str | bytes, code: Code) -> None:
    (refusal,) = given(name, content, Options(limits=Limits(record=10_000, text=5000)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert refusal.name == name


def test_missing_files_and_folders_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "deep/.hidden.txt", ".DS_Store"):
        (tmp_path / name).write_text("text")
    tally = Tally()
    found = list(tally.accepted(read([tmp_path / "gone.txt", tmp_path], Options())))
    assert [one.id for one in found] == ["a", "b", "deep/er/c"]
    assert tally.counts == {Code.DOCUMENT_MISSING: 1}
    assert tally.first[Code.DOCUMENT_MISSING] == ["gone.txt: There is no such file."]


def test_a_tally_does_not_grow() -> None:
    tally = Tally()
    assert list(tally.accepted(Refusal(f"f{i}", Code.DOCUMENT_EMPTY, "x") for i in range(1000))) == []
    assert tally.total == 1000
    assert len(tally.first[Code.DOCUMENT_EMPTY]) == 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@sampled(
    st.lists(
        st.tuples(st.text("ab \n", max_size=5), st.lists(st.text("xy \n\u00a0", max_size=8), max_size=4)), max_size=6
    )
)
def test_sections_are_the_lines_that_were_given(parts: list[tuple[str, list[str]]]) -> None:
    text, sections = compose(parts)
    kept = [(title, [" ".join(one.split()) for one in some if one.split()]) for title, some in parts]
    assert text == "\n".join(line for _, some in kept for line in some)
    titled = [(" ".join(title.split()), "\n".join(some)) for title, some in kept if some and title.split()]
    assert [(one.title, text[one.start : one.end]) for one in sections] == titled
