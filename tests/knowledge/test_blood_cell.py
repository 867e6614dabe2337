"""The bank of white cells: out of the box, cited, without contradiction, and in agreement with the textbooks."""

from __future__ import annotations

from importlib import resources

import pytest

from osler_knowledge.annotate import annotate
from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import check_citations
from osler_knowledge.corpus import Corpus, load_corpus
from osler_knowledge.language import PhraseFinder, english
from osler_knowledge.lexicon import Lexicon, starter_lexicon
from osler_knowledge.prior import read_prior
from osler_knowledge.propose import build_bank

TASK = "blood-cell"
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
REGIONS = {"nucleus", "cytoplasm", "granules", "whole cell", "surroundings"}
# What the textbooks teach, in the order of CLASSES.
EXPECTED = {
    "segmented_nucleus": (1, -1, -1, 1, 0),
    "multilobed_nucleus": (1, -1, -1, -1, 0),
    "bilobed_nucleus": (0, -1, -1, 1, 0),
    "band_nucleus": (1, -1, -1, -1, -1),
    "hypersegmented_nucleus": (1, -1, -1, -1, -1),
    "kidney_shaped_nucleus": (-1, -1, 1, -1, -1),
    "indented_nucleus": (-1, 0, 1, -1, -1),
    "round_nucleus": (-1, 1, -1, -1, -1),
    "eccentric_nucleus": (0, 0, 0, 0, 0),
    "dense_chromatin": (1, 1, -1, 1, 0),
    "loose_chromatin": (-1, -1, 1, -1, -1),
    "scant_cytoplasm": (-1, 1, -1, -1, -1),
    "abundant_cytoplasm": (0, -1, 1, 0, 0),
    "frosted_cytoplasm": (-1, 0, 1, -1, -1),
    "cytoplasm_vacuole": (0, -1, 1, -1, -1),
    "doehle_bodies": (1, -1, -1, -1, -1),
    "auer_rod": (-1, -1, -1, -1, -1),
    "granular_cytoplasm": (1, -1, -1, 1, 1),
    "granules_absent": (-1, 1, 1, -1, -1),
    "small_granules": (1, -1, 0, -1, -1),
    "round_granules": (-1, -1, -1, 1, -1),
    "red_granules": (-1, -1, -1, 1, -1),
    "coarse_granules": (-1, -1, -1, -1, 1),
    "purple_granules": (-1, -1, -1, -1, 1),
    "granules_hide_nucleus": (-1, -1, -1, -1, 1),
    "toxic_granulation": (1, -1, -1, -1, -1),
    "high_nuclear_cytoplasmic_ratio": (-1, 1, -1, -1, -1),
    "low_nuclear_cytoplasmic_ratio": (0, -1, 0, 0, 0),
    "smudge_cell": (0, 0, 0, 0, 0),
}
# Cells as the textbooks draw them, in observations only.
TYPICAL = {
    "neutrophil": ("multilobed_nucleus", "dense_chromatin", "light_blue_cytoplasm", "small_granules", "pink_granules"),
    "lymphocyte": ("round_nucleus", "dense_chromatin", "scant_cytoplasm", "granules_absent", "small_cell"),
    "monocyte": ("kidney_shaped_nucleus", "loose_chromatin", "frosted_cytoplasm", "granules_absent", "large_cell"),
    "eosinophil": ("bilobed_nucleus", "dense_chromatin", "clear_cytoplasm", "round_granules", "red_granules"),
    "basophil": ("irregular_nucleus", "light_blue_cytoplasm", "coarse_granules", "purple_granules"),
}
# The values of the eleven attributes of WBCAtt (Tsutsui et al. 2023) that a concept stands for.
ATTRIBUTES = {
    "cell_size": ("large_cell", "small_cell"),
    "cell_shape": ("round_cell", "irregular_cell"),
    "nucleus_shape": (
        "round_nucleus",
        "indented_nucleus",
        "band_nucleus",
        "bilobed_nucleus",
        "multilobed_nucleus",
        "irregular_nucleus",
    ),
    "nuclear_cytoplasmic_ratio": ("high_nuclear_cytoplasmic_ratio", "low_nuclear_cytoplasmic_ratio"),
    "chromatin_density": ("dense_chromatin", "loose_chromatin"),
    "cytoplasm_vacuole": ("cytoplasm_vacuole",),
    "cytoplasm_texture": ("clear_cytoplasm", "frosted_cytoplasm"),
    "cytoplasm_colour": ("light_blue_cytoplasm", "blue_cytoplasm", "purple_blue_cytoplasm"),
    "granule_type": ("small_granules", "round_granules", "coarse_granules", "granules_absent"),
    "granule_colour": ("pink_granules", "red_granules", "purple_granules", "granules_absent"),
    "granularity": ("granular_cytoplasm", "granules_absent"),
}


@pytest.fixture(scope="module")
def cell_corpus() -> Corpus:
    return load_corpus(task=TASK)


@pytest.fixture(scope="module")
def cell_lexicon() -> Lexicon:
    return starter_lexicon(TASK)


