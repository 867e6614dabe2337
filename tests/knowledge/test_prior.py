"""The prior is what sentences say; the starter corpus says what radiologists agree on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from osler_knowledge.bank import ConceptBank
from osler_knowledge.corpus import Corpus, Entry
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.prior import read_prior

LABELLED = yaml.safe_load((Path(__file__).parent / "prior_sentences.yaml").read_text(encoding="utf-8"))
DEVICES = ("endotracheal_tube", "central_venous_line", "ecg_leads", "pacemaker", "nasogastric_tube", "sternotomy_wires")
# What a chest radiologist would answer, written down apart from the corpus: heart failure against pneumonia.
EXPECTED = {
    "enlarged_cardiac_silhouette": (1, -1),
    "cephalized_vessels": (1, -1),
    "perihilar_haze": (1, -1),
    "kerley_b_lines": (1, -1),
    "peribronchial_cuffing": (1, -1),
    "bilateral_opacities": (1, -1),
    "bilateral_pleural_fluid": (1, -1),
    "airspace_opacity": (0, 1),
    "air_bronchograms": (-1, 1),
    "silhouette_sign": (-1, 1),
    "focal_opacity": (-1, 1),
    "lobar_distribution": (-1, 1),
    "blunted_costophrenic_angle": (0, 0),
    "basal_opacity": (0, 0),
    "low_lung_volumes": (0, 0),
    "visceral_pleural_line": (0, 0),
    "flattened_diaphragm": (0, 0),
}


def read(text: str, lexicon: Lexicon) -> dict[tuple[str, str], int]:
    prior = read_prior(Corpus((Entry("e", "E", text, ("Book",), "", False),)), lexicon)
    return {(one.observation, one.finding): one.value for one in prior.statements}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Kerley B lines favour heart failure.", {("kerley_b_lines", "heart_failure"): 1}),
        (
            "Septal lines favor cardiac failure over pneumonia.",
            {("kerley_b_lines", "heart_failure"): 1, ("kerley_b_lines", "pneumonia"): -1},
        ),
        (
            "An enlarged heart supports heart failure and argues against pneumonia.",
            {("enlarged_cardiac_silhouette", "heart_failure"): 1, ("enlarged_cardiac_silhouette", "pneumonia"): -1},
        ),
        ("Cavitation is not a feature of heart failure.", {("cavitation", "heart_failure"): -1}),
        (
            "Cavitation and a silhouette sign suggest pneumonia rather than heart failure.",
            {
                ("cavitation", "pneumonia"): 1,
                ("silhouette_sign", "pneumonia"): 1,
                ("cavitation", "heart_failure"): -1,
                ("silhouette_sign", "heart_failure"): -1,
            },
        ),
        (
            "A basal opacity does not discriminate between heart failure and pneumonia.",
            {("basal_opacity", "heart_failure"): 0, ("basal_opacity", "pneumonia"): 0},
        ),
        (
            "Air bronchograms favour pneumonia, because heart failure rarely shows them.",
            {("air_bronchograms", "pneumonia"): 1},
        ),
        ("Cavitation does not suggest pneumonia.", {}),
        ("Whether cavitation suggests pneumonia is debated.", {}),
        ("Does cavitation suggest pneumonia?", {}),
        (
            "Bilateral opacities suggest heart failure, whereas a focal opacity suggests pneumonia.",
            {("bilateral_opacities", "heart_failure"): 1, ("focal_opacity", "pneumonia"): 1},
        ),
        (
            "Unlike pneumonia, heart failure shows Kerley lines.",
            {("kerley_b_lines", "heart_failure"): 1, ("kerley_b_lines", "pneumonia"): -1},
        ),
        ("Absence of Kerley lines argues against heart failure.", {("kerley_b_lines", "heart_failure"): 1}),
        ("Without Kerley lines, heart failure is unlikely.", {}),
        ("Heart failure and pneumonia are common.", {}),
        ("In heart failure there may be Kerley lines.", {}),
        (
            "Kerley lines favour heart failure; pneumonia is treated otherwise.",
            {("kerley_b_lines", "heart_failure"): 1},
        ),
        (
            "Bilateral pleural effusions support heart failure.",
            {("bilateral_pleural_fluid", "heart_failure"): 1},
        ),
    ],
)
def test_sentences_are_read(sentence: str, expected: dict[tuple[str, str], int], lexicon: Lexicon) -> None:
    assert read(sentence, lexicon) == expected


@pytest.mark.parametrize(
    ("part", "precision", "recall"), [("first", 0.95, 0.9), ("second", 0.95, 0.85), ("unseen", 0.95, 0.7)]
)
def test_sentences_labelled_by_hand_are_read(part: str, precision: float, recall: float, lexicon: Lexicon) -> None:
    """The reader may pass over a statement; it must not make one up."""
    right = read_out = labelled = 0
    for case in LABELLED[part]:
        expected = {(sign, finding, int(value)) for sign, finding, value in map(str.split, case["says"])}
        found = {(*pair, value) for pair, value in read(case["text"], lexicon).items()}
        right, read_out, labelled = right + len(found & expected), read_out + len(found), labelled + len(expected)
    assert right >= precision * read_out
    assert right >= recall * labelled


def test_sixty_sentences_and_more_are_labelled(corpus: Corpus) -> None:
    texts = [case["text"] for part in LABELLED.values() for case in part]
    assert len(set(texts)) == len(texts) >= 60
    assert len(LABELLED["first"]) >= 30
    assert not any(text in entry.text for entry in corpus.entries for text in texts)


def test_devices_say_nothing_of_any_finding(lexicon: Lexicon) -> None:
    readings = read("ECG leads say nothing about any finding of the lungs.", lexicon)
    assert readings == {("ecg_leads", finding): 0 for finding in lexicon.finding_ids}


def test_a_sign_of_disease_speaks_against_normal_at_half_confidence(lexicon: Lexicon) -> None:
    entry = Entry("e", "E", "Kerley B lines favour heart failure.", ("Book",), "", False)
    evidence = read_prior(Corpus((entry,)), lexicon).of("kerley_b_lines")
    assert evidence["normal"].value == -1
    assert evidence["normal"].confidence == pytest.approx(evidence["heart_failure"].confidence / 2)
    assert evidence["normal"].citation == evidence["heart_failure"].citation
    assert "pneumonia" not in evidence


def test_dissent_lowers_confidence_and_is_reported(lexicon: Lexicon) -> None:
    text = "Cavitation favours pneumonia. Cavitation supports pneumonia. Cavitation argues against pneumonia."
    prior = read_prior(Corpus((Entry("e", "E", text, ("Book",), "", False),)), lexicon)
    assert prior.conflicts() == [("cavitation", "pneumonia")]
    evidence = prior.of("cavitation")["pneumonia"]
    assert (evidence.value, evidence.confidence) == (1, pytest.approx(0.9 * 2 / 3, abs=1e-3))


def test_what_is_read_indirectly_weighs_less(lexicon: Lexicon) -> None:
    text = "Absence of cavitation favours heart failure. Kerley lines favour heart failure."
    prior = read_prior(Corpus((Entry("e", "E", text, ("Book",), "", False),)), lexicon)
    weights = {one.observation: (one.value, one.confidence) for one in prior.statements}
    assert weights == {"cavitation": (-1, 0.6), "kerley_b_lines": (1, 0.9)}


def test_starter_corpus_does_not_contradict_itself(corpus: Corpus, lexicon: Lexicon) -> None:
    assert read_prior(corpus, lexicon).conflicts() == []


def test_starter_prior_agrees_with_radiology(bank: ConceptBank) -> None:
    rows = bank.prior_matrix(("heart_failure", "pneumonia"))
    read_values = {concept: (rows[0][i], rows[1][i]) for i, concept in enumerate(bank.ids)}
    assert {concept: read_values[concept] for concept in EXPECTED} == EXPECTED
    assert {read_values[device] for device in DEVICES} == {(0, 0)}
    known = [concept for concept, pair in read_values.items() if None not in pair]
    assert len(known) >= 0.9 * len(bank.ids)


def test_every_prior_value_is_justified_by_a_sentence_that_names_its_finding(
    bank: ConceptBank, lexicon: Lexicon
) -> None:
    for concept in bank.concepts:
        for finding, evidence in concept.prior.items():
            assert evidence.citation is not None
            readings = read(evidence.citation.passage, lexicon)
            if finding == "normal" and (concept.id, finding) not in readings:
                assert any(sign == concept.id and value == 1 for (sign, _), value in readings.items())
            else:
                assert readings[concept.id, finding] == evidence.value
