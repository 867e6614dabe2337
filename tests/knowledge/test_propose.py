"""A bank from text: deterministic, cited verbatim, retrieved for its query, and filtered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import check_citations
from osler_knowledge.corpus import Corpus
from osler_knowledge.lexicon import Lexicon, Observation
from osler_knowledge.propose import DOCUMENTS_A_QUERY, RETRIEVED, build_bank, refusal
from osler_knowledge.retrieval import Retriever

SHARED_IDS = [
    "enlarged_cardiac_silhouette",
    "cephalized_vessels",
    "perihilar_haze",
    "kerley_b_lines",
    "peribronchial_cuffing",
    "blunted_costophrenic_angle",
    "meniscus_sign",
    "basal_opacity",
    "airspace_opacity",
    "air_bronchograms",
    "silhouette_sign",
    "focal_opacity",
    "lobar_distribution",
    "bilateral_opacities",
    "visceral_pleural_line",
    "absent_peripheral_lung_markings",
    "rounded_opacity",
    "mediastinal_shift",
    "elevated_hemidiaphragm",
    "volume_loss",
    "linear_opacity",
    "flattened_diaphragm",
    "hyperlucent_lungs",
    "narrow_cardiac_silhouette",
    "endotracheal_tube",
    "central_venous_line",
    "ecg_leads",
    "pacemaker",
]


def test_the_same_text_gives_the_same_bank(bank: ConceptBank, corpus: Corpus) -> None:
    assert build_bank(corpus).digest == bank.digest


def test_bank_has_the_concepts_that_the_platform_counts_on(bank: ConceptBank) -> None:
    assert len(bank.concepts) >= 30
    assert set(SHARED_IDS) <= set(bank.ids)
    assert all(concept.terms and concept.region and concept.question.endswith("?") for concept in bank.concepts)


def test_every_citation_is_verbatim_and_was_retrieved_for_its_query(
    bank: ConceptBank, corpus: Corpus, retriever: Retriever
) -> None:
    assert check_citations(bank, corpus) >= len(bank.concepts)
    for concept in bank.concepts:
        hits = retriever.search(concept.query, RETRIEVED)
        retrieved = list(dict.fromkeys(hit.snippet.entry for hit in hits))[:DOCUMENTS_A_QUERY]
        assert concept.citation.entry in retrieved
        assert concept.citation.references == corpus.by_id[concept.citation.entry].references


def test_a_concept_needs_a_passage(corpus: Corpus) -> None:
    without = Corpus(tuple(entry for entry in corpus.entries if "cavit" not in entry.text.lower()))
    assert "cavitation" not in build_bank(without).ids
    assert "cavitation" in build_bank(corpus).ids


def test_the_limit_holds(corpus: Corpus) -> None:
    assert len(build_bank(corpus, limit=5).concepts) == 5


def test_what_no_image_shows_is_refused_although_the_text_has_it(
    bank: ConceptBank, corpus: Corpus, lexicon: Lexicon
) -> None:
    unseen = {one.id for one in lexicon.observations if not one.visible}
    assert "natriuretic peptide" in corpus.by_id["heart-failure-or-pneumonia"].text
    assert unseen
    assert not unseen & set(bank.ids)


SEPTAL = Observation("septal", "septal lines", "Are there thin septal lines at the bases?", "lungs", ("septal line",))


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        (replace(SEPTAL, visible=False), "not visible"),
        (replace(SEPTAL, question="Does it look like pulmonary oedema?"), "names the finding heart_failure"),
        (replace(SEPTAL, question="Are thin septal lines at the bases there?"), "a paraphrase of septal"),
        (replace(SEPTAL, name="septal line", question="Anything odd?"), "a paraphrase of septal"),
        (replace(SEPTAL, name="cuffs", question="Are the bronchial walls thick?"), None),
    ],
)
def test_filters(observation: Observation, reason: str | None, lexicon: Lexicon) -> None:
    told = refusal(replace(observation, id="other"), [SEPTAL], lexicon)
    assert told is None if reason is None else told is not None and reason in told
