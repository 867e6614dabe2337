"""Reports are true to the study: read back by the annotator, and against the words themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from osler_knowledge.annotate import Mention, annotate, annotate_findings
from osler_knowledge.bank import ConceptBank
from osler_knowledge.propose import build_bank
from osler_training.phantom.anatomy import Anatomy
from osler_training.phantom.parameters import CONCEPTS, DEVICES, DIAGNOSES, PARAMETERS
from osler_training.phantom.report import STYLES, write_report
from osler_training.phantom.spec import Finding, StudySpec, sample_patient, sample_study
from osler_training.phantom.truth import concept_truth

COUNT = 320
# Text may say more than the truth table holds: a line or nodule "in the lower zone" is read as a basal opacity, and
# "opacity at both lung bases" from two effusions as bilateral opacities. Both are fair readings of the sentence.
READ_MORE_WIDELY = {"basal_opacity": 0.7, "bilateral_opacities": 0.6}
HEDGES = re.compile(r"\b(possible|may|cannot be excluded|suspicious|questionable)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """A study, its truth, its report, and what the annotator reads in it."""

    spec: StudySpec
    truth: dict[str, int]
    text: str
    mentions: dict[str, Mention]


def study(index: int) -> tuple[StudySpec, dict[str, int], str]:
    rng = np.random.default_rng([11, index])
    view = "AP" if index % 3 == 0 else "PA"
    spec = sample_study(DIAGNOSES[index % 8], rng, view=view, device_rates=dict.fromkeys(DEVICES, 0.2))
    truth = concept_truth(Anatomy(spec, 4))
    return spec, truth, write_report(spec, truth, list(STYLES)[index // 8 % 4], rng)


@pytest.fixture(scope="module")
def bank() -> ConceptBank:
    return build_bank().subset(CONCEPTS)


@pytest.fixture(scope="module")
def told(bank: ConceptBank) -> list[Told]:
    studies = [study(index) for index in range(COUNT)]
    read = annotate([text for _, _, text in studies], bank)
    return [Told(*one, mentions) for one, mentions in zip(studies, read, strict=True)]


def test_every_simulated_concept_is_a_concept_of_the_bank(bank: ConceptBank) -> None:
    assert set(bank.ids) == set(CONCEPTS)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_what_is_read_as_present_is_there_and_what_is_there_is_mostly_stated(told: list[Told], concept: str) -> None:
    truth = np.array([one.truth[concept] for one in told], bool)
    state = [one.mentions[concept].state if concept in one.mentions else "" for one in told]
    present, spoken = (
        np.array([one == "present" for one in state]),
        np.array([one in ("present", "uncertain") for one in state]),
    )
    wrong = [
        one.text[slice(one.mentions[concept].start, one.mentions[concept].end)]
        for one in np.array(told)[present & ~truth]
    ]
    assert present.sum() >= 8, f"{concept} is stated in {present.sum()} of {COUNT} reports"
    assert truth[present].mean() >= READ_MORE_WIDELY.get(concept, 0.97), f"{concept} misread from {wrong}"
    assert spoken[truth].mean() > 0.75, f"{concept} is stated in {spoken[truth].mean():.2f} of the studies that show it"


def test_nothing_that_is_there_is_denied(told: list[Told]) -> None:
    denied = [
        (name, one.text[mention.start : mention.end])
        for one in told
        for name, mention in one.mentions.items()
        if mention.state == "absent" and one.truth[name]
    ]
    # Reports never deny it; at most one in a thousand statements may be misread as a denial.
    assert len(denied) <= sum(sum(one.truth.values()) for one in told) / 1000, denied


def test_absence_is_stated_too(told: list[Told]) -> None:
    denials = sum(mention.state == "absent" for one in told for mention in one.mentions.values())
    assert denials > COUNT


def test_a_report_hedges_only_about_what_is_slight(told: list[Told]) -> None:
    marked = [one for one in told if all(f.severity >= PARAMETERS.hedged for f in one.spec.findings)]
    marked = [one for one in marked if one.spec.findings or one.spec.diagnosis == "normal"]
    assert len(marked) > COUNT / 4
    assert [found.group() for one in marked if (found := HEDGES.search(one.text))] == []
    slight = [
        one for one in told if one.spec.findings and max(f.severity for f in one.spec.findings) < PARAMETERS.hedged
    ]
    assert len(slight) > 5
    assert all(HEDGES.search(one.text) for one in slight), "the impression at least must hedge"


@pytest.mark.parametrize("diagnosis", ["heart_failure", "pneumonia"])
def test_the_finding_read_from_a_report_is_the_diagnosis(told: list[Told], diagnosis: str) -> None:
    read = annotate_findings([one.text for one in told])
    states = {
        mine: [
            found[diagnosis].state if diagnosis in found else ""
            for found, one in zip(read, told, strict=True)
            if (one.spec.diagnosis == diagnosis) == mine
        ]
        for mine in (True, False)
    }
    assert set(states[True]) <= {"present", "uncertain"}
    assert states[True].count("present") > 0.75 * len(states[True])
    assert set(states[False]) <= {"", "absent"}


def test_same_seed_same_words() -> None:
    assert [study(index)[2] for index in range(24)] == [study(index)[2] for index in range(24)]
    spec, truth, _ = study(1)
    assert len({write_report(spec, truth, "verbose", np.random.default_rng(seed)) for seed in range(8)}) == 8


@pytest.mark.parametrize("style", STYLES)
def test_no_place_holder_is_left_and_sections_follow_the_style(style: str) -> None:
    for index in range(64):
        spec, truth, _ = study(index)
        text = write_report(spec, truth, style, np.random.default_rng(index))
        assert not re.search(r"[{}]|  | \.|\ba a\b", text), text
        assert tuple(re.findall(r"^([A-Z]+):", text, re.MULTILINE)) == STYLES[style].sections
        assert all(line.rstrip().endswith((".", ":")) for line in text.splitlines()), text


def test_spelling_follows_the_style(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = sample_patient(np.random.default_rng(3))
    spec = StudySpec("heart_failure", "PA", patient, (Finding("oedema", "both", "", 0.9),), (), 7)
    truth = concept_truth(Anatomy(spec, 4))
    spelled = {}
    for british in (False, True):
        monkeypatch.setitem(STYLES, "plain", replace(STYLES["plain"], stated=1.0, british=british))
        spelled[british] = " ".join(
            write_report(spec, truth, "plain", np.random.default_rng(i)) for i in range(40)
        ).lower()
    assert "pulmonary edema" in spelled[False]
    assert "cephalization" in spelled[False]
    assert "oedema" not in spelled[False]
    assert "pulmonary oedema" in spelled[True]
    assert "cephalisation" in spelled[True]
    assert not re.search(r"\bedema|cephalization", spelled[True])
