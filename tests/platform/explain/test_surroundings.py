"""What the archive, the site and the readers add to an explanation; and what they must not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.platform.patches import by_hand, masked

from osler.adapt.store import PatchStore
from osler.archive import StudyRecord
from osler.drift.store import Checked, DriftStore
from osler.explain.cautions import (
    CODES,
    CONCEPTS_MOVED,
    PATCH_EXPIRED,
    SITE_DRIFTED,
    UNLIKE_SOURCE,
    of_contract,
    of_likeness,
)
from osler.explain.explanation import Likeness, Searched
from osler.explain.profiles import Profiles
from osler.explain.service import StudyExplainer
from osler.explain.similar import similar_studies
from osler.feedback import Review, save_review
from osler.feedback.review import Conclusion
from osler.monitor.service import kept_at
from osler.workspace import Workspace
from osler_contracts.drift.report import DriftReport, FieldResult, Verdict


@pytest.fixture
def ward(hospital: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the hospital, to change."""
    # What other tests left in the cache is theirs.
    shutil.copytree(hospital.root, tmp_path / "ward", ignore=shutil.ignore_patterns("cache"))
    return Workspace.open(tmp_path / "ward")


def study(number: int, patient: str, **labels: str) -> StudyRecord:
    return StudyRecord(f"2.25.{number}", "b", patient, "20240101", (), labels, None, ("released", "a-new-code"))


def test_similar_studies_are_of_other_patients_one_each_and_the_likest_first():
    studies = tuple(study(n, f"p{n // 2}", finding="Pneumonia" if n < 4 else "unheard of") for n in range(8))
    values = np.stack([[float(n), 100.0 * n] for n in range(8)])
    archived = (Profiles(studies, values, ("normal",) * 8, np.zeros((8, 1))),)
    used = np.array([True, False])  # the second concept is ignored here, however far it is
    found = similar_studies(
        values[0],
        "p0",
        archived,
        np.array([2.0, 1.0]),
        used=used,
        classes=("normal", "pneumonia"),
        reviews={"2.25.4": "signed"},
    )
    assert [one.study for one in found] == ["2.25.2", "2.25.4", "2.25.6"]
    assert [one.distance for one in found] == [1.0, 2.0, 3.0]
    assert [one.label for one in found] == ["pneumonia", None, None]
    assert [one.review for one in found] == ["to review", "signed", "to review"]
    assert similar_studies(values[0], "p0", archived, np.zeros(2), used=used, classes=()) == ()


def test_warnings_have_stable_codes_and_words():
    known, new = of_contract(study(1, "p"))
    assert known.code == "released"
    assert "person released" in known.message
    assert (new.code, new.message) == ("a-new-code", "The intake noted a-new-code.")
    unlike = Likeness("image features", 9.0, 5.0, 0.01, 150, True)
    (warning,) = of_likeness([unlike, replace(unlike, unlike=False)])
    assert warning.code == UNLIKE_SOURCE["image features"] in CODES
    assert "1%" in warning.message
    assert str(warning) == warning.message


def test_a_site_that_drifted_and_a_patch_that_expired_are_said(ward: Workspace):
    explainer = StudyExplainer(ward, "random")
    uid = next(one.uid for one in explainer.archive.studies("b") if explainer.archive.frontal(one))
    assert not {SITE_DRIFTED, PATCH_EXPIRED} & {one.code for one in explainer.explain(uid).warnings}
    pipeline, store = explainer.pipeline, DriftStore(ward.drift)
    report = DriftReport("b", 0.05, "patient", {}, {"units": 9}, (FieldResult("Rows", Verdict.MOVED),))
    store.keep_report(Checked("2024-05-01T00:00:00+00:00", report, 1))
    kept = kept_at(ward, "b", "random")
    concepts = [{"id": "concept_1", "name": "concept 1"}]
    kept.write_text(json.dumps({"model": pipeline.digest, "moved": ["concept_1"], "concepts": concepts}))
    patch = by_hand(pipeline, masked(pipeline, "concept_1"), expires="2024-06-01", status="active")
    PatchStore(ward.patches).save(patch)
    warned = {one.code: one.message for one in explainer.explain(uid).warnings}
    assert {SITE_DRIFTED, CONCEPTS_MOVED, PATCH_EXPIRED} <= set(warned)
    assert "Rows" in warned[SITE_DRIFTED]
    assert "concept 1" in warned[CONCEPTS_MOVED]
    assert "2024-06-01" in warned[PATCH_EXPIRED]
    kept.write_text(json.dumps({"model": "0" * 64, "moved": ["concept_1"], "concepts": concepts}))
    assert CONCEPTS_MOVED not in {one.code for one in explainer.explain(uid).warnings}  # of another model


def test_a_review_and_new_studies_are_seen_at_once(ward: Workspace):
    explainer = StudyExplainer(ward, "random")
    explainer.surroundings.gather("b")
    uids = [one.uid for one in explainer.archive.studies("b") if explainer.archive.frontal(one)]
    first = explainer.explain(uids[0])
    assert len(first.similar) == 5
    assert first.similar_among == Searched(8, 9, first.similar_among.sentence)  # the lateral one cannot be read
    assert first.similar_among.sentence == (
        "Looked for among the 8 of 9 archived studies of other patients that were read so far."
    )
    assert uids[0] not in [one.study for one in first.similar]
    assert {one.review for one in first.similar} == {"to review"}
    assert {one.label for one in first.similar} <= {"heart_failure", "pneumonia", "normal"}
    said = Conclusion("normal", 0.9)
    nearest = first.similar[0].study
    save_review(ward, Review(nearest, "b", "Dr Lee", {}, said, said, explainer.pipeline.digest, "0" * 64))
    again = explainer.explain(uids[0])
    assert again.similar[0].review == "signed"
    assert [one.study for one in again.similar] == [one.study for one in first.similar]
    quick = explainer.context(explainer.archive.study(uids[0])).quick()
    assert not quick.searching


def test_a_profile_kept_in_the_cache_is_the_one_that_was_read(ward: Workspace):
    explainer = StudyExplainer(ward, "random")
    explainer.surroundings.gather("b")
    first = explainer.surroundings.profiles("b")
    assert first.complete
    again = StudyExplainer(ward, "random").surroundings.profiles("b")
    np.testing.assert_array_equal(again.values, first.values)
    assert again.studies == first.studies
    for path in (ward.cache / "explain").glob("*.npz"):
        path.write_bytes(b"damaged")
    np.testing.assert_array_equal(StudyExplainer(ward, "random").surroundings.profiles("b").values, first.values)
