"""Reports are read with their negations, doubts and sections."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_knowledge.annotate import annotate, annotate_findings
from osler_knowledge.bank import ConceptBank
from osler_knowledge.language import normalise
from osler_knowledge.propose import build_bank

STATES = {"p": "present", "a": "absent", "u": "uncertain"}
TRICKY = yaml.safe_load((Path(__file__).parent / "tricky_sentences.yaml").read_text(encoding="utf-8"))


def state(sentence: str, concept: str, bank: ConceptBank) -> str | None:
    mention = annotate([sentence], bank)[0].get(concept)
    return mention.state if mention else None


def test_tricky_sentences_are_read_right(bank: ConceptBank) -> None:
    texts = [one["text"] for one in TRICKY]
    hits = claimed = true = 0
    for case, concepts, findings in zip(TRICKY, annotate(texts, bank), annotate_findings(texts), strict=True):
        want = {(key, STATES[code]) for part in ("concepts", "findings") for key, code in case.get(part, {}).items()}
        got = {(key, mention.state) for mentions in (concepts, findings) for key, mention in mentions.items()}
        hits, claimed, true = hits + len(want & got), claimed + len(got), true + len(want)
    assert len(TRICKY) >= 60
    assert hits / claimed >= 0.98  # precision
    assert hits / true >= 0.98  # recall


def test_the_span_is_where_the_words_are(bank: ConceptBank) -> None:
    report = "The chest is rotated. Possible Kerley B lines."
    mention = annotate([report], bank)[0]["kerley_b_lines"]
    assert (mention.state, report[mention.start : mention.end]) == ("uncertain", "Kerley B lines")


@pytest.mark.parametrize(
    ("uk", "us"),
    [
        ("Upper-zone cephalisation with oedema.", "Upper-zone cephalization with edema."),
        ("Air space shadowing.", "Airspace shadowing."),
        ("A pseudotumour in the fissure.", "A pseudotumor in the fissure."),
    ],
)
def test_both_spellings_are_read_alike(uk: str, us: str, bank: ConceptBank) -> None:
    british, american = annotate([uk, us], bank)
    assert {key: one.state for key, one in british.items()} == {key: one.state for key, one in american.items()}
    assert british


def test_a_denial_on_one_side_does_not_hide_the_other(bank: ConceptBank) -> None:
    assert state("No effusion. No basal opacity on the right; left basal opacity.", "basal_opacity", bank) == "present"
    assert state("No basal opacity. Possible opacity at the left base.", "basal_opacity", bank) == "uncertain"


@pytest.mark.parametrize("header", ["INDICATION", "Clinical history", "COMPARISON", "Technique", "Reason for exam"])
def test_sections_that_ask_are_not_read(header: str, bank: ConceptBank) -> None:
    asked = f"{header}: pacemaker, cardiomegaly.\n"
    assert annotate([asked], bank) == [{}]
    assert state(f"{asked}FINDINGS: Pacemaker.", "pacemaker", bank) == "present"
    assert state(f"{asked}Impression: no pacemaker.", "pacemaker", bank) == "absent"
    assert state(f"{header}: cough and fever FINDINGS: Pacemaker.", "pacemaker", bank) == "present"


def test_lines_of_a_list_are_sentences_of_their_own(bank: ConceptBank) -> None:
    report = "IMPRESSION:\n1. No pacemaker\n2. Cardiomegaly\n- Kerley B lines\n\npersistent ECG leads"
    states = {key: one.state for key, one in annotate([report], bank)[0].items()}
    assert states["pacemaker"] == "absent"
    assert states["enlarged_cardiac_silhouette"] == states["kerley_b_lines"] == states["ecg_leads"] == "present"


def test_a_denial_reaches_across_a_wrapped_line(bank: ConceptBank) -> None:
    assert state("There is no evidence of\npneumatocele or cavitation.", "cavitation", bank) == "absent"


def test_reports_are_independent_and_empty_ones_say_nothing(bank: ConceptBank) -> None:
    reports = ["Cardiomegaly.", "", "No cardiomegaly.", "   \n"]
    together = annotate(reports, bank)
    assert together == [annotate([report], bank)[0] for report in reports]
    assert together[1] == together[3] == {}


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_without_failing(text: str) -> None:
    for mention in annotate_findings([text])[0].values():
        assert 0 <= mention.start < mention.end <= len(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abceioruszy", min_size=1, max_size=12))
def test_normalising_twice_changes_no_plural_again(word: str) -> None:
    assert normalise(word.upper()) == normalise(word)


def test_a_subset_of_the_bank_reads_only_its_concepts(bank: ConceptBank) -> None:
    small = bank.subset(["pacemaker"])
    assert set(annotate(["Pacemaker and cardiomegaly."], small)[0]) == {"pacemaker"}
    assert build_bank(limit=3).ids != bank.ids
