"""The study page over a real workspace: what it shows is what the model computes, and corrections are the reader's own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from osler.adapt.store import PatchStore
from osler.archive import Archive, StudyRecord
from osler.bottleneck.artefact import ENCODER, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.dicom.pixels import read_image
from osler.feedback import read_reviews
from osler.workspace import Workspace


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


def number(screen: Any) -> str:
    found = re.search(r'<div class="o-number">([^<]+)</div>', "\n".join(x.proto.body for x in screen.app.get("html")))
    assert found
    return found[1]


def test_finding_and_signs_are_those_of_the_model(screen: Any, demo: Any, pipeline: Pipeline) -> None:
    output = pipeline.predict_features(features(pipeline, demo, shown_study(screen, demo)))
    logits = output.logits[0]
    finding = pipeline.classes[int(logits.argmax())].replace("_", " ").capitalize()
    assert finding in screen.words
    assert number(screen) == certainty(pipeline, logits)
    drawn = screen.component("evidence")
    assert len(drawn["rows"]) == 10
    assert drawn["first"] <= 10
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
    marked = re.findall(r"<mark>(.*?)</mark>", "\n".join(x.proto.body for x in screen.app.get("html")))
    assert concept.citation.passage in " ".join(marked)
    assert screen.component("evidence")["selected"] == "kerley_b_lines"


def test_a_map_is_labelled_as_not_validated(screen: Any) -> None:
    caption = "where the encoder's features match this concept; not validated"
    assert screen.component("viewer")["overlay"]["caption"] == caption
    assert caption in screen.words


def test_a_map_lies_over_what_the_encoder_sees(screen: Any) -> None:
    assert screen.component("viewer")["overlay"]["box"] == [0.0, 0.0, 192.0, 192.0]


@pytest.mark.parametrize(("word", "value"), [("Present", 1.0), ("Absent", 0.0)])
def test_a_correction_moves_the_finding_as_the_model_does(
    screen: Any, demo: Any, pipeline: Pipeline, word: str, value: float
) -> None:
    before = number(screen)
    study = shown_study(screen, demo)
    mask, truth = np.zeros((1, 10), bool), np.zeros((1, 10))
    for concept in ("air_bronchograms", "perihilar_haze", "focal_opacity"):
        screen.choose(concept).answer(word)
        place = pipeline.bank.ids.index(concept)
        mask[0, place], truth[0, place] = True, value
    logits = pipeline.predict_features(features(pipeline, demo, study), clamp=(mask, truth)).logits[0]
    assert number(screen) == certainty(pipeline, logits) != before
    assert "Before your correction" in screen.words
    assert before in screen.words
    corrected = [row for row in screen.component("evidence")["rows"] if row["corrected"]]
    assert {row["note"] for row in corrected} == {f"you set: {word.lower()}"}
    assert all(row["before"] is not None for row in corrected)


def test_undo_gives_back_the_first_picture(screen: Any) -> None:
    first, rows = number(screen), screen.component("evidence")["rows"]
    screen.choose("focal_opacity").answer("Absent")
    screen.app.button(key="reset").click().run()
    assert (number(screen), screen.component("evidence")["rows"]) == (first, rows)
    assert screen.app.button_group[0].value == "As found"


def test_leaving_a_sign_as_found_takes_the_correction_back(screen: Any) -> None:
    first = number(screen)
    assert number(screen.choose("focal_opacity").answer("Absent").answer("As found")) == first
    assert "Before your correction" not in screen.words


def test_corrections_belong_to_one_study_and_one_reader(screen: Any, open_page: Callable[..., Any]) -> None:
    first = number(screen)
    screen.answer("Absent").answer("Present")
    assert number(open_page("study")) == first
    screen.app.button(key="next").click().run()
    assert not any(row["corrected"] for row in screen.component("evidence")["rows"])
    screen.app.button(key="previous").click().run()
    assert sum(row["corrected"] for row in screen.component("evidence")["rows"]) == 1


def test_a_review_is_kept_with_what_the_reader_saw(screen: Any, demo: Any, pipeline: Pipeline) -> None:
    screen.app.button(key="next").click().run()
    screen.choose("focal_opacity").answer("Absent")
    screen.app.text_input[0].set_value("<script>alert(1)</script> Reader")
    screen.app.text_area[0].set_value("No focal opacity.")
    screen.app.button(key="FormSubmitter:review-form-Save").click().run()
    (review,) = read_reviews(demo.workspace)
    assert review.corrections == {"focal_opacity": False}
    assert (review.comment, review.model) == ("No focal opacity.", pipeline.digest)
    assert review.before.finding in pipeline.classes
    assert "reviewed" in screen.text
    assert screen.app.session_state["study"] == review.study, "a label that changes must not move the choice"
    assert "<script>" not in "\n".join(one.proto.body for one in screen.app.get("html"))
    screen.app.selectbox[1].set_value("To review").run()
    assert review.study not in screen.app.selectbox[2].options
    assert "Study (11)" in screen.app.selectbox[2].label


def test_a_review_without_a_name_is_not_kept(screen: Any, demo: Any) -> None:
    screen.app.button(key="FormSubmitter:review-form-Save").click().run()
    assert "name" in screen.app.warning[0].value
    assert read_reviews(demo.workspace) == []


def test_a_patch_shows_where_it_holds_and_only_there(screen: Any, demo: Any) -> None:
    assert "Adjusted to" not in screen.words
    screen.app.selectbox[0].set_value("hospital_b").run()
    assert "Adjusted to Hospital B since 6 January 2026: ignores 1 sign and amplifies 1 sign" in screen.words
    rows = {row["id"]: row for row in screen.component("evidence")["rows"]}
    assert rows["pacemaker"]["note"] == "ignored at this site"
    assert rows["pacemaker"]["value"] == pytest.approx(0.0, abs=1e-9)
    store = PatchStore(demo.workspace.patches)
    store.revoke(store.all()[0], "2026-01-09", "Engineer: trial over")
    screen.app.run()
    assert "Adjusted to" not in screen.words
    assert {row["id"]: row for row in screen.component("evidence")["rows"]}["pacemaker"]["value"] != 0.0


def test_filters_leave_only_what_matches(screen: Any) -> None:
    screen.app.selectbox[0].set_value("hospital_b").run()
    options = screen.app.selectbox[2].options
    assert len(options) == 6
    assert all(option.startswith("Hospital B · study 000") for option in options)
    assert all(re.search(r"— (Heart failure|Pneumonia) [>\d]", option) for option in options)
    screen.app.selectbox[1].set_value("Reviewed").run()
    assert "No study matches" in screen.words


def test_nothing_internal_reaches_the_browser(screen: Any) -> None:
    """No UID, hash, pseudonym or path in anything that is sent, the image's own bytes aside."""
    sent = screen.text
    for one in screen.app.get("bidi_component"):
        data = screen.component(one.key)
        data.get("image", {}).pop("values", None)
        (data.get("overlay") or {}).pop("values", None)
        sent += str(data)
    assert not re.search(
        r"2\.25\.\d{6,}|\b[0-9a-f]{32,}\b|/workspace|P[0-9A-F]{16}", re.sub(r"\$\$ID-[0-9a-f]+", "", sent)
    )
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
    image = screen.component("viewer")["image"]
    assert (image["rows"], image["columns"]) == (study.instances[0].rows, study.instances[0].columns)
    assert image["presets"][0] == {"name": "As acquired", "center": 2200.0, "width": 3000.0}


