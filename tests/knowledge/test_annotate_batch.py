"""Batches: kept by content, resumed after a kill; and tables with bad rows."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge import report_table
from osler_knowledge.annotate import Annotator, Phrases
from osler_knowledge.annotate_batch import PhraseReader, annotate_batch, rules_digest
from osler_knowledge.report_findings import load_findings, read_findings, report_findings
from osler_knowledge.report_table import BadRow, Report, ReportTable

PHRASES = {"effusion": Phrases(("effusion",)), "nodule": Phrases(("nodule",))}
TEXTS = [f"{'No' if number % 3 else 'Left'} effusion. Nodule of {number} mm." for number in range(600)]


def table(folder: Path, content: bytes | str, *columns: str, id_column: str | None = None) -> list[Report | BadRow]:
    path = folder / "reports.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(ReportTable(path, columns or ("text",), id_column))


def test_a_second_run_reads_nothing_and_says_the_same(tmp_path: Path) -> None:
    cache = tmp_path / "kept.sqlite"
    first = list(annotate_batch(TEXTS, PhraseReader(PHRASES), cache))
    second = list(annotate_batch(TEXTS, PhraseReader(PHRASES), cache))
    assert [one.mentions for one in second] == [one.mentions for one in first]
    assert [one.mentions for one in first] == list(Annotator(PHRASES).all_mentions(TEXTS))
    assert not any(one.kept for one in first)
    assert all(one.kept for one in second)


def test_other_phrases_are_read_anew(tmp_path: Path) -> None:
    cache = tmp_path / "kept.sqlite"
    list(annotate_batch(TEXTS[:5], PhraseReader(PHRASES), cache))
    other = {**PHRASES, "nodule": Phrases(("nodule", "mass"))}
    assert rules_digest(other) != rules_digest(PHRASES)
    assert not any(one.kept for one in annotate_batch(TEXTS[:5], PhraseReader(other), cache))


def test_no_word_of_a_report_is_kept(tmp_path: Path) -> None:
    cache = tmp_path / "kept.sqlite"
    list(annotate_batch(["Effusion in Zebulon Quux."], PhraseReader(PHRASES), cache))
    assert b"effusion" in cache.read_bytes()
    assert b"Zebulon" not in cache.read_bytes()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """The process is killed while it reads; what it had committed is found again, and the answers are the same."""
    cache = tmp_path / "kept.sqlite"

    def stream() -> Iterator[str]:
        for number, text in enumerate(TEXTS):
            if number == 550:
                os.kill(os.getpid(), signal.SIGKILL)
            yield text

    child = os.fork()
    if child == 0:
        try:
            list(annotate_batch(stream(), PhraseReader(PHRASES), cache))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    outcomes = list(annotate_batch(TEXTS, PhraseReader(PHRASES), cache))
    assert [one.kept for one in outcomes] == [True] * 512 + [False] * 88
    assert [one.mentions for one in outcomes] == list(Annotator(PHRASES).all_mentions(TEXTS))


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "kept.sqlite"
    cache.write_bytes(b"something else entirely" * 100)
    with pytest.raises(OslerError) as caught:
        list(annotate_batch(TEXTS[:1], PhraseReader(PHRASES), cache))
    assert caught.value.code == Code.WORKSPACE_INVALID
    assert cache.read_bytes().startswith(b"something else")


def test_bad_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = [
        "id,text",
        "a,Effusion.",
        "b,",
        "c,one,too many",
        "a,Nodule.",
        'd,"quoted ""twice"", with a comma\nand a line"',
        'e,"broken" quote',
        ",Nodule.",
        "",
        "f,last",
    ]
    content = "\n".join(rows).encode() + b"\ng,caf\xe9\n"
    read = table(tmp_path, content, id_column="id")
    good = {one.id: one.text for one in read if isinstance(one, Report)}
    assert good == {"a": "Effusion.", "d": 'quoted "twice", with a comma\nand a line', "f": "last"}
    assert [(one.row, one.code) for one in read if isinstance(one, BadRow)] == [
        (2, Code.ROW_EMPTY),
        (3, Code.ROW_INVALID),
        (4, Code.ROW_REPEATED),
        (6, Code.ROW_INVALID),
        (7, Code.ROW_REPEATED),
        (10, Code.ROW_ENCODING),
    ]


def test_a_line_that_is_too_long_costs_its_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_table, "LONGEST_LINE", 1000)
    read = table(tmp_path, "text\nfirst\n" + "x" * 50_000 + "\nlast\n")
    assert [one.code if isinstance(one, BadRow) else one.text for one in read] == ["first", Code.ROW_INVALID, "last"]


@pytest.mark.parametrize("content", ["", "other\nEffusion.\n", "text,text\na,b\n", '"te"xt\nEffusion.\n'])
def test_a_table_without_the_column_is_one_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(OslerError) as caught:
        table(tmp_path, content)
    assert caught.value.code == Code.TABLE_INVALID


def test_a_table_that_is_not_there_or_an_encoding_that_is_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        list(ReportTable(tmp_path / "none.csv", ["text"]))
    assert caught.value.code == Code.UNREADABLE
    (tmp_path / "some.csv").write_text("text\na\n", encoding="utf-8")
    with pytest.raises(OslerError) as caught:
        list(ReportTable(tmp_path / "some.csv", ["text"], encoding="klingon"))
    assert caught.value.code == Code.TABLE_INVALID


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=4))
def test_what_csv_writes_is_read_again(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    clean = [(a.replace("\0", ""), b.replace("\0", "")) for a, b in rows]
    clean = [(a, b) for a, b in clean if not any("\ud800" <= one <= "\udfff" for one in a + b)]
    path = tmp_path_factory.mktemp("table") / "reports.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *clean])
    read = list(ReportTable(path, ("a", "b")))
    assert [one.cells if isinstance(one, Report) else ("", "") for one in read] == [
        pair if any(one.strip() for one in pair) else ("", "") for pair in clean
    ]
    for one in read:
        if isinstance(one, Report):
            second = len(one.cells[0]) + 2
            assert one.place(second) == (1, 0)
            assert one.place(0) == (0, 0)


def test_lists_of_findings_are_checked(tmp_path: Path) -> None:
    assert len(report_findings()) == 15
    bad = ["", "findings: []", "findings: [{id: a}]", "findings: [{id: a, terms: [x], extra: 1}]", "[", "findings: 3"]
    bad += ["findings: [{id: a, terms: [x]}, {id: a, terms: [y]}]", "findings: [{id: a, terms: [1]}]"]
    for text in bad:
        with pytest.raises(OslerError) as caught:
            read_findings(text)
        assert caught.value.code == Code.CORPUS_INVALID
    with pytest.raises(OslerError) as caught:
        load_findings(tmp_path / "none.yaml")
    assert caught.value.code == Code.CORPUS_INVALID
    with pytest.raises(OslerError) as caught:
        report_findings("none")
    assert caught.value.code == Code.UNKNOWN_FILE
