"""The study page over a real workspace: what it shows is what the model computes, and answers are the reader's own."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid
from scipy.special import softmax
from tests.dashboard.conftest import radiograph

from osler import audit
from osler.access import Role
from osler.adapt.store import PatchStore
from osler.archive import Archive, StudyRecord
from osler.bottleneck.artefact import ENCODER, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.dicom.pixels import read_image
from osler.explain.service import StudyExplainer
from osler.feedback import Draft, Review, read_drafts, read_reviews, reviews_of, save_review
from osler.feedback.making import review_of
from osler.ingest import ingest
from osler.report.service import Reporter
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import services, session
from osler_dashboard.components.viewer import Wanted
from osler_dashboard.words import slug

READER = "Dr A"
PROBE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def shown_study(screen: Any, demo: Any) -> StudyRecord:
    return Archive(demo.workspace).study(screen.app.session_state["study"])


@pytest.fixture
def pipeline(demo: Any) -> Pipeline:
    """Load the model without the explainer: the independent path to every number on the page."""
    folder = demo.workspace.models / "fitted"
    return load_bottleneck(folder, OpenClipEncoder.from_folder(folder / ENCODER))


def features(pipeline: Pipeline, demo: Any, study: StudyRecord) -> Features:
    frontal = Archive(demo.workspace).frontal(study)
    assert frontal is not None
    assert pipeline.encoder is not None
    return pipeline.encoder.encode([read_image(frontal.path).values])


def certainty(pipeline: Pipeline, logits: np.ndarray) -> str:
    top = softmax(logits / pipeline.calibration.temperature).max()
    return "> 99%" if top > 0.99 else f"{100 * top:.0f}%"


def markup(screen: Any) -> str:
    return "\n".join(one.proto.body for one in screen.app.get("html"))


def number(screen: Any) -> str:
    found = re.search(r'<div class="o-number">([^<]+)</div>', markup(screen))
    assert found
    return found[1]


def rows(screen: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in screen.component("evidence")["rows"]}


def sign(screen: Any, comment: str = "") -> Any:
    if comment:
        screen.app.text_area[0].set_value(comment).run()
    screen.app.button(key="sign").click().run()
    return screen


def another_signs(demo: Any, uid: str, comment: str = "") -> Review:
    explanation = StudyExplainer(demo.workspace, "fitted").explain(uid)
    return save_review(demo.workspace, review_of(explanation, explanation, Draft(comment=comment), "Dr B"))


def test_finding_and_signs_are_those_of_the_model(screen: Any, demo: Any, pipeline: Pipeline) -> None:
    output = pipeline.predict_features(features(pipeline, demo, shown_study(screen, demo)))
    logits = output.logits[0]
    finding = pipeline.classes[int(logits.argmax())].replace("_", " ").capitalize()
    assert finding in screen.words
    assert number(screen) == certainty(pipeline, logits)
    drawn = screen.component("evidence")
    assert len(drawn["rows"]) == 10
    assert drawn["first"] <= 8
    at_neutral = pipeline.predict_values(pipeline.neutral[None]).logits[0]
    first, second = np.argsort(-logits)
    together = sum(row["value"] for row in drawn["rows"])
    assert together == pytest.approx((logits - at_neutral)[first] - (logits - at_neutral)[second], abs=1e-6)
    assert drawn["finding"] == finding.lower()


def test_a_chosen_sign_shows_question_region_and_passage_in_its_context(screen: Any, pipeline: Pipeline) -> None:
    screen.choose("kerley_b_lines")
    concept = pipeline.bank.concept("kerley_b_lines")
    assert concept.question in screen.words
    assert concept.region in screen.words
    assert concept.citation.title in screen.words
    assert all(reference in screen.words for reference in concept.citation.references)
    assert "Supports the general association; not evidence from this patient" in screen.words
    marked = re.findall(r"<mark>(.*?)</mark>", markup(screen))
    assert concept.citation.passage in " ".join(marked)
    assert screen.component("evidence")["selected"] == "kerley_b_lines"


def test_what_nobody_measured_is_said_to_be_unmeasured(screen: Any) -> None:
    assert "location unavailable" in screen.words
    assert "Certainty unmeasured here" in screen.words
    assert re.search(r"Reliable\s+(unmeasured here|right in)", screen.words)
    assert not [head for head, _ in screen.parcels() if head["kind"] == "maps"]


@pytest.mark.parametrize(("word", "value"), [("Present", 1.0), ("Absent", 0.0)])
def test_a_correction_moves_the_finding_as_the_model_does(
    screen: Any, demo: Any, pipeline: Pipeline, word: str, value: float
) -> None:
    before = number(screen)
    study = shown_study(screen, demo)
    corrected = {}
    for concept in ("air_bronchograms", "perihilar_haze", "focal_opacity"):
        screen.choose(concept).answer(word)
        corrected[concept] = value
    explained = StudyExplainer(demo.workspace, "fitted").explain(study.uid, corrections=corrected)
    assert number(screen) == certainty(pipeline, np.array([one.logit for one in explained.findings]))
    assert explained.margin != StudyExplainer(demo.workspace, "fitted").explain(study.uid).margin
    assert "Before your correction" in screen.words
    assert before in screen.words
    changed = {sign: row for sign, row in rows(screen).items() if row["corrected"]}
    assert {row["note"] for row in changed.values()} == {f"you set: {word.lower()}"}
    assert all(row["before"] is not None for row in changed.values())
    for sign_id, row in changed.items():
        assert row["value"] == pytest.approx(explained.concept(sign_id).contribution)


@pytest.mark.parametrize(("word", "note"), [("Confirm", "you confirm"), ("Doubt", "you doubt")])
def test_who_confirms_or_doubts_moves_nothing(screen: Any, demo: Any, word: str, note: str) -> None:
    before, values = number(screen), [row["value"] for row in rows(screen).values()]
    screen.choose("focal_opacity").answer(word)
    assert number(screen) == before
    assert [row["value"] for row in rows(screen).values()] == values
    assert note in rows(screen)["focal_opacity"]["note"]
    assert read_drafts(demo.workspace, READER)[screen.app.session_state["study"]].answers == {
        "focal_opacity": word.lower()
    }


def test_undo_gives_back_the_first_picture(screen: Any) -> None:
    first, drawn = number(screen), screen.component("evidence")["rows"]
    screen.choose("focal_opacity").answer("Absent")
    told = screen.app.button_group[0].id
    screen.app.button(key="reset").click().run()
    assert (number(screen), screen.component("evidence")["rows"]) == (first, drawn)
    assert screen.app.button_group[0].value == "As found"
    assert screen.app.button_group[0].id != told, "a browser that still holds the answer would give it again"


def test_leaving_a_sign_as_found_takes_the_correction_back(screen: Any) -> None:
    first = number(screen)
    assert number(screen.choose("focal_opacity").answer("Absent").answer("As found")) == first
    assert "Before your correction" not in screen.words


def test_answers_outlive_the_session_and_belong_to_one_study_and_one_reader(
    screen: Any, demo: Any, open_page: Callable[..., Any]
) -> None:
    screen.choose("focal_opacity").answer("Absent")
    corrected = number(screen)
    again = open_page("study")
    assert number(again) == corrected, "the same reader in a new session"
    assert rows(again)["focal_opacity"]["corrected"]
    screen.app.button(key="next").click().run()
    assert not any(row["corrected"] for row in rows(screen).values())
    assert read_drafts(demo.workspace, "Dr B") == {}


def test_an_answer_given_as_the_session_ends_is_not_lost(screen: Any, demo: Any, open_page: Callable[..., Any]) -> None:
    uid = screen.app.session_state["study"]
    screen.choose("focal_opacity")
    session.gate().sign_out(screen.app.session_state[session.NUMBER])
    screen.app.button_group[0].set_value("Absent").run()
    assert not screen.app.get("bidi_component"), "nothing of a study is shown to who is not signed in"
    assert read_drafts(demo.workspace, READER)[uid].corrections == {"focal_opacity": False}
    assert rows(open_page("study", study="hospital-a-study-0001"))["focal_opacity"]["corrected"]


def test_a_signature_is_kept_with_what_the_reader_saw(screen: Any, demo: Any, pipeline: Pipeline) -> None:
    uid = screen.app.session_state["study"]
    screen.choose("focal_opacity").answer("Absent")
    sign(screen, f"No focal opacity. {PROBE}")
    (review,) = read_reviews(demo.workspace)
    assert (review.study, review.reviewer, review.signed) == (uid, READER, True)
    assert review.corrections == {"focal_opacity": False}
    assert (review.comment, review.model) == (f"No focal opacity. {PROBE}", pipeline.digest)
    assert review.before.finding in pipeline.classes
    assert f"Signed by {READER}" in screen.words
    assert "No focal opacity." in screen.words
    assert "<script" not in markup(screen)
    assert "<img" not in markup(screen)
    assert read_drafts(demo.workspace, READER) == {}
    done = [entry.action for entry in audit.entries(demo.workspace) if entry.subject == uid]
    assert [one for one in done if one.startswith("study.")] == ["study.view", "study.answer", "study.sign"]


def test_signing_again_amends(screen: Any, demo: Any) -> None:
    sign(screen)
    screen.choose("focal_opacity").answer("Present")
    sign(screen)
    first, second = read_reviews(demo.workspace)
    assert second.amends == first.id
    assert "Amended by" in screen.words


def test_who_is_overtaken_is_told_and_loses_nothing(screen: Any, demo: Any) -> None:
    uid = screen.app.session_state["study"]
    screen.choose("focal_opacity").answer("Absent")
    another_signs(demo, uid, comment=PROBE)
    screen.app.run()
    assert "Dr B has signed this study since you opened it. Your answers are kept." in screen.words
    sign(screen)
    held = reviews_of(demo.workspace, uid)
    assert held.result is not None
    assert held.result.reviewer == "Dr B", "a word that came late does not count by itself"
    assert "Dr B has signed this study since you opened it." in screen.words
    assert "<script" not in markup(screen)
    screen.app.button(key="confirm").click().run()
    held = reviews_of(demo.workspace, uid)
    assert held.result is not None
    assert (held.result.reviewer, dict(held.result.corrections)) == (READER, {"focal_opacity": False})
    assert not held.waiting


def test_a_word_that_came_late_can_be_left(screen: Any, demo: Any) -> None:
    uid = screen.app.session_state["study"]
    screen.choose("focal_opacity").answer("Absent")
    another_signs(demo, uid)
    sign(screen)
    screen.app.button(key="withdraw").click().run()
    held = reviews_of(demo.workspace, uid)
    assert not held.waiting
    assert held.result is not None
    assert held.result.reviewer == "Dr B"
    assert "since you opened it" not in screen.words


def test_who_may_only_look_has_no_button(demo: Any, open_page: Callable[..., Any]) -> None:
    looker = open_page("study", roles=(Role.RESEARCHER,))
    assert "evidence" not in [one.key for one in looker.app.get("bidi_component")]
    assert not [one for one in looker.app.button if one.key in ("sign", "reset")]


def test_a_patch_shows_where_it_holds_and_only_there(demo: Any, open_page: Callable[..., Any]) -> None:
    assert "Adjusted to" not in open_page("study", study="hospital-a-study-0001").words
    screen = open_page("study", study="hospital-b-study-0001")
    assert "Adjusted to Hospital B since 6 January 2026" in screen.words
    assert "ignores 1 sign and amplifies 1 sign" in screen.words
    assert rows(screen)["pacemaker"]["note"] == "ignored at this site"
    assert rows(screen)["pacemaker"]["value"] == pytest.approx(0.0, abs=1e-9)
    store = PatchStore(demo.workspace.patches)
    store.revoke(store.all()[0], "2026-01-09", "Engineer: trial over")
    screen.app.run()
    assert "Adjusted to" not in screen.words
    assert rows(screen)["pacemaker"]["value"] != 0.0


def test_nothing_internal_reaches_the_browser(screen: Any) -> None:
    """No UID, hash, pseudonym or path in anything that is sent."""
    sent = screen.text + "".join(str(screen.component(key)) for key in ("viewer", "evidence"))
    sent += "".join(str(head) for head, _ in screen.parcels())
    sent = re.sub(r"\$\$ID-[0-9a-f]+", "", sent)
    sent = "\n".join(line for line in sent.splitlines() if "bytes:" not in line)
    assert not re.search(r"2\.25\.\d{6,}|\b[0-9a-f]{32,}\b|/workspace|P[0-9A-F]{16}", sent)
    assert "Research use only. Not a medical device." in screen.words
    assert "Phantom" in screen.words
    assert "Hospital A · study 0001" in screen.text


def test_only_a_simulated_study_is_called_phantom(screen: Any, demo: Any) -> None:
    assert "Phantom" in screen.words
    demo.workspace.summary.unlink()
    screen.app.run()
    assert "Phantom" not in screen.words


def test_the_stored_image_is_sent_whole(screen: Any, demo: Any) -> None:
    study = shown_study(screen, demo)
    ((head, values),) = screen.parcels()
    assert (head["rows"], head["columns"]) == (study.instances[0].rows, study.instances[0].columns)
    assert (head["factor"], len(values)) == (1, 2 * head["rows"] * head["columns"])
    assert head["presets"][0] == {"name": "As acquired", "center": 2200.0, "width": 3000.0}


def test_an_earlier_study_lies_beside_with_its_frontal_image(
    demo: Any, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    """Its lateral image comes first in the study, and is smaller."""
    frontal, lateral = radiograph("hospital_a", 0), radiograph("hospital_a", 0)
    lateral.SeriesInstanceUID, lateral.SOPInstanceUID, lateral.ViewPosition = generate_uid(), generate_uid(), "LL"
    lateral.file_meta.MediaStorageSOPInstanceUID = lateral.SOPInstanceUID
    lateral.Rows, lateral.PixelData = lateral.Rows * 3 // 4, lateral.PixelData[: len(lateral.PixelData) * 3 // 4]
    frontal.SeriesNumber, frontal.SOPInstanceUID = 2, generate_uid()
    frontal.file_meta.MediaStorageSOPInstanceUID = frontal.SOPInstanceUID
    study = generate_uid()
    (tmp_path / "earlier").mkdir()
    for name, image in (("frontal", frontal), ("lateral", lateral)):
        image.StudyInstanceUID, image.StudyDate = study, "20190301"
        image.save_as(tmp_path / "earlier" / f"{name}.dcm", enforce_file_format=True)
    told = ingest(tmp_path / "earlier", site="hospital_a", workspace=demo.workspace, key=b"k" * 32, workers=0)
    assert told.accepted == 2
    found = services.studies()
    (before,) = (one for one in found.records.values() if len(one.instances) == 2)
    (after,) = (one for one in found.of_patient(before) if one.uid != before.uid)
    screen = open_page("study", study=slug(found.names[after.uid]))
    screen.app.session_state["viewer-wanted"] = Wanted(found.names[before.uid])
    screen.app.run()
    ((head, _),) = screen.parcels()
    assert (head["key"].split("|")[0], head["rows"]) == (found.names[before.uid], frontal.Rows)


def test_a_report_is_shown_as_it_came(screen: Any) -> None:
    assert "<b>as is</b>" in screen.app.text[0].value
    assert "<b>as is</b>" not in markup(screen)


def test_an_unreadable_image_is_told_kindly(demo: Any, open_page: Callable[..., Any]) -> None:
    for study in Archive(demo.workspace).studies():
        path = study.instances[0].path
        path.write_bytes(path.read_bytes()[:2000])
    screen = open_page("study")
    assert "cannot be read" in screen.words
    assert "Export the file again" in screen.words
    ((head, _),) = screen.parcels()
    assert (head["kind"], head["text"][:24]) == ("refusal", "This image cannot be rea")


@pytest.mark.parametrize(
    ("spoil", "said"), [("models", "There is no model here yet"), ("archive", "No study has arrived yet")]
)
def test_what_is_missing_is_told_with_what_to_do(
    demo: Any, open_page: Callable[..., Any], tmp_path: Path, spoil: str, said: str
) -> None:
    (demo.workspace.root / spoil).rename(tmp_path / "away")
    screen = open_page("study")
    assert said in screen.words
    assert "osler" in screen.words.partition(said)[2]


def test_a_workspace_that_is_taken_away_is_told_calmly(screen: Any, demo: Any, tmp_path: Path) -> None:
    (demo.workspace.root / "osler-workspace").rename(tmp_path / "away")
    screen.app.run()
    assert "There is no workspace" in screen.words


def test_an_address_opens_a_study(demo: Any, open_page: Callable[..., Any]) -> None:
    screen = open_page("study", study="hospital-b-study-0003")
    assert screen.component("viewer")["study"] == "Hospital B · study 0003"
    screen.app.button(key="next").click().run()
    assert screen.app.query_params["study"] == "hospital-b-study-0004"


@pytest.mark.parametrize("address", ["hospital-b-study-9999", "../../etc/passwd", PROBE])
def test_an_unknown_study_is_told_calmly(demo: Any, open_page: Callable[..., Any], address: str) -> None:
    screen = open_page("study", study=address)
    assert "There is no study of this name here." in screen.words
    assert "<script" not in markup(screen)
    assert not screen.app.get("bidi_component")


def test_a_study_that_is_deleted_while_it_is_open_is_told_calmly(screen: Any, demo: Any) -> None:
    uid = screen.app.session_state["study"]
    with sqlite3.connect(demo.workspace.archive / "index.sqlite") as index:
        index.execute("DELETE FROM instances WHERE study_uid = ?", (uid,))
        index.execute("DELETE FROM studies WHERE uid = ?", (uid,))
    screen.app.run()
    assert "There is no study of this name here." in screen.words
    assert "Nothing you saved is lost." in screen.words


def test_a_model_that_is_fitted_again_is_shown_at_once(screen: Any, demo: Any, pipeline: Pipeline) -> None:
    """A cached model must not outlive its file."""
    before = number(screen)
    folder = demo.workspace.models / "fitted"
    colder = replace(pipeline, calibration=replace(pipeline.calibration, temperature=20.0))
    save_bottleneck(colder, demo.workspace.models / "again", card="# Colder")
    for path in (demo.workspace.models / "again").iterdir():
        path.replace(folder / path.name)
    screen.app.run()
    assert number(screen) != before


def test_a_study_without_a_frontal_image_names_no_identifier(demo: Any, open_page: Callable[..., Any]) -> None:
    with sqlite3.connect(demo.workspace.archive / "index.sqlite") as index:
        index.execute("UPDATE instances SET eligible_frontal = 0")
    screen = open_page("study")
    assert "no frontal image" in screen.words
    assert "2.25." not in screen.words


def test_a_fresh_workspace_has_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Any) -> None:
    monkeypatch.setenv("OSLER_WORKSPACE", str(Workspace.open(tmp_path / "fresh", create=True).root))
    assert "osler ingest" in open_page("study").words


def test_a_report_is_made_as_the_study_stands_and_its_making_is_noted(screen: Any, demo: Any) -> None:
    import io

    import pydicom

    study = shown_study(screen, demo)
    assert not screen.app.get("download_button")
    screen.app.button(key="make-report").click().run()
    assert not screen.app.exception
    _, made = screen.app.session_state["report-made"]
    written = pydicom.dcmread(io.BytesIO(made.data))
    assert (written.StudyInstanceUID, written.VerificationFlag) == (study.uid, "UNVERIFIED")
    assert written.PatientID == study.patient
    assert screen.app.get("download_button")
    told = [(one.action, one.subject) for one in audit.entries(demo.workspace)]
    assert ("report.make", study.uid) in told
    screen.app.button(key="sign").click().run()
    assert not screen.app.get("download_button")  # it said that nobody has signed


def test_a_report_that_cannot_be_made_is_told_and_the_study_stays(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Reporter, uid: str, form: str) -> None:
        raise OslerError(Code.PART_MISSING, "Reports need highdicom.", "Install it.")

    monkeypatch.setattr(Reporter, "make", refused)
    before = screen.component("evidence")
    screen.app.button(key="make-report").click().run()
    assert [one.value for one in screen.app.warning] == ["Reports need highdicom. Install it."]
    assert screen.component("evidence") == before
    assert "report-made" not in screen.app.session_state


def test_who_may_not_export_is_offered_no_report(open_page: Any) -> None:
    page = open_page("study", roles=[Role.RESEARCHER, Role.ENGINEER])
    assert "make-report" not in {one.key for one in page.app.button}


def test_similar_studies_are_said_to_be_among_what_was_read(demo: Any, open_page: Callable[..., Any]) -> None:
    explainer = StudyExplainer(demo.workspace, "fitted")
    explainer.surroundings.gather("hospital_b")
    screen = open_page("study", study="hospital-b-study-0001")
    for _ in range(60):
        if "Studies with like signs" in screen.words:
            break
        time.sleep(0.5)
        screen.app.run()
    archived = len(Archive(demo.workspace).studies()) - 1
    told = re.search(r"Looked for among (?:all|the (\d+) of) (\d+) archived studies of other patients", screen.words)
    assert told
    assert int(told[2]) == archived
    assert int(told[1] or archived) >= 5