def test_an_unreadable_image_is_told_kindly(demo: Any, open_page: Callable[..., Any]) -> None:
    for study in Archive(demo.workspace).studies():
        path = study.instances[0].path
        path.write_bytes(path.read_bytes()[:2000])
    screen = open_page("study")
    assert "cannot be read" in screen.words
    assert "Export the file again" in screen.words


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("models", "There is no model here yet"),
        ("archive", "No study has arrived yet"),
        ("osler-workspace", "There is no workspace"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(
    demo: Any, open_page: Callable[..., Any], tmp_path: Path, spoil: str, said: str
) -> None:
    (demo.workspace.root / spoil).rename(tmp_path / "away")
    screen = open_page("study")
    assert said in screen.words
    assert "osler" in screen.words.partition(said)[2]


def test_a_fresh_workspace_has_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., Any]
) -> None:
    monkeypatch.setenv("OSLER_WORKSPACE", str(Workspace.open(tmp_path / "fresh", create=True).root))
    for page in ("study", "sites", "results"):
        assert "osler" in open_page(page).words.lower()


def test_an_address_opens_a_study(demo: Any, open_page: Callable[..., Any]) -> None:
    screen = open_page("study", study="hospital-b-study-0003")
    assert screen.component("viewer")["label"] == "Hospital B · study 0003"
    screen.app.button(key="next").click().run()
    assert screen.app.query_params["study"] == "hospital-b-study-0004"


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