@pytest.fixture(scope="module")
def cells() -> ConceptBank:
    return build_bank(task=TASK)


def values(bank: ConceptBank, concept: str) -> tuple[int | None, ...]:
    prior = bank.concept(concept).prior
    return tuple(prior[name].value if name in prior else None for name in CLASSES)


def test_bank_has_every_visible_observation(cells: ConceptBank, cell_lexicon: Lexicon) -> None:
    assert cells.findings == CLASSES
    assert len(cells.concepts) >= 36
    assert set(cells.ids) == {one.id for one in cell_lexicon.observations if one.visible}
    assert {one.id for one in cell_lexicon.observations if not one.visible}
    assert {concept.region for concept in cells.concepts} == REGIONS
    assert all(concept.terms and concept.question.endswith("?") for concept in cells.concepts)


def test_no_class_is_named_in_a_name_or_a_question(cells: ConceptBank, cell_lexicon: Lexicon) -> None:
    finder = PhraseFinder(english(), {one.id: (one.name, *one.terms) for one in cell_lexicon.findings})
    assert finder(english()("A basophil and two eosinophils."))
    for concept in cells.concepts:
        assert not finder(english()(f"{concept.name}. {concept.question}"))


def test_citations_stand_verbatim_in_the_shipped_files(cells: ConceptBank, cell_corpus: Corpus) -> None:
    assert check_citations(cells, cell_corpus) >= len(cells.concepts)
    folder = resources.files("osler_knowledge").joinpath("corpora", TASK)
    for concept in cells.concepts:
        shipped = folder.joinpath(f"{concept.citation.entry}.md").read_text(encoding="utf-8")
        assert concept.citation.passage in " ".join(shipped.split())
        assert concept.citation.references


def test_entries_are_short_referenced_and_say_that_nobody_reviewed_them(cell_corpus: Corpus) -> None:
    assert len(cell_corpus.entries) >= 48
    for entry in cell_corpus.entries:
        assert 80 <= len(entry.text.split()) <= 200, entry.id
        assert entry.references
        assert not entry.clinically_reviewed


def test_corpus_does_not_contradict_itself(cell_corpus: Corpus, cell_lexicon: Lexicon) -> None:
    assert read_prior(cell_corpus, cell_lexicon).conflicts() == []


@pytest.mark.parametrize(("concept", "expected"), EXPECTED.items())
def test_prior_agrees_with_haematology(concept: str, expected: tuple[int, ...], cells: ConceptBank) -> None:
    assert values(cells, concept) == expected


def test_prior_is_nearly_filled_and_what_it_leaves_open_is_unknown(cells: ConceptBank) -> None:
    filled = sum(len(concept.prior) for concept in cells.concepts)
    assert filled >= 0.95 * len(CLASSES) * len(cells.concepts)
    assert values(cells, "hyposegmented_nucleus") == (1, -1, -1, 0, None)


def test_stain_and_picture_speak_for_no_class(cells: ConceptBank) -> None:
    around = {one.id for one in cells.concepts if one.region == "surroundings"} - {"platelet_satellitism"}
    assert len(around) >= 10
    assert {values(cells, concept) for concept in around} == {(0, 0, 0, 0, 0)}


@pytest.mark.parametrize(("cell", "observed"), TYPICAL.items())
def test_prior_alone_names_a_typical_cell(cell: str, observed: tuple[str, ...], cells: ConceptBank) -> None:
    scores = {name: sum(cells.concept(one).prior[name].value for one in observed) for name in CLASSES}
    assert max(scores.values()) == scores[cell]
    assert sum(score == scores[cell] for score in scores.values()) == 1


def test_attributes_annotated_by_experts_have_concepts(cells: ConceptBank) -> None:
    assert len(ATTRIBUTES) == 11
    assert {concept for several in ATTRIBUTES.values() for concept in several} <= set(cells.ids)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            "Hypersegmented neutrophils and Döhle bodies are present. No toxic granulation.",
            {"hypersegmented_nucleus": "present", "doehle_bodies": "present", "toxic_granulation": "absent"},
        ),
        (
            "Abundant grey-blue cytoplasm, a folded nucleus and several vacuoles.",
            {"abundant_cytoplasm": "present", "purple_blue_cytoplasm": "present", "folded_nucleus": "present"},
        ),
        ("Nucleoli are not seen. No Auer rods.", {"nucleolus": "absent", "auer_rod": "absent"}),
        ("Round nucleus, no granules.", {"granules_absent": "present", "granular_cytoplasm": "absent"}),
        ("Possible Pelger-Huët anomaly.", {"hyposegmented_nucleus": "uncertain"}),
        ("Large orange-red granules.", {"round_granules": "present", "red_granules": "present"}),
        ("Coarse dark purple granules.", {"coarse_granules": "present", "purple_granules": "present"}),
        ("Rouleaux are present.", {"thick_area": None}),
    ],
)
def test_smear_reports_are_read(report: str, expected: dict[str, str | None], cells: ConceptBank) -> None:
    mentions = annotate([report], cells)[0]
    states = {concept: mentions[concept].state if concept in mentions else None for concept in expected}
    assert states == expected
