"""`osler knowledge index` and `search --index` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.cli.main import main

REPORTS = "uid,findings,impression\nR1,Clear lungs.,Normal chest.\nR2,,\nR3,Small hiatal hernia.,Hernia.\n"


def run(capsys: pytest.CaptureFixture[str], code: int, *words: str | Path) -> dict[str, Any]:
    assert main(["knowledge", *map(str, words), "--json"]) == code
    record = json.loads(capsys.readouterr().out)
    assert isinstance(record, dict)
    return record


def test_reports_are_indexed_searched_and_what_is_refused_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, place = tmp_path / "reports.csv", ("--workspace", tmp_path / "w")
    table.write_text(REPORTS)
    columns = ("--column", "findings", "--column", "impression")
    built = run(
        capsys, 3, "index", table, tmp_path / "gone.pdf", *columns, "--licence", "CC0", "--name", "mine", *place
    )
    assert (built["entries"], built["snippets"], built["refused"]) == (2, 4, 2)
    assert built["refusals"]["document-empty"] == {"count": 1, "first": ["reports.csv:2: There is no text in it."]}
    assert built["refusals"]["document-missing"]["count"] == 1
    (hit, second) = run(capsys, 0, "search", "hiatal hernia", "--index", "mine", *place)["hits"]
    assert second["entry"] == hit["entry"] == "reports:R3"
    assert (hit["passage"], hit["start"], hit["end"]) == ("Small hiatal hernia.", 0, 20)
    assert (hit["section"], hit["licence"], hit["title"]) == ("findings", "CC0", "Report R3")
    assert main(["knowledge", "search", "clear", "--index", "mine", *map(str, place)]) == 0
    shown = capsys.readouterr().out
    assert "Report R1 | findings | CC0  [reports:R1, characters 0 to 12]" in shown
    assert '"Clear lungs."' in shown


def test_an_index_is_replaced_as_a_whole_and_kept_where_nothing_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--name", "notes", "--workspace", tmp_path / "w")
    note = tmp_path / "note.txt"
    for text in ("First words.", "Second words."):
        note.write_text(text)
        assert run(capsys, 0, "index", note, *place)["refusals"] == {}
    note.write_text("")
    error = run(capsys, 1, "index", note, *place)["error"]
    assert (error["code"], error["message"]) == ("empty-source", "Nothing could be indexed; refused: 1 document-empty.")
    hits = run(capsys, 0, "search", "words", "--index", "notes", *place[2:])["hits"]
    assert [hit["passage"] for hit in hits] == ["Second words."]


def test_bad_use_has_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--workspace", tmp_path / "w")
    note = tmp_path / "note.txt"
    note.write_text("Some words.")
    for name in ("../up", "a/b", ""):
        assert run(capsys, 2, "index", note, "--name", name, *place)["error"]["code"] == "usage"
    assert run(capsys, 2, "index", note, "--format", "docx", "--name", "n", *place)["error"]["code"] == "usage"
    assert run(capsys, 0, "index", note, "--name", "n", *place)["entries"] == 1
    unknown = run(capsys, 1, "search", "x", "--index", "other", *place)["error"]
    assert unknown["code"] == "unknown-index"
    assert "it has: n" in unknown["message"]
    model = ("--dense", tmp_path / "no-model")
    assert run(capsys, 1, "search", "x", "--index", "n", *model, *place)["error"]["code"] == "source-missing"
    marker = tmp_path / "w" / "knowledge" / "indexes" / "n" / "osler-text-index.json"
    marker.write_text(marker.read_text().replace('"version": 1', '"version": 2'))
    assert run(capsys, 1, "search", "x", "--index", "n", *place)["error"]["code"] == "index-invalid"
