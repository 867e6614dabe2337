"""`osler knowledge annotate` as a user meets it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from osler.annotations import FIELDS
from osler.cli.main import main

TABLE = """uid,indication,findings,impression
r1,Effusion?,Small left pleural effusion. No pneumothorax.,Left effusion.
r2,Cough,"Clear lungs, no effusion.",
r3,,,
r4,Pain,Effusion on the right cannot be excluded.,"Scoliosis, unchanged."
r5,one cell too few,here
"""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def annotate(reports: Path, out: Path, *words: str) -> int:
    columns = ["--column", "findings", "--column", "impression", "--id-column", "uid"]
    place = ["--findings", "chest-findings", "--workspace", str(reports.parent / "w"), "--out", str(out)]
    return main(["knowledge", "annotate", str(reports), *columns, *place, *words])


def test_states_and_places_are_written_and_bad_rows_told(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reports.parent / "out.csv"
    assert annotate(reports, out, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["reports"] == 3
    assert told["bad_rows"] == [{"row": 3, "code": "row-empty"}, {"row": 5, "code": "row-invalid"}]
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == FIELDS
    assert {(one["report"], one["concept"], one["state"], one["side"]) for one in rows} == {
        ("r1", "pleural_effusion", "present", "left"),
        ("r1", "pneumothorax", "absent", ""),
        ("r2", "pleural_effusion", "absent", ""),
        ("r4", "pleural_effusion", "uncertain", "right"),
        ("r4", "scoliosis", "present", ""),
    }
    with reports.open(newline="", encoding="utf-8") as stream:
        cells = {one["uid"]: one for one in csv.DictReader(stream)}
    for one in rows:
        words = cells[one["report"]][one["column"]][int(one["start"]) : int(one["end"])].lower()
        assert words == one["concept"].removeprefix("pleural_")
    assert "lung" not in out.read_text(encoding="utf-8")


def test_json_has_every_mention_and_a_second_run_reads_nothing(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = reports.parent / "out.json"
    assert annotate(reports, out, "--json") == 3
    assert json.loads(capsys.readouterr().out)["kept_from_before"] == 0
    first = out.read_bytes()
    record: list[dict[str, Any]] = json.loads(first)
    assert [one["report"] for one in record] == ["r1", "r2", "r4"]
    effusion = record[0]["concepts"]["pleural_effusion"]
    assert [one["column"] for one in effusion["mentions"]] == ["findings", "impression"]
    assert annotate(reports, out, "--json") == 3
    assert json.loads(capsys.readouterr().out)["kept_from_before"] == 3
    assert out.read_bytes() == first
    assert annotate(reports, out, "--all", "--json") == 3
    every = json.loads(out.read_text(encoding="utf-8"))
    assert {one["state"] for one in every[1]["concepts"].values()} == {"absent", "not mentioned"}
    assert all(len(one["concepts"]) == 15 for one in every)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--column", "nothing"], "table-invalid"),
        (["--out", "reports.txt"], "usage"),
        (["--encoding", "klingon"], "table-invalid"),
        (["--findings", "none.yaml"], "corpus-invalid"),
        (["--llm", "http://localhost:9/v1"], "usage"),
        (["--budget-calls", "3"], "usage"),
    ],
)
def test_a_wrong_call_writes_nothing(
    reports: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    out = reports.parent / "out.csv"
    assert annotate(reports, out, *words, "--json") == (2 if code == "usage" else 1)
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert {one.name for one in reports.parent.iterdir()} <= {"reports.csv", "w"}


def test_a_table_without_a_report_is_an_error_and_leaves_an_older_answer(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = reports.parent / "out.csv"
    out.write_text("older", encoding="utf-8")
    reports.write_text("uid,findings,impression\n1,,\n", encoding="utf-8")
    assert annotate(reports, out, "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "empty-source"
    assert out.read_text(encoding="utf-8") == "older"


def test_the_concepts_of_a_bank_are_read_by_default(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports.write_text("text\nKerley B lines. Right-sided pacemaker.\n", encoding="utf-8")
    out = reports.parent / "out.csv"
    place = ["--workspace", str(reports.parent / "w"), "--out", str(out), "--json"]
    assert main(["knowledge", "annotate", str(reports), "--column", "text", *place]) == 0
    assert json.loads(capsys.readouterr().out)["states"] == {"present": 2}
    assert main(["knowledge", "annotate", str(reports), "--column", "text", "--findings", "lexicon", *place]) == 0
