"""`osler contract`: on header tables that name no decoder, with pages, and without a value in any output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from osler.cli import main as cli
from osler.dicom.decoders import decodable_syntaxes, has_decoder

TABLE = """\
Patient ID,Patient's Birth Date,Modality,Transfer Syntax UID,SOP Instance UID,Study Instance UID
PLANTED-1,19550820,MR,1.2.840.10008.1.2.1,1.2.826.0.1.3680043.77.1,1.2.826.0.1.3680043.77.9
PLANTED-2,19550820,CR,1.2.840.10008.1.2.4.100,1.2.826.0.1.3680043.77.2,1.2.826.0.1.3680043.77.9
"""
VALUES = ("PLANTED", "19550820", "1.2.826.0.1.3680043.77")


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    path = tmp_path / "headers.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_the_floor_above_says_what_can_be_decoded(headers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(map(has_decoder, decodable_syntaxes()))
    assert cli.main(["contract", "check", "--headers", str(headers), "--json"]) == 3
    clauses = {clause["name"]: clause for clause in json.loads(capsys.readouterr().out)["clauses"]}
    assert clauses["decoder"]["violated"] == ["row 2"]  # MPEG-2 is video, which no decoder here takes
    assert clauses["one-patient-a-study"]["violated"] == ["row 1", "row 2"]
    assert clauses["modality"]["violated"] == ["row 1"]
    assert clauses["size"]["state"] == "could not be checked"


def test_no_output_holds_a_value(headers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    for words in (
        ["check", "--headers", str(headers), "--json"],
        ["check", "--headers", str(headers)],
        ["docs", "chest-radiograph", "--headers", str(headers), "--out", str(out)],
    ):
        cli.main(["contract", *words])
    captured = capsys.readouterr()
    told = captured.out + captured.err + "".join(page.read_text(encoding="utf-8") for page in out.iterdir())
    assert "one-patient-a-study" in told
    assert not [value for value in VALUES if value in told]


def test_docs_say_where_the_pages_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["contract", "docs", "cell-microscopy", "--out", str(tmp_path / "pages"), "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert Path(payload["index"]).is_file()
    assert len(payload["pages"]) == 2
