"""Signed reviews as tables and as support of an adapter; nothing that names a person leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler import audit
from osler.archive import Archive
from osler.cli.main import main
from osler.feedback import Answer, Conclusion, Review, save_review
from osler.workspace import Workspace

CLASSES = ("heart_failure", "pneumonia", "normal")


@pytest.fixture
def told(ward: Workspace, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(*words: str, expect: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*words, "--workspace", str(ward.root), "--json"])
        answer = dict(json.loads(capsys.readouterr().out))
        assert code == expect, answer
        return answer

    return run


def review(study: str, finding: str, reviewer: str = "Dr Jane Doe", **change: Any) -> Review:
    """Return a signed review."""
    given = {"model": "m" * 64, "bank": "b" * 64, "comment": "Mrs Grablowski is well", **change}
    before = Conclusion("pneumonia", 0.6)
    return Review(study, "c", reviewer, {}, before, before, finding=finding, **given)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_tables_say_what_was_signed_and_name_nobody(
    ward: Workspace, told: Callable[..., Any], tmp_path: Path
) -> None:
    first, second, third = Archive(ward).studies("c")[:3]
    save_review(ward, review(first.uid, "normal"))
    answers = {"haze": Answer.CONFIRM, "lines": Answer.ABSENT, "nodule": Answer.DOUBT}
    seen = {"haze": "present", "lines": "present", "nodule": "absent"}
    save_review(ward, review(first.uid, "heart_failure", "Dr B", answers=answers, seen=seen))
    save_review(ward, review(second.uid, "", answers={"haze": Answer.ABSENT}, patch="patch-1"))
    save_review(ward, review(third.uid, "normal", signed=False))
    save_review(ward, review("2.25.404", "normal"))
    out = tmp_path / "labels.csv"
    answer = told("feedback", "export", "--out", str(out), "--author", "Ada")
    assert (answer["studies"], answer["concepts"], answer["own"], answer["left_out"]) == (2, 2, 2, 1)
    table = {row["study_uid"]: row for row in rows(out)}
    assert set(table) == {first.uid, second.uid}
    assert (table[first.uid]["label"], table[first.uid]["readers"]) == ("heart_failure", "2")
    assert (table[second.uid]["label"], table[second.uid]["patch"]) == ("pneumonia", "patch-1")
    assert table[first.uid]["patient_id"] == first.patient
    assert all((ward.root / row["image"]).is_file() for row in table.values())
    concepts = {row["image"]: row for row in rows(tmp_path / "labels-concepts.csv")}
    assert concepts[table[first.uid]["image"]] == {"image": table[first.uid]["image"], "haze": "1", "lines": "0"}
    assert concepts[table[second.uid]["image"]]["haze"] == "0"
    listed = rows(tmp_path / "labels-answers.csv")
    assert {row["reader"] for row in listed} == {"reader 1", "reader 2"}
    assert ("doubt", "absent", "") in {(row["answer"], row["shown"], row["present"]) for row in listed}
    text = "".join(path.read_text() for path in tmp_path.glob("labels*.csv"))
    assert "Jane" not in text
    assert "Grablowski" not in text
    assert [one.actor for one in audit.entries(ward) if one.action == "feedback.export"] == ["Ada"]


def test_where_nothing_is_signed_it_is_told(ward: Workspace, told: Callable[..., Any], tmp_path: Path) -> None:
    refused = told("feedback", "export", "--out", str(tmp_path / "x.csv"), expect=1)
    assert refused["error"]["code"] == "nothing-eligible"
    assert not (tmp_path / "x.csv").exists()
    assert told("feedback", "list")["studies"] == []
    assert told("feedback", "agreement")["agreement"] == []
    assert told("feedback", "agreement", "--replicates", "0", expect=2)["error"]["code"] == "usage"


def test_states_and_agreement_are_told(ward: Workspace, told: Callable[..., Any]) -> None:
    first, second = Archive(ward).studies("c")[:2]
    for reader in ("A", "B"):
        save_review(ward, review(first.uid, "normal", reader))
        save_review(ward, review(second.uid, "normal" if reader == "A" else "pneumonia", reader, signed=reader == "A"))
    states = {row["study"]: row["state"] for row in told("feedback", "list")["studies"]}
    assert states == {first.uid: "amended", second.uid: "signed"}
    assert [row["study"] for row in told("feedback", "list", "--state", "amended")["studies"]] == [first.uid]
    (between,) = [row for row in told("feedback", "agreement")["agreement"] if row["between"] == ["A", "B"]]
    assert (between["of"], between["studies"], between["same"]["value"]) == ("finding", 1, 1.0)


def test_what_was_signed_can_be_the_support_of_an_adapter(ward: Workspace, told: Callable[..., Any]) -> None:
    archive = Archive(ward)
    studies = [study for study in archive.studies("c") if archive.image(study) is not None]
    words = ("adapt", "--site", "c", "--model", "random", "--shots", "2", "--labels-from", "feedback", "--no-tracking")
    assert told(*words, expect=1)["error"]["code"] == "nothing-eligible"
    signed = {study.uid: CLASSES[number % 3] for number, study in enumerate(studies[:12])}
    for uid, finding in signed.items():
        save_review(ward, review(uid, finding))
    answer = told(*words)
    used = {row["study"]: row["label"] for row in answer["support"]["rows"]}
    assert used
    assert used.items() <= signed.items()
    assert max(answer["patch"]["shots"].values()) == 2
