"""A study from its protocol to its tables, on a real archive with a real model."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from osler import audit
from osler.archive import Archive
from osler.archive.retention import delete_patient
from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.cli.main import main
from osler.deid import Pseudonymizer
from osler.explain.service import StudyExplainer
from osler.feedback import Draft, keep_draft, read_drafts
from osler.reader_study.journal import FILE
from osler.reader_study.protocol import Protocol
from osler.reader_study.study import PLAN, ReaderStudy, start
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DAY = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "name": "first",
    "title": "Does it help?",
    "model": "random",
    "arms": {"unaided": {"shows": "nothing"}, "prediction": {"shows": "prediction"}, "concepts": {"shows": "concepts"}},
    "readers": ["Dr A", "Dr B"],
    "cases": {"site": "c", "count": 9},
    "wrong": 0.34,
    "washout_days": 10,
}


def protocol(**change: Any) -> Protocol:
    """Return a protocol; the keyword arguments change it."""
    return Protocol.model_validate({**PLAIN, **change})


@pytest.fixture(scope="module")
def begun(built_ward: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which a study has started."""
    root = tmp_path_factory.mktemp("begun") / "own"
    shutil.copytree(built_ward.root, root)
    workspace = Workspace.open(root)
    _fit(workspace)
    start(workspace, protocol(), DAY)
    return workspace


def _fit(workspace: Workspace) -> None:
    """Give the model concepts that follow the labels of these very studies, so that it is right of most of them."""
    explainer = StudyExplainer(workspace, "random")
    pipeline = explainer.pipeline
    studies, features = explainer.site_features("c")
    labels = [study.labels.get("finding", "") for study in studies]
    known = np.array([label != "" for label in labels])
    x = (features.pooled - features.pooled.mean(0)) / features.pooled.std(0)
    ids = pipeline.bank.ids
    weights, biases = [], []
    for number in range(len(ids)):
        truth = np.array([label == pipeline.classes[number % 3] for label in labels])
        fit = LogisticRegression(C=10.0).fit(x[known], truth[known])
        weights.append(fit.coef_[0] / features.pooled.std(0))
        biases.append(fit.intercept_[0] - weights[-1] @ features.pooled.mean(0))
    scorer = LogisticScorer(ids, np.array(weights), np.array(biases), np.tile([-2.0, 3.0], (len(ids), 1)))
    head = LinearHead(ids, np.array([[4.0 * (c % 3 == k) for c in range(len(ids))] for k in range(3)]), np.zeros(3))
    shutil.move(workspace.models / "random" / "encoder", workspace.models / "kept")
    shutil.rmtree(workspace.models / "random")
    save_bottleneck(replace(pipeline, scorer=scorer, head=head), workspace.models / "random", card="# Fitted\n")
    shutil.move(workspace.models / "kept", workspace.models / "random" / "encoder")


