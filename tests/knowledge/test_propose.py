"""A bank from text: deterministic, cited verbatim, retrieved for its query, and filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import check_citations
from osler_knowledge.corpus import Corpus, Entry, Snippet, load_corpus
from osler_knowledge.lexicon import Lexicon, Observation, starter_lexicon
from osler_knowledge.propose import (
    DOCUMENTS_A_QUERY,
    RETRIEVED,
    Candidate,
    Drop,
    Reason,
    ReportSample,
    build_bank,
    propose_bank,
    refusal,
)
from osler_knowledge.propose.offline import OfflineProposer
from osler_knowledge.retrieval import Retriever
from osler_knowledge.tasks import tasks

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
    assert len(bank.concepts) >= 60
    assert set(SHARED_IDS) <= set(bank.ids)
    assert all(concept.terms and concept.region and concept.question.endswith("?") for concept in bank.concepts)


def test_every_citation_is_verbatim_and_was_retrieved_for_its_query(
    bank: ConceptBank, corpus: Corpus, retriever: Retriever
) -> None:
    assert check_citations(bank, corpus) >= len(bank.concepts)
    for concept in bank.concepts:
        hits = retriever.search(concept.query, RETRIEVED)
        retrieved = list(dict.fromkeys(hit.snippet.entry for hit in hits))[: 2 * DOCUMENTS_A_QUERY]
        assert concept.citation.entry in retrieved
        assert concept.citation.references == corpus.by_id[concept.citation.entry].references


def test_a_concept_needs_a_passage(corpus: Corpus) -> None:
    without = Corpus(tuple(entry for entry in corpus.entries if "cavit" not in entry.text.lower()))
    assert "cavitation" not in build_bank(without).ids
    assert "cavitation" in build_bank(corpus).ids


@pytest.mark.parametrize(("task", "concepts"), [("chest-radiograph", 60), ("dermoscopy", 30), ("blood-cell", 30)])
def test_every_task_has_a_bank_out_of_the_box(task: str, concepts: int) -> None:
    corpus, lexicon = load_corpus(task=task), starter_lexicon(task)
    proposed = propose_bank(Retriever(corpus), task=task)
    assert len(proposed.bank.concepts) >= concepts
    assert check_citations(proposed.bank, corpus) >= concepts
    assert proposed.conflicts == ()
    assert all(entry.references and not entry.clinically_reviewed for entry in corpus.entries)
    # No observation is in the lexicon in vain: the text of its task speaks of each that an image shows.
    assert {one.id for one in lexicon.observations if one.visible} == set(proposed.bank.ids)
    assert all(concept.prior for concept in proposed.bank.concepts)


def test_the_starter_corpora_are_large_enough_together() -> None:
    assert sum(len(load_corpus(task=task).entries) for task in tasks()) >= 150


def test_the_limit_holds(corpus: Corpus) -> None:
    assert len(build_bank(corpus, limit=5).concepts) == 5


def test_what_no_image_shows_is_refused_although_the_text_has_it(
    bank: ConceptBank, corpus: Corpus, lexicon: Lexicon
) -> None:
    unseen = {one.id for one in lexicon.observations if not one.visible}
    assert "natriuretic peptide" in corpus.by_id["heart-failure-or-pneumonia"].text
    assert unseen
    assert not unseen & set(bank.ids)


CUFFS = Observation("cuffs", "cuffs", "Are the bronchial walls thick?", "lungs", ("peribronchial cuff",))
SEPTAL = Observation("septal", "septal lines", "Are there thin septal lines at the bases?", "lungs", ("septal line",))


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        (replace(SEPTAL, visible=False), (Reason.NOT_VISIBLE, "")),
        (replace(SEPTAL, question="Are thin septal lines at the bases there?"), (Reason.PARAPHRASE, "septal")),
        (replace(SEPTAL, name="septal line", question="Anything odd?"), (Reason.PARAPHRASE, "septal")),
        (replace(CUFFS, question="Does it look like pulmonary oedema?"), (Reason.NAMES_FINDING, "heart_failure")),
        (replace(CUFFS, name="pulmonary oedema"), (Reason.NAMES_FINDING, "heart_failure")),
        (replace(CUFFS, name="cuffs in pulmonary oedema"), None),
        (CUFFS, None),
    ],
)
def test_filters(observation: Observation, reason: tuple[Reason, str] | None, lexicon: Lexicon) -> None:
    told = refusal(replace(observation, id="other"), [SEPTAL], lexicon)
    assert (told and (told.reason, told.detail)) == reason


def _reports(yes: int, *, no: int) -> list[str]:
    present = [f"Case {number}. Peribronchial cuffs are present." for number in range(yes)]
    return present + [f"Case {number}. No peribronchial cuffs. The heart is of ordinary size." for number in range(no)]


@pytest.mark.parametrize(
    ("yes", "no", "groundable"),
    [(0, 200, False), (9, 191, False), (10, 190, True), (100, 100, True), (191, 9, False), (150, 50, True)],
)
def test_what_reports_never_or_always_say_cannot_be_grounded(
    yes: int, no: int, groundable: bool, lexicon: Lexicon
) -> None:
    told = refusal(CUFFS, [], lexicon, ReportSample(_reports(yes, no=no)))
    assert (told is None) == groundable
    assert told is None or told.reason == Reason.NOT_GROUNDABLE


def test_too_few_reports_are_refused() -> None:
    with pytest.raises(OslerError, match="99 different reports") as caught:
        ReportSample([*_reports(50, no=49), *_reports(20, no=0), " "])
    assert caught.value.code == "support-insufficient"


def test_each_document_is_used_once_by_a_query(corpus: Corpus, lexicon: Lexicon) -> None:
    seen: dict[str, list[str]] = {}

    def note(query: str, snippets: Sequence[Snippet], entries: Sequence[Entry]) -> tuple[list[Candidate], list[Drop]]:
        assert 0 < len(snippets) <= DOCUMENTS_A_QUERY
        assert [one.id for one in entries] == [one.entry for one in snippets]
        seen.setdefault(query, []).extend(one.entry for one in snippets)
        return offline(query, snippets, entries)

    offline = OfflineProposer(lexicon)
    proposed = propose_bank(Retriever(corpus), lexicon, propose=note)
    assert all(len(used) == len(set(used)) for used in seen.values())
    assert any(len(used) > DOCUMENTS_A_QUERY for used in seen.values())  # a second round goes further down
    assert proposed.queries >= len(seen) > 2 * len(lexicon.findings)


def test_what_is_dropped_is_told_with_its_reason(corpus: Corpus, lexicon: Lexicon) -> None:
    drops = propose_bank(Retriever(corpus), lexicon).drops
    assert {drop.name for drop in drops if drop.reason == Reason.NOT_VISIBLE} >= {"fever", "orthopnea"}
