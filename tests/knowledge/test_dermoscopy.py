"""The dermoscopy bank: built from the starter corpus, cited verbatim, and with the prior that dermoscopists agree on."""

from __future__ import annotations

import pytest

from osler_knowledge.annotate import annotate
from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import check_citations
from osler_knowledge.corpus import Corpus, load_corpus
from osler_knowledge.lexicon import Lexicon, starter_lexicon
from osler_knowledge.prior import read_prior
from osler_knowledge.propose import build_bank

TASK = "dermoscopy"
LETTERS = {
    "M": "melanoma",
    "N": "nevus",
    "B": "basal_cell_carcinoma",
    "K": "benign_keratosis",
    "A": "actinic_keratosis",
    "S": "squamous_cell_carcinoma",
    "D": "dermatofibroma",
    "V": "vascular_lesion",
}
VALUES = {"+": 1, "-": -1, "0": 0}
# What pattern analysis teaches, written down before and apart from the corpus: finding and sign.
EXPECTED = {
    "reticular_pattern": "N+ M0 B- V-",
    "globular_pattern": "N+ B- V-",
    "cobblestone_pattern": "N+ M- B- V-",
    "homogeneous_brown_pattern": "N+ M0 K0 B- V-",
    "homogeneous_blue_pattern": "N+ M0 B- K- D-",
    "starburst_pattern": "N+ M0 B- K- V-",
    "multicomponent_pattern": "M+ N- B+ D- V-",
    "asymmetry": "M+ N- D- K0 B0",
    "many_colours": "M+ N-",
    "few_colours": "N+ M-",
    "abrupt_border": "M+ N- D-",
    "typical_network": "N+ M- B- K- A- S- V-",
    "atypical_network": "M+ N- B- V- K- A-",
    "negative_network": "M+ N- B- V-",
    "delicate_peripheral_network": "D+ M- B- K- V-",
    "angulated_lines": "M+ N- K- B- V-",
    "regular_globules": "N+ M- B- K- V-",
    "irregular_dots_globules": "M+ N- V-",
    "peripheral_globules": "N+ M0 B- K- V-",
    "irregular_streaks": "M+ N- B- D- V-",
    "blue_white_veil": "M+ N- D- K- B0",
    "irregular_blotch": "M+ N- D- V-",
    "eccentric_structureless_area": "M+ N-",
    "peripheral_tan_area": "M+ N-",
    "milky_red_areas": "M+ N- K- V0",
    "scar_like_area": "M+ N- V-",
    "peppering": "M+ N- V- K0",
    "coarse_grey_granules": "K+ M0 V- N-",
    "shiny_white_streaks": "M+ D+ B+ N- K-",
    "shiny_white_blotches": "B+ M- N- K-",
    "rosettes": "A+ S+ M0 B0 N- V-",
    "central_white_patch": "D+ M- N- B- K- V-",
    "milia_like_cysts": "K+ M- A- S- D- V- N0 B0",
    "comedo_like_openings": "K+ M- B- A- V- D- N0",
    "fissures_ridges": "K+ M- B- V-",
    "cerebriform_pattern": "K+ M- B- V- D-",
    "fingerprint_structures": "K+ M- B- V- N- S-",
    "moth_eaten_border": "K+ M- N- B- D-",
    "sharp_border": "K+ N- M0 D-",
    "surface_scale": "A+ S+ M- N- V- D-",
    "white_circles": "S+ A- M- N- B- V- K-",
    "central_keratin": "S+ B- M- N- V- D- A-",
    "keratin_blood_spots": "S+ N- D-",
    "targetoid_follicles": "A+ N- B- V- M-",
    "strawberry_pattern": "A+ M- N- B- K- V- D- S-",
    "dotted_vessels": "M0 N0 A+ B- V-",
    "comma_vessels": "N+ M- B- A- S- V-",
    "hairpin_vessels": "K+ S+ M0 N- B- V- D-",
    "arborising_vessels": "B+ M- N- K- A- D- V-",
    "fine_telangiectasia": "B+ M- N- K- V-",
    "linear_irregular_vessels": "M+ S+ N- K- V-",
    "polymorphous_vessels": "M+ S+ N- K- V- B0",
    "glomerular_vessels": "A+ M- N- B- V- D- S+",
    "red_blue_lacunae": "V+ M- N- B- K- A- S- D-",
    "dark_lacunae": "V+ M- N- B- K- D-",
    "red_homogeneous_area": "V+ M0 N- K- B-",
    "white_collarette": "V+ M0 N- B- K-",
    "leaf_like_areas": "B+ M- N- K- A- S- D- V-",
    "spoke_wheel_areas": "B+ M- N- K- A- S- D- V-",
    "concentric_structures": "B+ M- N- D- V-",
    "blue_grey_ovoid_nests": "B+ M- N- K- A- S- D- V-",
    "blue_grey_globules": "B+ N- K- V- M-",
    "ulceration": "B+ S+ N- K- D- M0 V0",
    "small_erosions": "B+ N- K- D- M-",
    "parallel_furrow_pattern": "N+ M-",
    "parallel_ridge_pattern": "M+ N- B- K- V0",
    "fibrillar_pattern": "N+ M-",
    "pseudonetwork": "M0 N0 K0 A0 B- V-",
    "annular_granular_pattern": "M+ N- A0 K0 B-",
    "rhomboidal_structures": "M+ N- K- A0 B- V-",
    "asymmetric_follicles": "M+ N- K- B- A0",
}
TRACES = ("hairs", "gel_bubbles", "ruler_marks", "ink_marks", "dark_corners", "colour_patch")


