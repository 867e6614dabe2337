"""The worklist over a real workspace: each row is what archive, model and reviews say, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import streamlit as st

from osler.access import Role
from osler.archive import Archive
from osler.calibrate.conformal import ConformalSets
from osler.calibrate.record import SiteCalibration
from osler.calibrate.store import CalibrationStore
from osler.explain.service import StudyExplainer
from osler.feedback import Answer, Draft, keep_draft, save_review
from osler.feedback.making import review_of
from osler_dashboard import services
from osler_dashboard.components.worklist import opened
from osler_dashboard.roll import Table
from osler_dashboard.words import percent, spoken

READER = "Dr A"


@pytest.fixture
def explainer(demo: Any) -> StudyExplainer:
    """Explain by the library, the independent path to what a row says."""
    return StudyExplainer(demo.workspace, "fitted")


def rows(screen: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in screen.component("worklist")["rows"]}


def uid_of(name: str) -> str:
    return next(uid for uid, one in services.studies().names.items() if one == name)


def test_each_row_is_what_the_model_says(open_page: Callable[..., Any], explainer: StudyExplainer) -> None:
    listed = rows(open_page("worklist"))
    assert len(listed) == 12
    for name, row in listed.items():
        said = explainer.explain(uid_of(name)).finding
        assert row["finding"] == spoken(said.id)
        assert row["share"] == pytest.approx(said.calibrated_probability, abs=1e-4)
        assert row["percent"] == percent(row["share"])
        assert (row["sure"], row["sure_kind"]) == ("Unmeasured here", "none")
        assert (row["state"], row["state_kind"]) == ("To review", "open")
        assert re.fullmatch(r"\d{1,2} [A-Z][a-z]{2} \d{4}", row["date"])
    assert {row["site"] for row in listed.values()} == {"Hospital A", "Hospital B"}


def test_nothing_says_what_is_urgent(open_page: Callable[..., Any]) -> None:
    assert "urgen" not in open_page("worklist").text.lower()


def test_the_review_state_follows_what_readers_do(open_page: Callable[..., Any], demo: Any, explainer: Any) -> None:
    screen = open_page("worklist")
    begun, signed = uid_of("Hospital A · study 0001"), uid_of("Hospital A · study 0002")
    keep_draft(demo.workspace, READER, begun, Draft({"pacemaker": Answer.DOUBT}))
    explanation = explainer.explain(signed)
    save_review(demo.workspace, review_of(explanation, explanation, Draft(), "Dr B"))
    listed = rows(open_page("worklist"))
    assert (listed["Hospital A · study 0001"]["state"], listed["Hospital A · study 0001"]["state_kind"]) == (
        "In review",
        "begun",
    )
    assert listed["Hospital A · study 0002"]["state"] == "Signed"
    assert listed["Hospital A · study 0002"]["state_note"].startswith("By Dr B, ")
    save_review(demo.workspace, review_of(explanation, explanation, Draft(), "Dr C"))
    screen.app.run()
    assert rows(screen)["Hospital A · study 0002"]["state"] == "Amended"


def test_what_the_model_does_not_know_is_said(
    open_page: Callable[..., Any], demo: Any, explainer: StudyExplainer
) -> None:
    model = explainer.pipeline
    certain = dict.fromkeys(model.classes, 0.3)
    either = dict.fromkeys(model.classes, 1.0)
    store = CalibrationStore(demo.workspace.calibrations)
    for thresholds, kinds in ((certain, {"one", "unknown"}), (either, {"several"})):
        sets = ConformalSets(coverage=0.9, method="lac", temperature=1.0, thresholds=thresholds, reached=())
        made = SiteCalibration(
            site="hospital_a",
            model=model.digest,
            bank=model.bank.digest,
            patch=None,
            label="finding",
            temperature=1.0,
            created="2026-01-05",
            expires="2999-01-01",
            sets=sets,
            studies={"heart_failure": 20, "pneumonia": 20},
        )
        store.activate(made, "2026-01-05")
        listed = rows(open_page("worklist"))
        own = {name: row for name, row in listed.items() if row["site"] == "Hospital A"}
        assert {row["sure_kind"] for row in own.values()} <= kinds
        for name, row in own.items():
            held = StudyExplainer(demo.workspace, "fitted").explain(uid_of(name)).prediction_set
            assert held is not None
            assert (len(held.classes) == 1) == (row["sure_kind"] == "one")
            assert row["sure"].startswith("Only" if len(held.classes) == 1 else "I do not know")
        assert {row["sure"] for row in listed.values() if row["site"] == "Hospital B"} == {"Unmeasured here"}


def test_a_damaged_image_has_its_row_with_the_reason(open_page: Callable[..., Any], demo: Any) -> None:
    study = Archive(demo.workspace).studies("hospital_a")[0]
    study.instances[0].path.write_bytes(b"nothing")
    screen = open_page("worklist")
    row = rows(screen)[services.studies().names[study.uid]]
    assert (row["share"], row["finding"]) == (None, "Not a DICOM file")


def test_a_study_that_fails_in_an_unknown_way_keeps_nobody_waiting(
    open_page: Callable[..., Any], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, read = Archive(demo.workspace).studies("hospital_a")[0], StudyExplainer.features

    def failing(self: StudyExplainer, one: Any, *more: Any) -> Any:
        if one.uid == study.uid:
            raise ValueError("of this study alone")
        return read(self, one, *more)

    monkeypatch.setattr(StudyExplainer, "features", failing)
    screen = open_page("worklist")
    held = services.roll(services.studies())
    assert held.wait(60)
    assert held.complete
    screen.app.run()
    listed = rows(screen)
    assert listed.pop(services.studies().names[study.uid])["finding"] == "Could not be read"
    assert all(row["share"] is not None for row in listed.values())
    log = (demo.workspace.cache / "dashboard.log").read_text()
    assert "ValueError" in log
    assert "of this study alone" not in log


def test_a_second_start_reads_no_image(open_page: Callable[..., Any], demo: Any) -> None:
    """What the encoder made of the images is kept, so that a start with thousands of studies lists them at once."""
    first = rows(open_page("worklist"))
    for study in Archive(demo.workspace).studies():
        study.instances[0].path.write_bytes(b"gone")
    st.cache_resource.clear()
    for folder in (demo.workspace.cache / "features", demo.workspace.cache / "sites"):
        for path in folder.rglob("*.*"):
            path.unlink()
    assert rows(open_page("worklist")) == first


def test_a_table_that_is_damaged_is_read_as_empty(tmp_path: Any) -> None:
    table = Table(tmp_path / "roll" / "model.npz")
    assert table.read() == {}
    table.write({"a": np.arange(3.0), "b": np.ones(3)})
    assert {name: row.tolist() for name, row in table.read().items()} == {"a": [0, 1, 2], "b": [1, 1, 1]}
    table.path.write_bytes(table.path.read_bytes()[:40])
    assert table.read() == {}


def test_nothing_internal_is_sent(open_page: Callable[..., Any]) -> None:
    sent = str(open_page("worklist").component("worklist"))
    assert not re.search(r"2\.25\.\d{6,}|\b[0-9a-f]{32,}\b|/workspace|P[0-9A-F]{16}|DOE", sent)


@pytest.mark.parametrize("told", [None, {}, {"name": "x"}, {"name": "x", "order": ["y"]}, {"order": [1]}, "x"])
def test_what_a_browser_should_not_send_is_passed_over(told: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {"worklist": {"opened": told}})
    assert opened(10) is None


def test_rows_that_are_not_there_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {"worklist": {"opened": {"name": "x", "order": [3, -1, 99, 0]}}})
    assert opened(10) == ("x", [3, 0])


def test_a_researcher_has_no_worklist(open_page: Callable[..., Any]) -> None:
    screen = open_page("worklist", roles=(Role.RESEARCHER,))
    assert not screen.app.get("bidi_component")
    assert "Hospital A" not in screen.text


def test_an_empty_workspace_says_what_to_do(open_page: Callable[..., Any], demo: Any, tmp_path: Any) -> None:
    (demo.workspace.root / "archive").rename(tmp_path / "away")
    assert "No study has arrived yet" in open_page("worklist").words