@pytest.fixture
def own(begun: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(begun.root, tmp_path / "own")
    return Workspace.open(tmp_path / "own")


@pytest.fixture
def study(own: Workspace) -> ReaderStudy:
    return ReaderStudy.load(own, "first")


def read_one(study: ReaderStudy, reader: str, now: datetime, answer: str | None = None) -> None:
    """Open and answer a reader's next case."""
    reading = study.turn(reader, now).reading
    assert reading is not None
    study.open(reader, reading, now)
    said = answer or study.cases[reading.case].truth
    study.answer(reader, reading, said, 70, now + timedelta(seconds=12))


def test_cases_are_of_different_patients_and_their_truth_is_the_archives(study: ReaderStudy, own: Workspace) -> None:
    records = {one.uid: one for one in Archive(own).studies("c")}
    cases = list(study.cases.values())
    assert len({one.patient for one in cases}) == len(cases) == 9
    assert all(records[one.study].patient == one.patient for one in cases)
    assert all(one.truth in records[one.study].labels.values() for one in cases)
    counts = Counter(one.truth for one in cases)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_planted_advice_is_wrong_and_is_what_the_model_says_of_another_patient(
    study: ReaderStudy, own: Workspace
) -> None:
    planted = [one for one in study.cases.values() if one.planted]
    assert len(planted) == 3
    records = {one.uid: one for one in Archive(own).studies("c")}
    for case in planted:
        advice = study.advice(case.study, True)
        assert advice is not None
        assert advice.planted
        assert advice.finding != case.truth
        assert records[case.donor].patient not in {one.patient for one in study.cases.values()}


def test_a_reader_sees_what_the_arm_has_and_never_that_advice_was_planted(study: ReaderStudy) -> None:
    for reading in study.readings:
        shown = study.shown(reading)
        if reading.arm == "unaided":
            assert shown is None
            continue
        assert shown is not None
        assert not shown.planted
        assert bool(shown.concepts) == (reading.arm == "concepts")
    assert {len(one.concepts) for r in study.readings if r.arm == "concepts" and (one := study.shown(r))} <= set(
        range(1, 11)
    )


def test_a_case_comes_back_only_after_the_washout(study: ReaderStudy) -> None:
    for _ in range(9):
        read_one(study, "Dr A", DAY)
    turn = study.turn("Dr A", DAY + timedelta(days=9))
    assert (turn.reading, turn.done, turn.of) == (None, 9, 27)
    assert turn.until == datetime(2026, 3, 11, tzinfo=UTC)
    again = study.turn("Dr A", datetime(2026, 3, 11, tzinfo=UTC)).reading
    assert again is not None
    assert again.sitting == 1
    assert study.turn("Dr B", DAY).done == 0


def test_a_study_goes_on_where_it_was_left_and_ends(study: ReaderStudy, own: Workspace) -> None:
    first = study.turn("Dr A", DAY).reading
    assert first is not None
    study.open("Dr A", first, DAY)
    assert ReaderStudy.load(own, "first").turn("Dr A", DAY + timedelta(hours=3)).reading == first
    study.open("Dr A", first, DAY + timedelta(hours=3))
    line = study.answer("Dr A", first, "normal", 5, DAY + timedelta(hours=3, seconds=7.5))
    assert (line.seconds, line.opened) == (7.5, 2)
    for sitting in range(3):
        now = DAY + timedelta(days=20 * sitting)
        while study.turn("Dr A", now).reading is not None:
            read_one(study, "Dr A", now)
    turn = study.turn("Dr A", DAY + timedelta(days=99))
    assert (turn.reading, turn.until, turn.done) == (None, None, 27)


def _answer(root: Path, answer: str) -> None:
    study = ReaderStudy.load(Workspace.open(root), "first")
    reading = next(one for one in study.readings if one.reader == "Dr A")
    study.open("Dr A", reading)
    with suppress(OslerError):
        study.answer("Dr A", reading, answer, 50)


def test_of_two_windows_the_first_answer_stays(own: Workspace, study: ReaderStudy) -> None:
    workers = [get_context("fork").Process(target=_answer, args=(own.root, one)) for one in ("normal", "pneumonia") * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    lines = [json.loads(line) for line in (study.folder / FILE).read_text().splitlines()]
    assert [one["what"] for one in lines].count("answered") == 1
    with (study.folder / FILE).open("a") as stream:
        stream.write('{"what": "answ')
    read_one(study, "Dr B", DAY)
    assert len(study.answers()) == 2


def test_nobody_answers_for_another_or_what_was_not_asked(study: ReaderStudy) -> None:
    reading = study.turn("Dr A", DAY).reading
    assert reading is not None
    with pytest.raises(OslerError) as refused:
        study.turn("Dr C")
    assert refused.value.code is Code.NOT_ALLOWED
    for who, answer, confidence, code in (
        ("Dr B", "normal", 50, Code.NOT_ALLOWED),
        ("Dr A", "perhaps", 50, Code.USAGE),
        ("Dr A", "normal", 101, Code.USAGE),
        ("Dr A", "normal", 50, Code.USAGE),
    ):
        with pytest.raises(OslerError) as refused:
            study.answer(who, reading, answer, confidence, DAY)
        assert refused.value.code is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, Code.PROTOCOL_INVALID),
        ({"name": "b", "model": "none"}, Code.MODEL_INVALID),
        ({"name": "b", "cases": {"site": "nowhere", "count": 4}}, Code.PROTOCOL_INVALID),
        ({"name": "b", "cases": {"site": "c", "count": 500}}, Code.PROTOCOL_INVALID),
        ({"name": "b", "cases": {"site": "c", "studies": ["2.25.1", "2.25.2", "2.25.3"]}}, Code.PROTOCOL_INVALID),
        ({"name": "b", "cases": {"site": "c", "count": 2}}, Code.PROTOCOL_INVALID),
        ({"name": "b", "cases": {"site": "c", "count": 9, "label": "report"}}, Code.NOTHING_ELIGIBLE),
        (
            {"name": "b", "arms": {"a": {"shows": "concepts"}, "b": {"shows": "concepts", "patch": False}}},
            Code.PROTOCOL_INVALID,
        ),
    ],
)
def test_what_cannot_be_held_is_refused_before_anything_is_written(
    own: Workspace, change: dict[str, Any], code: Code
) -> None:
    before = sorted(own.feedback.rglob("*"))
    with pytest.raises(OslerError) as refused:
        start(own, protocol(**change))
    assert refused.value.code is code
    assert refused.value.mend
    assert sorted(own.feedback.rglob("*")) == before