@pytest.fixture(scope="module")
def skin_corpus() -> Corpus:
    return load_corpus(task=TASK)


@pytest.fixture(scope="module")
def skin_lexicon() -> Lexicon:
    return starter_lexicon(TASK)


@pytest.fixture(scope="module")
def skin_bank() -> ConceptBank:
    return build_bank(task=TASK)


def test_the_corpus_is_large_enough_and_says_that_no_clinician_has_read_it(skin_corpus: Corpus) -> None:
    assert len(skin_corpus.entries) >= 48
    assert not any(entry.clinically_reviewed for entry in skin_corpus.entries)
    assert all(entry.references for entry in skin_corpus.entries)
    lengths = {entry.id: len(entry.text.split()) for entry in skin_corpus.entries}
    assert {name: words for name, words in lengths.items() if not 80 <= words <= 200} == {}


def test_every_observation_that_an_image_shows_becomes_a_cited_concept(
    skin_bank: ConceptBank, skin_corpus: Corpus, skin_lexicon: Lexicon
) -> None:
    assert len(skin_bank.concepts) >= 40
    assert set(skin_bank.ids) == {one.id for one in skin_lexicon.observations if one.visible}
    assert check_citations(skin_bank, skin_corpus) >= 5 * len(skin_bank.concepts)
    assert all(concept.region and concept.terms and concept.citation.references for concept in skin_bank.concepts)


def test_the_findings_are_the_labels_of_skin_images_and_every_concept_speaks_of_some(
    skin_bank: ConceptBank, skin_lexicon: Lexicon
) -> None:
    assert set(skin_bank.findings) == set(LETTERS.values()) == set(skin_lexicon.finding_ids)
    assert all(concept.prior for concept in skin_bank.concepts)


def test_the_corpus_does_not_contradict_itself(skin_corpus: Corpus, skin_lexicon: Lexicon) -> None:
    assert read_prior(skin_corpus, skin_lexicon).conflicts() == []


def test_the_prior_agrees_with_dermoscopy(skin_bank: ConceptBank) -> None:
    expected = {
        (concept, LETTERS[pair[0]]): VALUES[pair[1]] for concept, pairs in EXPECTED.items() for pair in pairs.split()
    }
    read = {(one.id, finding): seen.value for one in skin_bank.concepts for finding, seen in one.prior.items()}
    assert {pair: read.get(pair) for pair in expected} == expected


def test_what_speaks_for_a_finding_is_always_on_the_hand_written_list(skin_bank: ConceptBank) -> None:
    """A reading that the corpus did not mean would show as a +1 that nobody wrote down."""
    listed = {(concept, LETTERS[pair[0]]) for concept, pairs in EXPECTED.items() for pair in pairs.split()}
    read = {(one.id, finding) for one in skin_bank.concepts for finding, seen in one.prior.items() if seen.value == 1}
    assert read - listed == set()


@pytest.mark.parametrize("trace", TRACES)
def test_traces_of_taking_the_picture_say_nothing(trace: str, skin_bank: ConceptBank) -> None:
    assert [skin_bank.concept(trace).prior[finding].value for finding in skin_bank.findings] == [0] * len(LETTERS)


def test_the_prior_tells_every_two_findings_apart(skin_bank: ConceptBank) -> None:
    rows = skin_bank.prior_matrix(skin_bank.findings)
    for first in range(len(rows)):
        for second in range(first):
            apart = [pair for pair in zip(rows[first], rows[second], strict=True) if set(pair) == {-1, 1}]
            assert len(apart) >= 3, (skin_bank.findings[first], skin_bank.findings[second])


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            "Asymmetric lesion with an atypical pigment network and a blue-whitish veil. No milia-like cysts.",
            {
                "asymmetry": "present",
                "typical_network": "absent",
                "atypical_network": "present",
                "blue_white_veil": "present",
                "milia_like_cysts": "absent",
            },
        ),
        (
            "Arborizing vessels and leaf-like areas. No pigment network, no streaks.",
            {
                "arborising_vessels": "present",
                "leaf_like_areas": "present",
                "typical_network": "absent",
                "atypical_network": "absent",
                "irregular_streaks": "absent",
            },
        ),
        (
            "Red lacunae with pale septa; possible thrombosed lacunae.",
            {"red_blue_lacunae": "present", "dark_lacunae": "uncertain"},
        ),
        (
            "Central white patch, delicate peripheral pigment network. Air bubbles.",
            {"central_white_patch": "present", "delicate_peripheral_network": "present", "gel_bubbles": "present"},
        ),
        (
            "Symmetrical lesion with a single colour and regular globules.",
            {
                "asymmetry": "absent",
                "few_colours": "present",
                "many_colours": "absent",
                "regular_globules": "present",
            },
        ),
    ],
)
def test_its_phrases_read_a_dermoscopy_report(report: str, expected: dict[str, str], skin_bank: ConceptBank) -> None:
    (mentions,) = annotate([report], skin_bank)
    assert {concept: mention.state for concept, mention in mentions.items()} == expected
