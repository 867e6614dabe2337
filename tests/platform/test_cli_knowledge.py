"""`osler knowledge` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from osler.cli.main import main
from osler_contracts.codes import Code


def answer(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, object]:
    assert main(["knowledge", *map(str, words), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert isinstance(record, dict)
    return record


def failure(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["knowledge", *map(str, words), "--json"]) == 1
    return str(json.loads(capsys.readouterr().out)["error"]["code"])


def test_propose_then_check_show_and_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--workspace", tmp_path / "w")
    built = answer(capsys, "propose", *place)
    bank = tmp_path / "w" / "knowledge" / "chest-radiograph.json"
    assert built["concepts"] == built["with_citation"] == len(json.loads(bank.read_text())["concepts"])
    assert answer(capsys, "propose", "--out", tmp_path / "again.json")["digest"] == built["digest"]
    assert answer(capsys, "check", bank)["digest"] == built["digest"]
    shown = answer(capsys, "show", "kerley_b_lines", *place)
    assert "Kerley" in str(shown["citation"])
    hits = answer(capsys, "search", "deep sulcus", "-k", "2", *place)["hits"]
    assert isinstance(hits, list)
    assert hits[0]["entry"] == "deep-sulcus"
    assert len(hits) == 2


def test_text_for_people_has_the_passage_and_the_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "propose", "--out", str(tmp_path / "bank.json")]) == 0
    assert "Not clinically reviewed" in capsys.readouterr().out
    assert main(["knowledge", "show", "pacemaker", "--bank", str(tmp_path / "bank.json")]) == 0
    assert "neither pneumonia" in capsys.readouterr().out


def test_bad_input_has_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = tmp_path / "chest-radiograph.json"
    answer(capsys, "propose", "--out", bank)
    assert failure(capsys, "show", "phantasm", "--bank", bank) == Code.UNKNOWN_CONCEPT
    record = json.loads(bank.read_text())
    record.pop("sha256")
    record["concepts"][0] |= {"id": "phantasm", "terms": []}
    bank.write_text(json.dumps(record))
    assert failure(capsys, "check", bank) == Code.UNKNOWN_CONCEPT
    bank.write_text("{}")
    assert failure(capsys, "check", bank) == Code.BANK_INVALID
    assert failure(capsys, "check", tmp_path / "missing.json") == Code.BANK_INVALID
    assert failure(capsys, "propose", "--corpus", tmp_path / "nowhere", "--out", bank) == Code.SOURCE_MISSING
    (tmp_path / "empty").mkdir()
    assert failure(capsys, "search", "x", "--corpus", tmp_path / "empty") == Code.CORPUS_INVALID
