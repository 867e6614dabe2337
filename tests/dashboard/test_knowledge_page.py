"""The knowledge page: what a bank asks and why, a decision that is kept, and a version that says what changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from osler import audit
from osler.banks import BankStore
from osler_knowledge.concept import Figure
from osler_knowledge.corpus import load_corpus
from osler_knowledge.propose import build_bank
from osler_knowledge.review import Reviewer, accept, retire, with_figures

CONCEPTS = (
    "enlarged_cardiac_silhouette",
    "perihilar_haze",
    "kerley_b_lines",
    "air_bronchograms",
    "lobar_distribution",
    "focal_opacity",
    "blunted_costophrenic_angle",
    "silhouette_sign",
    "bilateral_opacities",
    "pacemaker",
)  # those of the model in the workspace
WHEN = "2025-01-31T09:00:00+00:00"


@pytest.fixture
def store(demo: Any) -> BankStore:
    store = BankStore(demo.workspace, "chest-radiograph")
    store.propose(build_bank().subset(CONCEPTS), Reviewer("osler", WHEN, "from the shipped corpus"))
    return store


@pytest.fixture
def page(store: BankStore, open_page: Callable[..., Any]) -> Any:
    return open_page("knowledge")


def choose(page: Any, concept: str) -> None:
    page.app.selectbox(key="knowledge_concept").set_value(concept).run()


def fill(page: Any, **values: str) -> None:
    for label, value in values.items():
        next(one for one in page.app.text_input if one.label.lower().replace(" ", "_") == label).set_value(value)


def press(page: Any, word: str) -> None:
    next(one for one in page.app.button if one.label == word).click().run()


def test_a_concept_is_shown_with_its_passage_in_its_place_and_its_prior(page: Any, store: BankStore) -> None:
    choose(page, "kerley_b_lines")
    held = store.load().concept("kerley_b_lines")
    assert held.question in page.words
    marked = re.findall(r"<mark>(.*?)</mark>", "\n".join(one.proto.body for one in page.app.get("html")))
    assert marked == [held.citation.passage]
    entry = load_corpus().by_id[held.citation.entry].text
    around = entry[max(held.citation.start - 60, 0) : held.citation.end + 60]
    assert " ".join(around.split()[1:-1]) in " ".join(page.words.split())
    assert re.search(r"Heart failure\s+for\s", page.words)
    assert "Unknown, left to the data" in page.words or len(held.prior) == len(store.load().findings)
    assert "Not measured yet" in page.words
    assert "Not clinically reviewed" in page.words


def test_a_concept_is_accepted_by_who_is_signed_in_and_the_next_one_waits(page: Any, store: BankStore) -> None:
    choose(page, "kerley_b_lines")
    press(page, "Accept")
    bank = store.load()
    assert bank.concept("kerley_b_lines").status == "accepted"
    assert (bank.version, bank.history[-1].by) == (1, "Dr A")
    assert audit.entries(store.workspace)[-1].action == "knowledge.accept"
    assert page.app.selectbox(key="knowledge_concept").value != "kerley_b_lines"
    assert "Dr A" in page.words


def test_rewording_and_retiring_need_a_reason_and_make_versions(page: Any, store: BankStore) -> None:
    choose(page, "kerley_b_lines")
    fill(page, new_question="Are there short lines at the edge?")
    press(page, "Reword")
    assert "Give a reason" in page.app.warning[0].value
    assert store.load().version == 1
    fill(page, reason="plainer")
    press(page, "Reword")
    assert store.load().version == 2
    assert "the question was" in page.words
    fill(page, reason="not on our films")
    press(page, "Retire")
    bank = store.load()
    assert (bank.version, bank.concept("kerley_b_lines").status) == (3, "retired")
    assert "not on our films" in page.words


def test_the_prior_is_set_by_hand_and_unknown_is_no_zero(page: Any, store: BankStore) -> None:
    choose(page, "kerley_b_lines")
    selects = {one.label: one for one in page.app.selectbox}
    selects["Finding"].set_value("heart_failure")
    selects["It speaks"].set_value("unknown")
    page.app.text_input(key="prior_reason").set_value("unclear")
    press(page, "Set")
    assert "heart_failure" not in store.load().concept("kerley_b_lines").prior
    assert re.search(r"Unknown, left to the data:[^.]*heart failure", page.words)


def test_who_decides_on_words_that_changed_meanwhile_is_asked_to_read_again(page: Any, store: BankStore) -> None:
    choose(page, "kerley_b_lines")
    who = Reviewer("Dr B", WHEN, "not ours")
    store.change(lambda bank: retire(bank, "kerley_b_lines", who), who, "retire", "kerley_b_lines")
    press(page, "Accept")
    assert store.load().concept("kerley_b_lines").status == "retired"


def test_figures_stand_beside_the_question(store: BankStore, open_page: Callable[..., Any]) -> None:
    figures = {
        "learnability": Figure(0.81, 0.7, 0.9, 120, "studies"),
        "groundable": Figure(0.03, 0.02, 0.04, 900, "reports"),
    }
    store.measured(lambda bank: with_figures(bank, {bank.ids[0]: figures}))
    page = open_page("knowledge")
    assert re.search(r"How well it can be learnt\s+0\.81\s+0\.70 to 0\.90\s+120 studies", page.words)
    assert "too rare to learn" in page.words


def test_a_model_of_an_earlier_version_is_named_with_what_changed(
    store: BankStore, open_page: Callable[..., Any]
) -> None:
    assert not open_page("knowledge").app.warning
    who = Reviewer("Dr A", WHEN, "a device")
    store.change(lambda bank: retire(bank, "pacemaker", who), who, "retire", "pacemaker")
    (warning,) = open_page("knowledge").app.warning
    assert "fitted on version 1" in warning.value
    assert "pacemaker was retired (a device)" in warning.value


def test_every_page_says_that_nobody_has_reviewed_until_somebody_does(
    store: BankStore, open_page: Callable[..., Any]
) -> None:
    for name in ("study", "sites", "results", "knowledge"):
        assert "Not clinically reviewed" in open_page(name).words
    who = Reviewer("Dr A", WHEN)
    for concept in store.load().ids:
        store.change(lambda bank, one=concept: accept(bank, one, who), who, "accept", concept)
    assert "Not clinically reviewed" not in open_page("results").words
    assert f"All {len(CONCEPTS)} concepts in use are accepted, by Dr A" in open_page("knowledge").words


def test_markup_in_a_bank_is_inert(store: BankStore, open_page: Callable[..., Any]) -> None:
    who = Reviewer("<img src=x>", WHEN, "<script>alert(1)</script>")
    store.change(lambda bank: retire(bank, "pacemaker", who), who, "retire", "pacemaker")
    page = open_page("knowledge")
    assert "<script>alert(1)" in page.words
    assert not any("<img src=x" in one.proto.body or "<script>" in one.proto.body for one in page.app.get("html"))


def test_a_workspace_without_a_bank_says_what_to_do(demo: Any, open_page: Callable[..., Any]) -> None:
    assert "no concept bank yet" in open_page("knowledge").words


def test_a_broken_bank_is_told_on_its_page_and_spoils_no_other(store: BankStore, open_page: Callable[..., Any]) -> None:
    store.path.write_text("{}")
    assert "The text is not a concept bank" in open_page("knowledge").words
    words = open_page("results").words
    assert "Linear probe" in words
    assert "Not clinically reviewed." in words
    assert "not a concept bank" not in words