def test_a_seed_repeats_a_study_and_another_does_not(own: Workspace, study: ReaderStudy) -> None:
    same, other = start(own, protocol(name="same"), DAY), start(own, protocol(name="other", seed=1), DAY)
    assert (same.cases, same.readings) == (study.cases, study.readings)
    assert set(other.cases) != set(study.cases)


def test_a_patient_who_is_taken_out_leaves_the_study_and_the_rest_goes_on(own: Workspace, study: ReaderStudy) -> None:
    for _ in range(9):
        read_one(study, "Dr A", DAY)
    gone = study.cases[study.readings[0].case]
    keep_draft(own, "Dr A", gone.study, Draft(comment="half a sentence"))
    archive = Archive(own)
    delete_patient(archive, gone.patient, actor="a", reason="asked for", pseudonymizer=Pseudonymizer(bytes(32)))
    texts = [path.read_text() for path in own.feedback.rglob("*.json*") if not path.name.startswith("audit")]
    assert not [text for text in texts if gone.study in text or gone.patient in text]
    assert read_drafts(own, "Dr A") == {}
    left = ReaderStudy.load(own, "first")
    assert gone.study not in left.cases
    assert (len(left.cases), len(left.answers()), len(left.readings)) == (8, 8, 48)
    assert left.turn("Dr A", DAY + timedelta(days=30)).of == 24


def test_a_damaged_folder_is_told(own: Workspace, study: ReaderStudy) -> None:
    (study.folder / PLAN).write_text("{")
    with pytest.raises(OslerError) as refused:
        ReaderStudy.load(own, "first")
    assert refused.value.code is Code.PROTOCOL_INVALID
    with pytest.raises(OslerError):
        ReaderStudy.load(own, "../..")


def test_the_command_starts_watches_and_exports(
    own: Workspace, study: ReaderStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str, expect: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        code = main(["reader-study", *words, "--workspace", str(own.root), "--json"])
        answer = dict(json.loads(capsys.readouterr().out))
        assert code == expect, answer
        return answer

    declared = tmp_path / "second.json"  # JSON is YAML too
    declared.write_text(json.dumps({**PLAIN, "name": "second", "readings": "once"}))
    assert told("start", str(declared), "--check")["protocol"]["name"] == "second"
    assert told("start", str(declared), "--author", "Ada") | {"readings": 18, "planted": 3} == told_of(own, "second")
    out = tmp_path / "readings.csv"
    assert told("export", "first", "--out", str(out), expect=1)["error"]["code"] == "nothing-eligible"
    for reader in study.protocol.readers:
        for _ in range(9):
            read_one(study, reader, DAY)
    assert [one["done"] for one in told("show", "first")["readers"]] == [9, 9]
    assert {one["study"]: one["done"] for one in told("list")["studies"]} == {"first": 18, "second": 0}
    found = told("export", "first", "--out", str(out), "--replicates", "50")["measures"]
    accuracy = [one for one in found if one["measure"] == "accuracy"]
    assert [one["both"]["value"] for one in accuracy] == [1.0, 1.0, 1.0]
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 18
    assert {row["reader"] for row in rows} == {"reader 1", "reader 2"}
    assert "Dr A" not in out.read_text()
    assert (tmp_path / "readings-arms.csv").is_file()
    assert [one.action for one in audit.entries(own)][-2:] == ["reader-study.start", "reader-study.export"]


def told_of(own: Workspace, name: str) -> dict[str, Any]:
    """Return what `start` says of a study."""
    study = ReaderStudy.load(own, name)
    planted = sum(one.planted for one in study.cases.values())
    return {
        "study": name,
        "cases": len(study.cases),
        "planted": planted,
        "readings": len(study.readings),
        "traced": dict(study.traced),
    }


def test_arms_with_and_without_a_patch_have_advice_of_their_own(study: ReaderStudy) -> None:
    arms = {**study.protocol.arms, "plain": study.protocol.arms["concepts"].model_copy(update={"patch": False})}
    kept = {case: {"patch": study.advice(case, True), "plain": study.advice(case, True)} for case in study.cases}
    told = {
        case: {"patch": one["patch"].to_dict(), "plain": replace(one["plain"], finding="other").to_dict()}
        for case, one in kept.items()
        if one["patch"] and one["plain"]
    }
    both = replace(study, protocol=study.protocol.model_copy(update={"arms": arms}), _advice=told)
    reading = next(one for one in study.readings if one.arm == "concepts")
    with_patch, without = (both.shown(replace(reading, arm=arm)) for arm in ("concepts", "plain"))
    assert with_patch is not None
    assert without is not None
    assert with_patch.finding != without.finding == "other"
