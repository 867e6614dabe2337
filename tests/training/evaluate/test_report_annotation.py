"""Scores of findings read from reports: against closed forms, on sentences of our own, and on Open-i where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import Phrases
from osler_knowledge.report_findings import report_findings
from osler_training.evaluate.bootstrap import patient_weights
from osler_training.evaluate.openi import (
    FINDINGS,
    RARE_FINDINGS,
    IndexedReport,
    half_of,
    indexed_side,
    read_openi,
    reference,
)
from osler_training.evaluate.report_annotation import READERS, score

HEAD = "uid,mesh_major,findings,impression\n"
ROWS = (
    'A1,"Cardiomegaly/mild; Thoracic Vertebrae/degenerative/mild",Heart mildly enlarged.,\n'
    "A2,Thoracic Vertebrae/scattered,Heart not enlarged.,\n"
    "A3,cardiomegaly,,Borderline cardiomegaly.\n"
    "A4,normal,Cardiomegaly cannot be excluded.,\n"
)
REAL = Path(__file__).parents[3].parent / "shared" / "data" / "reports" / "openi_reports.csv"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "openi_reports.csv"
    path.write_text(HEAD + ROWS, encoding="utf-8")
    return path


def test_headings_become_labels_by_name_and_qualifier(small: Path) -> None:
    reports = read_openi(small)
    wanted = {key: FINDINGS[key] for key in ("cardiomegaly", "degenerative_spine")}
    assert reference(reports, wanted).tolist() == [[True, True], [False, False], [True, False], [False, False]]
    assert "Cardiomegaly/mild" not in reports[0].text


def test_the_side_is_that_of_the_headings() -> None:
    wanted = FINDINGS["nodule"]
    for headings, side in (
        (("Nodule/lung/left", "Opacity/lung/right"), "left"),
        (("Nodule/lung/left", "Nodule/lung/base/right"), "bilateral"),
        (("Nodule/lung/lingula",), "left"),
        (("Nodule", "Opacity/right"), None),
    ):
        assert indexed_side(IndexedReport("1", "", headings), wanted) == side


def test_the_three_readers_differ_as_they_should(small: Path) -> None:
    texts = [one.text for one in read_openi(small)]
    phrases = {"cardiomegaly": report_findings()["cardiomegaly"]}
    flags = {name: read(texts, phrases)[:, 0].tolist() for name, read in READERS.items()}
    assert flags["keywords"] == [True, True, True, True]
    assert flags["negation library"] == [True, False, True, True]
    assert flags["osler"] == [True, False, True, False]


def test_the_baselines_see_the_keywords_alone() -> None:
    phrases = {"effusion": Phrases(("effusion",), ("angle sharp",), ("pericardial effusion",))}
    texts = ["Pericardial effusion.", "Angle sharp."]
    assert READERS["keywords"](texts, phrases).tolist() == [[True], [False]]
    assert READERS["osler"](texts, phrases).tolist() == [[False], [False]]


def test_scores_agree_with_a_library_and_with_repeated_rows() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.random((40, 3)) < 0.4, rng.random((40, 3)) < 0.5
    weights = rng.integers(0, 3, (5, 40)).astype(float)
    scores = score(predicted, truth, weights)
    for column in range(3):
        for part, library in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            one = getattr(scores, part)[column]
            assert one.value == pytest.approx(library(truth[:, column], predicted[:, column]))
            for row, replicate in zip(weights.astype(int), one.replicates, strict=True):
                drawn = np.repeat(np.arange(40), row)
                assert replicate == pytest.approx(library(truth[drawn, column], predicted[drawn, column]))
    assert scores.macro_f1([0, 2]).value == pytest.approx((scores.f1[0].value + scores.f1[2].value) / 2)


def test_what_is_never_found_or_never_there_is_undefined() -> None:
    scores = score(np.zeros((3, 1), bool), np.zeros((3, 1), bool), np.ones((1, 3)))
    assert all(np.isnan(one[0].value) for one in (scores.precision, scores.recall, scores.f1))


def test_the_split_depends_on_the_identifier_alone() -> None:
    halves = [half_of(f"CXR{number}") for number in range(4000)]
    assert 1800 < halves.count("reporting") < 2200
    assert halves == [half_of(f"CXR{number}") for number in range(4000)]


def test_a_table_of_another_kind_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        read_openi(tmp_path / "none.csv")
    assert caught.value.code == Code.SOURCE_MISSING
    (tmp_path / "other.csv").write_text("uid,findings\n", encoding="utf-8")
    with pytest.raises(OslerError) as caught:
        read_openi(tmp_path / "other.csv")
    assert caught.value.code == Code.TABLE_INVALID


NAMES = {"airspace_disease": "consolidation", "cicatrix": "scarring", "indwelling_catheter": "central line"}
NAMES |= {"degenerative_spine": "osteophytes"}
SENTENCES = {
    "There is {}.": 1,
    "Probable {}.": 1,
    "No {}.": 0,
    "{} cannot be excluded.": 0,
    "Findings suggestive of {}.": 0,
}


def own_table(folder: Path) -> Path:
    """Write five sentences about each finding, indexed as they should be."""
    path = folder / "openi_reports.csv"
    lines = [
        f'{key}{number},"{headings[0] if indexed else "normal"}",{sentence.format(NAMES.get(key, key.replace("_", " ")))},'
        for key, headings in {**FINDINGS, **RARE_FINDINGS}.items()
        for number, (sentence, indexed) in enumerate(SENTENCES.items())
    ]
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return path


REAL_TABLE = [pytest.param(REAL, 1968, 0.90, marks=pytest.mark.slow, id="Open-i")] if REAL.is_file() else []


@pytest.mark.parametrize(("path", "count", "goal"), [pytest.param(None, 40, 1.0, id="own"), *REAL_TABLE])
def test_findings_are_read_better_than_by_either_baseline(
    path: Path | None, count: int, goal: float, tmp_path: Path
) -> None:
    every = read_openi(path or own_table(tmp_path))
    reports = [one for one in every if half_of(one.uid) == "reporting"]
    findings = {**FINDINGS, **RARE_FINDINGS}
    listed = report_findings()
    phrases = {key: listed[key] for key in findings}
    truth, texts = reference(reports, findings), [one.text for one in reports]
    weights = patient_weights([one.uid for one in reports], seed=1, replicates=200)
    shown = [column for column in range(len(FINDINGS)) if truth[:, column].any()]
    macro = {name: score(read(texts, phrases), truth, weights).macro_f1(shown) for name, read in READERS.items()}
    assert len(reports) == count
    assert macro["osler"].value >= goal
    assert all(macro["osler"].minus(macro[name]).ci[0] > 0 for name in ("keywords", "negation library"))
