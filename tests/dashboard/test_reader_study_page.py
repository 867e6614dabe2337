"""The reader-study page: one case at a time, nothing of the model where the arm has none, and results for who runs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from osler import audit
from osler.access import Role
from osler.reader_study.protocol import Protocol
from osler.reader_study.study import PLAN, ReaderStudy, start
from osler_dashboard import reader_services
from osler_dashboard.words import percent, sentence

READER = "Dr A"
PLAIN: dict[str, Any] = {
    "name": "first",
    "title": "Does <b>it</b> help?",
    "model": "fitted",
    "arms": {"unaided": {"shows": "nothing"}, "prediction": {"shows": "prediction"}, "concepts": {"shows": "concepts"}},
    "readers": [READER, "Dr B"],
    "cases": {"site": "hospital_a", "count": 3},
    "wrong": 0.34,
}
CLINICIAN, RESEARCHER = (Role.CLINICIAN,), (Role.RESEARCHER,)


@pytest.fixture
def study(demo: Any) -> ReaderStudy:
    """Start a study in which the person of the tests reads."""
    return start(demo.workspace, Protocol.model_validate(PLAIN))


def begin(open_page: Callable[..., Any]) -> Any:
    """Open the page as a reader and begin."""
    screen = open_page("reader_study", roles=CLINICIAN)
    screen.app.button(key="begin-first").click().run()
    return screen


def answer(screen: Any, choice: str, sure: int = 75) -> None:
    """Answer the case on the screen."""
    which, how = (
        next(one for one in screen.app.radio if one.label == label) for label in ("Your answer", "How sure are you?")
    )
    which.set_value(choice)
    how.set_value(sure).run()
    next(one for one in screen.app.button if one.label == "Next case").click().run()
    assert not screen.app.exception


def test_a_reader_meets_every_arm_and_only_what_it_has(
    study: ReaderStudy, open_page: Callable[..., Any], demo: Any
) -> None:
    own = [one for one in study.readings if one.reader == READER and one.sitting == 0]
    assert {one.arm for one in own} == {"unaided", "prediction", "concepts"}
    screen = begin(open_page)
    for place, reading in enumerate(own):
        assert f"Case {place + 1} of 9" in screen.words
        advice = study.advice(reading.case, True)
        assert advice is not None
        sure, signs = percent(advice.probability), [sentence(one.name) for one in advice.concepts]
        found = (sure in screen.words, any(name in screen.words for name in signs))
        assert found == (reading.arm != "unaided", reading.arm == "concepts")
        if reading.arm == "unaided":
            assert "model says" not in screen.text
            assert not re.search(r"o-advice|o-number|o-shift", screen.text)
        for secret in ("planted", "donor", reading.case, study.cases[reading.case].patient):
            assert secret not in screen.text
        answer(screen, study.cases[reading.case].truth)
    assert "That is all for now" in screen.words
    lines = study.answers()
    assert [lines[one.reader, one.case, one.sitting].confidence for one in own] == [75] * 3
    assert all(line.seconds is not None and line.seconds >= 0 for line in lines.values())
    assert [one.subject for one in audit.entries(demo.workspace) if one.action == "reader-study.read"] == [
        one.case for one in own
    ]


def test_readers_are_told_what_they_take_part_in_and_titles_are_text(
    study: ReaderStudy, open_page: Callable[..., Any]
) -> None:
    screen = open_page("reader_study", roles=CLINICIAN)
    assert "made wrong on purpose" in screen.words
    assert "Does <b>it</b> help?" in screen.words
    assert not [one for one in screen.app.get("html") if "<b>it</b>" in one.proto.body]


def test_nothing_goes_on_before_both_questions_are_answered(study: ReaderStudy, open_page: Callable[..., Any]) -> None:
    screen = begin(open_page)
    (going,) = [one for one in screen.app.button if one.label == "Next case"]
    assert going.disabled
    screen.app.radio[0].set_value("pneumonia").run()
    (going,) = [one for one in screen.app.button if one.label == "Next case"]
    assert going.disabled
    assert study.answers() == {}


def test_who_pauses_comes_back_to_the_same_case(study: ReaderStudy, open_page: Callable[..., Any]) -> None:
    screen = begin(open_page)
    first = study.turn(READER).reading
    next(one for one in screen.app.button if one.label == "Pause").click().run()
    assert "0 of 9 cases read" in screen.words
    again = begin(open_page)
    assert study.turn(READER).reading == first
    assert first is not None
    answer(again, "pneumonia")
    assert study.answers()[READER, first.case, 0].opened == 2


def test_an_answer_from_another_window_stays(study: ReaderStudy, open_page: Callable[..., Any]) -> None:
    one, other = begin(open_page), begin(open_page)
    reading = study.turn(READER).reading
    assert reading is not None
    answer(one, "pneumonia")
    other.app.radio[0].set_value("heart_failure").run()
    assert study.answers()[READER, reading.case, 0].answer == "pneumonia"
    assert "Case 2 of 9" in other.words


def test_who_is_no_reader_is_told_so(study: ReaderStudy, open_page: Callable[..., Any], demo: Any) -> None:
    start(demo.workspace, Protocol.model_validate({**PLAIN, "name": "second", "readers": ["Dr B"]}))
    screen = open_page("reader_study", roles=CLINICIAN)
    assert [one.key for one in screen.app.button if (one.key or "").startswith("begin-")] == ["begin-first"]
    assert not screen.app.selectbox
    assert not screen.app.get("file_uploader")


def test_who_runs_it_sees_progress_and_results_but_not_before_reading_all_own_cases(
    study: ReaderStudy, open_page: Callable[..., Any], demo: Any
) -> None:
    now = datetime.now(UTC)
    for reader in (READER, "Dr B"):
        while (reading := study.turn(reader, now).reading) is not None:
            study.open(reader, reading, now)
            study.answer(reader, reading, study.cases[reading.case].truth, 50, now)
    screen = open_page("reader_study", roles=RESEARCHER)
    assert re.search(r"Dr B\s+3 of 9\s+waits until", screen.words)
    assert "You read in this study yourself" in screen.app.info[0].value
    other = start(demo.workspace, Protocol.model_validate({**PLAIN, "name": "second", "readers": ["Dr B"]}))
    reading = other.turn("Dr B").reading
    assert reading is not None
    other.open("Dr B", reading)
    other.answer("Dr B", reading, other.cases[reading.case].truth, 50)
    screen = open_page("reader_study", roles=RESEARCHER)
    screen.app.selectbox(key="run_study").set_value("second").run()
    screen.app.toggle(key="results-second").set_value(True).run()
    assert re.search(r"Right answers\s+100%", screen.words)
    assert reader_services.export(other) is reader_services.export(other), "not drawn again by each click"
    before, again = reader_services.export(other), other.turn("Dr B").reading
    assert again is not None
    other.open("Dr B", again)
    other.answer("Dr B", again, other.cases[again.case].truth, 50)
    assert reader_services.export(other).readings_csv != before.readings_csv
    assert "reader-study.results" in [one.action for one in audit.entries(demo.workspace)]


def test_a_study_is_started_from_a_file_and_a_bad_one_is_explained(demo: Any, open_page: Callable[..., Any]) -> None:
    screen = open_page("reader_study", roles=RESEARCHER)
    assert "No reader study has started here" in screen.words
    good = Protocol.model_validate(PLAIN).model_dump_json()
    screen.app.get("file_uploader")[0].set_value([("p.yaml", b"name: [", "text/yaml")]).run()
    assert "not YAML" in screen.app.warning[0].value
    screen.app.get("file_uploader")[0].set_value([("p.yaml", good.encode(), "text/yaml")]).run()
    screen.app.button(key="start_study").click().run()
    assert ReaderStudy.load(demo.workspace, "first").protocol.title == PLAIN["title"]
    entry = audit.entries(demo.workspace)[-1]
    assert (entry.action, entry.actor) == ("reader-study.start", READER)


def test_a_damaged_study_is_told_and_leaves_the_others(
    study: ReaderStudy, open_page: Callable[..., Any], demo: Any
) -> None:
    start(demo.workspace, Protocol.model_validate({**PLAIN, "name": "second"}))
    (study.folder / PLAN).write_text("{")
    screen = open_page("reader_study", roles=RESEARCHER)
    assert "cannot be read" in screen.app.warning[0].value
    assert "first" not in screen.app.selectbox(key="run_study").options
